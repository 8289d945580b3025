//! What a connection tells of itself, for users who want to know why it is as fast as it is.

use super::congestion::{CongestionControl, MAX_WINDOW};
use super::connection::TcpState;
use super::flight::Flight;
use super::recovery::Phase;
use super::synchronized::{FastOpenState, Synchronized};
use crate::buffers::Buffers;
use crate::config::{CongestionAlgorithm, TcpConfig};
use crate::time::Duration;

/// How a connection fares. Sizes are in bytes.
///
/// What tells of the path is known while something is in flight, and for a retransmission timeout or a minute after
/// that: an idle connection forgets it, and starts over from the initial window (RFC 5681 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpInfo {
    /// The state, as RFC 9293 §3.3.2 names it.
    pub state: TcpState,
    /// Payload of the largest segment that is sent, beside the options that every segment carries.
    pub send_mss: u16,
    /// Payload of the largest segment that has arrived; 536 where none was larger.
    pub receive_mss: u16,
    /// The shifts of our window and of the peer's (RFC 7323 §2).
    pub window_scales: (u8, u8),
    /// Both ends use timestamps.
    pub timestamps: bool,
    /// Both ends use selective acknowledgements.
    pub sack: bool,
    /// Data came or went with the SYN, and was taken (RFC 7413).
    pub fast_open: bool,
    /// The smoothed round-trip time and its variation (RFC 6298), once there was a measurement.
    pub rtt: Option<(Duration, Duration)>,
    /// The least round-trip time of the last minutes.
    pub min_rtt: Option<Duration>,
    /// The retransmission timeout, backed off as it is.
    pub rto: Duration,
    /// How often the timeout was doubled since something new was acknowledged.
    pub backoff: u8,
    /// Timeouts, probes of a closed window or keep-alive probes that had no answer.
    pub unanswered: u8,
    /// What decides how much may be in flight.
    pub congestion_control: CongestionAlgorithm,
    /// The congestion window.
    pub congestion_window: u32,
    /// The slow start threshold; `None` before the first loss.
    pub slow_start_threshold: Option<u32>,
    /// The window that the peer offers.
    pub peer_window: u32,
    /// What was sent and is not acknowledged.
    pub unacknowledged: u32,
    /// Of that, what the peer has told to have arrived.
    pub sacked: u32,
    /// Of that, what was lost and not sent again.
    pub lost: u32,
    /// Of that, what was sent again and may be on its way.
    pub resent: u32,
    /// What waits to be sent for the first time.
    pub unsent: u32,
    /// What was delivered to the peer since the window was last at its initial size.
    pub delivered: u64,
    /// What is made up for.
    pub recovery: LossRecovery,
}

/// Whether a connection makes up for a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossRecovery {
    /// Everything arrives in order, for all that is known.
    Open,
    /// Something has arrived ahead of something else; whether that is lost is not known yet.
    Disorder,
    /// Something was lost, and is made up for without a timeout.
    Fast,
    /// A timeout has passed, and what was sent before it is sent once more.
    Timeout,
}

impl<B: Buffers> Synchronized<B> {
    /// What there is to tell of a connection in this state, whose window begins with `initial_window`.
    pub(crate) fn info(
        &self,
        state: TcpState,
        congestion_control: CongestionAlgorithm,
        buffers: &B,
        config: &TcpConfig,
        initial_window: u32,
    ) -> TcpInfo {
        let flight = self.flight.as_deref();
        let (congestion_window, threshold) = flight.map_or((initial_window, self.ssthresh), |flight| {
            (flight.congestion.window(), flight.congestion.ssthresh())
        });
        TcpInfo {
            state,
            send_mss: self.snd.mss,
            receive_mss: self.rcv.peer_segment(),
            window_scales: (self.rcv.scale().shift(), self.snd.scale().shift()),
            timestamps: self.timestamps.is_some(),
            sack: self.rcv.uses_sack(),
            fast_open: self.fast_open != FastOpenState::No,
            rtt: self.rtt.smoothed().map(|srtt| (srtt, self.rtt.variation())),
            min_rtt: flight.and_then(|flight| flight.rack.min_rtt()),
            rto: self.rtt.rto(config),
            backoff: self.rtt.backoff(),
            unanswered: self.unanswered,
            congestion_control,
            congestion_window,
            slow_start_threshold: (threshold < MAX_WINDOW).then_some(threshold),
            peer_window: self.snd.wnd,
            unacknowledged: self.snd.flight(),
            sacked: flight.map_or(0, Flight::arrived),
            lost: flight.map_or(0, |flight| flight.board.lost()),
            resent: flight.map_or(0, |flight| flight.board.resent_in_flight()),
            unsent: (buffers.queued(&self.send) as u32).saturating_sub(self.snd.flight()),
            delivered: flight.map_or(0, |flight| flight.rate.delivered),
            recovery: flight.map_or(LossRecovery::Open, Flight::loss_recovery),
        }
    }
}

impl Flight {
    /// Bytes of what is in flight that the peer has told to have arrived, by SACK or by duplicate acknowledgements.
    fn arrived(&self) -> u32 {
        self.board.sacked() + self.duplicates
    }

    fn loss_recovery(&self) -> LossRecovery {
        match self.phase {
            Phase::Fast => LossRecovery::Fast,
            Phase::Timeout => LossRecovery::Timeout,
            Phase::Open if self.arrived() > 0 => LossRecovery::Disorder,
            Phase::Open => LossRecovery::Open,
        }
    }
}
