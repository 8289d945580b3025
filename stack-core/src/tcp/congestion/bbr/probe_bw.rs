//! ProbeBW (draft §5.3.3), the steady state: send a little slower, then as fast as the path delivers, and after some time
//! faster, to see whether there is more.

use super::model::{Sample, UNBOUNDED};
use super::{BETA, Bbr, State, percent};
use crate::time::{Duration, Instant};

#[derive(Clone, Debug)]
pub(super) struct ProbeBw {
    /// BBR.ack_phase.
    ack_phase: AckPhase,
    /// BBR.is_bw_probe_sample: acknowledgements are of data that was sent to probe.
    pub(super) samples: bool,
    /// BBR.bw_probe_up_acked and BBR.probe_up_acked_per_inc: what was acknowledged since the bound on what is in flight
    /// was raised by a segment, and how much it takes to raise it.
    up_acked: u32,
    up_acked_per_segment: u32,
    /// Rounds in which that bound was raised in this probe.
    up_rounds: u8,
    rounds_since_up: u32,
    /// Since when this cycle lasts, and how long it may before the next probe.
    since: Instant,
    wait: Duration,
    /// The last probe met with too many losses, or was ended before it could.
    too_high: bool,
    precautionary: bool,
}

/// What the acknowledgements of this round trip answer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AckPhase {
    Init,
    Refilling,
    Starting,
    Feedback,
    Stopping,
}

/// Rounds that Reno would need to come back to the same window, at most (draft §5.3.3.8.3).
const MOST_RENO_ROUNDS: u32 = 63;
/// The shortest time between two probes; up to a second is added by chance.
const LEAST_WAIT: Duration = Duration::from_secs(2);

impl ProbeBw {
    pub(super) fn new() -> Self {
        Self {
            ack_phase: AckPhase::Init,
            samples: false,
            up_acked: 0,
            up_acked_per_segment: UNBOUNDED,
            up_rounds: 0,
            rounds_since_up: 0,
            since: Instant::ZERO,
            wait: Duration::ZERO,
            too_high: false,
            precautionary: false,
        }
    }

    /// What comes back from now on no longer answers to a probe.
    pub(super) fn stop(&mut self) {
        self.ack_phase = AckPhase::Stopping;
    }

    /// PickProbeWait (draft §5.3.3.8.3): flows that began together shall not probe together.
    fn pick_wait(&mut self, chance: u64) {
        let mut rng = fastrand::Rng::with_seed(chance);
        self.rounds_since_up = u32::from(rng.bool());
        self.wait = LEAST_WAIT + Duration::from_micros(rng.u64(..1_000_000));
    }
}

impl Bbr {
    /// UpdateProbeBWCyclePhase (draft §5.3.3.9).
    pub(super) fn update_probe_bw(&mut self, sample: &Sample) {
        self.probe_bw.rounds_since_up += u32::from(self.model.round_start);
        if !self.full_pipe.reached || self.adapt_longterm(sample) {
            return;
        }
        let go_down = self.state == State::Up && self.is_time_to_go_down(sample);
        match self.state {
            State::Down if self.is_time_to_probe(sample) => self.start_refill(),
            State::Down if self.is_time_to_cruise(sample) => self.state = State::Cruise,
            State::Cruise if self.is_time_to_probe(sample) => self.start_refill(),
            State::Refill if self.model.round_start => {
                self.probe_bw.samples = true;
                self.start_up(sample);
            }
            State::Up if go_down => {
                self.probe_bw.too_high = false;
                self.start_down();
            }
            _ => {}
        }
    }

    /// StartProbeBW_DOWN.
    pub(super) fn start_down(&mut self) {
        let now = self.model.now;
        self.model.reset_signals();
        self.probe_bw.up_acked_per_segment = UNBOUNDED;
        self.probe_bw.pick_wait(now.as_nanos() ^ self.model.max_bw());
        self.probe_bw.since = now;
        self.probe_bw.stop();
        self.model.start_round();
        self.state = State::Down;
    }

    /// StartProbeBW_CRUISE.
    pub(super) fn start_cruise(&mut self) {
        self.state = State::Cruise;
    }

    /// StartProbeBW_REFILL.
    pub(super) fn start_refill(&mut self) {
        self.model.reset_shortterm();
        self.probe_bw.up_rounds = 0;
        self.probe_bw.up_acked = 0;
        self.probe_bw.precautionary = false;
        self.probe_bw.ack_phase = AckPhase::Refilling;
        self.model.start_round();
        self.state = State::Refill;
    }

