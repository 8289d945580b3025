//! UDP (RFC 768).

use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::checksum::sum;
use super::{Malformed, Sum};

/// Length of the header in bytes.
pub const HEADER_LEN: usize = size_of::<Header>();
/// Where the checksum stands in the header, in bytes.
pub const CHECKSUM_OFFSET: usize = 6;

/// The header of a UDP datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpRepr {
    /// The port that it comes from; 0 if nobody waits for an answer.
    pub src_port: u16,
    /// The port that it goes to.
    pub dst_port: u16,
    /// Bytes after the header, at most 65,527.
    pub payload_len: u16,
}

/// A UDP datagram as it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpDatagram<'a> {
    /// The header.
    pub repr: UdpRepr,
    /// What the datagram carries.
    pub payload: &'a [u8],
    /// Header and payload.
    bytes: &'a [u8],
    checksum: u16,
}

impl<'a> UdpDatagram<'a> {
    /// Reads the datagram at the front of an IP packet's payload. The checksum is left to
    /// [`verify`](Self::verify).
    ///
    /// # Errors
    /// [`Malformed::Truncated`]; [`Malformed::BadTotalLength`] if the length field is smaller than the header
    /// or larger than what is there.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (header, _) = Header::ref_from_prefix(bytes).map_err(|_| Malformed::Truncated)?;
        let len = usize::from(header.len.get());
        let bytes = bytes.get(..len).ok_or(Malformed::BadTotalLength)?;
        let payload = bytes.get(HEADER_LEN..).ok_or(Malformed::BadTotalLength)?;
        let repr = UdpRepr {
            src_port: header.src_port.get(),
            dst_port: header.dst_port.get(),
            payload_len: payload.len() as u16,
        };
        Ok(Self { repr, payload, bytes, checksum: header.checksum.get() })
    }

    /// Whether the sender has computed a checksum (RFC 768). Over IPv6 it must have (RFC 8200 §8.1).
    #[inline]
    #[must_use]
    pub const fn has_checksum(&self) -> bool {
        self.checksum != 0
    }

    /// Verifies the checksum, if there is one. `pseudo` is the sum of the pseudo-header, with
    /// [`UdpRepr::len`] as its length.
    ///
    /// # Errors
    /// [`Malformed::BadChecksum`].
    #[inline]
    pub fn verify(&self, pseudo: Sum) -> Result<(), Malformed> {
        // RFC 1122 §4.1.3.4: what has a wrong checksum is silently discarded.
        if self.has_checksum() && pseudo.add(sum(self.bytes)).finish() != 0 {
            return Err(Malformed::BadChecksum);
        }
        Ok(())
    }
}

impl UdpRepr {
    /// Length of header and payload in bytes.
    #[inline]
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a datagram is never without its header")]
    pub const fn len(&self) -> usize {
        HEADER_LEN + self.payload_len as usize
    }

    /// Writes the header to the front of `out`, with zero in the checksum's place: see [`fill_checksum`] and
    /// [`fill_partial_checksum`].
    ///
    /// # Panics
    /// If `out` is shorter than [`HEADER_LEN`].
    #[inline]
    pub fn emit(&self, out: &mut [u8]) {
        let Self { src_port, dst_port, payload_len } = *self;
        debug_assert!(payload_len <= u16::MAX - HEADER_LEN as u16, "a datagram ends at 65,535 bytes");
        let header = Header {
            src_port: src_port.into(),
            dst_port: dst_port.into(),
            len: payload_len.wrapping_add(HEADER_LEN as u16).into(),
            checksum: 0.into(),
        };
        header.write_to_prefix(out).expect("room for a UDP header");
    }
}

/// Computes the checksum of `datagram`, header and payload, and writes it to its place. `pseudo` is the sum
/// of the pseudo-header; the place must hold zero.
///
/// # Panics
/// If `datagram` is shorter than [`HEADER_LEN`].
#[inline]
pub fn fill_checksum(datagram: &mut [u8], pseudo: Sum) {
    let checksum = match pseudo.add(sum(datagram)).finish() {
        // RFC 768: zero would mean that there is none; all ones amount to the same sum.
        0 => 0xffff,
        checksum => checksum,
    };
    header_mut(datagram).checksum = checksum.into();
}

/// Writes to the checksum's place what a device needs to find there that fills it in: the sum of the
/// pseudo-header.
///
/// # Panics
/// If `datagram` is shorter than [`HEADER_LEN`].
#[inline]
pub fn fill_partial_checksum(datagram: &mut [u8], pseudo: Sum) {
    header_mut(datagram).checksum = pseudo.partial().into();
}

