//! Ethernet II frames and the 802.1Q tag (IEEE 802.3, IEEE 802.1Q).

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::num::NonZeroU16;
use core::str::FromStr;

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Malformed;

/// Length of an untagged header in bytes.
pub const HEADER_LEN: usize = size_of::<Header>();
/// Bytes that an 802.1Q tag adds.
pub const TAG_LEN: usize = size_of::<Tag>();

/// The header of an Ethernet II frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EthernetRepr {
    /// Who shall receive the frame.
    pub dst: MacAddr,
    /// Who sent it.
    pub src: MacAddr,
    /// What it carries.
    pub ethertype: EtherType,
    /// The virtual LAN that it belongs to, if it has a tag that says so.
    pub vlan: Option<VlanId>,
}

impl EthernetRepr {
    /// Reads the header of `frame`. Also returns the offset of the payload.
    ///
    /// A tag with VLAN identifier 0 only carries a priority (IEEE 802.1Q §9.6): the frame counts as untagged.
    ///
    /// # Errors
    /// [`Malformed::Truncated`]; [`Malformed::BadAddress`] for a sender that is a group;
    /// [`Malformed::Unsupported`] for IEEE 802.3 frames with a length in place of the type, for the reserved
    /// VLAN identifier and for more than one tag.
    #[inline]
    pub fn parse(frame: &[u8]) -> Result<(Self, usize), Malformed> {
        let (header, rest) = Header::ref_from_prefix(frame).map_err(|_| Malformed::Truncated)?;
        if header.src.is_multicast() {
            return Err(Malformed::BadAddress);
        }
        let mut repr = Self {
            dst: header.dst,
            src: header.src,
            ethertype: EtherType(header.ethertype.get()),
            vlan: None,
        };
        let mut offset = HEADER_LEN;
        if repr.ethertype == EtherType::VLAN {
            let (tag, _) = Tag::ref_from_prefix(rest).map_err(|_| Malformed::Truncated)?;
            repr.vlan = tag.vlan()?;
            repr.ethertype = EtherType(tag.ethertype.get());
            offset += TAG_LEN;
        }
        if repr.ethertype.0 < EtherType::LEAST || repr.ethertype == EtherType::VLAN {
            return Err(Malformed::Unsupported);
        }
        Ok((repr, offset))
    }

    /// Bytes that [`emit`](Self::emit) writes.
    #[inline]
    #[must_use]
    pub const fn header_len(&self) -> usize {
        if self.vlan.is_some() { HEADER_LEN + TAG_LEN } else { HEADER_LEN }
    }

    /// Writes the header to the front of `out`.
    ///
    /// # Panics
    /// If `out` is shorter than [`header_len`](Self::header_len).
    #[inline]
    pub fn emit(&self, out: &mut [u8]) {
        let Self { dst, src, ethertype, vlan } = *self;
        let (front, rest) = out.split_at_mut(HEADER_LEN);
        let outer = if vlan.is_some() { EtherType::VLAN } else { ethertype };
        Header { dst, src, ethertype: outer.0.into() }
            .write_to(front)
            .expect("the front has the header's size");
        if let Some(vlan) = vlan {
            let tag = Tag { control: vlan.get().into(), ethertype: ethertype.0.into() };
            tag.write_to_prefix(rest).expect("room for the tag");
        }
    }
}

