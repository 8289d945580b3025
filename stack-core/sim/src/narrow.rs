//! Paths that carry less than the links at their ends: what a router does with packets that are too large.

use std::net::Ipv4Addr;

use netlane_core::wire::{
    EtherType, EthernetRepr, Fragment, Icmpv4Repr, Icmpv6Repr, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr,
    Protocol, Sum, icmpv4, icmpv6,
};
use netlane_packet_io::PacketBuf;

use crate::device::SimFrame;

/// A link on the way that carries smaller packets than those at its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Narrow {
    /// The largest IP packet that it carries, in bytes.
    pub mtu: usize,
    /// The router in front of it tells the senders of packets that it drops (RFC 1191, RFC 8201). One that does not
    /// makes it a black hole.
    pub tells: bool,
}

/// What becomes of a frame in front of a [`Narrow`] link.
pub(crate) enum Passage {
    /// It passes.
    Whole,
    /// It was cut (RFC 791 §3.2).
    Pieces(Vec<SimFrame>),
    /// It was dropped; where the router tells, this is for the sender.
    Refused(Option<SimFrame>),
}

/// The router that all paths lead over, in IPv4 and IPv6.
const ROUTER_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 254);
const ROUTER_V6: std::net::Ipv6Addr = std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0xfe);

impl Narrow {
    pub(crate) fn pass(self, frame: &SimFrame) -> Passage {
        let Ok((ethernet, at)) = EthernetRepr::parse(frame.bytes()) else { return Passage::Whole };
        let bytes = &frame.bytes()[at..];
        let back = EthernetRepr { dst: ethernet.src, src: ethernet.dst, ..ethernet };
        match ethernet.ethertype {
            EtherType::IPV4 => match Ipv4Packet::parse(bytes) {
                Ok(packet) if packet.header_len + packet.payload.len() > self.mtu => {
                    if packet.repr.dont_fragment {
                        Passage::Refused(self.tells.then(|| self.needs_fragments(&back, &packet.repr, bytes)))
                    } else {
                        Passage::Pieces(self.cut(&ethernet, &packet))
                    }
                }
                _ => Passage::Whole,
            },
            EtherType::IPV6 => match Ipv6Packet::parse(bytes) {
                Ok(packet) if packet.bytes.len() > self.mtu => {
                    Passage::Refused(self.tells.then(|| self.too_big(&back, &packet.repr, packet.bytes)))
                }
                _ => Passage::Whole,
            },
            _ => Passage::Whole,
        }
    }

    fn cut(self, ethernet: &EthernetRepr, packet: &Ipv4Packet<'_>) -> Vec<SimFrame> {
        let room = (self.mtu - packet.header_len) / 8 * 8;
        let begin = packet.repr.fragment.map_or(0, |part| part.offset);
        let last_of_all = packet.repr.fragment.is_none_or(|part| !part.more);
        let count = packet.payload.len().div_ceil(room);
        let piece = |(n, payload): (usize, &[u8])| {
            let more = n + 1 < count || !last_of_all;
            let fragment = Some(Fragment { offset: begin + (n * room) as u16, more });
            let repr = Ipv4Repr { fragment, payload_len: payload.len() as u16, ..packet.repr };
            framed(ethernet, 20 + payload.len(), |out| {
                repr.emit(out);
                out[20..].copy_from_slice(payload);
            })
        };
        packet.payload.chunks(room).enumerate().map(piece).collect()
    }

    fn needs_fragments(self, back: &EthernetRepr, refused: &Ipv4Repr, packet: &[u8]) -> SimFrame {
        let reason = icmpv4::Unreachable::FragmentationNeeded { mtu: self.mtu as u16 };
        let message = Icmpv4Repr::DestinationUnreachable { reason, quote: icmpv4::quote(packet) };
        let repr = Ipv4Repr {
            src: ROUTER_V4,
            dst: refused.src,
            protocol: Protocol::ICMP,
            ttl: 64,
            tos: 0,
            ident: 0,
            dont_fragment: false,
            fragment: None,
            payload_len: message.len() as u16,
        };
        framed(back, 20 + message.len(), |out| {
            repr.emit(out);
            message.emit(&mut out[20..]);
        })
    }

    fn too_big(self, back: &EthernetRepr, refused: &Ipv6Repr, packet: &[u8]) -> SimFrame {
        let message = Icmpv6Repr::PacketTooBig { mtu: self.mtu as u32, quote: icmpv6::quote(packet) };
        let repr = Ipv6Repr {
            src: ROUTER_V6,
            dst: refused.src,
            next_header: Protocol::ICMPV6,
            hop_limit: 64,
            traffic_class: 0,
            flow_label: 0,
            payload_len: message.len() as u16,
        };
        let pseudo = Sum::pseudo_v6(repr.src, repr.dst, Protocol::ICMPV6, message.len());
        framed(back, 40 + message.len(), |out| {
            repr.emit(out);
            message.emit(pseudo, &mut out[40..]);
        })
    }
}

fn framed(ethernet: &EthernetRepr, len: usize, fill: impl FnOnce(&mut [u8])) -> SimFrame {
    let at = ethernet.header_len();
    let mut bytes = vec![0; at + len];
    ethernet.emit(&mut bytes);
    fill(&mut bytes[at..]);
    SimFrame::loose(&bytes)
}
