//! Addresses that the stack gets from a DHCP server, and those that it makes sure to be alone with: what the state
//! machines of `dhcp` and `address_conflict` want is carried out here.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use netlane_packet_io::{PacketIo, TxOffload};

use super::Stack;
use super::ingress::Incoming;
use super::link::{Fragmentation, Outgoing};
use super::strays::Change;
use crate::address_conflict::{Claim, ClaimAction, Verdict};
use crate::buffers::Buffers;
use crate::config::{ConflictDetection, InterfaceConfig, Route};
use crate::dhcp::{DhcpAction, DhcpClient, Heard, Lease};
use crate::time::Instant;
use crate::wire::dhcp::{CLIENT_PORT, DhcpReply, DhcpRequest, REQUEST_LEN, SERVER_PORT};
use crate::wire::{ArpOperation, ArpRepr, MacAddr, Protocol, UdpRepr, udp};

/// Something that changed about the stack's place in its network.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetworkEvent {
    /// The stack has this address from now on.
    AddressGained(IpNet),
    /// The stack no longer has this address; what used it has ended.
    AddressLost(IpNet),
    /// Packets to all networks that no other route leads to go to this router.
    RouterGained(IpAddr),
    /// Nothing is known of that router any more.
    RouterLost(IpAddr),
    /// These servers resolve names, the best first.
    DnsServers(Vec<IpAddr>),
    /// Somebody else uses an address of the stack's.
    AddressConflict {
        /// The address.
        address: IpAddr,
        /// The Ethernet address of the other.
        mac: MacAddr,
    },
}

impl core::fmt::Display for NetworkEvent {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::AddressGained(address) => write!(f, "has the address {address}"),
            Self::AddressLost(address) => write!(f, "has lost the address {address}"),
            Self::RouterGained(router) => write!(f, "reaches other networks over {router}"),
            Self::RouterLost(router) => write!(f, "no longer reaches other networks over {router}"),
            Self::DnsServers(servers) => write!(f, "may resolve names at {servers:?}"),
            Self::AddressConflict { address, mac } => write!(f, "shares the address {address} with {mac}"),
        }
    }
}

/// Addresses of IPv4 that have to be got or kept.
#[derive(Debug)]
pub(super) struct Claims {
    dhcp: Option<Box<DhcpClient>>,
    claims: Vec<Claim>,
    /// From the configuration, and not used before it is known that nobody else does.
    tentative: Vec<Ipv4Net>,
    /// The stack of another queue speaks for this one, and tells it what it has got.
    pub(super) follows: bool,
    /// It is to get an address from a DHCP server, and has none yet.
    awaits_lease: bool,
    pub(super) events: VecDeque<NetworkEvent>,
    rng: fastrand::Rng,
    /// When there is something to do. Every turn asks for that, and few change it.
    next: Option<Instant>,
}

/// Events that are kept until their owner asks for them; of more, the oldest are forgotten.
const EVENTS: usize = 64;

impl Claims {
    /// What `config` wants. Addresses that have to be probed first are taken out of it.
    pub(super) fn new(config: &mut InterfaceConfig, mac: MacAddr, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (now, detection) = (Instant::ZERO, config.conflict_detection);
        let speaks = config.queue == 0;
        let mut claims = Self {
            dhcp: (config.dhcp && speaks).then(|| Box::new(DhcpClient::new(mac, now, rng.u64(..)))),
            follows: !speaks && (config.dhcp || detection != ConflictDetection::Off),
            awaits_lease: config.dhcp,
            claims: Vec::new(),
            tentative: Vec::new(),
            events: VecDeque::new(),
            rng,
            next: Some(now),
        };
        config.addresses.retain(|address| {
            let IpNet::V4(subnet) = *address else { return true };
            if subnet.addr().is_loopback() || detection == ConflictDetection::Off {
                return true;
            }
            let defends = detection == ConflictDetection::Defend;
            if speaks && defends {
                claims.claims.push(Claim::announcing(subnet.addr(), now));
            } else if speaks {
                claims.claims.push(Claim::probing(subnet.addr(), now, &mut claims.rng));
            }
            if !defends {
                claims.tentative.push(subnet);
            }
            defends
        });
        claims
    }

    #[inline]
    pub(super) const fn next_deadline(&self) -> Option<Instant> {
        self.next
    }

    /// Looks anew for what is to be done next.
    fn settle(&mut self) {
        let claims = self.claims.iter().filter_map(Claim::next_deadline).min();
        let dhcp = self.dhcp.as_ref().and_then(|dhcp| dhcp.next_deadline());
        self.next = [claims, dhcp].into_iter().flatten().min();
    }

    /// Whether datagrams to the port of DHCP clients are for us.
    #[inline]
    pub(super) fn is_client(&self) -> bool {
        self.dhcp.is_some() || self.follows
    }

    /// Whether it is still to be found out which addresses are the stack's.
    fn awaits(&self) -> bool {
        self.awaits_lease || !self.tentative.is_empty()
    }

