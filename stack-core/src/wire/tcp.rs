//! The TCP header (RFC 9293 §3.1).

use bitflags::bitflags;
use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::checksum::sum;
use super::tcp_options::{ALIGNED_TIMESTAMPS_LEN, TIMESTAMPS_ALIGNED};
use super::{Malformed, Sum, TcpOptions, Timestamps};

/// Length of a header without options in bytes.
pub const HEADER_LEN: usize = size_of::<Header>();
/// Length of a header with timestamps and no other option.
pub(crate) const STAMPED_LEN: usize = HEADER_LEN + ALIGNED_TIMESTAMPS_LEN;
/// The most bytes of options that a header has room for.
pub const MAX_OPTIONS_LEN: usize = 40;
/// Where the checksum stands in the header, in bytes.
pub const CHECKSUM_OFFSET: usize = 16;

/// The fixed part of a TCP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpHeader {
    /// The port that the segment comes from.
    pub src_port: u16,
    /// The port that it goes to.
    pub dst_port: u16,
    /// The sequence number of its first byte, or of its SYN.
    pub seq: u32,
    /// The next sequence number that its sender expects; means nothing without [`TcpFlags::ACK`].
    pub ack: u32,
    /// The control bits.
    pub flags: TcpFlags,
    /// The receive window, not yet scaled.
    pub window: u16,
    /// Where urgent data ends, counted from `seq`; means nothing without [`TcpFlags::URG`].
    pub urgent: u16,
}

bitflags! {
    /// The control bits of a segment (RFC 9293 §3.1).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct TcpFlags: u8 {
        /// The sender has no more data.
        const FIN = 1;
        /// Synchronize sequence numbers.
        const SYN = 1 << 1;
        /// Reset the connection.
        const RST = 1 << 2;
        /// Hand the data to the user at once.
        const PSH = 1 << 3;
        /// The acknowledgment number means something.
        const ACK = 1 << 4;
        /// The urgent pointer means something.
        const URG = 1 << 5;
        /// Congestion was experienced (RFC 3168 §6.1).
        const ECE = 1 << 6;
        /// The congestion window was reduced (RFC 3168 §6.1).
        const CWR = 1 << 7;
    }
}

/// A TCP segment as it arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpSegment<'a> {
    /// The fixed part of its header.
    pub header: TcpHeader,
    /// Its options, at most 40 bytes, for [`TcpOptions::parse`].
    pub options: &'a [u8],
    /// Its data.
    pub payload: &'a [u8],
}

impl<'a> TcpSegment<'a> {
    /// Reads a segment, given as the whole payload of an IP packet. The checksum is left to [`verify`].
    ///
    /// # Errors
    /// [`Malformed::Truncated`]; [`Malformed::BadHeaderLength`] if the data offset is smaller than the fixed
    /// part or larger than the segment.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (header, rest) = Header::ref_from_prefix(bytes).map_err(|_| Malformed::Truncated)?;
        let header_len = usize::from(header.data_offset >> 4) * 4;
        let options_len = header_len.checked_sub(HEADER_LEN).ok_or(Malformed::BadHeaderLength)?;
        let (options, payload) = rest.split_at_checked(options_len).ok_or(Malformed::BadHeaderLength)?;
        Ok(Self { header: header.read(), options, payload })
    }

    /// Length of the header in bytes, options included: the payload's offset.
    #[inline]
    #[must_use]
    pub const fn header_len(&self) -> usize {
        HEADER_LEN + self.options.len()
    }
}

/// Verifies the checksum of `segment`, header and data. `pseudo` is the sum of the pseudo-header.
///
/// # Errors
/// [`Malformed::BadChecksum`].
#[inline]
pub fn verify(pseudo: Sum, segment: &[u8]) -> Result<(), Malformed> {
    // RFC 9293 §3.1 (MUST-3): the receiver checks it.
    if pseudo.add(sum(segment)).finish() == 0 { Ok(()) } else { Err(Malformed::BadChecksum) }
}

impl TcpHeader {
    /// Writes the header with its options to the front of `out`, with zero in the checksum's place: see
    /// [`fill_checksum`] and [`fill_partial_checksum`]. Returns how many bytes that are, which is
    /// [`HEADER_LEN`] and [`TcpOptions::len`].
    ///
    /// # Panics
    /// If `out` is shorter than that.
    #[inline]
    pub fn emit(&self, options: &TcpOptions, out: &mut [u8]) -> usize {
        let Self { src_port, dst_port, seq, ack, flags, window, urgent } = *self;
        // Field by field: see `EthernetRepr::emit`.
        let (header, rest) = Header::mut_from_prefix(out).expect("room for a TCP header");
        let header_len = HEADER_LEN + options.emit(rest);
        header.src_port = src_port.into();
        header.dst_port = dst_port.into();
        header.seq = seq.into();
        header.ack = ack.into();
        // In words of 4 bytes, above 4 bits that are reserved.
        header.data_offset = (header_len as u8 / 4) << 4;
        header.flags = flags.bits();
        header.window = window.into();
        header.checksum = 0.into();
        header.urgent = urgent.into();
        header_len
    }

