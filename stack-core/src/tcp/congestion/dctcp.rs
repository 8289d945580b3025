//! DCTCP (RFC 8257): the window comes down by as much as there are marks, and not by half for the first of them. For
//! networks whose queues all mark early, such as those of a data centre.

use super::{Acked, CongestionControl, Idle, NewReno, Snapshot};

/// Grows, and answers to losses, as [`NewReno`] does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dctcp {
    reno: NewReno,
    /// DCTCP.Alpha, the estimated share of bytes that are marked; [`ONE`] for all of them.
    alpha: u32,
    /// DCTCP.BytesAcked and DCTCP.BytesMarked of this observation window.
    acked: u64,
    marked: u64,
}

/// A share of one.
const ONE: u32 = 1 << 20;
/// RFC 8257 §4.2: g = 1/16, as a shift.
const GAIN_SHIFT: u32 = 4;

impl Dctcp {
    pub(crate) fn new(cwnd: u32, ssthresh: u32) -> Self {
        // RFC 8257 §4.2: at first as careful as Reno.
        Self { reno: NewReno::new(cwnd, ssthresh), alpha: ONE, acked: 0, marked: 0 }
    }

    /// RFC 8257 §3.3 steps 6 to 8: an observation window, one round trip, is over.
    fn observe(&mut self) {
        let share = self.marked * u64::from(ONE) / self.acked.max(1);
        self.alpha =
            self.alpha - (self.alpha >> GAIN_SHIFT) + (share.min(u64::from(ONE)) as u32 >> GAIN_SHIFT);
        (self.acked, self.marked) = (0, 0);
    }
}

impl CongestionControl for Dctcp {
    #[inline]
    fn window(&self) -> u32 {
        self.reno.window()
    }

    fn ssthresh(&self) -> u32 {
        self.reno.ssthresh()
    }

    fn on_ack(&mut self, ack: &Acked) {
        self.acked += u64::from(ack.bytes);
        self.marked += u64::from(ack.ce);
        if ack.round_start {
            self.observe();
        }
        self.reno.on_ack(ack);
    }

    fn on_loss(&mut self, at: &Snapshot) {
        // RFC 8257 §3.5: as for conventional congestion control.
        self.reno.on_loss(at);
    }

    fn on_recovered(&mut self, at: &Snapshot) {
        self.reno.on_recovered(at);
    }

    fn on_timeout(&mut self, at: &Snapshot, first: bool) {
        self.reno.on_timeout(at, first);
    }

    fn undo(&mut self) {
        self.reno.undo();
    }

    fn on_ecn(&mut self, at: &Snapshot) {
        // RFC 8257 §3.3 step 9: cwnd = cwnd * (1 - DCTCP.Alpha / 2).
        let cut = u64::from(self.reno.window()) * u64::from(self.alpha) / u64::from(2 * ONE);
        self.reno.reduce_to(self.reno.window() - cut as u32, at.mss);
    }

    #[inline]
    fn on_idle(&mut self, idle: &Idle) {
        self.reno.on_idle(idle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CongestionAlgorithm;
    use crate::tcp::congestion::bottleneck::{Bottleneck, Link, MSS};
    use crate::tcp::congestion::{Congestion, MAX_WINDOW};
    use crate::time::Duration;

    /// A round trip of sixteen acknowledgements, `marked` of them.
    fn round(dctcp: &mut Dctcp, marked: u32) {
        for ack in 0..16 {
            let ce = if ack < marked { MSS } else { 0 };
            dctcp.on_ack(&Acked { ce, limited: false, round_start: ack == 15, ..Acked::of(MSS, MSS) });
        }
    }

    fn mark(dctcp: &mut Dctcp) {
        dctcp.on_ecn(&Snapshot { in_flight: dctcp.window(), mss: MSS });
    }

    #[test]
    fn alpha_is_a_moving_average_of_the_share_of_marks() {
        // RFC 8257 §3.3: Alpha = Alpha * (1 - g) + g * M, with g = 1/16 and from 1 on.
        let mut dctcp = Dctcp::new(100 * MSS, MAX_WINDOW);
        let mut expected = 1.0;
        for marked in [0, 0, 8, 16, 4, 0, 1] {
            round(&mut dctcp, marked);
            expected = expected * 15.0 / 16.0 + f64::from(marked) / 16.0 / 16.0;
            let alpha = f64::from(dctcp.alpha) / f64::from(ONE);
            assert!((alpha - expected).abs() < 1e-4, "{alpha}, not {expected}");
        }
    }

    #[test]
    fn window_comes_down_by_half_of_alpha() {
        let mut dctcp = Dctcp::new(100 * MSS, MAX_WINDOW);
        mark(&mut dctcp);
        assert_eq!(dctcp.window(), 50 * MSS, "all marked, at first");
        let mut dctcp = Dctcp::new(100 * MSS, MAX_WINDOW);
        for _ in 0..200 {
            round(&mut dctcp, 4);
        }
        mark(&mut dctcp);
        // A quarter marked: 100 * (1 - 0.25 / 2) = 87.5 segments.
        assert!(dctcp.window().abs_diff(87_500) < 10, "{}", dctcp.window());
        assert_eq!(dctcp.ssthresh(), dctcp.window());
    }

    #[test]
    fn loss_halves_the_window_whatever_alpha_is() {
        let mut dctcp = Dctcp::new(100 * MSS, MAX_WINDOW);
        for _ in 0..200 {
            round(&mut dctcp, 0);
        }
        dctcp.on_loss(&Snapshot { in_flight: 100 * MSS, mss: MSS });
        assert_eq!(dctcp.window(), 50 * MSS);
    }

    #[test]
    fn queue_stays_near_the_marking_threshold_and_the_link_is_used() {
        // 1 Gbit/s, 200 µs: 25 segments are on their way. The threshold of 20 is above a seventh of that, which is what
        // full use takes (RFC 8257 §5; the DCTCP paper §3.4).
        let link = Link {
            rtt: Duration::from_micros(200),
            mark_above: Some(20_000),
            ..Link::new(1_000_000_000, 0, 1_000_000)
        };
        let mut path = Bottleneck::new(link, 1);
        for _ in 0..2 {
            path.add(Congestion::new(CongestionAlgorithm::Dctcp, 10 * MSS, u32::MAX));
        }
        path.run(Duration::from_secs(2));
        let shares = path.run(Duration::from_secs(2));
        let total: f64 = shares.iter().map(|share| share.goodput).sum();
        assert!(total > 0.98e9, "{shares:?}");
        for share in &shares {
            assert!((5_000.0..30_000.0).contains(&share.queue), "{shares:?}");
            assert!(share.worst_queue < 50_000, "{shares:?}");
            assert!((0.4..0.6).contains(&(share.goodput / total)), "{shares:?}");
        }
    }
}
