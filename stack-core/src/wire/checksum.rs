//! The Internet checksum (RFC 1071).

use core::net::{Ipv4Addr, Ipv6Addr};

use super::Protocol;
use crate::address::Address;

/// A one's complement sum of 16-bit words that is still open: more can be added to it.
///
/// The words are added in the machine's own byte order and 64 bits at once, both of which RFC 1071 §2
/// shows to lead to the same result: a one's complement sum does not care where its carries are added back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

/// The sum of `bytes`. An odd last byte counts as if a zero followed it.
#[inline]
#[must_use]
pub fn sum(bytes: &[u8]) -> Sum {
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    let mut total = Chains::default();
    for block in blocks {
        total.add(block);
    }
    total.finish(rest)
}

/// Copies `from` to `to`, which is as long, and returns the sum of it: one pass over the bytes instead of two.
///
/// # Panics
/// If `to` is not as long as `from`.
#[inline]
pub(crate) fn copy_and_sum(from: &[u8], to: &mut [u8]) -> Sum {
    let (blocks, rest) = from.as_chunks::<BLOCK>();
    let (places, end) = to.as_chunks_mut::<BLOCK>();
    let mut total = Chains::default();
    for (block, place) in blocks.iter().zip(places) {
        *place = *block;
        total.add(block);
    }
    end.copy_from_slice(rest);
    total.finish(rest)
}

impl Sum {
    /// The sum of nothing.
    pub const ZERO: Self = Self(0);

    /// The sum of four bytes.
    #[inline]
    #[must_use]
    pub const fn of_word(bytes: [u8; 4]) -> Self {
        Self(u32::from_ne_bytes(bytes) as u64)
    }

    /// The sum of words that were added in the machine's byte order, without a carry.
    #[inline]
    pub(crate) const fn of_total(total: u64) -> Self {
        Self(total)
    }

    /// The sum of the IPv4 pseudo-header of TCP and UDP (RFC 9293 §3.1, RFC 768). `len` is the length of the
    /// transport header and what follows it, in bytes.
    #[inline]
    #[must_use]
    pub fn pseudo_v4(src: Ipv4Addr, dst: Ipv4Addr, protocol: Protocol, len: usize) -> Self {
        let addresses = Self::of_word(src.octets()).add(Self::of_word(dst.octets()));
        addresses.add_u16(u16::from(protocol.0)).add_len(len)
    }

    /// The sum of the pseudo-header of the family of `src` and `dst`.
    #[inline]
    pub(crate) fn pseudo(src: Address, dst: Address, protocol: Protocol, len: usize) -> Self {
        match (src.as_v4(), dst.as_v4()) {
            (Some(src), Some(dst)) => Self::pseudo_v4(src, dst, protocol, len),
            _ => Self::pseudo_v6(src.to_v6(), dst.to_v6(), protocol, len),
        }
    }

    /// The sum of the IPv6 pseudo-header (RFC 8200 §8.1). `len` is the length of the upper-layer packet in
    /// bytes.
    #[inline]
    #[must_use]
    pub fn pseudo_v6(src: Ipv6Addr, dst: Ipv6Addr, protocol: Protocol, len: usize) -> Self {
        let addresses = sum(&src.octets()).add(sum(&dst.octets()));
        addresses.add_u16(u16::from(protocol.0)).add_len(len)
    }

    /// Both sums together. The bytes of `other` must begin at an even offset of the whole; see
    /// [`at_odd_offset`](Self::at_odd_offset).
    #[inline]
    #[must_use]
    pub const fn add(self, other: Self) -> Self {
        let (sum, carry) = self.0.overflowing_add(other.0);
        // The carry comes around the end (RFC 1071 §1); a sum that has overflowed has room for it.
        Self(sum + carry as u64)
    }

    /// This sum and one more word of the packet, given as the number that it means.
    #[inline]
    #[must_use]
    pub const fn add_u16(self, word: u16) -> Self {
        self.add(Self(word.to_be() as u64))
    }

    /// What this sum amounts to if its bytes begin at an odd offset of the whole: each byte in the other half
    /// of its word (RFC 1071 §2 (B)).
    #[inline]
    #[must_use]
    pub const fn at_odd_offset(self) -> Self {
        Self(self.fold().swap_bytes() as u64)
    }

    /// The checksum: the complement of the sum. Over bytes that contain their own correct checksum it is
    /// zero.
    #[inline]
    #[must_use]
    pub const fn finish(self) -> u16 {
        !self.partial()
    }

    /// The sum, folded to 16 bits and not complemented: what a device that fills in checksums wants to find
    /// in the checksum's place.
    #[inline]
    #[must_use]
    pub const fn partial(self) -> u16 {
        u16::from_be(self.fold())
    }

    /// Adds a length as the 32-bit field of the pseudo-header; its upper half is zero but for jumbograms.
    #[inline]
    pub(crate) const fn add_len(self, len: usize) -> Self {
        self.add(Self((len as u32).to_be() as u64))
    }

    /// The sum in 16 bits, in the machine's byte order.
    #[inline]
    const fn fold(self) -> u16 {
        // A number and its two halves exchanged add up to the sum of the halves in the upper one, with the
        // carry of the lower one already come around.
        let sum = self.0.wrapping_add(self.0.rotate_right(32)) >> 32;
        let sum = sum as u32;
        (sum.wrapping_add(sum.rotate_right(16)) >> 16) as u16
    }
}

