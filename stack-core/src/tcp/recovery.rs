//! Loss detection and recovery: fast retransmit and NewReno's fast recovery (RFC 5681 §3.2, RFC 6582).

use super::congestion::{Acked, Congestion, CongestionControl, Snapshot};
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
    /// What may be in flight beyond the congestion window during fast recovery: as much as has left the network
    /// by the count of duplicates (RFC 5681 §3.2 (3) and (4)).
    inflation: u32,
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
        Self { recover: iss, duplicates: 0, phase: Phase::Open, inflation: 0, resend: false }
    }

    /// Whether the oldest segment in flight shall be sent once more.
    #[inline]
    pub(crate) fn must_resend(&self) -> bool {
        self.resend
    }

    pub(crate) fn resent(&mut self) {
        self.resend = false;
    }

    /// How much more than the congestion window may be in flight. The first two duplicates each let a new segment
    /// go (RFC 3042).
    #[inline]
    pub(crate) fn beyond_window(&self, mss: u32) -> u32 {
        match self.phase {
            Phase::Open => self.duplicates.min(2) * mss,
            Phase::Fast => self.inflation,
            Phase::Timeout => 0,
        }
    }

    /// A duplicate acknowledgement came, with `una` to `max` in flight.
    pub(crate) fn on_duplicate(
        &mut self,
        una: SeqNumber,
        max: SeqNumber,
        congestion: &mut Congestion,
        at: &Snapshot,
    ) {
        match self.phase {
            Phase::Timeout => {}
            Phase::Fast => self.inflation = self.inflation.saturating_add(at.mss),
            Phase::Open => {
                self.duplicates = self.duplicates.saturating_add(1);
                // RFC 6582 §3.2 (2): duplicates of what an earlier recovery had resent start no new one.
                if self.duplicates == DUPLICATE_THRESHOLD && una.after(self.recover) {
                    self.recover = max;
                    self.phase = Phase::Fast;
                    self.inflation = DUPLICATE_THRESHOLD * at.mss;
                    self.resend = true;
                    congestion.on_loss(at);
                }
            }
        }
    }

    /// New bytes were acknowledged, up to `una`.
    #[inline]
    pub(crate) fn on_ack(&mut self, ack: &Acked, una: SeqNumber, congestion: &mut Congestion) {
        self.duplicates = 0;
        let complete = !una.before(self.recover);
        let in_recovery = self.phase == Phase::Fast;
        congestion.on_ack(&Acked { in_recovery, ..*ack });
        if complete {
            if in_recovery {
                self.resend = false;
                congestion.on_recovered(&Snapshot { now: ack.now, in_flight: ack.in_flight, mss: ack.mss });
            }
            self.phase = Phase::Open;
        } else if in_recovery {
            // RFC 6582 §3.2 (3): a partial acknowledgement says that the next segment was lost as well. The window
            // deflates by what was acknowledged, but for one segment.
            self.resend = true;
            self.inflation = self.inflation.saturating_sub(ack.bytes.saturating_sub(ack.mss));
        }
    }

    /// The retransmission timer went off, with everything up to `max` in flight. Returns whether this is the
    /// first time for this segment.
    pub(crate) fn on_timeout(&mut self, max: SeqNumber) -> bool {
        let first = self.phase != Phase::Timeout;
        *self = Self { phase: Phase::Timeout, ..Self::new(max) };
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CongestionAlgorithm;
    use crate::time::Instant;

    const MSS: u32 = 1_000;

    fn sender() -> (Recovery, Congestion) {
        (Recovery::new(SeqNumber(0)), Congestion::new(CongestionAlgorithm::NewReno, 10 * MSS))
    }

    /// Duplicates of the acknowledgement `una` arrive, with all up to 10,001 in flight.
    fn duplicates(count: u32, una: u32, recovery: &mut Recovery, congestion: &mut Congestion) {
        let at = Snapshot { now: Instant::ZERO, in_flight: 10_001 - una, mss: MSS };
        for _ in 0..count {
            recovery.on_duplicate(SeqNumber(una), SeqNumber(10_001), congestion, &at);
        }
    }

    fn acked(bytes: u32, in_flight: u32) -> Acked {
        Acked { in_flight, ..Acked::of(bytes, MSS) }
    }

    #[test]
    fn third_duplicate_resends_once_and_halves_the_window() {
        let (mut recovery, mut reno) = sender();
        duplicates(2, 1, &mut recovery, &mut reno);
        assert!(!recovery.must_resend());
        assert_eq!(recovery.beyond_window(MSS), 2 * MSS);
        duplicates(1, 1, &mut recovery, &mut reno);
        assert!(recovery.must_resend());
        assert_eq!((reno.window(), recovery.beyond_window(MSS)), (5 * MSS, 3 * MSS));
        recovery.resent();
        duplicates(1, 1, &mut recovery, &mut reno);
        assert!(!recovery.must_resend());
        assert_eq!((reno.window(), recovery.beyond_window(MSS)), (5 * MSS, 4 * MSS));
    }

    #[test]
    fn sender_halves_the_window_once_for_many_losses_of_one_flight() {
        let (mut recovery, mut reno) = sender();
        duplicates(3, 1, &mut recovery, &mut reno);
        recovery.resent();
        recovery.on_ack(&acked(2 * MSS, 8 * MSS), SeqNumber(2_001), &mut reno);
        assert!(recovery.must_resend(), "a partial acknowledgement resends the next hole");
        assert_eq!((reno.window(), recovery.beyond_window(MSS)), (5 * MSS, 2 * MSS));
        recovery.resent();
        recovery.on_ack(&acked(8 * MSS, 8 * MSS), SeqNumber(10_001), &mut reno);
        assert!(!recovery.must_resend());
        assert_eq!((reno.window(), recovery.beyond_window(MSS)), (5 * MSS, 0));
    }

    #[test]
    fn duplicates_of_an_earlier_flight_start_no_second_recovery() {
        let (mut recovery, mut reno) = sender();
        recovery.on_timeout(SeqNumber(10_001));
        recovery.on_ack(&acked(MSS, 0), SeqNumber(1_001), &mut reno);
        let before = reno.window();
        duplicates(5, 1_001, &mut recovery, &mut reno);
        assert_eq!(reno.window(), before);
        assert!(!recovery.must_resend());
    }
}
