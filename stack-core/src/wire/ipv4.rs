//! IPv4 (RFC 791).

use core::net::Ipv4Addr;

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Malformed;
use super::checksum::{Sum, sum};

/// Length of a header without options in bytes.
pub const HEADER_LEN: usize = size_of::<Header>();

/// The header of an IPv4 packet. Options are skipped when read and never written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Repr {
    /// The sender.
    pub src: Ipv4Addr,
    /// The receiver.
    pub dst: Ipv4Addr,
    /// What the packet carries.
    pub protocol: Protocol,
    /// How many routers it may still pass.
    pub ttl: u8,
    /// Differentiated services code point and congestion notification (RFC 2474, RFC 3168).
    pub tos: u8,
    /// What fragments of the same packet have in common.
    pub ident: u16,
    /// Whether routers shall drop the packet instead of cutting it.
    pub dont_fragment: bool,
    /// Which part of a packet this is, if it is not the whole.
    pub fragment: Option<Fragment>,
    /// Bytes after the header, at most 65,515.
    pub payload_len: u16,
}

/// A part of a packet that was cut on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Where the part begins in the payload of the whole, in bytes: a multiple of 8.
    pub offset: u16,
    /// Whether more parts follow.
    pub more: bool,
}

/// An IPv4 packet as it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Packet<'a> {
    /// The header.
    pub repr: Ipv4Repr,
    /// Length of the header in bytes, options included: the payload's offset.
    pub header_len: usize,
    /// What the packet carries, without the padding of a short frame.
    pub payload: &'a [u8],
}

impl<'a> Ipv4Packet<'a> {
    /// Reads the packet at the front of `bytes` and verifies its header. What follows its end is padding.
    ///
    /// # Errors
    /// [`Malformed::Truncated`], [`Malformed::BadVersion`], [`Malformed::BadHeaderLength`],
    /// [`Malformed::BadTotalLength`], [`Malformed::BadChecksum`]; [`Malformed::BadOption`] for options whose
    /// lengths make no sense and for source routes; [`Malformed::BadAddress`] if the sender is a group.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (header, _) = Header::ref_from_prefix(bytes).map_err(|_| Malformed::Truncated)?;
        // RFC 1122 §3.2.1.1: other versions are silently discarded.
        if header.version_ihl >> 4 != 4 {
            return Err(Malformed::BadVersion);
        }
        let header_len = usize::from(header.version_ihl & 0x0f) * 4;
        let total_len = usize::from(header.total_len.get());
        if header_len < HEADER_LEN {
            return Err(Malformed::BadHeaderLength);
        }
        if total_len < header_len {
            return Err(Malformed::BadTotalLength);
        }
        let packet = bytes.get(..total_len).ok_or(Malformed::BadTotalLength)?;
        let (header_bytes, payload) = packet.split_at_checked(header_len).ok_or(Malformed::BadTotalLength)?;
        // RFC 1122 §3.2.1.2: a wrong checksum discards the packet silently.
        let sum = match header_bytes.try_into() {
            // Of a length that the compiler knows, the sum is a few instructions.
            Ok::<&[u8; HEADER_LEN], _>(plain) => sum(plain),
            Err(_) => sum(header_bytes),
        };
        if sum.finish() != 0 {
            return Err(Malformed::BadChecksum);
        }
        if header_len > HEADER_LEN {
            refuse_source_routes(header_bytes.get(HEADER_LEN..).unwrap_or_default())?;
        }
        let repr = header.repr(payload.len() as u16)?;
        Ok(Self { repr, header_len, payload })
    }
}

impl Ipv4Repr {
    /// The differentiated services code point (RFC 2474 §3).
    #[inline]
    #[must_use]
    pub const fn dscp(&self) -> u8 {
        self.tos >> 2
    }

    /// The congestion notification field (RFC 3168 §5): 0 not capable, 1 and 2 capable, 3 experienced.
    #[inline]
    #[must_use]
    pub const fn ecn(&self) -> u8 {
        self.tos & 0b11
    }