    pub(super) fn tell(&mut self, event: NetworkEvent) {
        if self.events.len() >= EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    fn forget(&mut self, address: Ipv4Addr) {
        self.claims.retain(|claim| claim.address != address);
        self.tentative.retain(|subnet| subnet.addr() != address);
    }
}

impl<I: PacketIo, B: Buffers> Stack<I, B> {
    /// The next thing that changed about the stack's place in its network. No more than the last 64 are kept until
    /// they are taken.
    pub fn next_network_event(&mut self) -> Option<NetworkEvent> {
        self.claims.events.pop_front()
    }

    /// Gives the address back that a DHCP server has lent, and asks for none any more. The message leaves at the next
    /// poll.
    pub fn dhcp_release(&mut self) {
        let Some((lease, message)) = self.claims.dhcp.as_mut().and_then(|dhcp| dhcp.release()) else {
            return;
        };
        if let DhcpAction::Send { request, to } = message {
            self.send_dhcp(&request, to);
        }
        self.lose_lease(&lease);
        self.claims.settle();
    }

    #[inline]
    pub(super) fn run_claims(&mut self) {
        if self.claims.next_deadline().is_some_and(|at| at <= self.now) {
            self.run_due_claims();
        }
    }

    fn run_due_claims(&mut self) {
        while let Some(action) = self.claims.dhcp.as_mut().and_then(|dhcp| dhcp.poll(self.now)) {
            match action {
                DhcpAction::Send { request, to } => self.send_dhcp(&request, to),
                DhcpAction::Probe(address) => {
                    let claim = Claim::probing(address, self.now, &mut self.claims.rng);
                    self.claims.claims.push(claim);
                }
                DhcpAction::Lost(lease) => self.lose_lease(&lease),
            }
        }
        for at in 0..self.claims.claims.len() {
            self.run_claim(at);
        }
        self.claims.settle();
    }

    fn run_claim(&mut self, at: usize) {
        loop {
            let Claims { claims, rng, .. } = &mut self.claims;
            let Some(claim) = claims.get_mut(at) else { return };
            let address = claim.address;
            match claim.poll(self.now, rng) {
                None => return,
                Some(ClaimAction::Probe) => self.tell_link(Ipv4Addr::UNSPECIFIED, address),
                Some(ClaimAction::Won) => self.claim_won(address),
                Some(ClaimAction::Announce) => self.tell_link(address, address),
            }
        }
    }

    /// Sends an ARP request to everybody (RFC 5227 §2.1.1, §2.3).
    fn tell_link(&mut self, sender: Ipv4Addr, target: Ipv4Addr) {
        let target = (MacAddr::ZERO, target);
        let counters = &mut self.counters;
        if self.link.send_arp(counters, MacAddr::BROADCAST, ArpOperation::Request, target, sender).is_err() {
            self.counters.tx_suppressed += 1;
        }
    }

    /// Nobody else has the address.
    fn claim_won(&mut self, address: Ipv4Addr) {
        let tentative = &mut self.claims.tentative;
        if let Some(at) = tentative.iter().position(|subnet| subnet.addr() == address) {
            let subnet = tentative.swap_remove(at);
            self.gain_address(subnet.into());
        } else if let Some(lease) = self.claims.dhcp.as_mut().and_then(|dhcp| dhcp.confirm()) {
            self.gain_lease(&lease);
        }
    }

    /// An ARP packet has come: does somebody else have an address of ours?
    pub(super) fn hear_claims(&mut self, arp: &ArpRepr) {
        if self.claims.follows && (self.claims.awaits() || self.link.interface.owns(arp.sender_ip.into())) {
            self.pass_claim(arp);
        }
        for at in 0..self.claims.claims.len() {
            let own = self.link.interface.mac;
            let claim = &mut self.claims.claims[at];
            let address = claim.address;
            let verdict = claim.hear(self.now, arp, own);
            if verdict == Verdict::Nothing {
                continue;
            }
            self.counters.address_conflicts += 1;
            self.claims.tell(NetworkEvent::AddressConflict { address: address.into(), mac: arp.sender_mac });
            let is_leased = !self.is_configured(address);
            match verdict {
                Verdict::Nothing => {}
                Verdict::Defend => self.tell_link(address, address),
                // RFC 5227 §2.4 (c): what the configuration gives us, programs rely on; we hold on to it, and the
                // owner has been told.
                Verdict::GiveUp if !is_leased => {}
                Verdict::Taken | Verdict::GiveUp => {
                    self.claims.forget(address);
                    let dhcp = self.claims.dhcp.as_mut().filter(|_| is_leased);
                    if let Some(lease) = dhcp.and_then(|dhcp| dhcp.decline(self.now)) {
                        self.lose_lease(&lease);
                    }
                    return self.claims.settle();
                }
            }
        }
    }

    /// Whether the address is not one that a server has lent, or is about to lend.
    fn is_configured(&self, address: Ipv4Addr) -> bool {
        let is_tentative = self.claims.tentative.iter().any(|subnet| subnet.addr() == address);
        let leased = self.claims.dhcp.as_ref().and_then(|dhcp| dhcp.lease());
        let is_leased = leased.is_some_and(|lease| lease.address == address);
        is_tentative || (self.link.interface.owns(address.into()) && !is_leased)
    }

