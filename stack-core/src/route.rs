//! The routing table: which way the longest matching prefix names (RFC 1812 §5.2.4.3, RFC 1122 §3.3.1).

use alloc::vec::Vec;

use foldhash::quality::FixedState;
use hashbrown::HashMap;
use ipnet::IpNet;

use crate::address::Address;

/// Routes of both families.
///
/// They are found by hash, one probe for each length of prefix that is in use, the longest first: with a thousand
/// routes no slower than with one of each length.
#[derive(Debug)]
pub(crate) struct RouteTable {
    limit: usize,
    len: usize,
    /// Ways to each network, the least metric first.
    networks: HashMap<Network, Vec<Way>, FixedState>,
    /// Lengths of prefixes in use and how many networks have them, the longest first.
    lengths: Vec<(u8, u32)>,
}

/// One way to a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) hop: NextHop,
    /// Of several ways to the same network, the one with the least metric is taken.
    pub(crate) metric: u32,
}

/// Where packets go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextHop {
    /// Straight to their destination, from this address of ours in the same subnet.
    Link { source: Address },
    /// To a gateway on the link.
    Gateway(Address),
}

/// Why a route was not added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAdded {
    /// It is there already.
    Exists,
    /// The table is full.
    Full,
}

/// A prefix. IPv4 lies in it as `::ffff:0:0/96`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Network {
    bits: u128,
    len: u8,
}

/// Bits before an IPv4 address that is mapped into IPv6 (RFC 4291 §2.5.5.2).
const MAPPED: u8 = 96;

impl RouteTable {
    /// A table for at most `limit` routes. `seed` keys its hash.
    pub(crate) fn new(limit: usize, seed: u64) -> Self {
        let networks = HashMap::with_hasher(FixedState::with_seed(seed));
        Self { limit, len: 0, networks, lengths: Vec::new() }
    }

    /// Adds a way to `network`.
    pub(crate) fn add(&mut self, network: IpNet, way: Way) -> Result<(), NotAdded> {
        let network = Network::from(network);
        let ways = self.networks.get(&network).map_or(&[][..], Vec::as_slice);
        if ways.contains(&way) {
            return Err(NotAdded::Exists);
        }
        if self.len >= self.limit {
            return Err(NotAdded::Full);
        }
        let ways = self.networks.entry(network).or_default();
        if ways.is_empty() {
            match self.lengths.binary_search_by(|(len, _)| network.len.cmp(len)) {
                Ok(at) => self.lengths[at].1 += 1,
                Err(at) => self.lengths.insert(at, (network.len, 1)),
            }
        }
        let at = ways.partition_point(|other| other.metric <= way.metric);
        ways.insert(at, way);
        self.len += 1;
        Ok(())
    }

    /// Removes the ways to `network` that `unwanted` says, and returns how many those were.
    pub(crate) fn remove(&mut self, network: IpNet, unwanted: impl Fn(&Way) -> bool) -> usize {
        let network = Network::from(network);
        let Some(ways) = self.networks.get_mut(&network) else { return 0 };
        let before = ways.len();
        ways.retain(|way| !unwanted(way));
        let removed = before - ways.len();
        if ways.is_empty() {
            self.networks.remove(&network);
            if let Ok(at) = self.lengths.binary_search_by(|(len, _)| network.len.cmp(len)) {
                self.lengths[at].1 -= 1;
                if self.lengths[at].1 == 0 {
                    self.lengths.remove(at);
                }
            }
        }
        self.len -= removed;
        removed
    }

    /// The ways to `destination`, the best first: by the length of the prefix, then by metric.
    pub(crate) fn ways(&self, destination: Address) -> impl Iterator<Item = Way> {
        let bits = destination.to_v6().to_bits();
        // The default route of IPv6 holds nothing of IPv4.
        let least = if destination.is_v4() { MAPPED } else { 0 };
        let lengths = self.lengths.iter().map(|(len, _)| *len).take_while(move |len| *len >= least);
        lengths
            .filter_map(move |len| self.networks.get(&Network::new(bits, len)))
            .flat_map(|ways| ways.iter().copied())
    }
}

impl Network {
    fn new(bits: u128, len: u8) -> Self {
        let host_bits = u32::from(128_u8.saturating_sub(len));
        Self { bits: bits.checked_shr(host_bits).unwrap_or(0).checked_shl(host_bits).unwrap_or(0), len }
    }
}

