//! BBR, version 3 (draft-ietf-ccwg-bbr; sections as of August 2026): a model of the path, its bandwidth and its round trip, decides how fast data
//! leaves and how much of it is in flight. Losses and marks bound the model; they do not drive it.
//!
//! | file | what it holds |
//! |---|---|
//! | `model` | what is known of the path, for long and for now |
//! | `aggregation` | how much more is acknowledged at once than the bandwidth explains |
//! | `startup` | finding the bandwidth, and draining the queue that this made |
//! | `probe_bw` | the steady state: slower, even, faster |
//! | `probe_rtt` | looking at the round trip of an empty queue |
//!
//! Times of the draft are in nanoseconds here, bandwidths in bytes per second, volumes in bytes and gains in percent.

use super::{Acked, CongestionControl, Idle, LostSegment, MAX_WINDOW, Snapshot};
use model::{Model, Sample, UNBOUNDED};
use probe_bw::ProbeBw;
use probe_rtt::ProbeRtt;
use startup::FullPipe;

mod aggregation;
mod model;
mod probe_bw;
mod probe_rtt;
mod startup;

#[derive(Clone, Debug)]
pub(crate) struct Bbr {
    state: State,
    model: Model,
    full_pipe: FullPipe,
    probe_bw: ProbeBw,
    probe_rtt: ProbeRtt,
    cwnd: u32,
    initial_cwnd: u32,
    /// The window before recovery or ProbeRTT took it down.
    prior_cwnd: u32,
    in_recovery: bool,
    /// Bytes per second.
    pacing_rate: u64,
    paced_by_rtt: bool,
    /// The connection starts to send again after a pause.
    idle_restart: bool,
    undo: Undo,
}

/// The states of draft §5.1. All between `Down` and `Up` are ProbeBW.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Startup,
    Drain { since_round: u32 },
    Down,
    Cruise,
    Refill,
    Up,
    ProbeRtt,
}

/// What a recovery for nothing takes back (draft §5.5.11).
#[derive(Clone, Copy, Debug)]
struct Undo {
    /// The state that the losses have ended.
    state: Option<State>,
    bw_shortterm: u64,
    inflight_shortterm: u32,
    inflight_longterm: u32,
}

/// BBR.LossThresh: the greatest share of losses in a round trip that probing accepts, in percent.
const LOSS_THRESHOLD: u32 = 2;
/// BBR.Beta, in percent.
const BETA: u32 = 70;
/// BBR.PacingMarginPercent.
const PACING_MARGIN: u64 = 1;
/// BBR.MinPipeCwnd, in segments.
const MIN_PIPE_CWND: u32 = 4;
/// The largest quantum of data that leaves at once (draft §5.6.3).
const MAX_QUANTUM: u64 = 64 << 10;

impl Bbr {
    pub(crate) fn new(cwnd: u32) -> Self {
        let model = Model::new();
        let undo = Undo {
            state: None,
            bw_shortterm: model.bw_shortterm,
            inflight_shortterm: UNBOUNDED,
            inflight_longterm: UNBOUNDED,
        };
        Self {
            state: State::Startup,
            model,
            full_pipe: FullPipe::default(),
            probe_bw: ProbeBw::new(),
            probe_rtt: ProbeRtt::new(),
            cwnd,
            initial_cwnd: cwnd,
            prior_cwnd: 0,
            in_recovery: false,
            // Draft §5.6.2: a nominal round trip of a millisecond, until one was measured.
            pacing_rate: percent(u64::from(cwnd) * 1_000, State::Startup.pacing_gain()),
            paced_by_rtt: false,
            idle_restart: false,
            undo,
        }
    }

    /// UpdateControlParameters (draft §5.2.3).
    fn control(&mut self, sample: &Sample) {
        if !self.paced_by_rtt
            && let Some(rtt) = sample.rtt.filter(|rtt| !rtt.is_zero())
        {
            self.paced_by_rtt = true;
            let nominal = u64::from(self.initial_cwnd) * 1_000_000_000 / rtt.as_nanos().max(1) as u64;
            self.pacing_rate = percent(nominal, State::Startup.pacing_gain());
        }
        self.set_pacing_rate(self.state.pacing_gain());
        self.set_cwnd(sample);
    }

