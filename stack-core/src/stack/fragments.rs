//! Packets in parts: those that arrive are put together, and the senders of those that stay incomplete are told.

use netlane_packet_io::{PacketIo, RxOffload};

use super::Stack;
use super::ingress::Incoming;
use crate::address::Address;
use crate::buffers::Buffers;
use crate::fragments::{Expired, Outcome, PacketKey, Part, Whole};
use crate::wire::icmpv4::{self, TimeExceeded};
use crate::wire::icmpv6;
use crate::wire::ipv6::extensions::{self, FRAGMENT_HEADER_LEN, Upper};
use crate::wire::{Fragment, Icmpv4Repr, Icmpv6Repr, Ipv4Packet, Ipv6Packet, MacAddr, ecn, ipv4};

impl<I: PacketIo, B: Buffers> Stack<I, B> {
    /// Takes a part of a packet to one of our addresses, or to a group. The last one that was missing makes it a
    /// packet like any other.
    pub(super) fn receive_fragment(&mut self, packet: &Ipv4Packet<'_>, bytes: &[u8], fragment: Fragment) {
        let Ipv4Packet { repr, header_len, payload } = *packet;
        let whole = self.reassemble(&Part {
            key: PacketKey {
                source: Address::v4(repr.src),
                destination: Address::v4(repr.dst),
                protocol: repr.protocol.0,
                ident: u32::from(repr.ident),
            },
            offset: fragment.offset,
            more: fragment.more,
            header: bytes.get(..header_len).unwrap_or_default(),
            payload,
        });
        if let Some(whole) = whole {
            self.receive_whole_v4(whole);
        }
    }

    /// As [`receive_fragment`](Self::receive_fragment), of an IPv6 packet that the station `sender` has sent.
    #[cold]
    pub(super) fn receive_fragment_v6(
        &mut self,
        packet: &Ipv6Packet<'_>,
        sender: MacAddr,
        upper: &Upper<'_>,
        fragment: extensions::Fragment,
    ) {
        let header_len = usize::from(fragment.header_at) + FRAGMENT_HEADER_LEN;
        let whole = self.reassemble(&Part {
            key: PacketKey {
                source: packet.repr.src.into(),
                destination: packet.repr.dst.into(),
                protocol: 0,
                ident: fragment.ident,
            },
            offset: fragment.offset,
            more: fragment.more,
            header: packet.bytes.get(..header_len).unwrap_or_default(),
            payload: upper.payload,
        });
        if let Some(whole) = whole {
            self.receive_whole_v6(whole, sender);
        }
    }

    /// Keeps a part, or returns the packet that it completes.
    fn reassemble(&mut self, part: &Part<'_>) -> Option<Whole> {
        self.counters.rx_fragments += 1;
        let outcome = self.fragments.insert(self.now, part);
        self.counters.rx_fragments_full += self.fragments.take_evicted();
        match outcome {
            Outcome::Kept => {}
            Outcome::Whole(whole) => {
                self.counters.rx_reassembled += 1;
                return Some(whole);
            }
            Outcome::Duplicate => self.counters.rx_fragments_duplicate += 1,
            Outcome::Overlap => self.counters.rx_fragments_overlapping += 1,
            Outcome::TooLong => self.counters.rx_malformed += 1,
            Outcome::NoRoom => self.counters.rx_fragments_full += 1,
        }
        None
    }

    fn receive_whole_v4(&mut self, whole: Whole) {
        let Whole { mut bytes, header_len } = whole;
        ipv4::make_whole(&mut bytes, header_len);
        match Ipv4Packet::parse(&bytes) {
            Ok(packet) => {
                let destination = packet.repr.dst.into();
                let incoming = Incoming {
                    source: packet.repr.src.into(),
                    destination,
                    unicast: self.link.interface.owns(destination),
                    payload: packet.payload,
                    packet: &bytes,
                    // Devices verify the checksums of whole packets only.
                    offload: RxOffload::default(),
                    frame: &[],
                    looped: false,
                    ce: packet.repr.ecn() == ecn::EXPERIENCED,
                    seen_by: 0,
                };
                self.receive_packet(packet.repr.protocol, &incoming);
            }
            Err(malformed) => self.counters.count_malformed(malformed),
        }
    }

    fn receive_whole_v6(&mut self, whole: Whole, sender: MacAddr) {
        let Whole { mut bytes, header_len } = whole;
        extensions::make_whole(&mut bytes, header_len - FRAGMENT_HEADER_LEN);
        let packet = match Ipv6Packet::parse(&bytes) {
            Ok(packet) => packet,
            Err(malformed) => return self.counters.count_malformed(malformed),
        };
        match packet.upper() {
            // Nobody honest cuts a part once more.
            Ok(upper) if upper.fragment.is_some() => self.counters.rx_malformed += 1,
            Ok(upper) => {
                let upper = Upper { fragmented: true, ..upper };
                self.receive_upper(&packet, sender, &upper, RxOffload::default(), false);
            }
            Err(refusal) => self.refuse(&packet, refusal),
        }
    }

    /// Gives up packets whose parts did not come in time.
    #[inline]
    pub(super) fn run_fragments(&mut self) {
        while let Some(Expired { key, first }) = self.fragments.expire(self.now) {
            self.counters.rx_fragments_timed_out += 1;
            // RFC 792, RFC 4443 §3.3: without the first part, nobody is told.
            let Some(first) = first else { continue };
            let PacketKey { source, destination, .. } = key;
            if !self.link.interface.owns(destination) {
                continue;
            }
            if destination.is_v4() {
                if !icmpv4::is_about_an_error(&first) {
                    let quote = icmpv4::quote(&first);
                    let message = Icmpv4Repr::TimeExceeded { reason: TimeExceeded::Reassembly, quote };
                    self.send_error(Some(destination), source, &message);
                }
            } else if !icmpv6::is_about_an_error(&first) {
                let quote = icmpv6::quote(&first);
                let message = Icmpv6Repr::TimeExceeded { reason: icmpv6::TimeExceeded::Reassembly, quote };
                self.send_error(Some(destination), source, &message);
            }
        }
    }
}
