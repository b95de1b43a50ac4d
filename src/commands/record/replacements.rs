//! Numbered replacements. The same text has the same replacement in all files of a run.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The block of RFC 5737, reserved for documentation, that replaces private addresses.
const PRIVATE: [[u8; 3]; 1] = [[192, 0, 2]];
/// The other blocks of RFC 5737, which replace public addresses.
const PUBLIC: [[u8; 3]; 2] = [[203, 0, 113], [198, 51, 100]];
/// The network that RFC 3849 reserves for documentation.
const DOCUMENTATION: u128 = 0x2001_0db8 << 96;
/// Host numbers of a block: 0 and 255 are not hosts.
const HOSTS: u64 = 254;
/// The first replaced VEID. It has the length of real ones.
const FIRST_VEID: u64 = 1_000_001;

/// Kinds of text with a numbered replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ReplacementKind {
    PublicAddress,
    PrivateAddress,
    Network,
    Interface,
    Mac,
    Email,
    Host,
    Node,
    Hex,
    Veid,
    Name,
    /// A number with this many digits.
    Number(usize),
}

/// The replacements of a run.
#[derive(Debug, Default)]
pub(super) struct Replacements {
    numbers: HashMap<(ReplacementKind, String), u64>,
    counts: HashMap<ReplacementKind, u64>,
}

impl Replacements {
    /// The number of a text among those of its kind, from 1.
    fn number(&mut self, kind: ReplacementKind, text: &str) -> u64 {
        let count = self.counts.entry(kind).or_default();
        *self
            .numbers
            .entry((kind, text.to_owned()))
            .or_insert_with(|| {
                *count += 1;
                *count
            })
    }

    fn known(&self, kind: ReplacementKind, text: &str) -> bool {
        self.numbers.contains_key(&(kind, text.to_owned()))
    }

    pub(super) fn address(&mut self, address: IpAddr) -> IpAddr {
        match address {
            IpAddr::V4(address) => self.ipv4(address).into(),
            IpAddr::V6(address) => self.ipv6(address).into(),
        }
    }

    /// The unspecified address stays, because it means that there is none.
    pub(super) fn ipv4(&mut self, address: Ipv4Addr) -> Ipv4Addr {
        if address.is_unspecified() {
            return address;
        }
        let (kind, blocks) = if address.is_private() {
            (ReplacementKind::PrivateAddress, &PRIVATE[..])
        } else {
            (ReplacementKind::PublicAddress, &PUBLIC[..])
        };
        // After the last reserved address the numbers start again: a duplicate is better than a real address.
        let number = self.number(kind, &address.to_string()) - 1;
        let blocks_count = blocks.len() as u64;
        let block = blocks[usize::try_from(number / HOSTS % blocks_count).unwrap_or_default()];
        let host = u8::try_from(number % HOSTS + 1).unwrap_or(1);
        Ipv4Addr::new(block[0], block[1], block[2], host)
    }

    /// Addresses of one /64 stay in one /64, and the base of a subnet stays a base.
    fn ipv6(&mut self, address: Ipv6Addr) -> Ipv6Addr {
        if address.is_unspecified() {
            return address;
        }
        let bits = u128::from(address);
        let network = u128::from(self.number(ReplacementKind::Network, &(bits >> 64).to_string()));
        let interface = match u64::try_from(bits & u128::from(u64::MAX)) {
            Ok(0) | Err(_) => 0,
            Ok(_) => u128::from(self.number(ReplacementKind::Interface, &bits.to_string())),
        };
        Ipv6Addr::from(DOCUMENTATION | network << 64 | interface)
    }

    pub(super) fn mac(&mut self, mac: &str, separator: char) -> String {
        // 02 marks a locally administered address, which no hardware has.
        let number = self.number(ReplacementKind::Mac, &mac.to_ascii_lowercase());
        let [.., a, b, c] = number.to_be_bytes();
        [2, 0, 0, a, b, c]
            .map(|byte| format!("{byte:02x}"))
            .join(&separator.to_string())
    }

    pub(super) fn email(&mut self, email: &str) -> String {
        format!(
            "user{}@example.com",
            self.number(ReplacementKind::Email, &email.to_lowercase())
        )
    }

    pub(super) fn host(&mut self, host: &str) -> String {
        let number = self.number(ReplacementKind::Host, &host.to_lowercase());
        let domain = if host.contains('.') {
            ".example.com"
        } else {
            ""
        };
        format!("host{number}{domain}")
    }

    /// The replacement of a text that was a host name elsewhere.
    pub(super) fn known_host(&mut self, text: &str) -> Option<String> {
        self.known(ReplacementKind::Host, &text.to_lowercase())
            .then(|| self.host(text))
    }

    pub(super) fn node(&mut self, node: &str) -> String {
        format!("node{}", self.number(ReplacementKind::Node, node))
    }

    /// A number with as many hexadecimal digits.
    pub(super) fn hex(&mut self, hex: &str) -> String {
        let number = self.number(ReplacementKind::Hex, &hex.to_ascii_lowercase());
        format!("{number:0width$x}", width = hex.len())
    }

    pub(super) fn veid(&mut self, veid: u64) -> u64 {
        FIRST_VEID - 1 + self.number(ReplacementKind::Veid, &veid.to_string())
    }

    /// The name of a member of a map, which must stay distinct from the others.
    pub(super) fn name(&mut self, name: &str) -> String {
        format!("name{}", self.number(ReplacementKind::Name, name))
    }

    /// A number with as many digits.
    pub(super) fn digits(&mut self, digits: &str) -> String {
        let number = self
            .number(ReplacementKind::Number(digits.len()), digits)
            .to_string();
        let filler = "0".repeat(digits.len().saturating_sub(number.len() + 1));
        format!("1{filler}{number}")
    }
}
