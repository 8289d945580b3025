//! The stack as a host of IPv6.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};

use super::autoconfiguration::{Autoconfiguration, InterfaceId, PREFIX_LEN};
use super::duplicate_address::DuplicateDetection;
use super::router_discovery::{RouterDiscovery, RouterLimits};
use crate::config::{InterfaceConfig, Ipv6Config, Limits};
use crate::multicast::memberships::Memberships;
use crate::time::{Duration, Instant};
use crate::wire::MacAddr;

/// What the stack knows and does as a host of IPv6.
#[derive(Debug)]
pub(crate) struct Ipv6Host {
    pub(crate) config: Ipv6Config,
    /// Questions and reports are this stack's to send: of several on one interface, the first one's.
    pub(crate) speaks: bool,
    pub(crate) link_local: Ipv6Addr,
    /// Addresses that are to be ours, with their subnets, once they have proven unique.
    wanted: Vec<Ipv6Net>,
    pub(crate) detection: DuplicateDetection,
    pub(crate) routers: RouterDiscovery,
    pub(crate) autoconfiguration: Autoconfiguration,
    /// The groups that we listen to.
    pub(crate) groups: Memberships,
    /// The time between two questions (RFC 4861 §6.3.2: RetransTimer).
    pub(crate) retrans_timer: Duration,
    /// The default router and the prefixes that stand in the routing table.
    pub(crate) installed: (Option<Ipv6Addr>, Vec<Ipv6Net>),
    /// Destinations that have been redirected, and where to.
    pub(crate) redirects: VecDeque<(IpNet, Ipv6Addr)>,
    events: VecDeque<AddressEvent>,
    start: Start,
    next: Option<Instant>,
}

/// Something that happened to an address of the stack's without its owner's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressEvent {
    /// The address.
    pub address: IpAddr,
    /// What happened to it.
    pub change: AddressChange,
}

/// What happened to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressChange {
    /// Nobody else has it: it can be used.
    Assigned,
    /// Somebody else has it, or wants it too: it is not used (RFC 4862 §5.4.5).
    Duplicate,
    /// Somebody else uses it, too, while it is ours.
    Conflict,
    /// New connections shall not use it where there is another (RFC 4862 §5.5.4).
    Deprecated,
    /// Its time is over: it is not the stack's any more.
    Expired,
}

/// Whether IPv6 has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// Nobody has asked for it.
    Never,
    /// With the first turn.
    Due,
    Done,
}

/// Events that wait to be taken; older ones make room.
const EVENTS: usize = 64;
/// RFC 4861 §10: RETRANS_TIMER.
const RETRANS_TIMER: Duration = Duration::from_secs(1);

impl Ipv6Host {
    /// A host that begins with the first turn. `seed` decides when it tells of its groups.
    pub(crate) fn new(interface: &InterfaceConfig, limits: &Limits, mac: MacAddr, seed: u64) -> Self {
        let config = interface.ipv6.clone();
        let id = InterfaceId::from_mac(mac);
        let addresses = interface.addresses.iter().filter_map(|net| match net {
            IpNet::V6(net) if !net.addr().is_loopback() => Some(*net),
            IpNet::V6(_) | IpNet::V4(_) => None,
        });
        let mut wanted: Vec<Ipv6Net> = addresses.collect();
        let begins = config.autoconfigure || !wanted.is_empty();
        let link_local = wanted.iter().map(Ipv6Net::addr).find(Ipv6Addr::is_unicast_link_local);
        if begins && link_local.is_none() {
            wanted.extend(Ipv6Net::new(id.link_local(), PREFIX_LEN));
        }
        Self {
            speaks: interface.queue == 0,
            link_local: link_local.unwrap_or(id.link_local()),
            wanted,
            detection: DuplicateDetection::new(DUPLICATE_QUESTIONS),
            routers: RouterDiscovery::new(RouterLimits {
                routers: limits.routers,
                prefixes: limits.prefixes,
            }),
            autoconfiguration: Autoconfiguration::new(id, limits.prefixes),
            groups: Memberships::new(limits.groups, seed),
            retrans_timer: RETRANS_TIMER,
            installed: (None, Vec::new()),
            redirects: VecDeque::new(),
            events: VecDeque::new(),
            start: if begins { Start::Due } else { Start::Never },
            next: begins.then_some(Instant::ZERO),
            config,
        }
    }

    /// Notes an address that is to be ours once it is [taken](Self::take_wanted).
    pub(crate) fn want(&mut self, net: Ipv6Net) {
        self.wanted.push(net);
    }

    /// The addresses that are to be ours and are not yet.
    pub(crate) fn wanted(&self) -> &[Ipv6Net] {
        &self.wanted
    }

    /// Takes `address` off the list of those that are to be ours; `None` if it is not on it.
    pub(crate) fn take_wanted(&mut self, address: Ipv6Addr) -> Option<Ipv6Net> {
        let at = self.wanted.iter().position(|net| net.addr() == address)?;
        Some(self.wanted.remove(at))
    }

    /// Whether this is the first turn of a stack that is to speak IPv6.
    pub(crate) fn begins(&mut self) -> bool {
        let begins = self.start == Start::Due;
        if begins {
            self.start = Start::Done;
        }
        begins
    }

    pub(crate) fn tell(&mut self, address: Ipv6Addr, change: AddressChange) {
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(AddressEvent { address: address.into(), change });
    }

    pub(crate) fn next_event(&mut self) -> Option<AddressEvent> {
        self.events.pop_front()
    }

    /// Whether something is to be done by `now`.
    #[inline]
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.next.is_some_and(|next| next <= now)
    }

    /// When the next thing is to be done.
    #[inline]
    pub(crate) const fn next_deadline(&self) -> Option<Instant> {
        self.next
    }

    /// Looks anew for what is to be done next. Every turn asks for that, and few change it.
    pub(crate) fn settle(&mut self) {
        let deadlines = [
            self.detection.next_deadline(),
            self.routers.next_deadline(),
            self.autoconfiguration.next_deadline(),
            self.groups.next_deadline(),
        ];
        self.next = deadlines.into_iter().flatten().min();
    }
}

/// RFC 4862 §5.1: DupAddrDetectTransmits.
const DUPLICATE_QUESTIONS: u8 = 1;
