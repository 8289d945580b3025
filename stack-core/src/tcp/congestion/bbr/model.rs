//! What BBR knows of the path: its bandwidth, its round trip, and how much may be in flight without harm.

use super::aggregation::Aggregation;
use super::{BETA, LOSS_THRESHOLD, MIN_PIPE_CWND, percent};
use crate::tcp::congestion::{Acked, LostSegment};
use crate::time::{Duration, Instant};

/// The model (draft §5.5). The long-term bounds hold for two cycles of probing, the short-term ones until the next
/// probe begins.
#[derive(Clone, Debug)]
pub(super) struct Model {
    /// BBR.max_bw_filter: the greatest delivery rate of the last cycle and of this one.
    max_bw: [u64; 2],
    /// BBR.min_rtt, in nanoseconds; [`UNKNOWN_RTT`] before the first.
    min_rtt: u64,
    min_rtt_at: Instant,
    /// When the last acknowledgement came.
    pub(super) now: Instant,
    pub(super) inflight_longterm: u32,
    pub(super) bw_shortterm: u64,
    pub(super) inflight_shortterm: u32,
    /// The greatest rate and volume delivered in this round trip.
    bw_latest: u64,
    pub(super) inflight_latest: u32,
    loss_in_round: bool,
    loss_round_delivered: u64,
    aggregation: Aggregation,
    /// All that was delivered by the last acknowledgement.
    delivered: u64,
    next_round_delivered: u64,
    pub(super) round_count: u32,
    pub(super) round_start: bool,
}

/// What an acknowledgement tells BBR.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) now: Instant,
    /// RS.delivery_rate; zero where there was no sample.
    pub(super) delivery_rate: u64,
    pub(super) delivered: u32,
    /// `None` where there was no sample.
    pub(super) prior_delivered: Option<u64>,
    pub(super) tx_in_flight: u32,
    pub(super) lost: u32,
    pub(super) app_limited: bool,
    pub(super) newly_acked: u32,
    pub(super) newly_lost: u32,
    pub(super) total_delivered: u64,
    pub(super) in_flight: u32,
    pub(super) rtt: Option<Duration>,
    /// The window has bounded what was in flight.
    pub(super) cwnd_limited: bool,
    pub(super) mss: u32,
}

/// No bound: the draft's Infinity.
pub(super) const UNBOUNDED: u32 = u32::MAX;
const UNBOUNDED_BW: u64 = u64::MAX;
const UNKNOWN_RTT: u64 = u64::MAX;
/// BBR.MinRTTFilterLen.
const MIN_RTT_FILTER: Duration = Duration::from_secs(10);
/// BBR.Headroom, in percent.
const HEADROOM: u32 = 15;

impl Sample {
    /// Samples of what left before `app_limited_until` bytes were delivered say little of the path.
    pub(super) fn new(ack: &Acked, app_limited_until: u64) -> Self {
        let rate = ack.rate.as_ref();
        let nanos = rate.map_or(0, |rate| rate.interval.as_nanos() as u64).max(1);
        Self {
            now: ack.now,
            delivery_rate: rate.map_or(0, |rate| rate.delivered.saturating_mul(1_000_000_000) / nanos),
            delivered: rate.map_or(0, |rate| rate.delivered.min(u64::from(UNBOUNDED)) as u32),
            prior_delivered: rate.map(|rate| rate.prior_delivered),
            tx_in_flight: rate.map_or(0, |rate| rate.tx_in_flight),
            lost: rate.map_or(0, |rate| rate.lost),
            app_limited: rate
                .is_some_and(|rate| rate.app_limited || rate.prior_delivered < app_limited_until),
            newly_acked: ack.bytes,
            newly_lost: ack.newly_lost,
            total_delivered: ack.delivered,
            in_flight: ack.in_flight,
            rtt: ack.rtt,
            cwnd_limited: ack.limited,
            mss: ack.mss,
        }
    }

    /// IsInflightTooHigh (draft §5.5.10.2).
    pub(super) fn is_inflight_too_high(&self) -> bool {
        too_many(self.lost, self.tx_in_flight)
    }
}

impl Model {
    pub(super) fn new() -> Self {
        Self {
            max_bw: [0; 2],
            min_rtt: UNKNOWN_RTT,
            min_rtt_at: Instant::ZERO,
            now: Instant::ZERO,
            inflight_longterm: UNBOUNDED,
            bw_shortterm: UNBOUNDED_BW,
            inflight_shortterm: UNBOUNDED,
            bw_latest: 0,
            inflight_latest: 0,
            loss_in_round: false,
            loss_round_delivered: 0,
            aggregation: Aggregation::default(),
            delivered: 0,
            next_round_delivered: 0,
            round_count: 0,
            round_start: false,
        }
    }

    pub(super) fn max_bw(&self) -> u64 {
        self.max_bw[0].max(self.max_bw[1])
    }

    /// BBR.bw: what the path delivers, as far as long and short term tell.
    pub(super) fn bw(&self) -> u64 {
        self.max_bw().min(self.bw_shortterm)
    }

    pub(super) fn extra_acked(&self) -> u32 {
        self.aggregation.most()
    }

    /// BDPMultiple (draft §5.6.4.2); `unknown` before a round trip was measured.
    pub(super) fn bdp_multiple(&self, gain: u32, unknown: u32) -> u32 {
        if self.min_rtt == UNKNOWN_RTT || self.max_bw() == 0 {
            return unknown;
        }
        let bdp = u128::from(self.bw()) * u128::from(self.min_rtt) / 1_000_000_000;
        u32::try_from(percent(u64::try_from(bdp).unwrap_or(u64::MAX), gain)).unwrap_or(UNBOUNDED)
    }

