//! NewReno: slow start and congestion avoidance (RFC 5681), with the window of fast recovery (RFC 6582).

use super::CongestionControl;

#[derive(Clone, Copy, Debug)]
pub(crate) struct NewReno {
    cwnd: u32,
    ssthresh: u32,
    /// Bytes acknowledged since the window last grew, in congestion avoidance (RFC 3465).
    acked: u32,
}

/// No congestion window grows beyond this: windows on the wire end at 2^30 (RFC 7323 §2.3).
const MAX_WINDOW: u32 = 1 << 30;

impl NewReno {
    pub(crate) fn new(initial_window: u32) -> Self {
        Self { cwnd: initial_window, ssthresh: MAX_WINDOW, acked: 0 }
    }

    /// RFC 5681 §3.1, equation 4.
    fn halve(&mut self, flight: u32, mss: u32) {
        self.ssthresh = (flight / 2).max(2 * mss);
        self.acked = 0;
    }

    fn grow(&mut self, bytes: u32) {
        self.cwnd = self.cwnd.saturating_add(bytes).min(MAX_WINDOW);
    }
}

impl CongestionControl for NewReno {
    fn window(&self) -> u32 {
        self.cwnd
    }

    fn on_ack(&mut self, acked: u32, limited: bool, mss: u32) {
        if !limited {
            return;
        }
        if self.cwnd < self.ssthresh {
            // RFC 5681 §3.1, equation 2, by bytes. Acknowledgements cover whole bursts here, so that a limit
            // of one or two segments for each (RFC 3465) would make slow start slower than it is on the wire.
            self.grow(acked);
            return;
        }
        // RFC 5681 §3.1: a segment for each window's worth of acknowledged bytes.
        self.acked = self.acked.saturating_add(acked);
        while self.acked >= self.cwnd {
            self.acked -= self.cwnd;
            self.grow(mss);
        }
    }

    fn on_recovery(&mut self, flight: u32, mss: u32) {
        self.halve(flight, mss);
        // RFC 5681 §3.2 (3): the three segments that made the duplicate ACKs have left the network.
        self.cwnd = self.ssthresh.saturating_add(3 * mss);
    }

    fn on_duplicate_ack(&mut self, mss: u32) {
        self.grow(mss);
    }

    fn on_partial_ack(&mut self, acked: u32, mss: u32) {
        // RFC 6582 §3.2 (3): deflate by what was acknowledged, and let one more segment go.
        self.cwnd = self.cwnd.saturating_sub(acked).max(mss);
        if acked >= mss {
            self.grow(mss);
        }
    }

    fn on_recovered(&mut self, flight: u32, mss: u32) {
        // RFC 6582 §3.2 (3), option 1: no burst out of recovery.
        self.cwnd = self.ssthresh.min(flight.max(mss) + mss);
    }

    fn on_timeout(&mut self, flight: u32, first: bool, mss: u32) {
        // RFC 5681 §3.1: ssthresh stays as it is when the same segment times out again.
        if first {
            self.halve(flight, mss);
        }
        self.acked = 0;
        self.cwnd = mss;
    }

    fn on_idle(&mut self, initial: u32) {
        self.cwnd = self.cwnd.min(initial);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1_000;

    #[test]
    fn slow_start_doubles_the_window_in_a_round_trip() {
        let mut reno = NewReno::new(10 * MSS);
        for _ in 0..10 {
            reno.on_ack(MSS, true, MSS);
        }
        assert_eq!(reno.window(), 20 * MSS);
    }

    #[test]
    fn congestion_avoidance_adds_a_segment_in_a_round_trip() {
        let mut reno = NewReno::new(10 * MSS);
        reno.on_recovery(20 * MSS, MSS);
        reno.on_recovered(20 * MSS, MSS);
        assert_eq!(reno.window(), 10 * MSS);
        for _ in 0..10 {
            reno.on_ack(MSS, true, MSS);
        }
        assert_eq!(reno.window(), 11 * MSS);
    }

    #[test]
    fn window_that_was_not_used_does_not_grow() {
        let mut reno = NewReno::new(10 * MSS);
        reno.on_ack(5 * MSS, false, MSS);
        assert_eq!(reno.window(), 10 * MSS);
    }

    #[test]
    fn timeout_leaves_one_segment_and_half_the_flight_as_threshold() {
        let mut reno = NewReno::new(10 * MSS);
        reno.on_timeout(8 * MSS, true, MSS);
        assert_eq!(reno.window(), MSS);
        reno.on_timeout(MSS, false, MSS);
        for _ in 0..3 {
            reno.on_ack(MSS, true, MSS);
        }
        assert_eq!(reno.window(), 4 * MSS, "slow start up to half of the first flight");
        reno.on_ack(MSS, true, MSS);
        assert_eq!(reno.window(), 4 * MSS, "congestion avoidance from there on");
    }

    #[test]
    fn threshold_is_never_below_two_segments() {
        let mut reno = NewReno::new(10 * MSS);
        reno.on_recovery(MSS, MSS);
        assert_eq!(reno.window(), 5 * MSS);
    }
}
