//! Segments that arrived on the queue of another stack.
//!
//! Where several stacks drive one interface, a queue each, the device chooses the queue of what arrives. It may
//! not choose the one whose stack has the connection: the answer to a SYN goes where the device's hash says. Such a
//! segment goes round the stacks until one knows it, and the last one answers as if it had been alone.

use alloc::boxed::Box;

use ipnet::IpNet;
use netlane_packet_io::{PacketIo, RxChecksum, RxOffload};

use super::Stack;
use super::ingress::Incoming;
use crate::address::Address;
use crate::buffers::Buffers;
use crate::config::Route;
use crate::tcp::Segment;
use crate::wire::{ArpRepr, Ipv4Packet, Ipv6Packet, MacAddr, TcpFlags};

/// An IP packet that the stack of another queue may know what to do with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    packet: Box<[u8]>,
    ce: bool,
    /// How many stacks did not know it.
    seen_by: usize,
}

/// A message about the link, such as a router's advertisement, that all stacks of an interface have to hear; or what has
/// changed about their addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice(News);

#[derive(Clone, Debug, PartialEq, Eq)]
enum News {
    /// An IP packet that this station has sent.
    Packet { packet: Box<[u8]>, sender: MacAddr },
    /// Somebody's claim to an address of IPv4.
    Claim(ArpRepr),
    /// What the stack of the first queue has got or lost.
    Change(Change),
}

/// What the stack that speaks for all of them has got or lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    AddressGained(IpNet),
    AddressLost(IpNet),
    RouteGained(Route),
    RouteLost(Route),
}

/// Strays that wait to be taken to another stack.
const WAITING: usize = 256;

impl<I: PacketIo, B: Buffers> Stack<I, B> {
    /// A packet to give to [`receive_stray`](Self::receive_stray) of the stack of the next queue. There is none
    /// unless [`InterfaceConfig::queues`](crate::InterfaceConfig::queues) says that there are several.
    pub fn next_stray(&mut self) -> Option<Stray> {
        self.strays.pop_front()
    }

    /// Takes a packet that arrived on another queue. What it leads to happens at the next poll.
    pub fn receive_stray(&mut self, stray: &Stray) {
        // The first stack has checked it.
        let (source, destination, payload) = if let Ok(packet) = Ipv4Packet::parse(&stray.packet) {
            (Address::v4(packet.repr.src), Address::v4(packet.repr.dst), packet.payload)
        } else if let Ok(packet) = Ipv6Packet::parse(&stray.packet)
            && let Ok(upper) = packet.upper()
        {
            (Address::v6(packet.repr.src), Address::v6(packet.repr.dst), upper.payload)
        } else {
            return;
        };
        self.receive_segment(&Incoming {
            source,
            destination,
            unicast: true,
            payload,
            packet: &stray.packet,
            offload: RxOffload { checksum: RxChecksum::Good, segment_size: 0 },
            frame: &[],
            looped: false,
            ce: stray.ce,
            seen_by: stray.seen_by,
        });
    }

    /// A message to give to [`receive_notice`](Self::receive_notice) of the stacks of all other queues. There is none
    /// unless [`InterfaceConfig::queues`](crate::InterfaceConfig::queues) says that there are several.
    pub fn next_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// Takes what the stack of another queue has found out.
    pub fn receive_notice(&mut self, notice: &Notice) {
        match &notice.0 {
            News::Packet { packet, sender } => self.receive_noticed(packet, *sender),
            News::Claim(arp) => self.hear_claims(arp),
            News::Change(change) => self.follow(*change),
        }
    }

    fn receive_noticed(&mut self, packet: &[u8], sender: MacAddr) {
        let incoming = |source, destination: Address, payload, unicast| Incoming {
            source,
            destination,
            unicast,
            payload,
            packet,
            offload: RxOffload::default(),
            frame: &[],
            ce: false,
            looped: false,
            seen_by: 1,
        };
        // The first stack has checked it.
        if let Ok(Ipv4Packet { repr, payload, .. }) = Ipv4Packet::parse(packet) {
            return self.receive_datagram(&incoming(repr.src.into(), repr.dst.into(), payload, false));
        }
        let Ok(parsed) = Ipv6Packet::parse(packet) else { return };
        let Ok(upper) = parsed.upper() else { return };
        let destination = parsed.repr.dst;
        let unicast = !destination.is_multicast();
        let incoming = incoming(parsed.repr.src.into(), destination.into(), upper.payload, unicast);
        self.receive_icmpv6(&parsed.repr, sender, &incoming);
    }

    /// Keeps a message about the link for the stacks of the other queues, unless it came from one of them.
    pub(super) fn pass_notice(&mut self, incoming: &Incoming<'_>, sender: MacAddr) {
        if incoming.seen_by == 0 {
            self.pass(News::Packet { packet: incoming.packet.into(), sender });
        }
    }

    /// Keeps a claim to an address for the stack that speaks for all of them.
    pub(super) fn pass_claim(&mut self, arp: &ArpRepr) {
        self.pass(News::Claim(*arp));
    }

    /// Keeps what this stack has got or lost for those that it speaks for.
    pub(super) fn pass_change(&mut self, change: Change) {
        self.pass(News::Change(change));
    }

    fn pass(&mut self, news: News) {
        if self.queues > 1 && self.notices.len() < WAITING {
            self.notices.push_back(Notice(news));
        }
    }

    /// Keeps a segment of no connection for the stack of the next queue, if one is left that may know it.
    /// Returns whether it does. A SYN is nobody's yet: it is taken here, where its connection will be at home.
    pub(super) fn pass_on(&mut self, incoming: &Incoming<'_>, segment: &Segment<'_>) -> bool {
        let seen_by = incoming.seen_by + 1;
        let may_be_known = segment.flags.intersects(TcpFlags::ACK | TcpFlags::RST);
        if seen_by >= self.queues || !may_be_known || self.strays.len() >= WAITING {
            return false;
        }
        self.counters.rx_strays += 1;
        self.strays.push_back(Stray { packet: incoming.packet.into(), ce: incoming.ce, seen_by });
        true
    }
}
