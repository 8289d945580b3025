//! Routers: asked for, believed, and followed (RFC 4861 §6.3, §8.3).

use core::net::Ipv6Addr;

use ipnet::{IpNet, Ipv6Net};
use netlane_packet_io::PacketIo;

use super::Stack;
use crate::address::Address;
use crate::buffers::Buffers;
use crate::config::Route;
use crate::neighbor::Heard;
use crate::route::NextHop;
use crate::time::Duration;
use crate::wire::ipv6::MIN_MTU;
use crate::wire::ndp::{self, RouterAdvertisement};
use crate::wire::{MacAddr, NdpRepr};

/// How good a default route from a router is: worse than any from the configuration.
const METRIC: u32 = 1_024;

impl<I: PacketIo, B: Buffers> Stack<I, B> {
    /// Forgets routers and prefixes that are too old, and asks for routers where none is known.
    pub(super) fn run_routers(&mut self) {
        if self.ipv6.routers.poll(self.now) && self.ipv6.speaks {
            let own = self.ipv6.link_local;
            let has_own = self.link.interface.owns(own.into());
            // RFC 4861 §6.3.7, §4.1: from nobody, and thus without an Ethernet address, while we have no address.
            let src = if has_own { own } else { Ipv6Addr::UNSPECIFIED };
            let source_mac = has_own.then_some(self.link.interface.mac);
            let to = (ndp::ALL_ROUTERS, MacAddr::multicast_for_v6(ndp::ALL_ROUTERS));
            self.send_ndp(src, to, NdpRepr::RouterSolicitation { source_mac });
        }
        self.follow_routers();
    }

    /// RFC 4861 §6.3.4: a router at `from` describes itself and the link.
    pub(super) fn receive_router_advertisement(&mut self, from: Ipv6Addr, told: &RouterAdvertisement<'_>) {
        if !self.ipv6.config.autoconfigure {
            self.counters.rx_unwanted_advertisements += 1;
            return;
        }
        if let Some(mac) = told.source_mac {
            self.learn(from.into(), mac, Heard::Request);
        }
        if let Some(hop_limit) = told.hop_limit {
            self.link.interface.hop_limit = hop_limit;
        }
        if let Some(interval) = told.retrans_timer {
            self.ipv6.retrans_timer = interval.clamp(LEAST_INTERVAL, MOST_TIME);
            self.link.neighbors.set_probe_interval(self.ipv6.retrans_timer);
        }
        if let Some(time) = told.reachable_time {
            // RFC 4861 §6.3.2: a random time around it, so that hosts do not ask in step.
            let millis = time.clamp(LEAST_INTERVAL, MOST_TIME).as_millis() as u64;
            let around = self.rng.u64(millis / 2..=millis / 2 * 3);
            self.link.neighbors.set_reachable_time(Duration::from_millis(around));
        }
        // RFC 4861 §6.3.4: what the link cannot carry, or IPv6 cannot do without, is not believed.
        if let Some(mtu) = told.mtu.and_then(|mtu| usize::try_from(mtu).ok())
            && mtu >= MIN_MTU
        {
            self.link.interface.limit_v6_mtu(mtu);
            self.link.forget_last_hop();
        }
        self.ipv6.routers.heard(self.now, from, told);
        for prefix in told.prefixes {
            if let Some(change) = self.ipv6.autoconfiguration.heard(self.now, &prefix) {
                self.change_address(change);
            }
        }
        self.follow_routers();
        self.ipv6.settle();
    }

    /// A neighbour does not answer: if it leads off the link, another one shall (RFC 4861 §6.3.6).
    pub(super) fn avoid_router(&mut self, address: Address) {
        if address.is_v4() {
            return;
        }
        self.undo_redirects(address.to_v6());
        if self.ipv6.routers.is_router(address.to_v6()) {
            self.ipv6.routers.avoid(address.to_v6());
            self.follow_routers();
        }
    }