    /// Writes the header, 20 bytes with its checksum, to the front of `out`.
    ///
    /// # Panics
    /// If `out` is shorter than [`HEADER_LEN`].
    #[inline]
    pub fn emit(&self, out: &mut [u8]) {
        let Self { src, dst, protocol, ttl, tos, ident, dont_fragment, fragment, payload_len } = *self;
        debug_assert!(payload_len <= u16::MAX - HEADER_LEN as u16, "a packet ends at 65,535 bytes");
        let mut flags = if dont_fragment { DONT_FRAGMENT } else { 0 };
        if let Some(Fragment { offset, more }) = fragment {
            flags |= offset / 8;
            flags |= if more { MORE_FRAGMENTS } else { 0 };
        }
        let total_len = payload_len.wrapping_add(HEADER_LEN as u16);
        let ttl_protocol = u16::from_be_bytes([ttl, protocol.0]);
        let words = [u16::from_be_bytes([VERSION_IHL, tos]), total_len, ident, flags, ttl_protocol];
        let addresses = Sum::of_word(src.octets()).add(Sum::of_word(dst.octets()));
        let checksum = words.into_iter().fold(addresses, Sum::add_u16).finish();
        // Field by field, and summed before: see `EthernetRepr::emit`.
        let (header, _) = Header::mut_from_prefix(out).expect("room for an IPv4 header");
        header.version_ihl = VERSION_IHL;
        header.tos = tos;
        header.total_len = total_len.into();
        header.ident = ident.into();
        header.flags_offset = flags.into();
        header.ttl = ttl;
        header.protocol = protocol.0;
        header.checksum = checksum.into();
        header.src = src.octets();
        header.dst = dst.octets();
    }
}

/// Length of the header that [`emit_with_router_alert`] writes.
pub const ROUTER_ALERT_HEADER_LEN: usize = HEADER_LEN + 4;

/// Writes a header with the option that asks routers to look at the packet (RFC 2113).
///
/// # Panics
/// If `out` is shorter than [`ROUTER_ALERT_HEADER_LEN`].
pub fn emit_with_router_alert(repr: &Ipv4Repr, out: &mut [u8]) {
    let out = &mut out[..ROUTER_ALERT_HEADER_LEN];
    repr.emit(out);
    out[HEADER_LEN..].copy_from_slice(&[0x94, 4, 0, 0]);
    let (header, _) = Header::mut_from_prefix(out).expect("an IPv4 header");
    header.version_ihl += 1;
    header.total_len = (header.total_len.get() + 4).into();
    header.checksum = 0.into();
    let checksum = sum(out).finish();
    let (header, _) = Header::mut_from_prefix(out).expect("an IPv4 header");
    header.checksum = checksum.into();
}

/// Makes the first part of a packet, behind which the others have been put, the header of the whole: `packet` is
/// all of it.
///
/// # Panics
/// If `packet` is shorter than `header_len` or [`HEADER_LEN`].
pub fn make_whole(packet: &mut [u8], header_len: usize) {
    let total_len = packet.len() as u16;
    let header_bytes = &mut packet[..header_len];
    let (header, _) = Header::mut_from_prefix(header_bytes).expect("an IPv4 header");
    header.total_len = total_len.into();
    header.flags_offset = (header.flags_offset.get() & DONT_FRAGMENT).into();
    header.checksum = 0.into();
    let checksum = sum(header_bytes).finish();
    let (header, _) = Header::mut_from_prefix(header_bytes).expect("an IPv4 header");
    header.checksum = checksum.into();
}

/// A protocol above IP, by its number (IANA's protocol numbers).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Protocol(pub u8);

impl Protocol {
    /// Options of IPv6 for everybody on the way, in an extension header.
    pub const HOP_BY_HOP: Self = Self(0);
    /// The Internet Control Message Protocol.
    pub const ICMP: Self = Self(1);
    /// The Transmission Control Protocol.
    pub const TCP: Self = Self(6);
    /// The User Datagram Protocol.
    pub const UDP: Self = Self(17);
    /// The Internet Group Management Protocol.
    pub const IGMP: Self = Self(2);
    /// ICMP for IPv6.
    pub const ICMPV6: Self = Self(58);
}

const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
pub(super) const OFFSET: u16 = 0x1fff;

/// Version 4, and a header of five words: without options.
const VERSION_IHL: u8 = 0x45;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub(super) version_ihl: u8,
    tos: u8,
    pub(super) total_len: U16,
    ident: U16,
    pub(super) flags_offset: U16,
    ttl: u8,
    pub(super) protocol: u8,
    checksum: U16,
    pub(super) src: [u8; 4],
    pub(super) dst: [u8; 4],
}

impl Header {
    #[inline]
    fn repr(&self, payload_len: u16) -> Result<Ipv4Repr, Malformed> {
        let src = Ipv4Addr::from_octets(self.src);
        // RFC 1122 §3.2.1.3: a group is no sender. Addresses that only the interface knows to be wrong, such
        // as the broadcast address of its network, are the stack's to refuse.
        if src.is_multicast() || src.is_broadcast() {
            return Err(Malformed::BadAddress);
        }
        Ok(Ipv4Repr {
            src,
            dst: Ipv4Addr::from_octets(self.dst),
            protocol: Protocol(self.protocol),
            ttl: self.ttl,
            tos: self.tos,
            ident: self.ident.get(),
            dont_fragment: self.flags_offset.get() & DONT_FRAGMENT != 0,
            fragment: self.fragment(payload_len)?,
            payload_len,
        })
    }

