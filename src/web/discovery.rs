//! Prometheus HTTP service discovery: the addresses of the VPSes as targets for exporters that run on them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;
use thiserror::Error;

use crate::fleet::Fleet;
use crate::kiwivm::model::{Hypervisor, ServiceInfo};

/// The port of `node_exporter`.
const DEFAULT_PORT: u16 = 9100;
/// Maximum ports in a request. No VPS runs this many exporters.
const MAX_PORTS: usize = 32;

/// The VPSes whose addresses are known.
#[derive(Debug, Default)]
pub struct Discovery(Vec<Discovered>);

#[derive(Debug)]
struct Discovered {
    ipv4: Option<String>,
    ipv6: Option<String>,
    labels: BTreeMap<String, String>,
}

/// The parameters of a request for targets.
#[derive(Debug, PartialEq, Eq)]
pub struct Query {
    ports: Vec<u16>,
    ipv4: bool,
    ipv6: bool,
}

/// An invalid parameter, with its valid values.
#[derive(Debug, Error)]
pub enum QueryError {
    /// A port that is not a number of a port.
    #[error("port: {0:?} is not a number from 1 to 65535")]
    Port(String),
    /// Too many ports.
    #[error("port: more than {MAX_PORTS} ports")]
    TooManyPorts,
    /// An unknown family.
    #[error("family: {0:?} is not ipv4, ipv6 or all")]
    Family(String),
}

/// One entry of the list for Prometheus.
#[derive(Debug, Serialize)]
struct TargetGroup<'a> {
    targets: Vec<String>,
    labels: &'a BTreeMap<String, String>,
}

impl Query {
    /// Parses `port` (a number, repeatable) and `family` (`ipv4`, `ipv6` or `all`). Other parameters are ignored.
    ///
    /// # Errors
    ///
    /// If a parameter is invalid.
    pub fn parse(pairs: impl Iterator<Item = (String, String)>) -> Result<Self, QueryError> {
        let mut query = Self {
            ports: Vec::new(),
            ipv4: true,
            ipv6: false,
        };
        for (name, value) in pairs {
            match (name.as_str(), value.as_str()) {
                ("port", port) => match port.parse() {
                    Ok(port) if port > 0 => query.ports.push(port),
                    _ => return Err(QueryError::Port(value)),
                },
                ("family", "ipv4") => (query.ipv4, query.ipv6) = (true, false),
                ("family", "ipv6") => (query.ipv4, query.ipv6) = (false, true),
                ("family", "all") => (query.ipv4, query.ipv6) = (true, true),
                ("family", _) => return Err(QueryError::Family(value)),
                _ => {}
            }
        }
        if query.ports.is_empty() {
            query.ports.push(DEFAULT_PORT);
        }
        if query.ports.len() > MAX_PORTS {
            return Err(QueryError::TooManyPorts);
        }
        Ok(query)
    }
}

impl Discovery {
    /// Collects the VPSes of a fleet whose addresses are known. Addresses of any age count: a target must not vanish
    /// because the API is down or omits its addresses.
    #[must_use]
    pub fn new(fleet: &Fleet) -> Self {
        let discovered = |vps: &crate::fleet::VpsState| {
            let (info, addresses) = vps.last_service()?;
            let primary = addresses.primary.clone();
            let (ipv4, first_ipv6) = match primary.as_deref().map(str::parse) {
                Some(Ok(IpAddr::V4(_))) => (primary, None),
                _ => (None, primary),
            };
            let mut labels: BTreeMap<_, _> = vps.identity.labels.iter().cloned().collect();
            let veid = vps.identity.veid.to_string();
            for (name, value) in meta(&veid, &vps.identity.name, info) {
                if !value.is_empty() {
                    labels.insert(format!("__meta_kiwivm_{name}"), value.to_owned());
                }
            }
            Some(Discovered {
                ipv4,
                ipv6: addresses.host_ipv6.clone().or(first_ipv6),
                labels,
            })
        };
        Self(fleet.vps().iter().filter_map(discovered).collect())
    }

    /// Returns true if no address is known. An empty list would then remove existing targets.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Formats the list for Prometheus: an entry for each VPS with an address of a requested family.
    #[must_use]
    pub fn json(&self, query: &Query) -> String {
        let group = |vps: &'_ Discovered| {
            let ipv4 = vps.ipv4.as_ref().filter(|_| query.ipv4);
            let ipv6 = vps.ipv6.as_ref().filter(|_| query.ipv6);
            let hosts = ipv4.cloned().into_iter();
            let hosts = hosts.chain(ipv6.map(|address| format!("[{address}]")));
            let target =
                |host: String| query.ports.iter().map(move |port| format!("{host}:{port}"));
            hosts.flat_map(target).collect::<Vec<_>>()
        };
        let groups: Vec<_> = self
            .0
            .iter()
            .map(|vps| TargetGroup {
                targets: group(vps),
                labels: &vps.labels,
            })
            .filter(|group| !group.targets.is_empty())
            .collect();
        // All keys are text, so this does not fail.
        let mut json = serde_json::to_string(&groups).unwrap_or_default();
        json.push('\n');
        json
    }
}

