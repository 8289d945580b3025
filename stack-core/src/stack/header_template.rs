//! The Ethernet and IP headers that the segments to one destination have in common, worked out once: each segment gets a
//! copy, and what differs is written over it (BSD has called this a template since 4.2).

use crate::address::Address;
use crate::wire::{Ipv4Repr, Ipv6Repr, Protocol, Sum, checksum, ethernet, ipv4, ipv6};

/// Headers for TCP segments from one address to another.
#[derive(Debug)]
pub(super) struct HeaderTemplate {
    /// Where the segments come from.
    pub(super) source: Address,
    bytes: [u8; ROOM],
    ethernet_len: usize,
    len: usize,
    /// The sum of an IPv4 header, but for what differs.
    constant: Sum,
    /// The sum of the pseudo-header, but for the length.
    pseudo: Sum,
}

/// Bytes of the longest headers.
const ROOM: usize = ethernet::HEADER_LEN + ethernet::TAG_LEN + ipv6::HEADER_LEN;

/// Bytes of nearly all headers: IPv4 without a VLAN tag.
const USUAL: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN;

impl HeaderTemplate {
    /// The headers behind the Ethernet header `ethernet`. Hosts and routers on the way may not cut what they head.
    pub(super) fn new(ethernet: &[u8], source: Address, destination: Address, hop_limit: u8) -> Self {
        let mut bytes = [0; ROOM];
        let (front, ip) = bytes.split_at_mut(ethernet.len());
        front.copy_from_slice(ethernet);
        let (len, constant) = match (source.as_v4(), destination.as_v4()) {
            (Some(src), Some(dst)) => {
                Ipv4Repr {
                    src,
                    dst,
                    protocol: Protocol::TCP,
                    ttl: hop_limit,
                    tos: 0,
                    ident: 0,
                    dont_fragment: true,
                    fragment: None,
                    payload_len: 0,
                }
                .emit(ip);
                // The length, and the checksum that is right for none.
                ip[2..4].fill(0);
                ip[10..12].fill(0);
                (ipv4::HEADER_LEN, checksum::sum(&ip[..ipv4::HEADER_LEN]))
            }
            _ => {
                Ipv6Repr {
                    src: source.to_v6(),
                    dst: destination.to_v6(),
                    next_header: Protocol::TCP,
                    hop_limit,
                    traffic_class: 0,
                    flow_label: 0,
                    payload_len: 0,
                }
                .emit(ip);
                (ipv6::HEADER_LEN, Sum::ZERO)
            }
        };
        let pseudo = Sum::pseudo(source, destination, Protocol::TCP, 0);
        Self { source, bytes, ethernet_len: ethernet.len(), len: ethernet.len() + len, constant, pseudo }
    }

    /// Bytes that the headers take.
    #[inline]
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Bytes that the IP header takes.
    #[inline]
    pub(super) const fn ip_len(&self) -> usize {
        self.len - self.ethernet_len
    }

    /// The sum of the pseudo-header of a segment of `len` bytes.
    #[inline]
    pub(super) const fn pseudo(&self, len: usize) -> Sum {
        self.pseudo.add_len(len)
    }

    /// Writes the headers of a segment of `len` bytes to `out`, which is as long as they are. `ident` is for IPv4.
    #[inline]
    pub(super) fn emit(&self, len: usize, ident: u16, out: &mut [u8]) {
        if let (Ok(out), true) =
            (<&mut [u8; USUAL]>::try_from(&mut *out), self.ethernet_len < ETHERNET_AND_TAG)
        {
            out.copy_from_slice(&self.bytes[..USUAL]);
            return self.fill_v4(len, ident, &mut out[ethernet::HEADER_LEN..]);
        }
        out.copy_from_slice(&self.bytes[..self.len]);
        let ip = &mut out[self.ethernet_len..];
        if ip.len() == ipv4::HEADER_LEN {
            self.fill_v4(len, ident, ip);
        } else {
            ip[4..6].copy_from_slice(&(len as u16).to_be_bytes());
        }
    }

    #[inline]
    fn fill_v4(&self, len: usize, ident: u16, ip: &mut [u8]) {
        let total = (ipv4::HEADER_LEN + len) as u16;
        let checksum = self.constant.add_u16(total).add_u16(ident).finish();
        ip[2..4].copy_from_slice(&total.to_be_bytes());
        ip[4..6].copy_from_slice(&ident.to_be_bytes());
        ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// Bytes of an Ethernet header with a VLAN tag.
const ETHERNET_AND_TAG: usize = ethernet::HEADER_LEN + ethernet::TAG_LEN;

#[cfg(test)]
mod tests {
    use alloc::vec;
    use core::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::wire::{Ipv4Packet, Ipv6Packet};

    const ETHERNET: [u8; ETHERNET_AND_TAG] = [7; ETHERNET_AND_TAG];

    #[test]
    fn headers_are_those_that_a_packet_of_the_length_has() {
        let (src, dst) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(192, 0, 2, 200));
        for ethernet in [&ETHERNET[..14], &ETHERNET[..]] {
            let template = HeaderTemplate::new(ethernet, src.into(), dst.into(), 64);
            let mut frame = vec![0; template.len() + 99];
            template.emit(99, 0xfedc, &mut frame[..template.len()]);
            assert_eq!(frame[..ethernet.len()], *ethernet);
            // It verifies the checksum.
            let packet = Ipv4Packet::parse(&frame[ethernet.len()..]).unwrap();
            assert_eq!((packet.repr.src, packet.repr.dst, packet.repr.ident), (src, dst, 0xfedc));
            assert_eq!((packet.repr.ttl, packet.repr.dont_fragment, packet.payload.len()), (64, true, 99));
            assert_eq!(template.ip_len(), ipv4::HEADER_LEN);
        }
    }

    #[test]
    fn headers_of_ipv6_say_how_long_the_segment_is() {
        let (src, dst): (Ipv6Addr, Ipv6Addr) = ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap());
        for ethernet in [&ETHERNET[..14], &ETHERNET[..]] {
            let template = HeaderTemplate::new(ethernet, src.into(), dst.into(), 33);
            let mut frame = vec![0; template.len() + 99];
            template.emit(99, 0, &mut frame[..template.len()]);
            assert_eq!(frame[..ethernet.len()], *ethernet);
            let packet = Ipv6Packet::parse(&frame[ethernet.len()..]).unwrap();
            assert_eq!((packet.repr.src, packet.repr.dst, packet.repr.hop_limit), (src, dst, 33));
            assert_eq!(packet.repr.payload_len, 99);
            let whole = Sum::pseudo_v6(src, dst, Protocol::TCP, 99);
            assert_eq!(template.pseudo(99).partial(), whole.partial());
        }
    }
}
