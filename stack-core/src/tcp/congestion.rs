//! Congestion control: how much may be in flight, and how fast it may leave. A trait, and one file per algorithm.

use crate::config::CongestionAlgorithm;
use crate::time::{Duration, Instant};
use alloc::boxed::Box;
use bbr::Bbr;
use cubic::Cubic;
use dctcp::Dctcp;
use new_reno::NewReno;

mod bbr;
#[cfg(test)]
mod bottleneck;
mod cubic;
mod dctcp;
mod hystart;
mod new_reno;

/// An algorithm that decides how many bytes may be in flight.
///
/// Loss recovery calls it: it learns what was delivered, lost and marked, and never looks at segments itself. All
/// sizes are in bytes.
pub(crate) trait CongestionControl {
    /// The congestion window.
    fn window(&self) -> u32;

    /// Below this window, slow start.
    fn ssthresh(&self) -> u32;

    /// How fast data may leave, in bytes per second; `None` for as fast as the window lets it.
    fn pacing_rate(&self) -> Option<u64> {
        None
    }

    /// Whether recovery decides how the window comes down to `ssthresh` (PRR, RFC 6937). Where not, the window is
    /// obeyed in recovery too.
    fn uses_prr(&self) -> bool {
        true
    }

    /// Whether it wants to know how fast the path delivers.
    fn samples_rate(&self) -> bool {
        false
    }

    /// An acknowledgement delivered something, or told of a loss or a mark.
    fn on_ack(&mut self, ack: &Acked);

    /// An acknowledgement delivered what had not needed the window, and told of nothing else. Returns whether that is
    /// all that the algorithm wants to know; if not, [`on_ack`](Self::on_ack) follows.
    fn on_ack_of_less(&mut self, _now: Instant) -> bool {
        false
    }

    /// One segment was found lost. Called for each, before [`on_ack`](Self::on_ack) for the acknowledgement that
    /// told.
    fn on_segment_lost(&mut self, _lost: &LostSegment) {}

    /// Recovery begins: at most once for what is in flight.
    fn on_loss(&mut self, at: &Snapshot);

    /// All that was in flight when recovery began was delivered.
    fn on_recovered(&mut self, at: &Snapshot);

    /// The retransmission timer went off; `first` where the segment had not timed out before.
    fn on_timeout(&mut self, at: &Snapshot, first: bool);

    /// The last reduction answered to nothing: what seemed lost had arrived.
    fn undo(&mut self);

    /// The peer told of a congestion mark, once for what is in flight (RFC 3168 §6.1.2).
    fn on_ecn(&mut self, at: &Snapshot);

    /// Data is about to be sent, and nothing is in flight.
    fn on_idle(&mut self, idle: &Idle);
}

/// What an acknowledgement tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acked {
    pub(crate) now: Instant,
    /// Delivered for the first time, whether acknowledged cumulatively or selectively.
    pub(crate) bytes: u32,
    /// All that was ever delivered, `bytes` included.
    pub(crate) delivered: u64,
    /// Found lost by this acknowledgement.
    pub(crate) newly_lost: u32,
    /// Of `bytes`, how many the peer tells were marked on their way.
    pub(crate) ce: u32,
    /// In flight after it.
    pub(crate) in_flight: u32,
    /// The round trip that this acknowledgement measured.
    pub(crate) rtt: Option<Duration>,
    /// The smoothed round trip, once one was measured.
    pub(crate) srtt: Option<Duration>,
    /// How fast the path delivered the newest of these bytes.
    pub(crate) rate: Option<DeliveryRate>,
    /// The window, and neither the application nor the peer, had bounded what was in flight.
    pub(crate) limited: bool,
    /// Fast recovery is under way, and the window does not grow. Not so after a timeout.
    pub(crate) in_recovery: bool,
    /// The first byte that was sent in this round trip is acknowledged: a new round begins.
    pub(crate) round_start: bool,
    pub(crate) mss: u32,
}

