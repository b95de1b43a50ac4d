//! The addresses of a VPS.

use std::collections::BTreeMap;

/// Duration of a null-route that the API reports. Here it lasts until a test lifts it or the address is replaced.
pub const NULLROUTE_SECONDS: i64 = 21_600;
/// Subnets that a plan allows.
pub const MOST_SUBNETS: usize = 3;

/// Addresses, their names and their null-routes.
#[derive(Clone, Debug)]
pub struct Network {
    veid: u64,
    pub ipv4: Vec<String>,
    /// Bases of /64 subnets.
    pub ipv6: Vec<String>,
    /// In the private network.
    pub private: Vec<String>,
    /// Names of addresses.
    pub ptr: BTreeMap<String, String>,
    /// Null-routed addresses and the time of the null-route, Unix seconds.
    pub nullroutes: BTreeMap<String, i64>,
    /// Number of times that all IPv4 addresses were replaced.
    moves: u64,
    /// Number of subnets that were ever assigned.
    subnets: u64,
}

impl Network {
    /// One address and one subnet.
    pub fn new(veid: u64, name: Option<String>) -> Self {
        let mut network = Self {
            veid,
            ipv4: Vec::new(),
            ipv6: Vec::new(),
            private: Vec::new(),
            ptr: BTreeMap::new(),
            nullroutes: BTreeMap::new(),
            moves: 0,
            subnets: 0,
        };
        network.ipv4 = vec![network.address(0)];
        network.add_subnet();
        if let Some(name) = name {
            network.ptr.insert(network.primary().to_owned(), name);
        }
        network
    }

    /// The main address of the VPS.
    pub fn primary(&self) -> &str {
        self.ipv4.first().map_or("", String::as_str)
    }

    /// All public addresses, IPv4 first.
    pub fn public(&self) -> impl Iterator<Item = &String> {
        self.ipv4.iter().chain(&self.ipv6)
    }

    pub fn has_public(&self, address: &str) -> bool {
        self.public().any(|own| own == address)
    }

    /// The addresses that the next migration will bring.
    pub fn next_addresses(&self) -> Vec<String> {
        vec![self.address(self.moves + 1)]
    }

    /// Replaces the IPv4 addresses and releases IPv6 and private ones, as a migration does.
    pub fn migrate(&mut self, addresses: Vec<String>) {
        self.moves += 1;
        self.ipv4 = addresses;
        self.ipv6.clear();
        self.private.clear();
        self.ptr.clear();
        self.nullroutes.clear();
    }

    /// Assigns another subnet.
    pub fn add_subnet(&mut self) -> String {
        let group = self.veid % 0xFFFF;
        let subnet = match self.subnets {
            0 => format!("2001:db8:{group:x}::"),
            more => format!("2001:db8:{group:x}:{more:x}::"),
        };
        self.subnets += 1;
        self.ipv6.push(subnet.clone());
        subnet
    }

    /// Releases a subnet, written with or without its length; false if the VPS does not have it.
    pub fn remove_subnet(&mut self, subnet: &str) -> bool {
        let base = subnet.strip_suffix("/64").unwrap_or(subnet);
        let before = self.ipv6.len();
        self.ipv6.retain(|own| own != base);
        self.ptr.remove(base);
        self.ipv6.len() < before
    }

    /// Addresses of the private network that are free.
    pub fn private_available(&self) -> Vec<String> {
        (1..=4)
            .map(|number| {
                let host = self.veid * 4 + number;
                format!(
                    "10.{}.{}.{}",
                    host >> 16 & 0xFF,
                    host >> 8 & 0xFF,
                    host & 0xFF
                )
            })
            .filter(|address| !self.private.contains(address))
            .collect()
    }

    fn address(&self, moves: u64) -> String {
        // Two documentation ranges in turn, so that a migration always changes the address.
        let range = ["198.51.100", "203.0.113"][usize::from(!moves.is_multiple_of(2))];
        format!("{range}.{}", self.veid.wrapping_add(moves) % 254 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_replaces_ipv4_and_releases_the_rest() {
        let mut network = Network::new(1_000_001, Some("a.example.com".to_owned()));
        let old = network.primary().to_owned();
        network.private = vec![network.private_available()[0].clone()];
        network.nullroutes.insert(old.clone(), 1);
        let new = network.next_addresses();
        assert!(!new.contains(&old));
        network.migrate(new.clone());
        assert_eq!(network.ipv4, new);
        assert!(network.ipv6.is_empty() && network.private.is_empty());
        assert!(network.ptr.is_empty() && network.nullroutes.is_empty());
        assert_ne!(network.next_addresses(), new);
    }

    #[test]
    fn a_released_subnet_is_not_assigned_again() {
        let mut network = Network::new(1_000_001, None);
        let second = network.add_subnet();
        assert!(network.remove_subnet(&format!("{second}/64")));
        assert!(!network.remove_subnet(&second));
        assert_ne!(network.add_subnet(), second);
        assert_eq!(network.ipv6.len(), 2);
    }
}
