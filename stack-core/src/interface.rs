//! The stack's addresses and the routes beyond them.

use alloc::vec::Vec;
use ipnet::{IpNet, Ipv6Net};

use crate::address::Address;
use crate::config::{InterfaceConfig, Route};
use crate::ipv6::source_selection::{self, Candidate};
use crate::route::{NextHop, NotAdded, RouteTable, Way};
use crate::wire::ethernet::{MacAddr, VlanId};

/// The stack's one network interface.
#[derive(Debug)]
pub(crate) struct Interface {
    pub(crate) mac: MacAddr,
    pub(crate) vlan: Option<VlanId>,
    /// The largest IP packet, in bytes.
    pub(crate) mtu: usize,
    /// The largest packet of IPv6, in bytes: `mtu`, or less where a router says so.
    mtu_v6: usize,
    /// The hop limit of IPv6 packets.
    pub(crate) hop_limit: u8,
    addresses: Vec<Own>,
    /// Our subnets, and what lies beyond them.
    routes: RouteTable,
}

/// One of our addresses.
#[derive(Debug)]
struct Own {
    address: Address,
    /// The subnet that it lies in.
    subnet: IpNet,
    /// It is not to be used where there is another.
    deprecated: bool,
    /// The address of all hosts in the subnet, where it has one.
    broadcast: Option<Address>,
}

/// How a packet gets to its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// Our address that it leaves from, where the sender did not choose one.
    pub(crate) source: Address,
    /// The neighbour that it goes to first.
    pub(crate) next_hop: Address,
}

impl Own {
    fn new(subnet: IpNet) -> Self {
        let broadcast = match subnet {
            // RFC 3021: where there are but two hosts, none of the addresses is everybody's.
            IpNet::V4(net) if net.prefix_len() < 31 => Some(Address::v4(net.broadcast())),
            IpNet::V4(_) | IpNet::V6(_) => None,
        };
        Self { address: subnet.addr().into(), subnet, deprecated: false, broadcast }
    }
}

impl Interface {
    /// The interface with what `config` says, and at most `routes` routes. `seed` keys their hash.
    pub(crate) fn new(config: &InterfaceConfig, mac: MacAddr, mtu: usize, routes: usize, seed: u64) -> Self {
        let mut interface = Self {
            mac,
            vlan: config.vlan,
            mtu,
            mtu_v6: mtu,
            hop_limit: HOP_LIMIT,
            addresses: Vec::new(),
            routes: RouteTable::new(routes.max(config.routes.len() + config.addresses.len()), seed),
        };
        // There is room, and what is said twice holds once.
        for address in &config.addresses {
            // Which of IPv6 are ours may have to be found out, unless they never leave us.
            let certain = address.addr().is_ipv4() || address.addr().is_loopback();
            if certain || !config.ipv6.duplicate_address_detection {
                let _ = interface.add_address(*address);
            }
        }
        for route in &config.routes {
            let _ = interface.add_route(route);
        }
        interface
    }

    /// Adds an address and the way to its subnet.
    pub(crate) fn add_address(&mut self, subnet: IpNet) -> Result<(), NotAdded> {
        let address = Address::from(subnet.addr());
        if self.owns(address) {
            return Err(NotAdded::Exists);
        }
        self.routes.add(subnet, Way { hop: NextHop::Link { source: address }, metric: 0 })?;
        self.addresses.push(Own::new(subnet));
        Ok(())
    }

    /// Removes an address and the way to its subnet; `false` if it is none of ours. Routes over gateways in the
    /// subnet stay, and are passed over while nothing leads to their gateway.
    pub(crate) fn remove_address(&mut self, address: Address) -> bool {
        let Some(at) = self.addresses.iter().position(|own| own.address == address) else { return false };
        let Own { subnet, .. } = self.addresses.remove(at);
        self.routes.remove(subnet, |way| way.hop == NextHop::Link { source: address });
        true
    }

    pub(crate) fn add_route(&mut self, route: &Route) -> Result<(), NotAdded> {
        self.routes.add(route.to, Way { hop: NextHop::Gateway(route.via.into()), metric: route.metric })
    }

    /// Removes a route; `false` if there is none like that.
    pub(crate) fn remove_route(&mut self, route: &Route) -> bool {
        let unwanted = Way { hop: NextHop::Gateway(route.via.into()), metric: route.metric };
        self.routes.remove(route.to, |way| *way == unwanted) > 0
    }

