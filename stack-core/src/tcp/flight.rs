//! All that a connection needs only while it has something in flight: it is made when the connection starts to send,
//! and given up when nothing was in flight for a retransmission timeout, or a minute at the most. An idle connection
//! keeps its slow start threshold, and starts over from the initial window (RFC 5681 §4.1).

use super::congestion::{Congestion, CongestionControl, Idle, initial_window};
use super::pacing::Pacer;
use super::prr::Prr;
use super::rack::Rack;
use super::rate_sample::RateSampler;
use super::recovery::Phase;
use super::rtt::RttEstimator;
use super::scoreboard::Scoreboard;
use super::seq::SeqNumber;
use super::spurious::{Doubt, Frto};
use super::tail_loss_probe::TailProbe;
use super::timers::{SendTimer, Timer};
use crate::config::{CongestionAlgorithm, TcpConfig};
use crate::time::{Duration, Instant};

/// What is in flight, how much may be, and what becomes of it. The part that acknowledgements and timeouts play
/// stands in [`recovery`](super::recovery).
#[derive(Debug)]
pub(crate) struct Flight {
    pub(super) board: Scoreboard,
    pub(super) congestion: Congestion,
    pub(super) phase: Phase,
    /// RFC 6582's "recover": the end of what was in flight when the last recovery began.
    pub(super) recover: SeqNumber,
    /// The peer acknowledges selectively.
    pub(super) sack: bool,
    /// Where it does not: bytes that duplicate acknowledgements tell to have arrived, whichever they are.
    pub(super) duplicates: u32,
    /// And how many of those there were in a row.
    pub(super) duplicate_acks: u32,
    pub(super) rack: Rack,
    pub(super) probe: TailProbe,
    pub(super) prr: Prr,
    pub(super) doubt: Doubt,
    pub(super) frto: Frto,
    pub(super) rate: RateSampler,
    pub(super) pacer: Pacer,
    /// When RACK may find something lost that no acknowledgement tells of.
    pub(super) look_again: Option<Instant>,
    /// The oldest lost segment leaves once more, whatever the window says.
    pub(super) must_resend: bool,
    /// When the retransmission timer goes off, unless another one does before.
    pub(super) timeout: Instant,
    pub(super) timer: SendTimer,
    /// When something was last sent that takes sequence space.
    pub(super) last_sent: Instant,
    /// The window, and nothing else, has bounded what was in flight up to here.
    pub(super) limited_until: SeqNumber,
    /// The end of what was ever sent again.
    pub(super) resent_until: SeqNumber,
}

/// How long an idle connection remembers more of its path than a threshold.
const REMEMBERED: Duration = Duration::from_secs(60);

/// What makes a flight differ from others at its beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) una: SeqNumber,
    pub(crate) algorithm: CongestionAlgorithm,
    pub(crate) ssthresh: u32,
    pub(crate) sack: bool,
    pub(crate) mss: u32,
    pub(crate) srtt: Option<Duration>,
}

impl Flight {
    pub(crate) fn new(start: &Start, config: &TcpConfig, now: Instant) -> Self {
        let Start { una, algorithm, ssthresh, sack, mss, srtt } = *start;
        Self {
            board: Scoreboard::new(una),
            congestion: Congestion::new(algorithm, initial_window(config.initial_window, mss), ssthresh),
            phase: Phase::Open,
            recover: una - 1,
            sack,
            duplicates: 0,
            duplicate_acks: 0,
            rack: Rack::new(una, srtt),
            probe: TailProbe::default(),
            prr: Prr::default(),
            doubt: Doubt::default(),
            frto: Frto::Off,
            rate: RateSampler::new(now),
            pacer: Pacer::new(now),
            look_again: None,
            must_resend: false,
            timeout: now,
            timer: SendTimer::default(),
            last_sent: now,
            limited_until: una,
            resent_until: una,
        }
    }

    /// Bytes that are thought to be on their way (RFC 6675 §4, pipe).
    #[inline]
    pub(crate) fn in_flight(&self) -> u32 {
        self.board.in_flight().saturating_sub(self.duplicates)
    }