    /// Reads the header of nearly every segment, which has timestamps and no other option; and what follows it. `None` for
    /// all others.
    #[inline]
    pub(crate) fn read_stamped(segment: &[u8]) -> Option<(Self, Timestamps, &[u8])> {
        let (head, payload) = segment.split_first_chunk::<STAMPED_LEN>()?;
        let (header, options) = Header::ref_from_prefix(head).ok()?;
        let (&layout, clocks) = options.split_first_chunk()?;
        if header.data_offset >> 4 != STAMPED_LEN as u8 / 4 || layout != TIMESTAMPS_ALIGNED {
            return None;
        }
        let stamps = Timestamps::read(clocks.try_into().ok()?);
        Some((header.read(), stamps, payload))
    }

    /// As [`emit`](Self::emit), and returns the sum of what was written as well. It is computed from the values: to
    /// read what was just written, in wider words, would be to wait for it.
    #[inline]
    pub(crate) fn emit_summed(&self, options: &TcpOptions, out: &mut [u8]) -> (usize, Sum) {
        if let Some(stamps) = options.lone_timestamps()
            && let Some(out) = out.first_chunk_mut()
        {
            return (STAMPED_LEN, self.emit_stamped(stamps, out));
        }
        let header_len = self.emit(options, out);
        (header_len, sum(&out[..header_len]))
    }

    /// The header of nearly every segment, in words whose places are known.
    #[inline]
    pub(crate) fn emit_stamped(&self, stamps: Timestamps, out: &mut [u8; STAMPED_LEN]) -> Sum {
        let Self { src_port, dst_port, seq, ack, flags, window, urgent } = *self;
        let control = (STAMPED_LEN as u32 / 4) << 28 | u32::from(flags.bits()) << 16 | u32::from(window);
        let mut total = 0;
        let mut put = |at: usize, word: u32| {
            let word = word.to_be();
            out[4 * at..][..4].copy_from_slice(&word.to_ne_bytes());
            total += u64::from(word);
        };
        put(0, u32::from(src_port) << 16 | u32::from(dst_port));
        put(1, seq);
        put(2, ack);
        put(3, control);
        // The checksum is still to come.
        put(4, u32::from(urgent));
        put(5, u32::from_be_bytes(TIMESTAMPS_ALIGNED));
        put(6, stamps.value);
        put(7, stamps.echo);
        Sum::of_total(total)
    }
}

/// Writes the checksum to its place in `header`.
///
/// # Panics
/// If `header` is shorter than [`HEADER_LEN`].
#[inline]
pub(crate) fn write_checksum(header: &mut [u8], checksum: u16) {
    header_mut(header).checksum = checksum.into();
}

/// Computes the checksum of `segment`, header and data, and writes it to its place. `pseudo` is the sum of
/// the pseudo-header; the place must hold zero.
///
/// # Panics
/// If `segment` is shorter than [`HEADER_LEN`].
#[inline]
pub fn fill_checksum(segment: &mut [u8], pseudo: Sum) {
    let checksum = pseudo.add(sum(segment)).finish();
    header_mut(segment).checksum = checksum.into();
}

/// Writes to the checksum's place what a device needs to find there that fills it in: the sum of the
/// pseudo-header.
///
/// # Panics
/// If `segment` is shorter than [`HEADER_LEN`].
#[inline]
pub fn fill_partial_checksum(segment: &mut [u8], pseudo: Sum) {
    header_mut(segment).checksum = pseudo.partial().into();
}

