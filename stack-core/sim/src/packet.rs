//! IP packets of both families, told apart in one place.

use std::net::IpAddr;

use netlane_core::wire::{EtherType, EthernetRepr, Ipv4Packet, Ipv6Packet, Protocol, Sum};

/// The packet in a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IpPacket<'a> {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) protocol: Protocol,
    /// Where the packet begins in the frame, in bytes.
    pub(crate) at: usize,
    /// Where the payload begins in the frame, in bytes.
    pub(crate) payload_at: usize,
    pub(crate) payload: &'a [u8],
}

impl<'a> IpPacket<'a> {
    /// Reads the packet in a frame; `None` if it is no whole packet.
    pub(crate) fn parse(frame: &'a [u8]) -> Option<Self> {
        let (ethernet, at) = EthernetRepr::parse(frame).ok()?;
        let bytes = &frame[at..];
        let (src, dst, protocol, header_len, payload) = match ethernet.ethertype {
            EtherType::IPV4 => {
                let Ipv4Packet { repr, header_len, payload } = Ipv4Packet::parse(bytes).ok()?;
                (repr.src.into(), repr.dst.into(), repr.protocol, header_len, payload)
            }
            EtherType::IPV6 => {
                let packet = Ipv6Packet::parse(bytes).ok()?;
                let upper = packet.upper().ok()?;
                let header_len = packet.bytes.len() - upper.payload.len();
                (packet.repr.src.into(), packet.repr.dst.into(), upper.protocol, header_len, upper.payload)
            }
            _ => return None,
        };
        let payload_at = at + header_len;
        Some(Self { src, dst, protocol, at, payload_at, payload })
    }

    /// The sum of the pseudo-header for `len` bytes of payload.
    pub(crate) fn pseudo(&self, len: usize) -> Sum {
        pseudo(self.src, self.dst, self.protocol, len)
    }
}

/// The sum of the pseudo-header between two addresses of the same family.
pub(crate) fn pseudo(src: IpAddr, dst: IpAddr, protocol: Protocol, len: usize) -> Sum {
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => Sum::pseudo_v4(src, dst, protocol, len),
        (IpAddr::V6(src), IpAddr::V6(dst)) => Sum::pseudo_v6(src, dst, protocol, len),
        _ => panic!("{src} and {dst} are of different families"),
    }
}
