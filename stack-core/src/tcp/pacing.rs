//! Pacing: data leaves no faster than congestion control says, in bursts short enough for a queue on the path and long
//! enough for a device that cuts super-frames (RFC 9002 §7.7, draft-ietf-ccwg-bbr §5.6).

use crate::time::{Duration, Instant};

/// The pace of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pacer {
    /// What was sent until now has left at its pace by then.
    next: Instant,
    /// A burst has left, and data waits for `next`.
    holds: bool,
}

/// A burst lasts so long at the pace; and what a pause or a late timer has left unused counts for so long.
const BURST: Duration = Duration::from_millis(1);

impl Pacer {
    pub(crate) const fn new(now: Instant) -> Self {
        Self { next: now, holds: false }
    }

    /// Until when data has to wait, if it has to: once a burst has left, until it has left at its pace.
    #[inline]
    pub(crate) fn wait(&mut self, now: Instant) -> Option<Instant> {
        let ahead = if self.holds { now } else { now + BURST };
        self.holds = self.next > ahead;
        self.holds_until()
    }

    /// When data leaves that is held back.
    #[inline]
    pub(crate) const fn holds_until(&self) -> Option<Instant> {
        if self.holds { Some(self.next) } else { None }
    }

    /// The time has come.
    pub(crate) const fn release(&mut self) {
        self.holds = false;
    }

    /// The most bytes that are planned at once at a pace of `rate` bytes a second: those of a millisecond, but a segment
    /// at least.
    #[inline]
    pub(crate) fn burst(rate: u64, mss: u32) -> u32 {
        u32::try_from(rate / 1_000).unwrap_or(u32::MAX).max(mss)
    }

    /// `len` bytes have left, at a pace of `rate` bytes a second.
    #[inline]
    pub(crate) fn sent(&mut self, len: u32, rate: u64, now: Instant) {
        let unused_since = Instant::from_nanos(now.as_nanos().saturating_sub(BURST.as_nanos() as u64));
        let takes = u64::from(len) * 1_000_000_000 / rate.max(1);
        self.next = self.next.max(unused_since) + Duration::from_nanos(takes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Instant = Instant::from_millis;

    #[test]
    fn burst_leaves_at_once_and_the_next_one_when_it_has_left_at_the_pace() {
        // 10 kB a millisecond, in segments of 1 kB.
        let rate = 10_000_000;
        let mut pacer = Pacer::new(MS(0));
        let mut burst = |now: Instant| {
            let mut sent = 0;
            while pacer.wait(now).is_none() {
                pacer.sent(1_000, rate, now);
                sent += 1;
            }
            (sent, pacer.holds_until())
        };
        assert_eq!(burst(MS(0)), (11, Some(Instant::from_micros(1_100))));
        assert_eq!(burst(MS(1)), (0, Some(Instant::from_micros(1_100))));
        // A timer that is late by less than a burst costs nothing.
        assert_eq!(burst(Instant::from_micros(1_600)), (16, Some(Instant::from_micros(2_700))));
    }

    #[test]
    fn pause_is_made_up_for_by_no_more_than_a_burst() {
        let rate = 1_000_000;
        let mut pacer = Pacer::new(MS(0));
        let sent = (0..100).take_while(|_| {
            pacer.wait(MS(500)).is_none().then(|| pacer.sent(1_000, rate, MS(500))).is_some()
        });
        assert_eq!(sent.count(), 3);
    }

    #[test]
    fn slow_pace_still_sends_whole_segments() {
        assert_eq!(Pacer::burst(10, 1_460), 1_460);
        assert_eq!(Pacer::burst(10_000_000, 1_460), 10_000);
    }
}
