//! IPv6 (RFC 8200).

pub mod extensions;

use core::net::Ipv6Addr;

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use self::extensions::{Refusal, Upper};
use super::{Malformed, Protocol};

/// Length of the header in bytes, without extension headers.
pub const HEADER_LEN: usize = size_of::<Header>();
/// The least MTU of a link that carries IPv6 (RFC 8200 §5).
pub const MIN_MTU: usize = 1_280;

/// The header of an IPv6 packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Repr {
    /// The sender; unspecified from a host that has no address yet.
    pub src: Ipv6Addr,
    /// The receiver.
    pub dst: Ipv6Addr,
    /// What follows the header: an extension header, or what the packet carries.
    pub next_header: Protocol,
    /// How many routers it may still pass.
    pub hop_limit: u8,
    /// Differentiated services code point and congestion notification (RFC 2474, RFC 3168).
    pub traffic_class: u8,
    /// What packets of the same flow have in common, in 20 bits (RFC 6437); 0 where they have nothing.
    pub flow_label: u32,
    /// Bytes after the header, extension headers included.
    pub payload_len: u16,
}

/// An IPv6 packet as it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Packet<'a> {
    /// The header.
    pub repr: Ipv6Repr,
    /// The whole packet, without the padding of a short frame.
    pub bytes: &'a [u8],
}

impl<'a> Ipv6Packet<'a> {
    /// Reads the packet at the front of `bytes` and verifies its header. What follows its end is padding.
    /// Extension headers are left to [`upper`](Self::upper): only the receiver looks at them.
    ///
    /// # Errors
    /// [`Malformed::Truncated`], [`Malformed::BadVersion`], [`Malformed::BadTotalLength`];
    /// [`Malformed::BadAddress`] if the sender is a group, if the receiver is nobody, or if either address
    /// stands for one of IPv4.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (header, rest) = Header::ref_from_prefix(bytes).map_err(|_| Malformed::Truncated)?;
        let first_word = header.version_class_flow.get();
        if first_word >> 28 != 6 {
            return Err(Malformed::BadVersion);
        }
        let payload_len = header.payload_len.get();
        if usize::from(payload_len) > rest.len() {
            return Err(Malformed::BadTotalLength);
        }
        let (src, dst) = (Ipv6Addr::from_octets(header.src), Ipv6Addr::from_octets(header.dst));
        // RFC 4291 §2.5.2: nothing goes to the unspecified address; §2.7: a group is no sender. Within the
        // stack, IPv4-mapped addresses stand for IPv4: on the link they would lend an IPv6 packet the identity
        // of an IPv4 one.
        if src.is_multicast() || dst.is_unspecified() || is_mapped(header.src) || is_mapped(header.dst) {
            return Err(Malformed::BadAddress);
        }
        let repr = Ipv6Repr {
            src,
            dst,
            next_header: Protocol(header.next_header),
            hop_limit: header.hop_limit,
            traffic_class: (first_word >> 20) as u8,
            flow_label: first_word & FLOW_LABEL,
            payload_len,
        };
        Ok(Self { repr, bytes: bytes.get(..HEADER_LEN + usize::from(payload_len)).unwrap_or(bytes) })
    }

    /// What the packet carries behind its extension headers.
    ///
    /// # Errors
    /// [`Refusal`] says what to do about a packet that cannot be accepted.
    #[inline]
    pub fn upper(&self) -> Result<Upper<'a>, Refusal> {
        match self.repr.next_header {
            Protocol::TCP | Protocol::UDP | Protocol::ICMPV6 => Ok(Upper {
                protocol: self.repr.next_header,
                protocol_at: NEXT_HEADER_AT,
                payload: self.bytes.get(HEADER_LEN..).unwrap_or_default(),
                router_alert: false,
                fragment: None,
                fragmented: false,
            }),
            _ => extensions::walk(self.repr.next_header, self.bytes),
        }
    }
}

impl Ipv6Repr {
    /// The differentiated services code point (RFC 2474 §3).
    #[inline]
    #[must_use]
    pub const fn dscp(&self) -> u8 {
        self.traffic_class >> 2
    }

    /// The congestion notification field (RFC 3168 §5): 0 not capable, 1 and 2 capable, 3 experienced.
    #[inline]
    #[must_use]
    pub const fn ecn(&self) -> u8 {
        self.traffic_class & 0b11
    }

    /// Writes the header, 40 bytes, to the front of `out`.
    ///
    /// # Panics
    /// If `out` is shorter than [`HEADER_LEN`].
    #[inline]
    pub fn emit(&self, out: &mut [u8]) {
        let Self { src, dst, next_header, hop_limit, traffic_class, flow_label, payload_len } = *self;
        let first_word = 6 << 28 | u32::from(traffic_class) << 20 | flow_label & FLOW_LABEL;
        let (header, _) = Header::mut_from_prefix(out).expect("room for an IPv6 header");
        header.version_class_flow = first_word.into();
        header.payload_len = payload_len.into();
        header.next_header = next_header.0;
        header.hop_limit = hop_limit;
        header.src = src.octets();
        header.dst = dst.octets();
    }
}

/// Where the header says what follows it, in bytes.
const NEXT_HEADER_AT: u16 = 6;
/// Where the header says how much follows it, in bytes.
const PAYLOAD_LEN_AT: u16 = 4;
const FLOW_LABEL: u32 = 0x000f_ffff;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    version_class_flow: U32,
    pub(super) payload_len: U16,
    pub(super) next_header: u8,
    hop_limit: u8,
    pub(super) src: [u8; 16],
    pub(super) dst: [u8; 16],
}