    pub(super) fn min_rtt(&self) -> u64 {
        self.min_rtt
    }

    pub(super) fn min_rtt_expires(&self) -> Instant {
        self.min_rtt_at + MIN_RTT_FILTER
    }

    pub(super) fn set_min_rtt(&mut self, nanos: u64, at: Instant) {
        (self.min_rtt, self.min_rtt_at) = (nanos, at);
    }

    /// InflightWithHeadroom (draft §5.3.3.9).
    pub(super) fn inflight_with_headroom(&self, mss: u32) -> u32 {
        if self.inflight_longterm == UNBOUNDED {
            return UNBOUNDED;
        }
        let headroom = percent(u64::from(self.inflight_longterm), HEADROOM) as u32;
        self.inflight_longterm.saturating_sub(headroom.max(mss)).max(MIN_PIPE_CWND * mss)
    }

    /// UpdateLatestDeliverySignals and UpdateCongestionSignals (draft §5.5.10.3). Returns whether a round trip of
    /// looking for losses is over.
    pub(super) fn update_signals(&mut self, sample: &Sample, probing: bool, cwnd: u32) -> bool {
        (self.now, self.delivered) = (sample.now, sample.total_delivered);
        self.bw_latest = self.bw_latest.max(sample.delivery_rate);
        self.inflight_latest = self.inflight_latest.max(sample.delivered);
        let ended = sample.prior_delivered.is_some_and(|prior| prior >= self.loss_round_delivered);
        if ended {
            self.loss_round_delivered = self.delivered;
        }
        self.update_round(sample);
        self.update_max_bw(sample);
        if ended {
            if self.loss_in_round && !probing {
                self.lower_bounds(cwnd);
            }
            self.loss_in_round = false;
        }
        ended
    }

    /// UpdateRound (draft §5.5.1).
    fn update_round(&mut self, sample: &Sample) {
        self.round_start = sample.prior_delivered.is_some_and(|prior| prior >= self.next_round_delivered);
        if self.round_start {
            self.start_round();
            self.round_count = self.round_count.wrapping_add(1);
        }
    }

    /// StartRound: a round trip is counted from what was delivered by now.
    pub(super) fn start_round(&mut self) {
        self.next_round_delivered = self.delivered;
    }

    /// UpdateMaxBw (draft §5.5.5).
    fn update_max_bw(&mut self, sample: &Sample) {
        if sample.delivery_rate >= self.max_bw() || !sample.app_limited {
            self.max_bw[1] = self.max_bw[1].max(sample.delivery_rate);
        }
    }

    /// AdvanceMaxBwFilter (draft §5.5.6): a new cycle begins.
    pub(super) fn advance_max_bw(&mut self) {
        if self.max_bw[1] > 0 {
            self.max_bw = [self.max_bw[1], 0];
        }
    }

    /// InitLowerBounds and LossLowerBounds (draft §5.5.10.3).
    fn lower_bounds(&mut self, cwnd: u32) {
        let bw = if self.bw_shortterm == UNBOUNDED_BW { self.max_bw() } else { self.bw_shortterm };
        let inflight = if self.inflight_shortterm == UNBOUNDED { cwnd } else { self.inflight_shortterm };
        self.bw_shortterm = self.bw_latest.max(percent(bw, BETA));
        self.inflight_shortterm = self.inflight_latest.max(percent(u64::from(inflight), BETA) as u32);
    }

    /// AdvanceLatestDeliverySignals (draft §5.5.10.3).
    pub(super) fn advance_latest(&mut self, sample: &Sample, loss_round_start: bool) {
        if loss_round_start {
            (self.bw_latest, self.inflight_latest) = (sample.delivery_rate, sample.delivered);
        }
    }

    /// ResetCongestionSignals.
    pub(super) fn reset_signals(&mut self) {
        self.loss_in_round = false;
        (self.bw_latest, self.inflight_latest) = (0, 0);
    }

    /// ResetShortTermModel.
    pub(super) fn reset_shortterm(&mut self) {
        (self.bw_shortterm, self.inflight_shortterm) = (UNBOUNDED_BW, UNBOUNDED);
    }

    /// A loss was found. Returns whether it is the first one of this round trip.
    pub(super) fn note_loss(&mut self) -> bool {
        if !self.loss_in_round {
            self.loss_round_delivered = self.delivered;
        }
        !core::mem::replace(&mut self.loss_in_round, true)
    }

    pub(super) fn forget_loss(&mut self) {
        self.loss_in_round = false;
    }

    pub(super) fn update_aggregation(&mut self, sample: &Sample, cwnd: u32, full: bool) {
        let bw = self.bw();
        self.aggregation.update(sample, bw, cwnd, self.round_start, full);
    }

    pub(super) fn restart_aggregation(&mut self, now: Instant) {
        self.aggregation.restart(now);
    }
}

/// Whether `lost` of `in_flight` is more than probing accepts.
pub(super) fn too_many(lost: u32, in_flight: u32) -> bool {
    u64::from(lost) * 100 > u64::from(in_flight) * u64::from(LOSS_THRESHOLD)
}

/// InflightAtLoss (draft §5.5.10.2): what was in flight when losses became too many, perhaps amid a burst that left as
/// one.
pub(super) fn inflight_at_loss(lost: &LostSegment) -> u32 {
    let inflight_prev = u64::from(lost.tx_in_flight.saturating_sub(lost.len));
    let lost_prev = u64::from(lost.lost.saturating_sub(lost.len));
    let threshold = u64::from(LOSS_THRESHOLD);
    let lost_prefix = (threshold * inflight_prev).saturating_sub(100 * lost_prev) / (100 - threshold);
    (inflight_prev + lost_prefix).min(u64::from(UNBOUNDED)) as u32
}