/// A sample of the delivery rate, taken of the newest segment that an acknowledgement covers
/// (draft-ietf-ccwg-bbr §4.1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeliveryRate {
    /// Delivered within `interval`.
    pub(crate) delivered: u64,
    /// The longer of the time that sending and that acknowledging it took.
    pub(crate) interval: Duration,
    /// The application, and not the path, may have bounded the rate.
    pub(crate) app_limited: bool,
    /// All that was delivered when the segment was sent.
    pub(crate) prior_delivered: u64,
    /// In flight when the segment was sent, itself included.
    pub(crate) tx_in_flight: u32,
    /// Found lost since the segment was sent.
    pub(crate) lost: u32,
}

/// A segment that was found lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LostSegment {
    pub(crate) len: u32,
    /// In flight when it was sent, itself included.
    pub(crate) tx_in_flight: u32,
    /// Found lost since it was sent, itself included.
    pub(crate) lost: u32,
    /// The application may have bounded what was in flight.
    pub(crate) app_limited: bool,
}

/// The connection as a loss, a mark or the end of recovery finds it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot {
    /// In flight, what was just found lost included.
    pub(crate) in_flight: u32,
    pub(crate) mss: u32,
}

/// A pause in what a connection sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idle {
    pub(crate) now: Instant,
    /// Nothing was sent for longer than a retransmission timeout.
    pub(crate) long: bool,
    /// The window with which a connection starts.
    pub(crate) initial_window: u32,
}

/// The algorithm of one connection.
#[derive(Clone, Debug)]
pub(crate) enum Congestion {
    NewReno(NewReno),
    Cubic(Cubic),
    Dctcp(Dctcp),
    Bbr(Box<Bbr>),
}

/// No congestion window grows beyond this: windows on the wire end at 2^30 (RFC 7323 §2.3).
pub(crate) const MAX_WINDOW: u32 = 1 << 30;

impl Congestion {
    /// The state of a connection that may send `cwnd` bytes, and grows its window by slow start up to `ssthresh`.
    pub(crate) fn new(algorithm: CongestionAlgorithm, cwnd: u32, ssthresh: u32) -> Self {
        let ssthresh = ssthresh.min(MAX_WINDOW);
        match algorithm {
            CongestionAlgorithm::NewReno => Self::NewReno(NewReno::new(cwnd, ssthresh)),
            CongestionAlgorithm::Cubic => Self::Cubic(Cubic::new(cwnd, ssthresh)),
            CongestionAlgorithm::Dctcp => Self::Dctcp(Dctcp::new(cwnd, ssthresh)),
            CongestionAlgorithm::Bbr => Self::Bbr(Box::new(Bbr::new(cwnd))),
        }
    }

    /// Goes on with another algorithm, from the window and threshold of the one before.
    pub(crate) fn change(&mut self, algorithm: CongestionAlgorithm) {
        if self.algorithm() != algorithm {
            *self = Self::new(algorithm, self.window(), self.ssthresh());
        }
    }

    /// Whether it knows more of the path than a window and a threshold, and goes on with that after a pause.
    pub(crate) fn has_model(&self) -> bool {
        matches!(self, Self::Bbr(_))
    }

    fn algorithm(&self) -> CongestionAlgorithm {
        match self {
            Self::NewReno(_) => CongestionAlgorithm::NewReno,
            Self::Cubic(_) => CongestionAlgorithm::Cubic,
            Self::Dctcp(_) => CongestionAlgorithm::Dctcp,
            Self::Bbr(_) => CongestionAlgorithm::Bbr,
        }
    }
}

/// Hands a call on to the algorithm.
macro_rules! each {
    ($congestion:expr, $algorithm:ident => $call:expr) => {
        match $congestion {
            Congestion::NewReno($algorithm) => $call,
            Congestion::Cubic($algorithm) => $call,
            Congestion::Dctcp($algorithm) => $call,
            Congestion::Bbr($algorithm) => $call,
        }
    };
}

impl CongestionControl for Congestion {
    #[inline]
    fn window(&self) -> u32 {
        each!(self, algorithm => algorithm.window())
    }

