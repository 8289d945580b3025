//! Sequence numbers and the other quantities of TCP that are not plain integers.

use core::ops::{Add, AddAssign, Sub};

/// A place in the sequence space (RFC 9293 §3.4): 32 bits that wrap around, so that there is a before and an
/// after within half of the space, but no order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct SeqNumber(pub(crate) u32);

impl SeqNumber {
    /// Whether this place comes before `other`.
    #[inline]
    #[must_use]
    pub(crate) const fn before(self, other: Self) -> bool {
        (self.0.wrapping_sub(other.0) as i32) < 0
    }

    /// Whether this place comes after `other`.
    #[inline]
    #[must_use]
    pub(crate) const fn after(self, other: Self) -> bool {
        other.before(self)
    }

    /// Whether this place lies in the `len` places from `start` on.
    #[inline]
    #[must_use]
    pub(crate) const fn within(self, start: Self, len: u32) -> bool {
        self.0.wrapping_sub(start.0) < len
    }

    /// The later of two places.
    #[inline]
    #[must_use]
    pub(crate) const fn max(self, other: Self) -> Self {
        if self.before(other) { other } else { self }
    }

    /// The earlier of two places.
    #[inline]
    #[must_use]
    pub(crate) const fn min(self, other: Self) -> Self {
        if other.before(self) { other } else { self }
    }

    /// Places from `earlier` up to this one.
    #[inline]
    #[must_use]
    pub(crate) const fn since(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }
}

impl Add<u32> for SeqNumber {
    type Output = Self;

    #[inline]
    fn add(self, n: u32) -> Self {
        Self(self.0.wrapping_add(n))
    }
}

impl AddAssign<u32> for SeqNumber {
    #[inline]
    fn add_assign(&mut self, n: u32) {
        *self = *self + n;
    }
}

impl Sub<u32> for SeqNumber {
    type Output = Self;

    #[inline]
    fn sub(self, n: u32) -> Self {
        Self(self.0.wrapping_sub(n))
    }
}

/// How far the windows of one direction are shifted (RFC 7323 §2.2): 0 to 14.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WindowScale(u8);

impl WindowScale {
    /// RFC 7323 §2.3: a larger shift is taken as this one.
    pub(crate) const MAX: u8 = 14;

    /// The shift that a peer announced.
    #[must_use]
    pub(crate) const fn new(shift: u8) -> Self {
        Self(if shift > Self::MAX { Self::MAX } else { shift })
    }

    /// The smallest shift with which a window of `limit` bytes can be announced.
    #[must_use]
    pub(crate) const fn for_buffer(limit: usize) -> Self {
        let mut shift = 0;
        while shift < Self::MAX && (limit >> shift) > u16::MAX as usize {
            shift += 1;
        }
        Self(shift)
    }

    /// The shift.
    #[must_use]
    pub(crate) const fn shift(self) -> u8 {
        self.0
    }

    /// The window in bytes that a header's field stands for.
    #[inline]
    #[must_use]
    pub(crate) const fn bytes(self, field: u16) -> u32 {
        (field as u32) << self.0
    }

    /// The field that announces a window of `bytes`, rounded down.
    #[inline]
    #[must_use]
    pub(crate) const fn field(self, bytes: u32) -> u16 {
        let field = bytes >> self.0;
        if field > u16::MAX as u32 { u16::MAX } else { field as u16 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_holds_across_the_wrap() {
        let start = SeqNumber(u32::MAX - 1);
        assert!(start.before(start + 3));
        assert!((start + 3).after(start));
        assert_eq!((start + 3).since(start), 3);
        assert!((start + 2).within(start, 3));
        assert!(!(start + 3).within(start, 3));
        assert!(!start.before(start) && !start.after(start));
    }

    #[test]
    fn scale_is_the_smallest_that_announces_the_buffer() {
        assert_eq!(WindowScale::for_buffer(65_535).shift(), 0);
        assert_eq!(WindowScale::for_buffer(65_536).shift(), 1);
        assert_eq!(WindowScale::for_buffer(1 << 20).shift(), 5);
        assert_eq!(WindowScale::for_buffer(usize::MAX).shift(), 14);
        assert_eq!(WindowScale::new(255).shift(), 14);
    }

    #[test]
    fn announced_windows_never_exceed_the_real_one() {
        let scale = WindowScale::new(5);
        assert_eq!(scale.bytes(scale.field(1_000)), 992);
        assert_eq!(scale.field(u32::MAX), u16::MAX);
    }
}