    /// SetPacingRateWithGain (draft §5.6.2).
    fn set_pacing_rate(&mut self, gain: u32) {
        let rate = percent(self.model.bw(), gain) / 100 * (100 - PACING_MARGIN);
        if rate > 0 && (self.full_pipe.reached || rate > self.pacing_rate) {
            self.pacing_rate = rate;
        }
    }

    /// SetCwnd (draft §5.6.4.6).
    fn set_cwnd(&mut self, sample: &Sample) {
        let mss = sample.mss;
        let inflight = self.model.bdp_multiple(self.state.cwnd_gain(), self.initial_cwnd);
        let most = self.with_quanta(inflight.saturating_add(self.model.extra_acked()), mss);
        let grown = self.cwnd.saturating_add(sample.newly_acked);
        if self.full_pipe.reached {
            self.cwnd = grown.min(most);
        } else if self.cwnd < most || sample.total_delivered < u64::from(self.initial_cwnd) {
            self.cwnd = grown;
        }
        self.cwnd = self.cwnd.clamp(MIN_PIPE_CWND * mss, MAX_WINDOW);
        if self.state == State::ProbeRtt {
            self.cwnd = self.cwnd.min(self.probe_rtt_cwnd(mss));
        }
        self.cwnd = self.cwnd.min(self.most_for_model(mss));
    }

    /// BoundCwndForModel (draft §5.6.4.7): what recent congestion allows.
    fn most_for_model(&self, mss: u32) -> u32 {
        let longterm = match self.state {
            State::Startup | State::Drain { .. } => UNBOUNDED,
            State::Down | State::Refill | State::Up => self.model.inflight_longterm,
            State::Cruise | State::ProbeRtt => self.model.inflight_with_headroom(mss),
        };
        longterm.min(self.model.inflight_shortterm).max(MIN_PIPE_CWND * mss)
    }

    /// QuantizationBudget (draft §5.6.4.2): room for what hosts send and acknowledge at once.
    fn with_quanta(&self, inflight: u32, mss: u32) -> u32 {
        let quantum = (self.pacing_rate / 1_000).min(MAX_QUANTUM).max(u64::from(2 * mss)) as u32;
        let inflight = inflight.max(3 * quantum).max(MIN_PIPE_CWND * mss);
        if self.state == State::Up { inflight.saturating_add(2 * mss) } else { inflight }
    }

    /// Inflight (draft §5.6.4.2): what keeps the path full with this gain.
    fn inflight(&self, gain: u32, mss: u32) -> u32 {
        self.with_quanta(self.model.bdp_multiple(gain, self.initial_cwnd), mss)
    }

    /// TargetInflight (draft §5.3.3.9).
    fn target_inflight(&self) -> u32 {
        self.model.bdp_multiple(100, self.initial_cwnd).min(self.cwnd)
    }

    fn save_cwnd(&mut self) {
        let modulated = self.in_recovery || self.state == State::ProbeRtt;
        self.prior_cwnd = if modulated { self.prior_cwnd.max(self.cwnd) } else { self.cwnd };
    }

    fn restore_cwnd(&mut self) {
        self.cwnd = self.cwnd.max(self.prior_cwnd);
    }

    /// SaveStateUponLoss (draft §5.5.11.1).
    fn save_state(&mut self) {
        self.save_cwnd();
        self.undo = Undo {
            state: None,
            bw_shortterm: self.model.bw_shortterm,
            inflight_shortterm: self.model.inflight_shortterm,
            inflight_longterm: self.model.inflight_longterm,
        };
    }

    /// NoteLoss (draft §5.5.10.2).
    fn note_loss(&mut self) {
        if self.model.note_loss() {
            self.save_state();
        }
    }
}

impl State {
    const fn is_probe_bw(self) -> bool {
        matches!(self, Self::Down | Self::Cruise | Self::Refill | Self::Up)
    }

    /// Whether losses may come of sending more than before, on purpose.
    const fn is_probing(self) -> bool {
        matches!(self, Self::Startup | Self::Refill | Self::Up)
    }

    /// Draft §5.6.1, in percent.
    const fn pacing_gain(self) -> u32 {
        match self {
            Self::Startup => 277,
            Self::Drain { .. } => 50,
            Self::Down => 90,
            Self::Cruise | Self::Refill | Self::ProbeRtt => 100,
            Self::Up => 125,
        }
    }

