//! Time as the stack sees it: readings of a monotonic clock that the caller hands in.

use core::num::NonZeroU32;
use core::ops::{Add, AddAssign, Sub};
pub use core::time::Duration;

/// A reading of a monotonic clock, in nanoseconds since an origin of the caller's choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The clock's origin.
    pub const ZERO: Self = Self(0);

    /// The reading `nanos` nanoseconds after the origin.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The reading `micros` microseconds after the origin.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros * 1_000)
    }

    /// The reading `millis` milliseconds after the origin.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000_000)
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole microseconds since the origin.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0 / 1_000
    }

    /// Whole milliseconds since the origin.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Nanoseconds from `earlier` to this reading; zero if `earlier` is the later one.
    #[inline]
    pub(crate) const fn nanos_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The reading `nanos` nanoseconds after this one.
    #[inline]
    pub(crate) const fn plus_nanos(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// Time from `earlier` to this reading; zero if `earlier` is the later one.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        let nanos =
            span.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(span.subsec_nanos()));
        Self(self.0.saturating_add(nanos))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.saturating_since(earlier)
    }
}

/// A reading of the clock in milliseconds, for how long ago something was: it wraps around after 49 days. Kept as its
/// complement, so that an optional one takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Millis(NonZeroU32);

impl Millis {
    #[inline]
    pub(crate) fn of(now: Instant) -> Self {
        // The last millisecond of 49 days counts as the one before it.
        Self(NonZeroU32::new(!(now.as_millis() as u32)).unwrap_or(NonZeroU32::MIN))
    }

    /// Time from this reading until `now`.
    #[inline]
    pub(crate) fn until(self, now: Instant) -> Duration {
        Duration::from_millis(u64::from((now.as_millis() as u32).wrapping_sub(!self.0.get())))
    }
}

/// A reading of the clock in five bytes, for how long ago something was: in ticks of 2^16 ns (66 µs), it wraps around after
/// more than two years.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(Rust, packed)]
pub(crate) struct Past {
    low: u32,
    high: u8,
}

impl Past {
    const SHIFT: u32 = 16;
    const BITS: u32 = 40;

    #[inline]
    pub(crate) fn of(now: Instant) -> Self {
        let ticks = now.as_nanos() >> Self::SHIFT;
        Self { low: ticks as u32, high: (ticks >> u32::BITS) as u8 }
    }

    /// Time from this reading until `now`.
    #[inline]
    pub(crate) fn until(self, now: Instant) -> Duration {
        let then = u64::from(self.high) << u32::BITS | u64::from(self.low);
        let ticks = (now.as_nanos() >> Self::SHIFT).wrapping_sub(then) & ((1 << Self::BITS) - 1);
        Duration::from_nanos(ticks << Self::SHIFT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_tells_how_long_ago_something_was_even_where_it_wraps_around() {
        let wrap = 1 << (Past::BITS + Past::SHIFT);
        for ticks in [0, 1, 77, (wrap >> Past::SHIFT) - 1, wrap >> Past::SHIFT] {
            let nanos = ticks << Past::SHIFT;
            let then = Past::of(Instant::from_nanos(nanos));
            let span = 3_u64.pow(20) << Past::SHIFT;
            assert_eq!(then.until(Instant::from_nanos(nanos)), Duration::ZERO);
            assert_eq!(then.until(Instant::from_nanos(nanos + span)), Duration::from_nanos(span));
        }
        assert_eq!(size_of::<Past>(), 5);
    }

    #[test]
    fn millis_tell_how_long_ago_something_was_even_where_they_wrap_around() {
        let wrap = u64::from(u32::MAX) + 1;
        for millis in [0, 1, 1_000, wrap - 2, wrap, 5 * wrap + 7] {
            let then = Millis::of(Instant::from_millis(millis));
            assert_eq!(then.until(Instant::from_millis(millis)), Duration::ZERO);
            assert_eq!(then.until(Instant::from_millis(millis + 500)), Duration::from_millis(500));
        }
        let last = Millis::of(Instant::from_millis(wrap - 1));
        assert_eq!(
            last.until(Instant::from_millis(wrap)),
            Duration::from_millis(2),
            "never later than it was"
        );
        assert_eq!(size_of::<Option<Millis>>(), 4);
    }
}
