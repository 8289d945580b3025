//! Startup and Drain (draft §5.3.1, §5.3.2): the sending rate doubles in each round trip until the bandwidth grows no
//! more; then the queue that this made is drained.

use super::model::Sample;
use super::{Bbr, State};

/// Looks for the plateau of a rising delivery rate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FullPipe {
    /// BBR.full_bw_reached: the bandwidth was fully used once.
    pub(super) reached: bool,
    /// BBR.full_bw_now: it was since one began to look.
    pub(super) now: bool,
    bw: u64,
    rounds: u8,
    /// Acknowledgements of this round trip that told of losses.
    loss_events: u8,
}

/// Round trips with little growth that make a plateau.
const PLATEAU_ROUNDS: u8 = 3;
/// BBRStartupFullLossCnt.
const STARTUP_FULL_LOSS_COUNT: u8 = 6;
/// Round trips in Drain after which the queue counts as drained whatever is in flight.
const DRAIN_ROUNDS: u32 = 3;

impl FullPipe {
    /// ResetFullBW (draft §5.3.1.2), with a baseline.
    pub(super) fn reset(&mut self, bw: u64) {
        *self = Self { now: false, bw, rounds: 0, ..*self };
    }

    /// CheckFullBWReached (draft §5.3.1.2).
    pub(super) fn check(&mut self, sample: &Sample, round_start: bool) {
        if self.now || !round_start || sample.app_limited {
            return;
        }
        if sample.delivery_rate >= self.bw.saturating_add(self.bw / 4) {
            return self.reset(sample.delivery_rate);
        }
        self.rounds += 1;
        self.now = self.rounds >= PLATEAU_ROUNDS;
        self.reached |= self.now;
    }
}

impl Bbr {
    /// CheckStartupDone (draft §5.3.1).
    pub(super) fn check_startup(&mut self, sample: &Sample, in_recovery: bool, loss_round_start: bool) {
        if self.state == State::Startup {
            self.check_startup_high_loss(sample, in_recovery, loss_round_start);
            if self.full_pipe.reached {
                self.enter_drain();
            }
        }
        if loss_round_start {
            self.full_pipe.loss_events = 0;
        }
    }

    /// CheckStartupHighLoss (draft §5.3.1.3).
    fn check_startup_high_loss(&mut self, sample: &Sample, in_recovery: bool, loss_round_start: bool) {
        let events = self.full_pipe.loss_events.saturating_add(u8::from(sample.newly_lost > 0));
        self.full_pipe.loss_events = events;
        if in_recovery
            && loss_round_start
            && events >= STARTUP_FULL_LOSS_COUNT
            && sample.is_inflight_too_high()
        {
            self.leave_startup_for_congestion();
        }
    }

    /// The bandwidth counts as found, and what was delivered in the last round trip as safe.
    pub(super) fn leave_startup_for_congestion(&mut self) {
        self.undo.state = Some(State::Startup);
        self.full_pipe.reached = true;
        let bdp = self.model.bdp_multiple(100, self.initial_cwnd);
        self.model.inflight_longterm = bdp.max(self.model.inflight_latest);
        self.enter_drain();
    }

    fn enter_drain(&mut self) {
        self.state = State::Drain { since_round: self.model.round_count };
    }

    /// CheckDrainDone (draft §5.3.2).
    pub(super) fn check_drain(&mut self, sample: &Sample) {
        let State::Drain { since_round } = self.state else { return };
        let rounds = self.model.round_count.wrapping_sub(since_round);
        if sample.in_flight <= self.inflight(100, sample.mss) || rounds > DRAIN_ROUNDS {
            self.start_down();
        }
    }
}