    /// Draft §5.6.1, in percent.
    const fn cwnd_gain(self) -> u32 {
        match self {
            Self::Startup | Self::Drain { .. } | Self::Down | Self::Cruise | Self::Refill => 200,
            Self::Up => 225,
            Self::ProbeRtt => 50,
        }
    }
}

impl CongestionControl for Bbr {
    #[inline]
    fn window(&self) -> u32 {
        self.cwnd
    }

    fn ssthresh(&self) -> u32 {
        MAX_WINDOW
    }

    fn pacing_rate(&self) -> Option<u64> {
        Some(self.pacing_rate)
    }

    fn uses_prr(&self) -> bool {
        false
    }

    fn samples_rate(&self) -> bool {
        true
    }

    /// UpdateModelAndState (draft §5.2.3), in its order.
    fn on_ack(&mut self, ack: &Acked) {
        let sample = Sample::new(ack, self.probe_rtt.app_limited_until);
        let loss_round_start = self.model.update_signals(&sample, self.state.is_probing(), self.cwnd);
        self.model.update_aggregation(&sample, self.cwnd, self.full_pipe.reached);
        self.full_pipe.check(&sample, self.model.round_start);
        self.check_startup(&sample, ack.in_recovery, loss_round_start);
        self.check_drain(&sample);
        self.update_probe_bw(&sample);
        self.update_probe_rtt(&sample);
        self.model.advance_latest(&sample, loss_round_start);
        self.control(&sample);
    }

    /// HandleLostPacket (draft §5.5.10.2).
    fn on_segment_lost(&mut self, lost: &LostSegment) {
        self.note_loss();
        if self.probe_bw.samples && model::too_many(lost.lost, lost.tx_in_flight) {
            let inflight = model::inflight_at_loss(lost);
            self.on_inflight_too_high(inflight, lost.app_limited);
        }
    }

    fn on_loss(&mut self, _at: &Snapshot) {
        self.note_loss();
        self.save_state();
        self.in_recovery = true;
    }

    fn on_recovered(&mut self, _at: &Snapshot) {
        self.in_recovery = false;
        self.restore_cwnd();
    }

    fn on_timeout(&mut self, at: &Snapshot, _first: bool) {
        // Draft §5.6.4.4: room for one segment.
        self.note_loss();
        self.save_state();
        self.cwnd = at.mss;
    }

    /// HandleSpuriousLossDetection (draft §5.5.11.2).
    fn undo(&mut self) {
        let Undo { state, bw_shortterm, inflight_shortterm, inflight_longterm } = self.undo;
        self.restore_cwnd();
        self.model.forget_loss();
        self.full_pipe.reset(0);
        self.model.bw_shortterm = self.model.bw_shortterm.max(bw_shortterm);
        self.model.inflight_shortterm = self.model.inflight_shortterm.max(inflight_shortterm);
        self.model.inflight_longterm = self.model.inflight_longterm.max(inflight_longterm);
        self.undo.state = None;
        match state {
            Some(State::Startup) if self.state != State::Startup => {
                self.full_pipe.reached = false;
                if self.state != State::ProbeRtt {
                    self.state = State::Startup;
                }
            }
            Some(State::Up) if self.state != State::Up && self.state != State::ProbeRtt => {
                self.start_refill();
            }
            _ => {}
        }
    }

    /// The draft (§3.7) leaves the response to marks open, as long as they count as congestion. Here the marks of a
    /// round count as more losses than probing accepts.
    fn on_ecn(&mut self, at: &Snapshot) {
        self.note_loss();
        match self.state {
            State::Startup => self.leave_startup_for_congestion(),
            _ if self.probe_bw.samples => self.on_inflight_too_high(at.in_flight, false),
            _ => {}
        }
    }

    /// HandleRestartFromIdle (draft §5.4.1).
    fn on_idle(&mut self, idle: &Idle) {
        self.idle_restart = true;
        self.model.restart_aggregation(idle.now);
        if self.state.is_probe_bw() {
            self.set_pacing_rate(100);
        } else if self.state == State::ProbeRtt {
            self.check_probe_rtt_done(idle.now);
        }
    }
}

fn percent(of: u64, gain: u32) -> u64 {
    of.saturating_mul(u64::from(gain)) / 100
}

#[cfg(test)]
mod tests;