#[inline]
fn header_mut(segment: &mut [u8]) -> &mut Header {
    Header::mut_from_prefix(segment).expect("a segment begins with a TCP header").0
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Header {
    src_port: U16,
    dst_port: U16,
    seq: U32,
    ack: U32,
    data_offset: u8,
    flags: u8,
    window: U16,
    checksum: U16,
    urgent: U16,
}

impl Header {
    #[inline]
    fn read(&self) -> TcpHeader {
        TcpHeader {
            src_port: self.src_port.get(),
            dst_port: self.dst_port.get(),
            seq: self.seq.get(),
            ack: self.ack.get(),
            flags: TcpFlags::from_bits_retain(self.flags),
            window: self.window.get(),
            urgent: self.urgent.get(),
        }
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;
    use crate::wire::Protocol;

    /// A SYN from Linux, 10.7.0.1 to 10.7.0.2.
    const SYN: [u8; 40] = [
        0xbb, 0x72, 0x00, 0x50, 0x63, 0x15, 0x23, 0x6e, 0x00, 0x00, 0x00, 0x00, 0xa0, 0x02, 0xfa, 0xf0, 0x77,
        0x2f, 0x00, 0x00, //
        0x02, 0x04, 0x05, 0xb4, 0x04, 0x02, 0x08, 0x0a, 0x3d, 0x6d, 0x42, 0x19, 0x00, 0x00, 0x00, 0x00, 0x01,
        0x03, 0x03, 0x0a,
    ];

    fn pseudo(len: usize) -> Sum {
        Sum::pseudo_v4(Ipv4Addr::new(10, 7, 0, 1), Ipv4Addr::new(10, 7, 0, 2), Protocol::TCP, len)
    }

    #[test]
    fn reads_and_writes_a_syn_from_linux() {
        let segment = TcpSegment::parse(&SYN).unwrap();
        let header = TcpHeader {
            src_port: 47986,
            dst_port: 80,
            seq: 0x6315_236e,
            ack: 0,
            flags: TcpFlags::SYN,
            window: 64240,
            urgent: 0,
        };
        assert_eq!(segment, TcpSegment { header, options: &SYN[20..], payload: &[] });
        assert_eq!(segment.header_len(), 40);
        assert_eq!(verify(pseudo(40), &SYN), Ok(()));

        let options = TcpOptions {
            mss: Some(1460),
            window_scale: Some(10),
            sack_permitted: true,
            timestamps: Some(Timestamps { value: 0x3d6d_4219, echo: 0 }),
            ..TcpOptions::default()
        };
        assert_eq!(TcpOptions::parse(segment.options), Ok(options));
        let mut out = [0xaa; 40];
        assert_eq!(header.emit(&options, &mut out), 40);
        fill_checksum(&mut out, pseudo(40));
        assert_eq!(out, SYN);
    }

    #[test]
    fn a_wrong_checksum_is_found() {
        let mut segment = SYN;
        segment[39] ^= 1;
        assert_eq!(verify(pseudo(40), &segment), Err(Malformed::BadChecksum));
        assert_eq!(verify(pseudo(41), &SYN), Err(Malformed::BadChecksum));
    }

    #[test]
    fn a_device_can_finish_a_partial_checksum() {
        let mut out = SYN;
        fill_partial_checksum(&mut out, pseudo(40));
        assert_eq!(sum(&out).finish().to_be_bytes(), SYN[CHECKSUM_OFFSET..][..2]);
    }

    #[test]
    fn data_offsets_that_cannot_be_are_refused() {
        let with_offset = |words: u8| {
            let mut bytes = SYN;
            bytes[12] = words << 4;
            TcpSegment::parse(&bytes).map(|segment| (segment.options.len(), segment.payload.len()))
        };
        assert_eq!(TcpSegment::parse(&SYN[..19]), Err(Malformed::Truncated));
        assert_eq!(with_offset(4), Err(Malformed::BadHeaderLength));
        assert_eq!(with_offset(11), Err(Malformed::BadHeaderLength));
        assert_eq!(with_offset(5), Ok((0, 20)));
        assert_eq!(with_offset(8), Ok((12, 8)));
    }

    #[test]
    fn reserved_bits_are_ignored() {
        // RFC 9293 §3.1: they must be ignored in received segments.
        let mut segment = SYN;
        segment[12] |= 0x0f;
        assert_eq!(TcpSegment::parse(&segment), TcpSegment::parse(&SYN));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            ports: (u16, u16), numbers: (u32, u32), flags: u8, window: u16, urgent: u16,
            data in prop::collection::vec(any::<u8>(), 0..40), mss: Option<u16>,
        ) {
            let (src_port, dst_port) = ports;
            let (seq, ack) = numbers;
            let flags = TcpFlags::from_bits_retain(flags);
            let header = TcpHeader { src_port, dst_port, seq, ack, flags, window, urgent };
            let options = TcpOptions { mss, ..TcpOptions::default() };
            let mut out = alloc::vec![0; HEADER_LEN + options.len()];
            header.emit(&options, &mut out);
            out.extend(&data);
            let pseudo = pseudo(out.len());
            fill_checksum(&mut out, pseudo);
            prop_assert_eq!(verify(pseudo, &out), Ok(()));
            let segment = TcpSegment::parse(&out).unwrap();
            prop_assert_eq!((segment.header, segment.payload), (header, data.as_slice()));
            prop_assert_eq!(segment.header_len(), out.len() - data.len());
        }

        #[test]
        fn any_bytes_are_answered(mut bytes in prop::collection::vec(any::<u8>(), 0..80), words in 4..16_u8) {
            let _ = TcpSegment::parse(&bytes);
            let _ = verify(Sum::ZERO, &bytes);
            if let Some(data_offset) = bytes.get_mut(12) {
                *data_offset = words << 4;
                if let Ok(segment) = TcpSegment::parse(&bytes) {
                    prop_assert_eq!(segment.header_len() + segment.payload.len(), bytes.len());
                }
            }
        }
    }
}