    /// StartProbeBW_UP.
    fn start_up(&mut self, sample: &Sample) {
        self.probe_bw.ack_phase = AckPhase::Starting;
        self.model.start_round();
        self.full_pipe.reset(sample.delivery_rate);
        self.state = State::Up;
        self.raise_slope(sample.mss);
    }

    /// IsTimeToCruise: the queue is drained, and others have room.
    fn is_time_to_cruise(&self, sample: &Sample) -> bool {
        sample.in_flight <= self.model.inflight_with_headroom(sample.mss)
            && sample.in_flight <= self.inflight(100, sample.mss)
    }

    /// IsTimeToProbeBW: time enough has passed, or as many rounds as Reno would take to come back.
    fn is_time_to_probe(&self, sample: &Sample) -> bool {
        let reno_rounds = (self.target_inflight() / sample.mss.max(1)).min(MOST_RENO_ROUNDS);
        sample.now > self.probe_bw.since + self.probe_bw.wait || self.probe_bw.rounds_since_up >= reno_rounds
    }

    /// IsTimeToGoDown.
    fn is_time_to_go_down(&mut self, sample: &Sample) -> bool {
        if self.probe_bw.too_high && sample.in_flight >= self.model.inflight_longterm {
            self.probe_bw.precautionary = true;
            return true;
        }
        if sample.cwnd_limited && self.cwnd >= self.model.inflight_longterm {
            // The bound, and not the path, has limited the bandwidth.
            self.full_pipe.reset(sample.delivery_rate);
            return false;
        }
        self.full_pipe.now
    }

    /// AdaptLongTermModel. Returns whether it has changed the state.
    fn adapt_longterm(&mut self, sample: &Sample) -> bool {
        let round_start = self.model.round_start;
        if self.probe_bw.ack_phase == AckPhase::Starting && round_start {
            self.probe_bw.ack_phase = AckPhase::Feedback;
        }
        if self.probe_bw.ack_phase == AckPhase::Stopping && round_start {
            self.probe_bw.samples = false;
            self.probe_bw.ack_phase = AckPhase::Init;
            if self.state.is_probe_bw() && !sample.app_limited {
                self.model.advance_max_bw();
            }
            if self.state.is_probe_bw() && self.probe_bw.precautionary && !self.probe_bw.too_high {
                self.start_refill();
                return true;
            }
        }
        if self.model.inflight_longterm != UNBOUNDED && !sample.is_inflight_too_high() {
            self.model.inflight_longterm = self.model.inflight_longterm.max(sample.tx_in_flight);
            if self.state == State::Up {
                self.probe_upward(sample);
            }
        }
        false
    }

    /// ProbeInflightLongtermUpward: by a segment in the first round trip, by twice as many in each further one.
    fn probe_upward(&mut self, sample: &Sample) {
        if !sample.cwnd_limited || self.cwnd < self.model.inflight_longterm {
            return;
        }
        let per_segment = self.probe_bw.up_acked_per_segment.max(1);
        let acked = self.probe_bw.up_acked.saturating_add(sample.newly_acked);
        let segments = acked / per_segment;
        self.probe_bw.up_acked = acked % per_segment;
        let growth = segments.saturating_mul(sample.mss);
        self.model.inflight_longterm = self.model.inflight_longterm.saturating_add(growth);
        if self.model.round_start {
            self.raise_slope(sample.mss);
        }
    }

    /// RaiseInflightLongtermSlope.
    fn raise_slope(&mut self, mss: u32) {
        let per_segment = self.cwnd >> self.probe_bw.up_rounds;
        self.probe_bw.up_rounds = (self.probe_bw.up_rounds + 1).min(30);
        self.probe_bw.up_acked_per_segment = per_segment.max(mss);
    }

    /// HandleInflightTooHigh (draft §5.5.10.2): once for each probe, what was in flight becomes the bound.
    pub(super) fn on_inflight_too_high(&mut self, tx_in_flight: u32, app_limited: bool) {
        self.probe_bw.too_high = true;
        self.probe_bw.samples = false;
        if !app_limited {
            let least = percent(u64::from(self.target_inflight()), BETA) as u32;
            self.model.inflight_longterm = tx_in_flight.max(least);
        }
        if self.state == State::Up {
            self.undo.state = Some(State::Up);
            self.start_down();
        }
    }
}
