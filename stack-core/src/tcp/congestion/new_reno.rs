//! NewReno: slow start and congestion avoidance (RFC 5681), halved once for each flight with losses (RFC 6582).

use super::{Acked, CongestionControl, Idle, MAX_WINDOW, Snapshot, restart_window};
use crate::time::Instant;

#[derive(Clone, Copy, Debug)]
pub(crate) struct NewReno {
    cwnd: u32,
    ssthresh: u32,
    /// Bytes acknowledged since the window last grew, in congestion avoidance (RFC 3465).
    acked: u32,
    /// The window and threshold before the last reduction.
    before: (u32, u32),
}

impl NewReno {
    pub(crate) fn new(cwnd: u32, ssthresh: u32) -> Self {
        Self { cwnd, ssthresh, acked: 0, before: (cwnd, ssthresh) }
    }

    /// RFC 5681 §3.1, equation 4.
    fn halve(&mut self, at: &Snapshot) {
        self.before = (self.cwnd, self.ssthresh);
        self.ssthresh = (at.in_flight / 2).max(2 * at.mss);
        self.acked = 0;
    }

    /// The window comes down to `cwnd`, and grows by a segment in each round trip from there.
    pub(crate) fn reduce_to(&mut self, cwnd: u32, mss: u32) {
        self.before = (self.cwnd, self.ssthresh);
        self.ssthresh = cwnd.max(2 * mss);
        self.cwnd = self.ssthresh;
        self.acked = 0;
    }

    fn grow(&mut self, bytes: u32) {
        self.cwnd = self.cwnd.saturating_add(bytes).min(MAX_WINDOW);
    }
}

impl CongestionControl for NewReno {
    #[inline]
    fn window(&self) -> u32 {
        self.cwnd
    }

    fn ssthresh(&self) -> u32 {
        self.ssthresh
    }

    #[inline]
    fn on_ack(&mut self, ack: &Acked) {
        // RFC 3168 §6.1.2: no growth for an acknowledgement that tells of marks.
        if !ack.limited || ack.in_recovery || ack.ce > 0 {
            return;
        }
        if self.cwnd < self.ssthresh {
            // RFC 5681 §3.1, equation 2, by bytes. Acknowledgements cover whole bursts here, so that a limit
            // of one or two segments for each (RFC 3465) would make slow start slower than it is on the wire.
            self.grow(ack.bytes);
            return;
        }
        // RFC 5681 §3.1: a segment for each window's worth of acknowledged bytes.
        self.acked = self.acked.saturating_add(ack.bytes);
        while self.acked >= self.cwnd {
            self.acked -= self.cwnd;
            self.grow(ack.mss);
        }
    }

    #[inline]
    fn on_ack_of_less(&mut self, _now: Instant) -> bool {
        true
    }

    fn on_loss(&mut self, at: &Snapshot) {
        self.halve(at);
        self.cwnd = self.ssthresh;
    }

    fn on_recovered(&mut self, _: &Snapshot) {
        // RFC 6937 §3: what is in flight is near this already.
        self.cwnd = self.ssthresh;
    }

    fn on_timeout(&mut self, at: &Snapshot, first: bool) {
        // RFC 5681 §3.1: ssthresh stays as it is when the same segment times out again.
        if first {
            self.halve(at);
        }
        self.acked = 0;
        self.cwnd = at.mss;
    }

    fn undo(&mut self) {
        let (cwnd, ssthresh) = self.before;
        self.cwnd = self.cwnd.max(cwnd);
        self.ssthresh = self.ssthresh.max(ssthresh);
    }

    fn on_ecn(&mut self, at: &Snapshot) {
        // RFC 3168 §6.1.2: as for a lost segment.
        self.on_loss(at);
    }

    #[inline]
    fn on_idle(&mut self, idle: &Idle) {
        (self.cwnd, self.ssthresh) = restart_window(self.cwnd, self.ssthresh, idle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1_000;

    fn acked(bytes: u32) -> Acked {
        Acked::of(bytes, MSS)
    }

    fn flight(in_flight: u32) -> Snapshot {
        Snapshot { in_flight, mss: MSS }
    }

    #[test]
    fn slow_start_doubles_the_window_in_a_round_trip() {
        let mut reno = NewReno::new(10 * MSS, MAX_WINDOW);
        for _ in 0..10 {
            reno.on_ack(&acked(MSS));
        }
        assert_eq!(reno.window(), 20 * MSS);
    }

    #[test]
    fn congestion_avoidance_adds_a_segment_in_a_round_trip() {
        let mut reno = NewReno::new(10 * MSS, MAX_WINDOW);
        reno.on_loss(&flight(20 * MSS));
        reno.on_recovered(&flight(20 * MSS));
        assert_eq!(reno.window(), 10 * MSS);
        for _ in 0..10 {
            reno.on_ack(&acked(MSS));
        }
        assert_eq!(reno.window(), 11 * MSS);
    }

    #[test]
    fn window_that_was_not_used_does_not_grow() {
        let mut reno = NewReno::new(10 * MSS, MAX_WINDOW);
        reno.on_ack(&Acked { limited: false, ..acked(5 * MSS) });
        assert_eq!(reno.window(), 10 * MSS);
    }

    #[test]
    fn window_stays_at_the_threshold_until_recovery_ends() {
        let mut reno = NewReno::new(10 * MSS, MAX_WINDOW);
        reno.on_loss(&flight(10 * MSS));
        reno.on_ack(&Acked { in_recovery: true, ..acked(9 * MSS) });
        assert_eq!(reno.window(), 5 * MSS);
        assert_eq!(reno.ssthresh(), 5 * MSS);
    }

    #[test]
    fn timeout_leaves_one_segment_and_half_the_flight_as_threshold() {
        let mut reno = NewReno::new(10 * MSS, MAX_WINDOW);
        reno.on_timeout(&flight(8 * MSS), true);
        assert_eq!(reno.window(), MSS);
        reno.on_timeout(&flight(MSS), false);
        for _ in 0..3 {
            reno.on_ack(&acked(MSS));
        }
        assert_eq!(reno.window(), 4 * MSS, "slow start up to half of the first flight");
        reno.on_ack(&acked(MSS));
        assert_eq!(reno.window(), 4 * MSS, "congestion avoidance from there on");
    }

    #[test]
    fn threshold_is_never_below_two_segments() {
        let mut reno = NewReno::new(10 * MSS, MAX_WINDOW);
        reno.on_loss(&flight(MSS));
        assert_eq!(reno.ssthresh(), 2 * MSS);
    }

    #[test]
    fn reduction_for_nothing_is_taken_back() {
        let mut reno = NewReno::new(10 * MSS, MAX_WINDOW);
        reno.on_timeout(&flight(10 * MSS), true);
        reno.undo();
        assert_eq!(reno.window(), 10 * MSS);
        reno.on_ack(&acked(MSS));
        assert_eq!(reno.window(), 11 * MSS, "and slow start goes on");
    }
}