/// Bytes that the main loop of [`sum`] takes at once.
const BLOCK: usize = 128;

/// Two sums that wait for each other's carries nowhere, so that a processor adds to both at once.
#[derive(Default)]
struct Chains {
    sums: [u64; 2],
    /// Carries out of both.
    carries: u64,
}

impl Chains {
    #[inline]
    fn add(&mut self, block: &[u8; BLOCK]) {
        let (halves, _) = block.as_chunks::<{ BLOCK / 2 }>();
        for (sum, half) in self.sums.iter_mut().zip(halves) {
            chain(sum, &mut self.carries, half);
        }
    }

    /// The sum of all blocks and of the bytes that follow them, fewer than a block.
    #[inline]
    fn finish(self, rest: &[u8]) -> Sum {
        let Self { sums: [mut total, other], mut carries } = self;
        chain(&mut total, &mut carries, &other.to_ne_bytes());
        let (quarters, rest) = rest.as_chunks::<{ BLOCK / 4 }>();
        for quarter in quarters {
            chain(&mut total, &mut carries, quarter);
        }
        let (words, rest) = rest.as_chunks::<8>();
        for word in words {
            chain(&mut total, &mut carries, word);
        }
        Sum(total).add(Sum(carries + last_bytes(rest)))
    }
}

/// Adds words of 8 bytes, the carry of each to the next one: an instruction each. The last carry is counted.
#[inline(always)]
fn chain<const N: usize>(sum: &mut u64, carries: &mut u64, bytes: &[u8; N]) {
    let mut carry = false;
    for word in bytes.as_chunks::<8>().0 {
        (*sum, carry) = sum.carrying_add(u64::from_ne_bytes(*word), carry);
    }
    *carries += u64::from(carry);
}

/// The sum of up to 7 bytes.
#[inline]
fn last_bytes(mut bytes: &[u8]) -> u64 {
    let mut total = 0;
    if let Some((word, rest)) = bytes.split_first_chunk() {
        total += u64::from(u32::from_ne_bytes(*word));
        bytes = rest;
    }
    if let Some((word, rest)) = bytes.split_first_chunk() {
        total += u64::from(u16::from_ne_bytes(*word));
        bytes = rest;
    }
    if let [last] = bytes {
        total += u64::from(u16::from_ne_bytes([*last, 0]));
    }
    total
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// RFC 1071 §4.1, taken literally.
    fn naive(bytes: &[u8]) -> u16 {
        let mut sum = 0_u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    #[test]
    fn rfc_1071_section_3_example() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(sum(&bytes).partial(), 0xddf2);
        assert_eq!(sum(&bytes).finish(), !0xddf2);
    }

    #[test]
    fn all_ones_do_not_overflow_the_lanes() {
        let bytes = alloc::vec![0xff; 1 << 20];
        assert_eq!(sum(&bytes).partial(), 0xffff);
        let total = (0..1000).fold(Sum::ZERO, |total, _| total.add(Sum(u64::MAX)));
        assert_eq!(total.partial(), 0xffff);
        assert_eq!(sum(&[]).partial(), 0);
    }

    #[test]
    fn pseudo_headers_sum_like_their_bytes() {
        let (src, dst) = (Ipv4Addr::new(10, 7, 0, 1), Ipv4Addr::new(255, 254, 253, 252));
        let bytes = [10, 7, 0, 1, 255, 254, 253, 252, 0, 6, 0xab, 0xcd];
        assert_eq!(Sum::pseudo_v4(src, dst, Protocol::TCP, 0xabcd).partial(), naive(&bytes));

        let (src, dst) =
            (Ipv6Addr::new(0xfe80, 0, 0, 0, 1, 2, 3, 0xffff), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
        let mut bytes = Vec::from(src.octets());
        bytes.extend(dst.octets());
        bytes.extend([0x00, 0x01, 0x23, 0x45, 0, 0, 0, 17]);
        assert_eq!(Sum::pseudo_v6(src, dst, Protocol::UDP, 0x12345).partial(), naive(&bytes));
    }

    proptest! {
        #[test]
        fn agrees_with_the_plain_loop(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            prop_assert_eq!(sum(&bytes).partial(), naive(&bytes));
        }

        #[test]
        fn copies_what_it_sums(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let mut copy = alloc::vec![0xaa; bytes.len()];
            prop_assert_eq!(copy_and_sum(&bytes, &mut copy).partial(), naive(&bytes));
            prop_assert_eq!(copy, bytes);
        }

        #[test]
        fn parts_add_up_wherever_the_cut_falls(
            bytes in prop::collection::vec(any::<u8>(), 0..300), cut in any::<prop::sample::Index>(),
        ) {
            let (front, back) = bytes.split_at(cut.index(bytes.len() + 1));
            let back_sum = if front.len() % 2 == 1 { sum(back).at_odd_offset() } else { sum(back) };
            prop_assert_eq!(sum(front).add(back_sum).partial(), naive(&bytes));
        }

        #[test]
        fn a_word_adds_as_its_bytes_do(bytes in prop::collection::vec(any::<u8>(), 0..80), word: u16) {
            let mut whole = Vec::from(word.to_be_bytes());
            whole.extend(&bytes);
            prop_assert_eq!(sum(&bytes).add_u16(word).partial(), naive(&whole));
        }
    }
}