/// An Ethernet address (EUI-48).
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(transparent)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// The address of everybody on the link.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// No address: what an ARP request says of the one that it asks for.
    pub const ZERO: Self = Self([0; 6]);

    /// Whether this is a group's address; [`BROADCAST`](Self::BROADCAST) is one.
    #[inline]
    #[must_use]
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// Whether this is the address of a single station.
    #[inline]
    #[must_use]
    pub const fn is_unicast(self) -> bool {
        !self.is_multicast()
    }

    /// The address to which packets for an IPv4 multicast group go (RFC 1112 §6.4): the group's low 23 bits
    /// after a fixed prefix.
    #[must_use]
    pub const fn multicast_for_v4(group: Ipv4Addr) -> Self {
        let [_, b, c, d] = group.octets();
        Self([0x01, 0x00, 0x5e, b & 0x7f, c, d])
    }

    /// The address to which packets for an IPv6 multicast group go (RFC 2464 §7): the group's last four bytes
    /// after a fixed prefix.
    #[must_use]
    pub const fn multicast_for_v6(group: Ipv6Addr) -> Self {
        let [.., a, b, c, d] = group.octets();
        Self([0x33, 0x33, a, b, c, d])
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for MacAddr {
    type Err = InvalidMacAddr;

    /// Reads six bytes of two hexadecimal digits each, with `:` or `-` between them.
    fn from_str(text: &str) -> Result<Self, InvalidMacAddr> {
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut parts = text.split(separator);
        let mut bytes = [0; 6];
        for byte in &mut bytes {
            let part = parts.next().ok_or(InvalidMacAddr)?;
            if part.len() != 2 || !part.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(InvalidMacAddr);
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| InvalidMacAddr)?;
        }
        if parts.next().is_some() { Err(InvalidMacAddr) } else { Ok(Self(bytes)) }
    }
}

/// A text that is no Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidMacAddr;

impl fmt::Display for InvalidMacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an Ethernet address is six two-digit hexadecimal numbers, such as 02:00:5e:10:00:01")
    }
}

impl core::error::Error for InvalidMacAddr {}

/// What a frame carries (IANA's IEEE 802 numbers).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EtherType(pub u16);

impl EtherType {
    /// IPv4.
    pub const IPV4: Self = Self(0x0800);
    /// The Address Resolution Protocol.
    pub const ARP: Self = Self(0x0806);
    /// An 802.1Q tag, after which the real type follows.
    pub const VLAN: Self = Self(0x8100);
    /// IPv6.
    pub const IPV6: Self = Self(0x86dd);
    /// The least type. Smaller numbers are the lengths of IEEE 802.3 frames.
    const LEAST: u16 = 0x0600;
}

/// The identifier of a virtual LAN: 1 to 4094.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VlanId(NonZeroU16);

impl VlanId {
    /// The virtual LAN with the number `id`, if it is from 1 to 4094 (IEEE 802.1Q §9.6 reserves the others).
    #[must_use]
    pub const fn new(id: u16) -> Option<Self> {
        match NonZeroU16::new(id) {
            Some(id) if id.get() < Self::RESERVED => Some(Self(id)),
            _ => None,
        }
    }

    /// Its number.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0.get()
    }

    const RESERVED: u16 = 0x0fff;
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    dst: MacAddr,
    src: MacAddr,
    ethertype: U16,
}

/// What follows the type [`EtherType::VLAN`].
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Tag {
    /// Priority (3 bits), drop eligibility (1), VLAN identifier (12).
    control: U16,
    ethertype: U16,
}

