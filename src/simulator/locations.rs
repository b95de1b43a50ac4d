//! Locations of the vendor.

/// A location.
#[derive(Debug, PartialEq)]
pub struct Location {
    pub id: &'static str,
    /// Country and state.
    pub place: &'static str,
    pub datacenter: &'static str,
    /// The multiplier of its traffic with [`FaultKind::FractionalMultiplier`](super::FaultKind::FractionalMultiplier).
    pub fraction: f64,
    pub private_network: bool,
    /// Nicknames of the nodes for KVM and for `OpenVZ`.
    pub nodes: [&'static str; 2],
}

/// All locations. The second has a multiplier below 1 with
/// [`FaultKind::FractionalMultiplier`](super::FaultKind::FractionalMultiplier).
pub static LOCATIONS: [Location; 4] = [
    Location {
        id: "USCA_2",
        place: "US, California",
        datacenter: "US: Example City, California (DC2 Transit/Mixed)",
        fraction: 1.0,
        private_network: true,
        nodes: ["v1001", "v201"],
    },
    Location {
        id: "USCA_9",
        place: "US, California",
        datacenter: "US: Example City, California (DC9 premium)",
        fraction: 0.5,
        private_network: true,
        nodes: ["v1901", "v209"],
    },
    Location {
        id: "USNY_2",
        place: "US, New York",
        datacenter: "US: New York (DC2)",
        fraction: 1.0,
        private_network: true,
        nodes: ["v1102", "v212"],
    },
    Location {
        id: "EUNL_3",
        place: "Netherlands, Amsterdam",
        datacenter: "EU: Amsterdam, Netherlands (DC3)",
        fraction: 1.0,
        private_network: false,
        nodes: ["v1303", "v233"],
    },
];

/// The location with this ID.
pub fn location(id: &str) -> Option<&'static Location> {
    LOCATIONS.iter().find(|location| location.id == id)
}