    #[inline]
    fn ssthresh(&self) -> u32 {
        each!(self, algorithm => algorithm.ssthresh())
    }

    #[inline]
    fn pacing_rate(&self) -> Option<u64> {
        each!(self, algorithm => algorithm.pacing_rate())
    }

    #[inline]
    fn samples_rate(&self) -> bool {
        each!(self, algorithm => algorithm.samples_rate())
    }

    #[inline]
    fn uses_prr(&self) -> bool {
        each!(self, algorithm => algorithm.uses_prr())
    }

    #[inline]
    fn on_ack(&mut self, ack: &Acked) {
        each!(self, algorithm => algorithm.on_ack(ack));
    }

    #[inline]
    fn on_ack_of_less(&mut self, now: Instant) -> bool {
        each!(self, algorithm => algorithm.on_ack_of_less(now))
    }

    fn on_segment_lost(&mut self, lost: &LostSegment) {
        each!(self, algorithm => algorithm.on_segment_lost(lost));
    }

    fn on_loss(&mut self, at: &Snapshot) {
        each!(self, algorithm => algorithm.on_loss(at));
    }

    fn on_recovered(&mut self, at: &Snapshot) {
        each!(self, algorithm => algorithm.on_recovered(at));
    }

    fn on_timeout(&mut self, at: &Snapshot, first: bool) {
        each!(self, algorithm => algorithm.on_timeout(at, first));
    }

    fn undo(&mut self) {
        each!(self, algorithm => algorithm.undo());
    }

    fn on_ecn(&mut self, at: &Snapshot) {
        each!(self, algorithm => algorithm.on_ecn(at));
    }

    #[inline]
    fn on_idle(&mut self, idle: &Idle) {
        each!(self, algorithm => algorithm.on_idle(idle));
    }
}

/// The bytes that a connection may send at first (RFC 6928 §2): `segments`, but no more than 14,600 bytes for
/// ten of them, and never less than two segments.
pub(crate) fn initial_window(segments: u8, mss: u32) -> u32 {
    let segments = u32::from(segments);
    (segments * mss).min((2 * mss).max(segments * 1_460))
}

/// The window and the threshold after a pause. After a retransmission timeout of silence the window is that of a new
/// connection (RFC 5681 §4.1), and slow start leads back to three quarters of the old one (RFC 2861 §3.1).
#[inline]
fn restart_window(cwnd: u32, ssthresh: u32, idle: &Idle) -> (u32, u32) {
    if !idle.long || cwnd <= idle.initial_window {
        return (cwnd, ssthresh);
    }
    (idle.initial_window, ssthresh.max(cwnd / 4 * 3))
}

#[cfg(test)]
impl Acked {
    /// A full window's share of `bytes`, acknowledged outside of recovery.
    pub(crate) fn of(bytes: u32, mss: u32) -> Self {
        Self {
            now: Instant::ZERO,
            bytes,
            delivered: u64::from(bytes),
            newly_lost: 0,
            ce: 0,
            in_flight: 0,
            rtt: None,
            srtt: None,
            rate: None,
            limited: true,
            in_recovery: false,
            round_start: false,
            mss,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initial_window_is_ten_segments_up_to_14600_bytes() {
        // RFC 6928 §2: min (10*MSS, max (2*MSS, 14600)).
        assert_eq!(initial_window(10, 1_460), 14_600);
        assert_eq!(initial_window(10, 536), 5_360);
        assert_eq!(initial_window(10, 8_960), 17_920);
    }

    #[test]
    fn window_starts_over_after_a_timeout_of_silence_and_remembers_three_quarters() {
        // RFC 5681 §4.1, RFC 2861 §3.1.
        let after = |long| {
            let idle = Idle { now: Instant::ZERO, long, initial_window: 10_000 };
            restart_window(80_000, 20_000, &idle)
        };
        assert_eq!(after(false), (80_000, 20_000));
        assert_eq!(after(true), (10_000, 60_000));
    }
}
