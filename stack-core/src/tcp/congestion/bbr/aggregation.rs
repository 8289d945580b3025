//! How much more is acknowledged at once than the bandwidth explains (draft §5.5.9): the window has to allow for it, or
//! the sender falls silent between two acknowledgements.

use super::model::Sample;
use crate::time::Instant;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Aggregation {
    /// Since when deliveries are compared with what was expected.
    since: Instant,
    delivered: u64,
    /// The greatest excess of the last rounds and of those before, half of the filter's window each.
    most: [u32; 2],
    rounds: u8,
}

/// Half of BBR.ExtraAckedFilterLen, in round trips.
const HALF_WINDOW: u8 = 5;

impl Aggregation {
    pub(super) fn most(&self) -> u32 {
        self.most[0].max(self.most[1])
    }

    /// UpdateACKAggregation (draft §5.5.9). Before the pipe is `full`, one round trip is remembered.
    pub(super) fn update(&mut self, sample: &Sample, bw: u64, cwnd: u32, round_start: bool, full: bool) {
        if round_start {
            self.rounds += 1;
            if self.rounds >= if full { HALF_WINDOW } else { 1 } {
                self.rounds = 0;
                self.most = [self.most[1], 0];
            }
        }
        let nanos = (sample.now - self.since).as_nanos();
        let mut expected = (u128::from(bw) * nanos / 1_000_000_000) as u64;
        if self.delivered <= expected {
            self.restart(sample.now);
            expected = 0;
        }
        self.delivered += u64::from(sample.newly_acked);
        let extra = (self.delivered - expected).min(u64::from(cwnd)) as u32;
        self.most[1] = self.most[1].max(extra);
    }

    pub(super) fn restart(&mut self, now: Instant) {
        (self.since, self.delivered) = (now, 0);
    }
}