    #[inline]
    fn fragment(&self, payload_len: u16) -> Result<Option<Fragment>, Malformed> {
        let flags = self.flags_offset.get();
        let (more, offset) = (flags & MORE_FRAGMENTS != 0, (flags & OFFSET) * 8);
        if !more && offset == 0 {
            return Ok(None);
        }
        // RFC 791 §3.2: all parts but the last are multiples of 8 bytes, and the whole has at most 65,535.
        let cut_amiss = more && (payload_len == 0 || !payload_len.is_multiple_of(8));
        if cut_amiss || offset.checked_add(payload_len).is_none() {
            return Err(Malformed::BadTotalLength);
        }
        Ok(Some(Fragment { offset, more }))
    }
}

/// Walks over a header's options (RFC 791 §3.1). Loose and strict source routes are refused: a host that
/// follows them lends itself to those who want to hide where they come from (RFC 6274 §3.13.2.3, RFC 7126
/// §4.3).
#[cold]
fn refuse_source_routes(mut options: &[u8]) -> Result<(), Malformed> {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const LOOSE_SOURCE_ROUTE: u8 = 131;
    const STRICT_SOURCE_ROUTE: u8 = 137;
    loop {
        options = match options {
            [] | [END, ..] => return Ok(()),
            [NO_OPERATION, rest @ ..] => rest,
            [LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE, ..] => return Err(Malformed::BadOption),
            [_, len, ..] if *len >= 2 => options.get(usize::from(*len)..).ok_or(Malformed::BadOption)?,
            _ => return Err(Malformed::BadOption),
        };
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// The header of a datagram from Linux, and its 19 bytes of UDP.
    const FROM_LINUX: [u8; 39] = [
        0x45, 0x00, 0x00, 0x27, 0x58, 0xd5, 0x40, 0x00, 0x40, 0x11, 0xcd, 0xe0, 10, 7, 0, 1, 10, 7, 0,
        2, //
        0xe5, 0x2f, 0x14, 0xe9, 0x00, 0x13, 0xc6, 0xc5, b'h', b'e', b'l', b'l', b'o', b',', b' ', b'l', b'a',
        b'n', b'e',
    ];
    const REPR: Ipv4Repr = Ipv4Repr {
        src: Ipv4Addr::new(10, 7, 0, 1),
        dst: Ipv4Addr::new(10, 7, 0, 2),
        protocol: Protocol::UDP,
        ttl: 64,
        tos: 0,
        ident: 0x58d5,
        dont_fragment: true,
        fragment: None,
        payload_len: 19,
    };

    /// The packet from Linux with one byte changed and its checksum mended.
    fn changed(at: usize, to: u8) -> [u8; 39] {
        let mut packet = FROM_LINUX;
        packet[at] = to;
        mend(&mut packet[..20]);
        packet
    }

    fn mend(header: &mut [u8]) {
        header[10..12].fill(0);
        let checksum = sum(header).finish();
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
    }

    fn with_options(options: &[u8]) -> Vec<u8> {
        let mut packet = Vec::from(&FROM_LINUX[..20]);
        packet.extend(options);
        packet[0] = 0x40 | (packet.len() / 4) as u8;
        packet[3] = (packet.len() + 19) as u8;
        mend(&mut packet);
        packet.extend(&FROM_LINUX[20..]);
        packet
    }

    fn error_of(packet: &[u8]) -> Malformed {
        Ipv4Packet::parse(packet).unwrap_err()
    }

    #[test]
    fn reads_and_writes_a_packet_from_linux() {
        let packet = Ipv4Packet::parse(&FROM_LINUX).unwrap();
        assert_eq!(packet, Ipv4Packet { repr: REPR, header_len: 20, payload: &FROM_LINUX[20..] });
        let mut out = [0xaa; 20];
        REPR.emit(&mut out);
        assert_eq!(out, FROM_LINUX[..20]);
    }

    #[test]
    fn the_padding_of_short_frames_is_cut_off() {
        let mut padded = Vec::from(FROM_LINUX);
        padded.extend([0; 7]);
        assert_eq!(Ipv4Packet::parse(&padded).unwrap().payload, &FROM_LINUX[20..]);
    }

    #[test]
    fn every_defect_has_its_name() {
        assert_eq!(error_of(&FROM_LINUX[..19]), Malformed::Truncated);
        assert_eq!(error_of(&changed(0, 0x65)), Malformed::BadVersion);
        assert_eq!(error_of(&changed(0, 0x44)), Malformed::BadHeaderLength);
        assert_eq!(error_of(&changed(0, 0x4f)), Malformed::BadTotalLength);
        assert_eq!(error_of(&changed(3, 19)), Malformed::BadTotalLength);
        assert_eq!(error_of(&changed(3, 40)), Malformed::BadTotalLength);
        assert_eq!(error_of(&changed(12, 224)), Malformed::BadAddress);
        let mut packet = FROM_LINUX;
        packet[8] = 63;
        assert_eq!(error_of(&packet), Malformed::BadChecksum);
    }

    #[test]
    fn options_are_skipped_but_source_routes_are_refused() {
        let record_route = with_options(&[7, 7, 4, 0, 0, 0, 0, 0]);
        let packet = Ipv4Packet::parse(&record_route).unwrap();
        assert_eq!((packet.repr, packet.header_len), (REPR, 28));
        assert_eq!(packet.payload, &FROM_LINUX[20..]);
        assert!(Ipv4Packet::parse(&with_options(&[1, 1, 0, 131])).is_ok(), "nothing counts after the end");

        assert_eq!(error_of(&with_options(&[1, 131, 7, 4, 10, 7, 0, 9])), Malformed::BadOption);
        assert_eq!(error_of(&with_options(&[137, 7, 4, 10, 7, 0, 9, 0])), Malformed::BadOption);
        assert_eq!(error_of(&with_options(&[7, 0, 0, 0])), Malformed::BadOption);
        assert_eq!(error_of(&with_options(&[7, 5, 0, 0])), Malformed::BadOption);
        assert_eq!(error_of(&with_options(&[1, 1, 1, 7])), Malformed::BadOption);
    }

    #[test]
    fn fragments_say_where_they_belong() {
        let fragment = |packet: &[u8]| Ipv4Packet::parse(packet).map(|packet| packet.repr.fragment);
        let last = changed(7, 185);
        assert_eq!(fragment(&last), Ok(Some(Fragment { offset: 1480, more: false })));
        // 19 bytes cannot be anything but the last part, and none ends beyond 65,535.
        assert_eq!(fragment(&changed(6, 0x20)), Err(Malformed::BadTotalLength));
        let mut beyond = FROM_LINUX;
        beyond[6..8].copy_from_slice(&[0x1f, 0xff]);
        mend(&mut beyond[..20]);
        assert_eq!(fragment(&beyond), Err(Malformed::BadTotalLength));
        let mut first = FROM_LINUX;
        (first[3], first[6]) = (36, 0x20);
        mend(&mut first[..20]);
        assert_eq!(fragment(&first), Ok(Some(Fragment { offset: 0, more: true })));
    }

    #[test]
    fn the_two_halves_of_tos() {
        let repr = Ipv4Repr { tos: 0b1011_1011, ..REPR };
        assert_eq!((repr.dscp(), repr.ecn()), (46, 3));
    }

    prop_compose! {
        fn any_repr()(
            addresses: (Ipv4Addr, Ipv4Addr), protocol: u8, ttl: u8, tos: u8, ident: u16, dont_fragment: bool,
            part: Option<(bool, u16)>, payload_len in 0..2000_u16,
        ) -> Ipv4Repr {
            let fragment = part.map(|(more, offset)| Fragment { more, offset: (offset & 0xefff) / 8 * 8 });
            let fragment = fragment.filter(|part| part.more || part.offset > 0);
            let is_cut = fragment.is_some_and(|part| part.more);
            let payload_len = if is_cut { payload_len / 8 * 8 + 8 } else { payload_len };
            let (src, dst) = addresses;
            let protocol = Protocol(protocol);
            Ipv4Repr { src, dst, protocol, ttl, tos, ident, dont_fragment, fragment, payload_len }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(repr in any_repr()) {
            prop_assume!(!repr.src.is_multicast() && !repr.src.is_broadcast());
            let mut out = alloc::vec![0; HEADER_LEN + usize::from(repr.payload_len)];
            repr.emit(&mut out);
            let packet = Ipv4Packet::parse(&out).unwrap();
            prop_assert_eq!(packet, Ipv4Packet { repr, header_len: HEADER_LEN, payload: &out[HEADER_LEN..] });
        }

        #[test]
        fn any_bytes_are_answered(
            mut bytes in prop::collection::vec(any::<u8>(), 0..80), ihl in 0..16_usize,
        ) {
            let _ = Ipv4Packet::parse(&bytes);
            // Again with what the first checks want, so that the later ones are reached.
            if let Some(header) = bytes.get_mut(..(ihl * 4).max(20)) {
                header[0] = 0x40 | ihl as u8;
                header[2] = 0;
                mend(header);
                let _ = Ipv4Packet::parse(&bytes);
            }
        }
    }
}