impl Tag {
    fn vlan(&self) -> Result<Option<VlanId>, Malformed> {
        match self.control.get() & 0x0fff {
            0 => Ok(None),
            id => VlanId::new(id).map(Some).ok_or(Malformed::Unsupported),
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use proptest::prelude::*;

    use super::*;

    const HOST: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const PEER: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
    /// The first bytes of a datagram from Linux.
    const FRAME: [u8; 18] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00, 0x45, 0x00, 0x00, 0x27];

    fn tagged(control: u16, ethertype: u16) -> [u8; 20] {
        let mut frame = [0; 20];
        frame[..12].copy_from_slice(&FRAME[..12]);
        frame[12..14].copy_from_slice(&[0x81, 0x00]);
        frame[14..16].copy_from_slice(&control.to_be_bytes());
        frame[16..18].copy_from_slice(&ethertype.to_be_bytes());
        frame
    }

    #[test]
    fn reads_a_frame_from_linux() {
        let (repr, payload) = EthernetRepr::parse(&FRAME).unwrap();
        assert_eq!(repr, EthernetRepr { dst: PEER, src: HOST, ethertype: EtherType::IPV4, vlan: None });
        assert_eq!(payload, 14);
        assert_eq!(EthernetRepr::parse(&FRAME[..13]), Err(Malformed::Truncated));
    }

    #[test]
    fn reads_one_tag_and_refuses_a_second() {
        let (repr, payload) = EthernetRepr::parse(&tagged(0x6007, 0x0806)).unwrap();
        assert_eq!((repr.vlan, repr.ethertype, payload), (VlanId::new(7), EtherType::ARP, 18));
        assert_eq!(EthernetRepr::parse(&tagged(7, 0x8100)), Err(Malformed::Unsupported));
        assert_eq!(EthernetRepr::parse(&tagged(7, 0x0806)[..17]), Err(Malformed::Truncated));
    }

    #[test]
    fn a_priority_tag_is_no_vlan_and_the_reserved_one_is_refused() {
        let (repr, payload) = EthernetRepr::parse(&tagged(0xe000, 0x86dd)).unwrap();
        assert_eq!((repr.vlan, repr.ethertype, payload), (None, EtherType::IPV6, 18));
        assert_eq!(EthernetRepr::parse(&tagged(0x0fff, 0x86dd)), Err(Malformed::Unsupported));
        assert_eq!(VlanId::new(0), None);
        assert_eq!(VlanId::new(4095), None);
        assert_eq!(VlanId::new(4094).map(VlanId::get), Some(4094));
    }

    #[test]
    fn refuses_lengths_in_place_of_types_and_groups_as_senders() {
        let mut frame = FRAME;
        frame[12..14].copy_from_slice(&[0x05, 0xff]);
        assert_eq!(EthernetRepr::parse(&frame), Err(Malformed::Unsupported));
        let mut frame = FRAME;
        frame[6] |= 1;
        assert_eq!(EthernetRepr::parse(&frame), Err(Malformed::BadAddress));
    }

    #[test]
    fn addresses_are_written_as_people_write_them() {
        assert_eq!("02:00:5E:10:00:0a".parse(), Ok(MacAddr([2, 0, 0x5e, 0x10, 0, 10])));
        assert_eq!("02-00-5e-10-00-0a".parse(), Ok(MacAddr([2, 0, 0x5e, 0x10, 0, 10])));
        assert_eq!(MacAddr([2, 0, 0x5e, 0x10, 0, 10]).to_string(), "02:00:5e:10:00:0a");
        for wrong in [
            "",
            "02:00:5e:10:00",
            "02:00:5e:10:00:0a:0b",
            "2:0:5e:10:0:a",
            "+2:00:5e:10:00:0a",
            "02:00-5e:10:00:0a",
        ] {
            assert_eq!(wrong.parse::<MacAddr>(), Err(InvalidMacAddr), "{wrong}");
        }
    }

    #[test]
    fn rfc_1112_maps_groups_by_their_low_23_bits() {
        let mac = MacAddr::multicast_for_v4(Ipv4Addr::new(224, 129, 2, 3));
        assert_eq!(mac, MacAddr([0x01, 0x00, 0x5e, 0x01, 0x02, 0x03]));
        assert!(mac.is_multicast() && MacAddr::BROADCAST.is_multicast() && PEER.is_unicast());
    }

    #[test]
    fn rfc_2464_maps_groups_by_their_last_four_bytes() {
        let mac = MacAddr::multicast_for_v6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff12, 0x3456));
        assert_eq!(mac, MacAddr([0x33, 0x33, 0xff, 0x12, 0x34, 0x56]));
        assert!(mac.is_multicast());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            dst: [u8; 6], mut src: [u8; 6], ethertype in 0x600..=u16::MAX, vlan in 0..4095_u16,
        ) {
            prop_assume!(ethertype != 0x8100);
            src[0] &= !1;
            let (dst, src, ethertype) = (MacAddr(dst), MacAddr(src), EtherType(ethertype));
            let repr = EthernetRepr { dst, src, ethertype, vlan: VlanId::new(vlan) };
            let mut frame = [0; HEADER_LEN + TAG_LEN];
            repr.emit(&mut frame);
            prop_assert_eq!(EthernetRepr::parse(&frame), Ok((repr, repr.header_len())));
        }

        #[test]
        fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok((_, payload)) = EthernetRepr::parse(&bytes) {
                prop_assert!(payload <= bytes.len());
            }
        }
    }
}
