//! The stack's network interface, and what lies beyond it.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::MacAddress;

/// The stack's network interface. All lanes share it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Interface {
    /// The stack's Ethernet address; where `None`, the backend chooses one.
    pub mac: Option<MacAddress>,
    /// The largest IP packet that the link carries, in bytes.
    pub mtu: u16,
    /// The 802.1Q VLAN that the stack lives in; frames are untagged where `None`.
    pub vlan: Option<u16>,
    /// The stack's addresses, each with the length of its subnet's prefix.
    #[serde(deserialize_with = "addresses::networks")]
    pub addresses: Vec<IpNet>,
    /// Ask a DHCP server for an address too, with its router.
    pub dhcp: bool,
    /// Whether to find out that somebody else on the link has one of `addresses`.
    pub conflict_detection: ConflictDetection,
    /// Ask for IPv6 routers, use them, and make addresses from the prefixes that they advertise.
    pub autoconfigure: bool,
    /// Ask whether anybody has an IPv6 address before it is used, which takes one to two seconds.
    pub duplicate_address_detection: bool,
    /// Follow an IPv6 router to a better one where it says so.
    pub accept_redirects: bool,
    /// The address that the kernel's end of a TAP device gets; none where `None`.
    #[serde(deserialize_with = "addresses::optional_network")]
    pub host_address: Option<IpNet>,
}

impl Default for Interface {
    fn default() -> Self {
        Self {
            mac: None,
            mtu: 1_500,
            vlan: None,
            addresses: Vec::new(),
            dhcp: false,
            conflict_detection: ConflictDetection::Off,
            autoconfigure: false,
            duplicate_address_detection: true,
            accept_redirects: false,
            host_address: None,
        }
    }
}

/// What to do about others on the link that may have the same address of IPv4 (RFC 5227).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConflictDetection {
    /// Nothing.
    #[default]
    Off,
    /// Use addresses at once, announce them, and contradict those who claim them too.
    Defend,
    /// The same, but use addresses only after some seconds in which nobody has claimed them.
    Probe,
}

/// A network and the gateway that leads there. The longest prefix that matches wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Route {
    /// The network.
    #[serde(deserialize_with = "addresses::network")]
    pub to: IpNet,
    /// The gateway, an address in one of the interface's subnets.
    #[serde(deserialize_with = "addresses::address")]
    pub via: IpAddr,
    /// Of several routes to the same network, the one with the least metric is taken.
    #[serde(default)]
    pub metric: u32,
}

/// A neighbour whose Ethernet address is known and never asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Neighbor {
    /// Its address, in one of the interface's subnets.
    #[serde(deserialize_with = "addresses::address")]
    pub address: IpAddr,
    /// Its Ethernet address.
    pub mac: MacAddress,
}

/// Addresses from text, with errors that show how one is written.
mod addresses {
    use std::net::IpAddr;

    use ipnet::IpNet;
    use serde::{Deserialize, Deserializer};

    use crate::text;

    pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IpAddr, D::Error> {
        text::deserialize(deserializer, "an address such as \"10.0.0.1\"", |text| text.parse().ok())
    }

    pub(super) fn network<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IpNet, D::Error> {
        let expected = "an address and its prefix length, such as \"10.0.0.2/24\"";
        text::deserialize(deserializer, expected, |text| text.parse().ok())
    }

    pub(super) fn optional_network<'de, D>(deserializer: D) -> Result<Option<IpNet>, D::Error>
    where
        D: Deserializer<'de>,
    {
        Ok(Option::<Network>::deserialize(deserializer)?.map(|Network(net)| net))
    }

    pub(super) fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
        Ok(Vec::<Network>::deserialize(deserializer)?.into_iter().map(|Network(net)| net).collect())
    }

    #[derive(Deserialize)]
    struct Network(#[serde(deserialize_with = "network")] IpNet);
}