    /// Adds the way to a subnet in which we need have no address. Packets that have no source yet leave from
    /// `source`. Returns whether there was room.
    pub(crate) fn add_subnet(&mut self, subnet: Ipv6Net, source: Address) -> bool {
        let way = Way { hop: NextHop::Link { source }, metric: 0 };
        !matches!(self.routes.add(IpNet::V6(subnet), way), Err(NotAdded::Full))
    }

    /// Removes what [`add_subnet`](Self::add_subnet) has added.
    pub(crate) fn remove_subnet(&mut self, subnet: Ipv6Net, source: Address) {
        let way = Way { hop: NextHop::Link { source }, metric: 0 };
        self.routes.remove(IpNet::V6(subnet), |other| *other == way);
    }

    /// Has packets to one host go another way than the routes say, or that way again. With a full table they do.
    pub(crate) fn redirect(&mut self, host: IpNet, hop: Option<NextHop>) {
        self.routes.remove(host, |way| way.metric == REDIRECTED);
        if let Some(hop) = hop {
            let _ = self.routes.add(host, Way { hop, metric: REDIRECTED });
        }
    }

    /// Has new connections leave from `address` only where there is no other, or again like from any.
    pub(crate) fn deprecate(&mut self, address: Address, deprecated: bool) {
        if let Some(own) = self.addresses.iter_mut().find(|own| own.address == address) {
            own.deprecated = deprecated;
        }
    }

    /// A router says that the link carries packets of IPv6 of no more than `mtu` bytes.
    pub(crate) fn limit_v6_mtu(&mut self, mtu: usize) {
        self.mtu_v6 = mtu.min(self.mtu);
    }

    /// The largest packet to `destination` that the link carries, in bytes.
    #[inline]
    pub(crate) fn mtu_towards(&self, destination: Address) -> usize {
        if destination.is_v4() { self.mtu } else { self.mtu_v6 }
    }

    /// Whether `address` is one of ours.
    #[inline]
    pub(crate) fn owns(&self, address: Address) -> bool {
        self.addresses.iter().any(|own| own.address == address)
    }

    /// Our address for packets to `destination`, whichever way they go: of IPv4 the first, of IPv6 the one that suits
    /// best (RFC 6724 §5).
    pub(crate) fn source_for(&self, destination: Address) -> Option<Address> {
        if destination.is_v4() {
            return self.addresses.iter().map(|own| own.address).find(|address| address.is_v4());
        }
        let candidates = self.addresses.iter().filter(|own| !own.address.is_v4()).map(|own| Candidate {
            address: own.address.to_v6(),
            prefix_len: own.subnet.prefix_len(),
            deprecated: own.deprecated,
        });
        source_selection::choose(candidates, destination.to_v6()).map(Address::v6)
    }

    /// The Ethernet address of everybody that a packet to `address` is for, if that is not a single host.
    pub(crate) fn multicast_mac(&self, address: Address) -> Option<MacAddr> {
        match address.as_v4() {
            Some(group) if group.is_multicast() => Some(MacAddr::multicast_for_v4(group)),
            Some(_) => self.is_broadcast(address).then_some(MacAddr::BROADCAST),
            None => address.is_multicast().then(|| MacAddr::multicast_for_v6(address.to_v6())),
        }
    }

    /// Whether `address` can be the source of a packet to us: a unicast address, and none of our own.
    pub(crate) fn is_plausible_source(&self, address: Address) -> bool {
        !(address.is_multicast()
            || address.is_unspecified()
            || address.is_loopback()
            || self.is_broadcast(address)
            || self.owns(address))
    }

    /// Whether `address` stands for all hosts of one of our subnets, or of the link.
    pub(crate) fn is_broadcast(&self, address: Address) -> bool {
        address == Address::BROADCAST || self.addresses.iter().any(|own| own.broadcast == Some(address))
    }

    /// The way to `destination`, if there is one: by the longest prefix, which may be that of one of our own
    /// subnets. To ourselves we speak from the same address.
    pub(crate) fn path(&self, destination: Address) -> Option<Path> {
        if self.owns(destination) {
            return Some(Path { source: destination, next_hop: destination });
        }
        let path = self.route(destination)?;
        // RFC 6724 §5: the choice depends on the destination, not on the neighbour that leads there.
        let source = if destination.is_v4() { path.source } else { self.source_for(destination)? };
        Some(Path { source, ..path })
    }