impl From<IpNet> for Network {
    fn from(net: IpNet) -> Self {
        let bits = Address::from(net.addr()).to_v6().to_bits();
        let before = if matches!(net, IpNet::V4(_)) { MAPPED } else { 0 };
        Self::new(bits, before + net.prefix_len())
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use core::net::{IpAddr, Ipv4Addr};

    use proptest::prelude::*;

    use super::*;

    fn gateway(address: &str, metric: u32) -> Way {
        Way { hop: NextHop::Gateway(ip(address)), metric }
    }

    fn ip(text: &str) -> Address {
        text.parse::<IpAddr>().unwrap().into()
    }

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    fn first(table: &RouteTable, to: &str) -> Option<Way> {
        table.ways(ip(to)).next()
    }

    #[test]
    fn the_longest_prefix_is_taken_and_the_shorter_ones_come_behind() {
        let mut table = RouteTable::new(10, 1);
        for (to, via) in [("0.0.0.0/0", "10.0.0.1"), ("10.1.0.0/16", "10.0.0.2"), ("10.1.2.3/32", "10.0.0.3")]
        {
            table.add(net(to), gateway(via, 0)).unwrap();
        }
        assert_eq!(first(&table, "8.8.8.8"), Some(gateway("10.0.0.1", 0)));
        assert_eq!(first(&table, "10.1.9.9"), Some(gateway("10.0.0.2", 0)));
        let ways: Vec<_> = table.ways(ip("10.1.2.3")).collect();
        assert_eq!(ways, ["10.0.0.3", "10.0.0.2", "10.0.0.1"].map(|via| gateway(via, 0)));
    }

    #[test]
    fn of_equal_prefixes_the_least_metric_is_taken() {
        let mut table = RouteTable::new(10, 1);
        for metric in [20, 10, 30] {
            let via = IpAddr::from([10, 0, 0, metric as u8]).to_string();
            table.add(net("192.0.2.0/24"), gateway(&via, metric)).unwrap();
        }
        assert_eq!(first(&table, "192.0.2.7"), Some(gateway("10.0.0.10", 10)));
        assert_eq!(table.remove(net("192.0.2.0/24"), |way| way.metric == 10), 1);
        assert_eq!(first(&table, "192.0.2.7"), Some(gateway("10.0.0.20", 20)));
        assert_eq!(table.remove(net("192.0.2.0/24"), |_| true), 2);
        assert_eq!((first(&table, "192.0.2.7"), table.lengths.len(), table.len), (None, 0, 0));
    }

    #[test]
    fn the_families_keep_apart() {
        let mut table = RouteTable::new(10, 1);
        table.add(net("::/0"), gateway("fe80::1", 0)).unwrap();
        assert_eq!(first(&table, "8.8.8.8"), None);
        table.add(net("0.0.0.0/0"), gateway("10.0.0.1", 0)).unwrap();
        assert_eq!(first(&table, "8.8.8.8"), Some(gateway("10.0.0.1", 0)));
        assert_eq!(first(&table, "2001:db8::1"), Some(gateway("fe80::1", 0)));
    }

    #[test]
    fn a_full_table_and_a_second_route_of_the_same_kind_are_refused() {
        let mut table = RouteTable::new(2, 1);
        assert_eq!(table.add(net("192.0.2.0/24"), gateway("10.0.0.1", 0)), Ok(()));
        // Bits beyond the prefix don't count.
        assert_eq!(table.add(net("192.0.2.9/24"), gateway("10.0.0.1", 0)), Err(NotAdded::Exists));
        assert_eq!(table.add(net("192.0.2.0/25"), gateway("10.0.0.1", 0)), Ok(()));
        assert_eq!(table.add(net("192.0.2.0/26"), gateway("10.0.0.1", 0)), Err(NotAdded::Full));
    }

    proptest! {
        /// Against a list that is searched from end to end.
        #[test]
        fn the_table_finds_what_a_list_finds(
            routes in prop::collection::vec((any::<u32>(), 0..=32_u8, 0..3_u32), 0..40),
            removed in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
            destinations in prop::collection::vec((any::<prop::sample::Index>(), any::<u32>()), 1..20),
        ) {
            let mut table = RouteTable::new(1_000, 7);
            let mut list: Vec<(IpNet, Way)> = Vec::new();
            for (n, (bits, len, metric)) in routes.iter().enumerate() {
                let network = IpNet::new(IpAddr::V4(Ipv4Addr::from_bits(*bits)), *len).unwrap().trunc();
                let hop = NextHop::Gateway(Ipv4Addr::from_bits(n as u32).into());
                let way = Way { hop, metric: *metric };
                table.add(network, way).unwrap();
                list.push((network, way));
            }
            for index in &removed {
                if !list.is_empty() {
                    let (network, way) = list.remove(index.index(list.len()));
                    prop_assert_eq!(table.remove(network, |other| *other == way), 1);
                }
            }
            for (index, noise) in destinations {
                // Close to a route, so that it is often inside.
                let bits = routes.get(index.index(routes.len().max(1))).map_or(noise, |(bits, len, _)| {
                    bits ^ (noise.checked_shr(u32::from(*len)).unwrap_or(0))
                });
                let to = IpAddr::V4(Ipv4Addr::from_bits(bits));
                let mut holding: Vec<_> = list.iter().filter(|(network, _)| network.contains(&to)).collect();
                holding.sort_by_key(|(network, way)| (core::cmp::Reverse(network.prefix_len()), way.metric));
                let expected: Vec<_> = holding.iter().map(|(_, way)| *way).collect();
                prop_assert_eq!(table.ways(to.into()).collect::<Vec<_>>(), expected);
            }
        }
    }
}
