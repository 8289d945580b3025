//! Packets in parts: those that arrive are put together, and the senders of those that stay incomplete are told.

use netlane_packet_io::{PacketIo, RxOffload};

use super::Stack;
use super::ingress::Incoming;
use crate::address::Address;
use crate::buffers::Buffers;
use crate::fragments::{Expired, Outcome, PacketKey, Part, Whole};
use crate::wire::icmpv4::{self, TimeExceeded};
use crate::wire::{Fragment, Icmpv4Repr, Ipv4Packet, ipv4};

impl<I: PacketIo, B: Buffers> Stack<I, B> {
    /// Takes a part of a packet to one of our addresses, or to a group. The last one that was missing makes it a
    /// packet like any other.
    pub(super) fn receive_fragment(&mut self, packet: &Ipv4Packet<'_>, bytes: &[u8], fragment: Fragment) {
        let Ipv4Packet { repr, header_len, payload } = *packet;
        self.counters.rx_fragments += 1;
        let outcome = self.fragments.insert(
            self.now,
            &Part {
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
            },
        );
        self.counters.rx_fragments_full += self.fragments.take_evicted();
        match outcome {
            Outcome::Kept => {}
            Outcome::Whole(whole) => self.receive_reassembled(whole),
            Outcome::Duplicate => self.counters.rx_fragments_duplicate += 1,
            Outcome::Overlap => self.counters.rx_fragments_overlapping += 1,
            Outcome::TooLong => self.counters.rx_malformed += 1,
            Outcome::NoRoom => self.counters.rx_fragments_full += 1,
        }
    }

    fn receive_reassembled(&mut self, whole: Whole) {
        let Whole { mut bytes, header_len } = whole;
        self.counters.rx_reassembled += 1;
        ipv4::make_whole(&mut bytes, header_len);
        match Ipv4Packet::parse(&bytes) {
            Ok(packet) => {
                let destination = Address::v4(packet.repr.dst);
                let incoming = Incoming {
                    source: Address::v4(packet.repr.src),
                    destination,
                    unicast: self.link.interface.owns(destination),
                    payload: packet.payload,
                    packet: &bytes,
                    // Devices verify the checksums of whole packets only.
                    offload: RxOffload::default(),
                    frame: &[],
                    seen_by: 0,
                };
                self.receive_packet(packet.repr.protocol, &incoming);
            }
            Err(malformed) => self.counters.count_malformed(malformed),
        }
    }

    /// Gives up packets whose parts did not come in time.
    pub(super) fn run_fragments(&mut self) {
        while let Some(Expired { key, first }) = self.fragments.expire(self.now) {
            self.counters.rx_fragments_timed_out += 1;
            // RFC 792: without the first part, nobody is told.
            let Some(first) = first else { continue };
            if self.link.interface.owns(key.destination) && !icmpv4::is_about_an_error(&first) {
                let reason = TimeExceeded::Reassembly;
                let message = Icmpv4Repr::TimeExceeded { reason, quote: icmpv4::quote(&first) };
                self.send_error(key.destination, key.source, &message);
            }
        }
    }
}
