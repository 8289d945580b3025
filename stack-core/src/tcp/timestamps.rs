//! Timestamps and protection against wrapped sequence numbers (RFC 7323).

use super::seq::SeqNumber;
use crate::time::{Duration, Instant};
use crate::wire;

/// The timestamps of a connection whose ends both send them.
#[derive(Clone, Copy, Debug)]
#[repr(Rust, packed)]
pub(crate) struct Timestamps {
    /// TS.Recent: the peer's timestamp that our segments echo.
    recent: u32,
    offset: u32,
}

impl Timestamps {
    pub(crate) fn new(recent: u32, offset: u32) -> Self {
        Self { recent, offset }
    }

    /// The option of a segment that is sent now. The timestamp clock ticks once a millisecond.
    #[inline]
    pub(crate) fn stamp(&self, now: Instant) -> wire::Timestamps {
        wire::Timestamps { value: value(self.offset, now), echo: self.recent }
    }

    /// RFC 7323 §5.3 R1: whether a segment with this TSval, after so much silence, is older than what has arrived
    /// before it.
    #[inline]
    pub(crate) fn is_outdated(&self, tsval: u32, silence: Duration) -> bool {
        // RFC 7323 §5.5: after 24 days of silence TS.Recent itself is too old to compare with.
        const OUTDATED_AFTER: Duration = Duration::from_hours(24 * 24);
        is_before(tsval, self.recent) && silence < OUTDATED_AFTER
    }

    /// Whether a segment with this TSval may be older than what has arrived before it.
    #[inline]
    pub(crate) fn precedes(&self, tsval: u32) -> bool {
        is_before(tsval, self.recent)
    }

    /// RFC 7323 §4.3: notes TSval of an acceptable segment that begins at or before the last acknowledgement
    /// that we sent.
    #[inline]
    pub(crate) fn note(&mut self, tsval: u32, seq: SeqNumber, last_ack_sent: SeqNumber) {
        if !is_before(tsval, self.recent) && !seq.after(last_ack_sent) {
            self.recent = tsval;
        }
    }

    /// Time since we sent the timestamp that the peer echoes.
    pub(crate) fn since(&self, echo: u32, now: Instant) -> Duration {
        Duration::from_millis(u64::from(value(self.offset, now).wrapping_sub(echo)))
    }

    /// TS.Recent: the youngest TSval of the peer, as far as is known.
    pub(crate) fn recent(&self) -> u32 {
        self.recent
    }

    /// Whether we sent the timestamp that the peer echoes before `at`, as far as the clock's ticks tell.
    pub(crate) fn is_from_before(&self, echo: u32, at: Instant) -> bool {
        is_before(echo, value(self.offset, at))
    }
}

/// TSval at `now` of a connection whose timestamps start at `offset`.
pub(crate) fn value(offset: u32, now: Instant) -> u32 {
    (now.as_millis() as u32).wrapping_add(offset)
}

/// Whether a TSval is older than another one.
pub(crate) fn is_before(a: u32, b: u32) -> bool {
    SeqNumber(a).before(SeqNumber(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_timestamps_are_outdated_until_24_days_of_silence_have_passed() {
        let timestamps = Timestamps::new(1_000, 0);
        assert!(timestamps.is_outdated(999, Duration::from_millis(5)));
        assert!(!timestamps.is_outdated(1_000, Duration::from_millis(5)));
        assert!(!timestamps.is_outdated(999, Duration::from_hours(24 * 24)));
    }

    #[test]
    fn only_segments_at_the_left_edge_are_noted() {
        let mut timestamps = Timestamps::new(10, 0);
        timestamps.note(20, SeqNumber(101), SeqNumber(100));
        assert_eq!(timestamps.stamp(Instant::from_millis(7)), wire::Timestamps { value: 7, echo: 10 });
        timestamps.note(20, SeqNumber(100), SeqNumber(100));
        assert_eq!(timestamps.stamp(Instant::from_millis(7)), wire::Timestamps { value: 7, echo: 20 });
        timestamps.note(19, SeqNumber(100), SeqNumber(100));
        assert_eq!(timestamps.stamp(Instant::from_millis(7)), wire::Timestamps { value: 7, echo: 20 });
    }
}