#[inline]
fn header_mut(datagram: &mut [u8]) -> &mut Header {
    Header::mut_from_prefix(datagram).expect("a datagram begins with a UDP header").0
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    src_port: U16,
    dst_port: U16,
    len: U16,
    checksum: U16,
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;
    use core::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;
    use crate::wire::Protocol;

    const HOST: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 1);
    const PEER: Ipv4Addr = Ipv4Addr::new(10, 7, 0, 2);
    /// "hello, lane" from Linux, 10.7.0.1 to 10.7.0.2.
    const FROM_LINUX: [u8; 19] = *b"\xe5\x2f\x14\xe9\x00\x13\xc6\xc5hello, lane";

    fn pseudo(len: usize) -> Sum {
        Sum::pseudo_v4(HOST, PEER, Protocol::UDP, len)
    }

    #[test]
    fn reads_and_writes_a_datagram_from_linux() {
        let datagram = UdpDatagram::parse(&FROM_LINUX).unwrap();
        assert_eq!(datagram.repr, UdpRepr { src_port: 58671, dst_port: 5353, payload_len: 11 });
        assert_eq!(datagram.payload, b"hello, lane");
        assert_eq!(datagram.verify(pseudo(19)), Ok(()));

        let mut out = FROM_LINUX;
        datagram.repr.emit(&mut out);
        assert_eq!(out[6..8], [0, 0]);
        fill_checksum(&mut out, pseudo(19));
        assert_eq!(out, FROM_LINUX);
    }

    #[test]
    fn a_wrong_checksum_is_found_and_a_missing_one_accepted() {
        let mut bytes = FROM_LINUX;
        bytes[9] ^= 0x10;
        assert_eq!(UdpDatagram::parse(&bytes).unwrap().verify(pseudo(19)), Err(Malformed::BadChecksum));
        bytes[6..8].fill(0);
        let datagram = UdpDatagram::parse(&bytes).unwrap();
        assert!(!datagram.has_checksum());
        assert_eq!(datagram.verify(pseudo(19)), Ok(()));
    }

    #[test]
    fn a_checksum_of_zero_is_sent_as_ones() {
        // The payload makes up for whatever the rest sums to.
        let repr = UdpRepr { src_port: 1, dst_port: 2, payload_len: 2 };
        let mut out = [0; 10];
        repr.emit(&mut out);
        let rest = pseudo(10).add(sum(&out)).finish();
        out[8..].copy_from_slice(&rest.to_be_bytes());
        fill_checksum(&mut out, pseudo(10));
        assert_eq!(out[6..8], [0xff, 0xff]);
        assert_eq!(UdpDatagram::parse(&out).unwrap().verify(pseudo(10)), Ok(()));
    }

    #[test]
    fn a_device_can_finish_a_partial_checksum() {
        let mut out = FROM_LINUX;
        fill_partial_checksum(&mut out, pseudo(19));
        let filled_in = sum(&out).finish();
        assert_eq!(filled_in.to_be_bytes(), FROM_LINUX[6..8]);
    }

    #[test]
    fn lengths_that_cannot_be_are_refused_and_padding_is_cut_off() {
        let with_length = |len: u8| {
            let mut bytes = FROM_LINUX;
            bytes[5] = len;
            UdpDatagram::parse(&bytes).map(|datagram| datagram.payload.len())
        };
        assert_eq!(UdpDatagram::parse(&FROM_LINUX[..7]).unwrap_err(), Malformed::Truncated);
        assert_eq!(with_length(7), Err(Malformed::BadTotalLength));
        assert_eq!(with_length(20), Err(Malformed::BadTotalLength));
        assert_eq!(with_length(8), Ok(0));
        assert_eq!(with_length(18), Ok(10));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            src_port: u16, dst_port: u16, payload in prop::collection::vec(any::<u8>(), 0..100),
            padding in 0..9_usize,
        ) {
            let repr = UdpRepr { src_port, dst_port, payload_len: payload.len() as u16 };
            let mut out = alloc::vec![0; HEADER_LEN];
            repr.emit(&mut out);
            out.extend(&payload);
            fill_checksum(&mut out, pseudo(repr.len()));
            out.extend(Vec::from_iter(core::iter::repeat_n(0x55, padding)));
            let datagram = UdpDatagram::parse(&out).unwrap();
            prop_assert_eq!((datagram.repr, datagram.payload), (repr, payload.as_slice()));
            prop_assert_eq!(datagram.verify(pseudo(repr.len())), Ok(()));
        }

        #[test]
        fn any_bytes_are_answered(mut bytes in prop::collection::vec(any::<u8>(), 0..40), len in 0..48_u8) {
            let _ = UdpDatagram::parse(&bytes);
            if bytes.len() >= HEADER_LEN {
                bytes[4..6].copy_from_slice(&[0, len]);
                if let Ok(datagram) = UdpDatagram::parse(&bytes) {
                    let _ = datagram.verify(Sum::ZERO);
                    prop_assert!(datagram.repr.len() <= bytes.len());
                }
            }
        }
    }
}
