//! ProbeRTT (draft §5.3.4): every few seconds so little is in flight that no queue of ours remains, and the round trip
//! shows what the path itself takes.

use super::model::Sample;
use super::{Bbr, MIN_PIPE_CWND, State};
use crate::time::{Duration, Instant};

#[derive(Clone, Copy, Debug)]
pub(super) struct ProbeRtt {
    /// BBR.probe_rtt_min_delay, in nanoseconds, and when it was seen.
    min_delay: u64,
    min_at: Instant,
    expired: bool,
    /// When the window may rise again; `None` before it was low enough.
    done_at: Option<Instant>,
    round_done: bool,
    /// What leaves before so much is delivered tells nothing of the bandwidth.
    pub(super) app_limited_until: u64,
}

/// BBR.ProbeRTTInterval.
const INTERVAL: Duration = Duration::from_secs(5);
/// BBR.ProbeRTTDuration.
const DURATION: Duration = Duration::from_millis(200);

impl ProbeRtt {
    pub(super) fn new() -> Self {
        Self {
            min_delay: u64::MAX,
            min_at: Instant::ZERO,
            expired: false,
            done_at: None,
            round_done: false,
            app_limited_until: 0,
        }
    }
}

impl Bbr {
    /// UpdateMinRTT and CheckProbeRTT (draft §5.3.4.3).
    pub(super) fn update_probe_rtt(&mut self, sample: &Sample) {
        self.update_min_rtt(sample);
        if self.state != State::ProbeRtt && self.probe_rtt.expired && !self.idle_restart {
            self.save_cwnd();
            self.state = State::ProbeRtt;
            self.probe_rtt.done_at = None;
            self.probe_bw.stop();
            self.model.start_round();
        }
        if self.state == State::ProbeRtt {
            self.handle_probe_rtt(sample);
        }
        if sample.newly_acked > 0 {
            self.idle_restart = false;
        }
    }

    fn update_min_rtt(&mut self, sample: &Sample) {
        let now = sample.now;
        let probe = &mut self.probe_rtt;
        // The first measurement does not expire what was never there.
        probe.expired = probe.min_delay != u64::MAX && now > probe.min_at + INTERVAL;
        if let Some(rtt) = sample.rtt {
            let rtt = rtt.as_nanos() as u64;
            if rtt < probe.min_delay || probe.expired {
                (probe.min_delay, probe.min_at) = (rtt, now);
            }
        }
        let expired = now > self.model.min_rtt_expires();
        if probe.min_delay < self.model.min_rtt() || expired {
            self.model.set_min_rtt(probe.min_delay, probe.min_at);
        }
    }

    /// HandleProbeRTT.
    fn handle_probe_rtt(&mut self, sample: &Sample) {
        // The few samples of this time are no measure of the bandwidth.
        self.probe_rtt.app_limited_until = sample.total_delivered + u64::from(sample.in_flight.max(1));
        if self.probe_rtt.done_at.is_none() {
            if sample.in_flight <= self.probe_rtt_cwnd(sample.mss) {
                self.probe_rtt.done_at = Some(sample.now + DURATION);
                self.probe_rtt.round_done = false;
                self.model.start_round();
            }
            return;
        }
        self.probe_rtt.round_done |= self.model.round_start;
        if self.probe_rtt.round_done {
            self.check_probe_rtt_done(sample.now);
        }
    }

    /// CheckProbeRTTDone and ExitProbeRTT (draft §5.3.4.4).
    pub(super) fn check_probe_rtt_done(&mut self, now: Instant) {
        if self.probe_rtt.done_at.is_none_or(|done_at| now <= done_at) {
            return;
        }
        self.probe_rtt.min_at = now;
        self.restore_cwnd();
        self.model.reset_shortterm();
        if self.full_pipe.reached {
            self.start_down();
            self.start_cruise();
        } else {
            self.state = State::Startup;
        }
    }

    /// ProbeRTTCwnd (draft §5.6.4.5).
    pub(super) fn probe_rtt_cwnd(&self, mss: u32) -> u32 {
        let gain = State::ProbeRtt.cwnd_gain();
        self.model.bdp_multiple(gain, self.initial_cwnd).max(MIN_PIPE_CWND * mss)
    }
}