    /// A datagram for a DHCP client has come.
    #[cold]
    pub(super) fn receive_dhcp(&mut self, incoming: &Incoming<'_>, from_port: u16, message: &[u8]) {
        if from_port != SERVER_PORT || !incoming.destination.is_v4() {
            self.counters.rx_no_socket += 1;
            return;
        }
        if self.claims.follows {
            return self.pass_notice(incoming, MacAddr::ZERO);
        }
        let reply = match DhcpReply::parse(message) {
            Ok(reply) => reply,
            Err(malformed) => return self.counters.count_malformed(malformed),
        };
        let Some(dhcp) = &mut self.claims.dhcp else { return };
        let before = dhcp.lease().cloned();
        match dhcp.receive(self.now, &reply) {
            Heard::Nothing => {}
            Heard::Extended(lease) => {
                self.pass_change(Change::AddressGained(lease.subnet()));
                if let Some(before) = before.filter(|before| !before.says_the_same(&lease)) {
                    self.lose_routes(&before);
                    self.gain_routes(&lease);
                }
            }
            Heard::Lost(lease) => self.lose_lease(&lease),
        }
        self.claims.settle();
    }

    fn send_dhcp(&mut self, request: &DhcpRequest, to: Option<Ipv4Addr>) {
        let repr = UdpRepr { src_port: CLIENT_PORT, dst_port: SERVER_PORT, payload_len: REQUEST_LEN as u16 };
        let packet = Outgoing {
            source: Some(request.client.into()),
            destination: to.unwrap_or(Ipv4Addr::BROADCAST).into(),
            protocol: Protocol::UDP,
            len: repr.len(),
            piece: repr.len(),
            fragmentation: Fragmentation::Anywhere,
            hops: None,
            ecn: crate::wire::ecn::NOT_CAPABLE,
        };
        let sent = self.link.send_ip(self.now, &mut self.counters, packet, |slot| {
            repr.emit(slot.bytes);
            request.emit(&mut slot.bytes[udp::HEADER_LEN..]);
            udp::fill_checksum(slot.bytes, slot.pseudo);
            TxOffload::default()
        });
        if sent.is_err() {
            self.counters.tx_suppressed += 1;
        }
    }

    /// The stack that speaks for this one has got or lost something.
    pub(super) fn follow(&mut self, change: Change) {
        if !self.claims.follows {
            return;
        }
        match change {
            Change::AddressGained(subnet) => self.gain_address(subnet),
            Change::AddressLost(subnet) => self.lose_address_of(subnet),
            Change::RouteGained(route) => self.gain_route(route),
            Change::RouteLost(route) => self.lose_route(&route),
        }
    }

    fn gain_address(&mut self, subnet: IpNet) {
        self.claims.awaits_lease = false;
        self.claims.tentative.retain(|wanted| IpNet::V4(*wanted) != subnet);
        if self.add_address(subnet).is_ok() {
            self.claims.tell(NetworkEvent::AddressGained(subnet));
            self.tell_followers(Change::AddressGained(subnet));
        }
    }

    fn lose_address_of(&mut self, subnet: IpNet) {
        self.claims.awaits_lease = true;
        if self.remove_address(subnet.addr()) {
            self.claims.tell(NetworkEvent::AddressLost(subnet));
            self.tell_followers(Change::AddressLost(subnet));
        }
    }

    fn gain_route(&mut self, route: Route) {
        if self.add_route(route).is_ok() {
            self.claims.tell(NetworkEvent::RouterGained(route.via));
            self.tell_followers(Change::RouteGained(route));
        }
    }

    fn lose_route(&mut self, route: &Route) {
        if self.remove_route(route) {
            self.claims.tell(NetworkEvent::RouterLost(route.via));
            self.tell_followers(Change::RouteLost(*route));
        }
    }

    fn tell_followers(&mut self, change: Change) {
        if !self.claims.follows {
            self.pass_change(change);
        }
    }

    fn gain_lease(&mut self, lease: &Lease) {
        self.gain_address(lease.subnet());
        self.gain_routes(lease);
    }

    fn lose_lease(&mut self, lease: &Lease) {
        self.claims.forget(lease.address);
        self.lose_routes(lease);
        self.lose_address_of(lease.subnet());
    }

    fn gain_routes(&mut self, lease: &Lease) {
        for (metric, &router) in (0..).zip(&lease.routers) {
            self.gain_route(default_route(router, metric));
        }
        let dns = lease.dns.iter().map(|&server| server.into()).collect();
        self.claims.tell(NetworkEvent::DnsServers(dns));
    }

    fn lose_routes(&mut self, lease: &Lease) {
        for (metric, &router) in (0..).zip(&lease.routers) {
            self.lose_route(&default_route(router, metric));
        }
    }
}

fn default_route(router: Ipv4Addr, metric: u32) -> Route {
    Route { to: IpNet::V4(Ipv4Net::default()), via: router.into(), metric }
}