/// Returns the meta labels without their common prefix.
fn meta<'a>(veid: &'a str, name: &'a str, info: &'a ServiceInfo) -> [(&'static str, &'a str); 10] {
    let text = |field: &'a Option<String>| field.as_deref().unwrap_or_default();
    [
        ("veid", veid),
        ("vps", name),
        ("hostname", text(&info.hostname)),
        ("node", text(&info.node)),
        ("location", text(&info.location)),
        ("location_id", text(&info.location_id)),
        ("datacenter", text(&info.datacenter)),
        ("plan", text(&info.plan)),
        ("os", text(&info.os)),
        ("vm_type", info.hypervisor.map_or("", Hypervisor::name)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;
    use crate::config::Expect;
    use crate::fleet::Identity;
    use crate::kiwivm::model::{IpAddresses, Payload};
    use crate::kiwivm::{Call, Decoded, Veid};

    fn identity(veid: u64, labels: &[(&str, &str)]) -> Identity {
        Identity {
            veid: Veid(veid),
            name: format!("vps-{veid}"),
            labels: labels
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            expect: Expect::Running,
            multiplier: crate::config::Multiplier::default(),
            thresholds: std::sync::Arc::default(),
        }
    }

    fn discovery() -> Discovery {
        let fleet = vec![
            identity(1, &[("customer", "acme")]),
            identity(2, &[]),
            identity(3, &[]),
        ];
        let mut fleet = Fleet::new(fleet, 3.0);
        let addresses = [
            (1, Some("203.0.113.1"), Some("2001:db8::5")),
            (2, Some("2001:db8::7"), Some("2001:db8::7")),
        ];
        let now = Moment {
            elapsed: std::time::Duration::from_secs(1),
            unix: crate::units::UnixSeconds(1_790_000_000.0),
        };
        for (veid, primary, host_ipv6) in addresses {
            let service = ServiceInfo {
                hostname: Some("host".to_owned()),
                ip_addresses: Some(IpAddresses {
                    primary: primary.map(str::to_owned),
                    host_ipv6: host_ipv6.map(str::to_owned),
                    ..IpAddresses::default()
                }),
                ..ServiceInfo::default()
            };
            let decoded = Decoded {
                payload: Payload::Service(Box::new(service)),
                problems: Vec::new(),
            };
            fleet.apply(Veid(veid), Call::ServiceInfo, &Ok(decoded), now);
        }
        Discovery::new(&fleet)
    }

    fn query(pairs: &[(&str, &str)]) -> Result<Query, QueryError> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Query::parse(pairs.iter().map(owned))
    }

    fn targets(pairs: &[(&str, &str)]) -> Vec<String> {
        let json = discovery().json(&query(pairs).expect("a valid query"));
        let groups: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        groups
            .as_array()
            .expect("a list")
            .iter()
            .flat_map(|group| group["targets"].as_array().expect("a list").clone())
            .map(|target| target.as_str().expect("text").to_owned())
            .collect()
    }

    #[test]
    fn lists_the_ipv4_address_of_a_vps_with_each_port() {
        assert_eq!(targets(&[]), ["203.0.113.1:9100"]);
        assert_eq!(
            targets(&[("port", "9100"), ("port", "80"), ("other", "1")]),
            ["203.0.113.1:9100", "203.0.113.1:80"]
        );
    }

    #[test]
    fn lists_ipv6_addresses_on_request() {
        assert_eq!(
            targets(&[("family", "ipv6"), ("port", "1")]),
            ["[2001:db8::5]:1", "[2001:db8::7]:1"]
        );
        assert_eq!(targets(&[("family", "all")]).len(), 3);
    }

    #[test]
    fn targets_have_meta_labels_and_configured_labels() {
        let json = discovery().json(&query(&[]).expect("a valid query"));
        let groups: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        let expected = serde_json::json!({
            "customer": "acme",
            "__meta_kiwivm_hostname": "host",
            "__meta_kiwivm_veid": "1",
            "__meta_kiwivm_vps": "vps-1",
        });
        assert_eq!(groups[0]["labels"], expected);
    }

    #[test]
    fn invalid_queries_are_refused_with_the_reason() {
        for (name, value) in [
            ("port", "0"),
            ("port", "65536"),
            ("port", ""),
            ("port", "-1"),
            ("family", "inet"),
            ("family", ""),
        ] {
            let error = query(&[(name, value)]).expect_err(value).to_string();
            assert!(error.contains(name) && error.contains(value), "{error}");
        }
        assert!(query(&[("port", "1"); 33]).is_err());
    }
}
