//! Time as the stack sees it: readings of a monotonic clock that the caller hands in.

use core::num::NonZeroU16;
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

/// A reading of the clock in two bytes, for how long ago something was: in ticks of 2^24 ns (17 ms), it wraps around after
/// 18 minutes. Kept as its complement, so that an optional one takes no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lately(NonZeroU16);

impl Lately {
    const SHIFT: u32 = 24;

    #[inline]
    pub(crate) fn of(now: Instant) -> Self {
        // The last tick of 18 minutes counts as the one before it.
        Self(NonZeroU16::new(!Self::ticks(now)).unwrap_or(NonZeroU16::MIN))
    }

    /// Time from this reading until `now`.
    #[inline]
    pub(crate) fn until(self, now: Instant) -> Duration {
        let ticks = Self::ticks(now).wrapping_sub(!self.0.get());
        Duration::from_nanos(u64::from(ticks) << Self::SHIFT)
    }

    const fn ticks(now: Instant) -> u16 {
        (now.as_nanos() >> Self::SHIFT) as u16
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
    fn lately_tells_how_long_ago_something_was_even_where_it_wraps_around() {
        let (tick, wrap) = (1 << Lately::SHIFT, 1_u64 << (16 + Lately::SHIFT));
        for nanos in [0, tick, 60 * tick, wrap - 2 * tick, wrap, 5 * wrap + 7 * tick] {
            let then = Lately::of(Instant::from_nanos(nanos));
            assert_eq!(then.until(Instant::from_nanos(nanos)), Duration::ZERO);
            let later = Instant::from_nanos(nanos + 30 * tick);
            assert_eq!(then.until(later), Duration::from_nanos(30 * tick));
        }
        let last = Lately::of(Instant::from_nanos(wrap - tick));
        let next = last.until(Instant::from_nanos(wrap));
        assert_eq!(next, Duration::from_nanos(2 * tick), "never later than it was");
        assert_eq!(size_of::<Option<Lately>>(), 2);
    }
}