    /// The first hop to `destination`, and our address in its subnet.
    fn route(&self, destination: Address) -> Option<Path> {
        self.routes.ways(destination).find_map(|way| match way.hop {
            NextHop::Link { source } => Some(Path { source, next_hop: destination }),
            NextHop::Gateway(gateway) => {
                self.subnet_of(gateway).map(|source| Path { source, next_hop: gateway })
            }
        })
    }

    /// Whether `address` lies in one of our subnets.
    pub(crate) fn is_on_link(&self, address: Address) -> bool {
        self.subnet_of(address).is_some()
    }

    /// Our address in the smallest subnet that holds `address`.
    fn subnet_of(&self, address: Address) -> Option<Address> {
        self.routes.ways(address).find_map(|way| match way.hop {
            NextHop::Link { source } => Some(source),
            NextHop::Gateway(_) => None,
        })
    }
}

/// The hop limit of IPv6 packets, unless a router tells another one (IANA's IP parameters: default TTL).
const HOP_LIMIT: u8 = 64;

/// The metric of routes that a router's redirect has made, by which they are told from others.
const REDIRECTED: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use core::net::IpAddr;

    use super::*;

    fn interface() -> Interface {
        let config = InterfaceConfig {
            addresses: [("10.0.0.2/24"), ("192.168.7.2/30")].map(|net| net.parse().unwrap()).to_vec(),
            routes: [("0.0.0.0/0", "10.0.0.1"), ("172.16.0.0/12", "192.168.7.1")]
                .map(|(to, via)| Route { to: to.parse().unwrap(), via: via.parse().unwrap(), metric: 0 })
                .to_vec(),
            ..InterfaceConfig::default()
        };
        Interface::new(&config, MacAddr([2, 0, 0, 0, 0, 1]), 1_500, 16, 1)
    }

    fn ip(text: &str) -> Address {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn neighbours_are_reached_directly_and_others_by_the_longest_prefix() {
        let path = |to| interface().path(ip(to)).map(|path| (path.source, path.next_hop));
        assert_eq!(path("10.0.0.9"), Some((ip("10.0.0.2"), ip("10.0.0.9"))));
        assert_eq!(path("172.16.5.5"), Some((ip("192.168.7.2"), ip("192.168.7.1"))));
        assert_eq!(path("8.8.8.8"), Some((ip("10.0.0.2"), ip("10.0.0.1"))));
        assert_eq!(path("2001:db8::1"), None);
    }

    #[test]
    fn addresses_and_routes_come_and_go() {
        let mut interface = interface();
        let path =
            |interface: &Interface, to| interface.path(ip(to)).map(|path| (path.source, path.next_hop));
        assert!(interface.remove_address(ip("192.168.7.2")));
        assert!(!interface.remove_address(ip("192.168.7.2")));
        // Nothing leads to the gateway of the longer prefix any more.
        assert_eq!(path(&interface, "172.16.5.5"), Some((ip("10.0.0.2"), ip("10.0.0.1"))));
        assert_eq!(interface.add_address("192.168.7.2/30".parse().unwrap()), Ok(()));
        assert_eq!(interface.add_address("192.168.7.2/24".parse().unwrap()), Err(NotAdded::Exists));
        assert_eq!(path(&interface, "172.16.5.5"), Some((ip("192.168.7.2"), ip("192.168.7.1"))));
        let default = Route { to: "0.0.0.0/0".parse().unwrap(), via: "10.0.0.1".parse().unwrap(), metric: 0 };
        assert!(interface.remove_route(&default));
        assert_eq!(path(&interface, "8.8.8.8"), None);
        assert_eq!(path(&interface, "10.0.0.2"), Some((ip("10.0.0.2"), ip("10.0.0.2"))));
    }

    #[test]
    fn no_packet_comes_from_a_group_a_subnet_or_ourselves() {
        for bad in ["10.0.0.255", "255.255.255.255", "224.0.0.1", "0.0.0.0", "127.0.0.1", "10.0.0.2"] {
            assert!(!interface().is_plausible_source(ip(bad)), "{bad}");
        }
        assert!(interface().is_plausible_source(ip("10.0.0.3")));
    }
}
