//! Loss detection and recovery: fast retransmit and NewReno's fast recovery (RFC 5681 §3.2, RFC 6582).

use super::congestion::{CongestionControl, NewReno};
use super::seq::SeqNumber;

/// Duplicate acknowledgements that stand for a lost segment (RFC 5681 §3.2).
const DUPLICATE_THRESHOLD: u32 = 3;

/// What a connection knows of segments that were lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recovery {
    /// The end of what was in flight when the last recovery began, RFC 6582's "recover".
    recover: SeqNumber,
    /// A whole word, so that reading it never waits for a write to the flags beside it.
    duplicates: u32,
    phase: Phase,
    /// The oldest segment in flight shall be sent once more.
    resend: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing is known to be lost.
    Open,
    /// After [`DUPLICATE_THRESHOLD`] duplicates, until `recover` is acknowledged.
    Fast,
    /// After a timeout, until `recover` is acknowledged.
    Timeout,
}

impl Recovery {
    pub(crate) fn new(iss: SeqNumber) -> Self {
        Self { recover: iss, duplicates: 0, phase: Phase::Open, resend: false }
    }

    /// Whether the oldest segment in flight shall be sent once more.
    #[inline]
    pub(crate) fn must_resend(&self) -> bool {
        self.resend
    }

    pub(crate) fn resent(&mut self) {
        self.resend = false;
    }

    /// How much more than the congestion window may be in flight: the first two duplicates each let a new
    /// segment go (RFC 3042).
    #[inline]
    pub(crate) fn limited_transmit(&self, mss: u32) -> u32 {
        if self.phase == Phase::Open { self.duplicates.min(2) * mss } else { 0 }
    }

    /// A duplicate acknowledgement came, with `una` to `max` in flight.
    pub(crate) fn on_duplicate(
        &mut self,
        una: SeqNumber,
        max: SeqNumber,
        congestion: &mut NewReno,
        mss: u32,
    ) {
        match self.phase {
            Phase::Timeout => {}
            Phase::Fast => congestion.on_duplicate_ack(mss),
            Phase::Open => {
                self.duplicates = self.duplicates.saturating_add(1);
                // RFC 6582 §3.2 (2): duplicates of what an earlier recovery had resent start no new one.
                if self.duplicates == DUPLICATE_THRESHOLD && una.after(self.recover) {
                    self.recover = max;
                    self.phase = Phase::Fast;
                    self.resend = true;
                    congestion.on_recovery(max.since(una), mss);
                }
            }
        }
    }

    /// `acked` new bytes were acknowledged, up to `una`; `flight` bytes still are in flight.
    #[inline]
    pub(crate) fn on_ack(
        &mut self,
        acked: u32,
        una: SeqNumber,
        flight: u32,
        limited: bool,
        congestion: &mut NewReno,
        mss: u32,
    ) {
        self.duplicates = 0;
        let complete = !una.before(self.recover);
        match self.phase {
            Phase::Open => congestion.on_ack(acked, limited, mss),
            Phase::Fast if complete => {
                self.phase = Phase::Open;
                self.resend = false;
                congestion.on_recovered(flight, mss);
            }
            // RFC 6582 §3.2 (3): a partial acknowledgement says that the next segment was lost as well.
            Phase::Fast => {
                self.resend = true;
                congestion.on_partial_ack(acked, mss);
            }
            Phase::Timeout => {
                if complete {
                    self.phase = Phase::Open;
                }
                congestion.on_ack(acked, limited, mss);
            }
        }
    }

    /// The retransmission timer went off, with everything up to `max` in flight. Returns whether this is the
    /// first time for this segment.
    pub(crate) fn on_timeout(&mut self, max: SeqNumber) -> bool {
        let first = self.phase != Phase::Timeout;
        *self = Self { recover: max, duplicates: 0, phase: Phase::Timeout, resend: false };
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1_000;

    fn sender() -> (Recovery, NewReno) {
        (Recovery::new(SeqNumber(0)), NewReno::new(10 * MSS))
    }

    #[test]
    fn third_duplicate_resends_once_and_halves_the_window() {
        let (mut recovery, mut reno) = sender();
        for _ in 0..2 {
            recovery.on_duplicate(SeqNumber(1), SeqNumber(10_001), &mut reno, MSS);
        }
        assert!(!recovery.must_resend());
        assert_eq!(recovery.limited_transmit(MSS), 2 * MSS);
        recovery.on_duplicate(SeqNumber(1), SeqNumber(10_001), &mut reno, MSS);
        assert!(recovery.must_resend());
        assert_eq!(reno.window(), 5 * MSS + 3 * MSS);
        recovery.resent();
        recovery.on_duplicate(SeqNumber(1), SeqNumber(10_001), &mut reno, MSS);
        assert!(!recovery.must_resend());
        assert_eq!(reno.window(), 9 * MSS);
    }

    #[test]
    fn sender_halves_the_window_once_for_many_losses_of_one_flight() {
        let (mut recovery, mut reno) = sender();
        for _ in 0..3 {
            recovery.on_duplicate(SeqNumber(1), SeqNumber(10_001), &mut reno, MSS);
        }
        recovery.resent();
        recovery.on_ack(4 * MSS, SeqNumber(4_001), 6 * MSS, true, &mut reno, MSS);
        assert!(recovery.must_resend(), "a partial acknowledgement resends the next hole");
        recovery.resent();
        recovery.on_ack(6 * MSS, SeqNumber(10_001), 8 * MSS, true, &mut reno, MSS);
        assert!(!recovery.must_resend());
        assert_eq!(reno.window(), 5 * MSS);
    }

    #[test]
    fn duplicates_of_an_earlier_flight_start_no_second_recovery() {
        let (mut recovery, mut reno) = sender();
        recovery.on_timeout(SeqNumber(10_001));
        recovery.on_ack(MSS, SeqNumber(1_001), 0, true, &mut reno, MSS);
        let before = reno.window();
        for _ in 0..5 {
            recovery.on_duplicate(SeqNumber(1_001), SeqNumber(10_001), &mut reno, MSS);
        }
        assert_eq!(reno.window(), before);
        assert!(!recovery.must_resend());
    }
}