impl Header {
    pub(super) fn version(&self) -> u32 {
        self.version_class_flow.get() >> 28
    }
}

/// Whether an address stands for one of IPv4 (RFC 4291 §2.5.5.2).
#[inline]
const fn is_mapped(address: [u8; 16]) -> bool {
    matches!(address, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ..])
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// A datagram from Linux: `printf hello | nc -6u -p 40000 fd00::2 5353` on fd00::1.
    const FROM_LINUX: [u8; 53] = [
        0x60, 0x00, 0x75, 0x34, 0x00, 0x0d, 0x11, 0x40, // version, flow label, length, UDP, hop limit
        0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, //
        0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, //
        0x9c, 0x40, 0x14, 0xe9, 0x00, 0x0d, 0x10, 0xd4, b'h', b'e', b'l', b'l', b'o',
    ];
    const REPR: Ipv6Repr = Ipv6Repr {
        src: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1),
        dst: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2),
        next_header: Protocol::UDP,
        hop_limit: 64,
        traffic_class: 0,
        flow_label: 0x07534,
        payload_len: 13,
    };

    fn with_addresses(src: &str, dst: &str) -> Result<Ipv6Repr, Malformed> {
        let mut packet = FROM_LINUX;
        packet[8..24].copy_from_slice(&src.parse::<Ipv6Addr>().unwrap().octets());
        packet[24..40].copy_from_slice(&dst.parse::<Ipv6Addr>().unwrap().octets());
        Ipv6Packet::parse(&packet).map(|packet| packet.repr)
    }

    #[test]
    fn reads_and_writes_a_packet_from_linux() {
        let packet = Ipv6Packet::parse(&FROM_LINUX).unwrap();
        assert_eq!(packet, Ipv6Packet { repr: REPR, bytes: &FROM_LINUX });
        let upper = packet.upper().unwrap();
        assert_eq!((upper.protocol, upper.payload), (Protocol::UDP, &FROM_LINUX[40..]));
        let mut out = [0xaa; 40];
        REPR.emit(&mut out);
        assert_eq!(out, FROM_LINUX[..40]);
    }

    #[test]
    fn the_padding_of_short_frames_is_cut_off() {
        let mut padded = Vec::from(FROM_LINUX);
        padded.extend([0; 7]);
        assert_eq!(Ipv6Packet::parse(&padded).unwrap().bytes, FROM_LINUX);
    }

    #[test]
    fn every_defect_has_its_name() {
        assert_eq!(Ipv6Packet::parse(&FROM_LINUX[..39]), Err(Malformed::Truncated));
        assert_eq!(Ipv6Packet::parse(&FROM_LINUX[..52]), Err(Malformed::BadTotalLength));
        let mut packet = FROM_LINUX;
        packet[0] = 0x45;
        assert_eq!(Ipv6Packet::parse(&packet), Err(Malformed::BadVersion));
    }

    #[test]
    fn no_packet_comes_from_a_group_goes_to_nobody_or_poses_as_ipv4() {
        assert_eq!(with_addresses("ff02::1", "fd00::2"), Err(Malformed::BadAddress));
        assert_eq!(with_addresses("fd00::1", "::"), Err(Malformed::BadAddress));
        assert_eq!(with_addresses("::ffff:10.0.0.1", "fd00::2"), Err(Malformed::BadAddress));
        assert_eq!(with_addresses("fd00::1", "::ffff:10.0.0.2"), Err(Malformed::BadAddress));
        assert!(with_addresses("::", "ff02::1").is_ok(), "a host without an address asks who else has it");
    }

    #[test]
    fn the_two_halves_of_the_traffic_class() {
        let repr = Ipv6Repr { traffic_class: 0b1011_1011, ..REPR };
        assert_eq!((repr.dscp(), repr.ecn()), (46, 3));
        let mut out = [0; 40];
        repr.emit(&mut out);
        // RFC 8200 §3: four bits of version, eight of traffic class, twenty of flow label.
        assert_eq!(out[..4], [0x6b, 0xb0, 0x75, 0x34]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            mut src: [u8; 16], dst: [u8; 16], next_header: u8, hop_limit: u8, traffic_class: u8,
            flow_label in 0..1_u32 << 20, payload_len in 0..2000_u16,
        ) {
            src[0] &= 0x7f;
            prop_assume!(!is_mapped(src) && !is_mapped(dst) && dst != [0; 16]);
            let (src, dst) = (Ipv6Addr::from_octets(src), Ipv6Addr::from_octets(dst));
            let next_header = Protocol(next_header);
            let repr = Ipv6Repr { src, dst, next_header, hop_limit, traffic_class, flow_label, payload_len };
            let mut out = alloc::vec![0; HEADER_LEN + usize::from(payload_len)];
            repr.emit(&mut out);
            prop_assert_eq!(Ipv6Packet::parse(&out), Ok(Ipv6Packet { repr, bytes: &out }));
        }

        #[test]
        fn any_bytes_are_answered(mut bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Ipv6Packet::parse(&bytes);
            // Again with what the first checks want, so that the later ones are reached.
            if bytes.len() >= HEADER_LEN {
                let payload_len = (bytes.len() - HEADER_LEN) as u16;
                bytes[0] = 0x60;
                bytes[4..6].copy_from_slice(&payload_len.to_be_bytes());
                if let Ok(packet) = Ipv6Packet::parse(&bytes) {
                    let _ = packet.upper();
                }
            }
        }
    }
}
