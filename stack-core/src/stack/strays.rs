//! Segments that arrived on the queue of another stack.
//!
//! Where several stacks drive one interface, a queue each, the device chooses the queue of what arrives. It may
//! not choose the one whose stack has the connection: the answer to a SYN goes where the device's hash says. Such a
//! segment goes round the stacks until one knows it, and the last one answers as if it had been alone.

use alloc::boxed::Box;

use netlane_packet_io::{PacketIo, RxChecksum, RxOffload};

use super::Stack;
use super::ingress::Incoming;
use crate::address::Address;
use crate::buffers::Buffers;
use crate::tcp::Segment;
use crate::wire::{Ipv4Packet, Ipv6Packet, TcpFlags};

/// An IP packet that the stack of another queue may know what to do with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    packet: Box<[u8]>,
    ce: bool,
    /// How many stacks did not know it.
    seen_by: usize,
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
