//! The view that backends and wrappers have of a buffer, and the stack has not.

use netlane_packet_io::{PacketBuf, RxOffload, TxChecksum, TxOffload};

/// A buffer whose offload records can be read and written from below.
///
/// A wrapper sees frames whose checksums are not filled in: those that the stack left to the device, and those
/// that came from this machine's own memory. It needs to know where they belong.
pub trait InspectBuf: PacketBuf {
    /// What the stack asked the device to do to this frame.
    fn tx_offload(&self) -> TxOffload;

    /// Where the checksum of this received frame is still to be filled in, if it is: see
    /// [`mark_received`](Self::mark_received). It counts from the frame's first byte as it was received.
    fn rx_unfilled(&self) -> Option<TxChecksum>;

    /// Records what is known of a received frame, and forgets what it was asked to become when it was sent.
    /// `unfilled` is for a frame that never left this machine: its checksum is good, since nothing could harm
    /// it, but nobody filled it in.
    fn mark_received(&mut self, rx: RxOffload, unfilled: Option<TxChecksum>);
}

/// Fills in the Internet checksum (RFC 1071) that `checksum` asks for, or leaves the frame as it is when that
/// lies outside of it.
///
/// A sum of zero is written as its other form, 0xffff: UDP reserves zero for "no checksum" (RFC 768).
pub fn fill_checksum(frame: &mut [u8], checksum: TxChecksum) {
    let start = usize::from(checksum.start);
    let place = start + usize::from(checksum.offset);
    if place + 2 > frame.len() {
        return;
    }
    let folded = !internet_sum(&frame[start..]);
    let written = if folded == 0 { 0xffff } else { folded };
    frame[place..place + 2].copy_from_slice(&written.to_be_bytes());
}

/// The ones' complement sum of big-endian words, the last one padded with zero.
fn internet_sum(bytes: &[u8]) -> u16 {
    let (words, rest) = bytes.as_chunks::<2>();
    let sum: u64 = words.iter().map(|&word| u64::from(u16::from_be_bytes(word))).sum();
    let mut sum = sum + rest.first().map_or(0, |&last| u64::from(last) << 8);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_the_checksum_of_the_example_in_rfc_1071() {
        // RFC 1071 §3: these words sum to ddf2, so the checksum is its complement, 220d.
        let mut frame = [0xee, 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7, 0, 0];
        fill_checksum(&mut frame, TxChecksum { start: 1, offset: 8 });
        assert_eq!(frame[9..], [0x22, 0x0d]);
    }

    #[test]
    fn pads_an_odd_byte_with_zero_and_keeps_the_pseudo_header() {
        let mut frame = [0x12, 0x34, 0x56];
        fill_checksum(&mut frame, TxChecksum { start: 0, offset: 0 });
        assert_eq!(frame[..2], (!(0x1234_u16 + 0x5600)).to_be_bytes());
    }

    #[test]
    fn writes_zero_as_all_ones() {
        let mut frame = [0xff, 0xff, 0, 0];
        fill_checksum(&mut frame, TxChecksum { start: 0, offset: 2 });
        assert_eq!(frame[2..], [0xff, 0xff]);
    }

    #[test]
    fn leaves_a_frame_alone_that_has_no_such_place() {
        for (start, offset) in [(0, 3), (3, 0), (u16::MAX, u16::MAX)] {
            let mut frame = [1, 2, 3, 4];
            fill_checksum(&mut frame, TxChecksum { start, offset });
            assert_eq!(frame, [1, 2, 3, 4]);
        }
    }
}