    /// Whether everything that was sent is acknowledged.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.board.is_empty()
    }

    /// The slow start threshold that is remembered of the path when the flight is given up: three quarters of the window,
    /// at least (RFC 2861 §3.1).
    pub(crate) fn remembered_ssthresh(&self) -> u32 {
        self.congestion.ssthresh().max(self.congestion.window() / 4 * 3)
    }

    /// Until when an idle connection keeps this: longer, where more is known of the path than a threshold. That is so with
    /// a window below the initial one, which a pause does not widen (RFC 5681 §4.1), and with BBR's model.
    pub(crate) fn is_kept_until(&self, mss: u32, config: &TcpConfig) -> Instant {
        let initial = initial_window(config.initial_window, mss);
        let counts = self.congestion.has_model() || self.congestion.window() < initial;
        self.last_sent + if counts { REMEMBERED } else { Duration::ZERO }
    }

    /// The end of the flight that the window has come down for, while its losses are repaired.
    pub(crate) fn repairs_up_to(&self) -> Option<SeqNumber> {
        (self.phase != Phase::Open).then_some(self.recover)
    }

    /// The congestion window, in bytes.
    pub(crate) fn window(&self) -> u32 {
        self.congestion.window()
    }

    /// Goes on with another algorithm of congestion control.
    pub(crate) fn change_congestion_control(&mut self, algorithm: CongestionAlgorithm) {
        self.congestion.change(algorithm);
    }

    /// Whether something shall leave that is not new, or leave although the window is full.
    #[inline]
    pub(crate) fn has_output(&self) -> bool {
        self.board.lost() > 0 || self.probe.is_due()
    }

    /// How many bytes may leave now.
    #[inline]
    pub(crate) fn room(&self) -> u32 {
        if self.phase == Phase::Fast && self.congestion.uses_prr() {
            self.prr.allowance()
        } else {
            self.congestion.window().saturating_sub(self.in_flight())
        }
    }

    /// Whether `len` bytes may leave now, where nothing else is to leave before.
    #[inline]
    pub(crate) fn lets_leave(&self, len: u32) -> bool {
        !self.has_output()
            && self.phase == Phase::Open
            && self.duplicates == 0
            && self.in_flight() + len <= self.congestion.window()
            && self.congestion.pacing_rate().is_none()
    }

    /// How many bytes may leave at once at the pace of congestion control; or else, when they may.
    #[inline]
    pub(crate) fn pace(&mut self, mss: u32, now: Instant) -> Result<u32, Instant> {
        let Some(rate) = self.congestion.pacing_rate() else { return Ok(u32::MAX) };
        self.pacer.wait(now).map_or(Ok(Pacer::burst(rate, mss)), Err)
    }

    /// The time has come for what was held back.
    pub(crate) fn on_pace_timer(&mut self) {
        self.pacer.release();
    }

    #[inline]
    fn note_pace(&mut self, len: u32, now: Instant) {
        if let Some(rate) = self.congestion.pacing_rate() {
            self.pacer.sent(len, rate, now);
        }
    }

    /// Whether the next repetition leaves whatever the window and the pace say.
    #[inline]
    pub(crate) fn must_resend(&self) -> bool {
        self.must_resend
    }

    /// What was lost and may leave now, at most `most` bytes of it: where it begins, and how long it is. It goes
    /// before new data (RFC 6675 §5, NextSeg), except while F-RTO tries that.
    #[inline]
    pub(crate) fn next_resend(&self, most: u32, mss: u32, has_new_data: bool) -> Option<(SeqNumber, u32)> {
        if self.board.lost() == 0 {
            return None;
        }
        if self.must_resend {
            return self.board.first_lost(mss);
        }
        if self.frto.prefers_new_data() && has_new_data {
            return None;
        }
        let room = self.room();
        let (start, len) = self.board.first_lost(most.min(room.max(mss)))?;
        let len = if len <= room { len } else { room / mss * mss };
        (len > 0).then_some((start, len))
    }

    /// Whether a tail loss probe shall leave, new data or else the last segment.
    #[inline]
    pub(crate) fn must_probe(&self) -> bool {
        self.probe.is_due()
    }

    /// Whether a loss was found and is not made up for.
    pub(crate) fn is_in_fast_recovery(&self) -> bool {
        self.phase == Phase::Fast
    }

    /// The window, and neither the application nor the peer, keeps what follows from leaving.
    #[inline]
    pub(crate) fn limited_by_window(&mut self) {
        self.limited_until = self.board.end();
    }

    /// Data is about to be sent.
    #[inline]
    pub(crate) fn resume(&mut self, rtt: &RttEstimator, config: &TcpConfig, mss: u32, now: Instant) {
        if self.is_empty() {
            let long = now > rtt.timeout(self.last_sent, config);
            let initial_window = initial_window(config.initial_window, mss);
            self.congestion.on_idle(&Idle { now, long, initial_window });
        }
    }

    /// New data of `len` places has left, which times out at `timeout`; `last` where nothing more is queued.
    #[inline]
    pub(crate) fn sent(&mut self, len: u32, last: bool, now: Instant, timeout: Instant, limit: usize) {
        let before = self.in_flight();
        if self.board.is_empty() {
            self.timeout = timeout;
        }
        self.last_sent = now;
        let departure = self.rate.depart(before, before + len, now);
        self.board.push(len, now, departure, limit);
        self.prr.sent(len);
        self.note_pace(len, now);
        if self.probe.is_due() {
            self.probe.sent(self.board.end(), false);
            self.timeout = timeout;
        }
        if last && before + len < self.congestion.window() {
            self.rate.run_dry(before + len);
        }
    }

    /// What was in flight or lost, `len` places from `start` on, has left once more.
    pub(crate) fn sent_again(
        &mut self,
        start: SeqNumber,
        len: u32,
        now: Instant,
        timeout: Instant,
        limit: usize,
    ) {
        let before = self.in_flight();
        self.last_sent = now;
        let departure = self.rate.depart(before, before + len, now);
        self.board.resent(start, len, now, departure, limit);
        self.prr.sent(len);
        self.note_pace(len, now);
        self.resent_until = self.resent_until.max(start + len);
        // RFC 8985 §7.3: after a probe the retransmission timer runs; RFC 6298 §5: after a retransmission as well.
        if self.probe.is_due() {
            self.probe.sent(self.board.end(), true);
            self.timeout = timeout;
        } else {
            self.doubt.resent(start, len, now);
            if start == self.board.una() && !self.must_resend {
                self.timeout = timeout;
            }
        }
        self.must_resend = false;
    }

    /// A probe of a closed window has left.
    pub(crate) fn probed_window(&mut self, now: Instant, rto: Duration) {
        self.last_sent = now;
        self.timer.set(Timer::Persist, now + rto);
    }

    /// The timer to wait for, and when it goes off. With nothing in flight, that is when the flight is given up.
    #[inline]
    pub(crate) fn next_timer(&self, rtt: &RttEstimator, mss: u32, now: Instant) -> (Timer, Instant) {
        if self.board.is_empty() {
            return (Timer::Retransmit, self.timeout);
        }
        if let Some(at) = self.pacer.holds_until() {
            return (Timer::Pace, at);
        }
        if let Some(at) = self.look_again {
            return (Timer::Reorder, at);
        }
        let srtt = rtt.smoothed_nanos();
        if srtt == 0 || !self.may_probe() {
            return (Timer::Retransmit, self.timeout);
        }
        let lone = self.board.in_flight() <= mss;
        // RFC 8985 §7.2: never later than the retransmission timer.
        (Timer::TailProbe, TailProbe::timeout(now, srtt, lone).min(self.timeout))
    }

    /// RFC 8985 §7.2: whether the end of what is in flight is worth a probe. Where something has arrived ahead or
    /// was lost, recovery sees to it.
    #[inline]
    fn may_probe(&self) -> bool {
        self.sack
            && self.phase == Phase::Open
            && self.board.sacked() == 0
            && self.board.lost() == 0
            && !self.probe.is_outstanding()
    }
}