    /// A neighbour says that it is no router (RFC 4861 §7.2.5): nothing goes through it any more.
    pub(super) fn forget_router(&mut self, address: Ipv6Addr) {
        if self.ipv6.routers.is_router(address) {
            self.ipv6.routers.forget(address);
            self.follow_routers();
            self.ipv6.settle();
        }
    }

    /// RFC 4861 §8.3: the first hop to `destination` knows a better one. Believed only where the owner wants that, and
    /// only of the first hop itself (§8.1).
    pub(super) fn receive_redirect(
        &mut self,
        from: Ipv6Addr,
        target: Ipv6Addr,
        destination: Ipv6Addr,
        target_mac: Option<MacAddr>,
    ) {
        let first_hop = self.link.interface.path(destination.into()).map(|path| path.next_hop);
        if !self.ipv6.config.accept_redirects || first_hop != Some(from.into()) {
            self.counters.rx_redirects_ignored += 1;
            return;
        }
        if let Some(mac) = target_mac {
            self.learn(target.into(), mac, Heard::Request);
        }
        let host = IpNet::V6(Ipv6Net::new(destination, 128).expect("no address is longer"));
        let (interface, redirects) = (&mut self.link.interface, &mut self.ipv6.redirects);
        interface.redirect(host, None);
        redirects.retain(|(known, _)| *known != host);
        if redirects.len() >= REDIRECTS
            && let Some((oldest, _)) = redirects.pop_front()
        {
            interface.redirect(oldest, None);
        }
        let source = Address::v6(self.ipv6.link_local);
        let hop =
            if target == destination { NextHop::Link { source } } else { NextHop::Gateway(target.into()) };
        interface.redirect(host, Some(hop));
        redirects.push_back((host, target));
        self.link.forget_last_hop();
    }

    /// Forgets what led to `target` by redirection, since it does not answer.
    fn undo_redirects(&mut self, target: Ipv6Addr) {
        let interface = &mut self.link.interface;
        self.ipv6.redirects.retain(|(host, to)| {
            if *to == target {
                interface.redirect(*host, None);
            }
            *to != target
        });
    }

    /// Brings the routing table in line with what routers have told.
    fn follow_routers(&mut self) {
        let link_local = Address::v6(self.ipv6.link_local);
        let (router, prefixes) = &mut self.ipv6.installed;
        let wanted = self.ipv6.routers.default_router();
        let gone = |prefix: &Ipv6Net| !self.ipv6.routers.prefixes().any(|wanted| wanted == *prefix);
        let new: alloc::vec::Vec<_> =
            self.ipv6.routers.prefixes().filter(|prefix| !prefixes.contains(prefix)).collect();
        if *router == wanted && new.is_empty() && !prefixes.iter().any(gone) {
            return;
        }
        let interface = &mut self.link.interface;
        if *router != wanted {
            if let Some(router) = router {
                interface.remove_route(&default_route(*router));
            }
            // Nothing is lost where the table is full: there was no way before, either.
            *router = wanted.filter(|router| interface.add_route(&default_route(*router)).is_ok());
        }
        for prefix in prefixes.extract_if(.., |prefix| gone(prefix)) {
            interface.remove_subnet(prefix, link_local);
        }
        for prefix in new {
            if interface.add_subnet(prefix, link_local) {
                prefixes.push(prefix);
            }
        }
        self.link.forget_last_hop();
    }
}

/// What a router may say of times between questions, and of how long neighbours are believed (RFC 4861 §6.2.1 allows
/// no more than an hour).
const LEAST_INTERVAL: Duration = Duration::from_millis(100);
const MOST_TIME: Duration = Duration::from_secs(3_600);

/// Destinations for which a better first hop than the routing table's is remembered.
const REDIRECTS: usize = 64;

fn default_route(router: Ipv6Addr) -> Route {
    let everywhere = Ipv6Net::new(Ipv6Addr::UNSPECIFIED, 0).expect("no prefix is shorter");
    Route { to: IpNet::V6(everywhere), via: router.into(), metric: METRIC }
}
