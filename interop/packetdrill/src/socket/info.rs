//! `struct tcp_info`, as far as the core has what it asks for: tcp(7), `<linux/tcp.h>`.

use std::ffi::c_int;

use netlane_core::{Duration, LossRecovery, TcpInfo, TcpState};

use crate::errno::Errno;
use crate::world::World;

/// Larger than the structure has ever been: callers cut off what they don't know. What the core does not count is zero.
const SIZE: usize = 512;

/// Bits of `tcpi_options`.
const TIMESTAMPS: u8 = 1;
const SACK: u8 = 1 << 1;
const WINDOW_SCALE: u8 = 1 << 2;
const SYN_DATA: u8 = 1 << 5;

/// Linux's slow start threshold before the first loss.
const NO_THRESHOLD: u32 = 0x7fff_ffff;

impl World {
    /// `TCP_INFO` of a socket.
    pub(crate) fn info(&mut self, fd: c_int) -> Result<Vec<u8>, Errno> {
        let id = self.socket(fd)?.id();
        let mut bytes = vec![0; SIZE];
        let Some(id) = id else {
            bytes[0] = linux_state(TcpState::Closed);
            return Ok(bytes);
        };
        bytes[0] = linux_state(self.stack().tcp_state(id).unwrap_or(TcpState::Closed));
        if let Ok(Some(info)) = self.stack().tcp_info(id) {
            fill(&mut bytes, &info);
        }
        Ok(bytes)
    }

    /// `TCP_MAXSEG`: what the largest segment carries, or what would be offered to a peer that is not known yet.
    pub(crate) fn segment_size(&mut self, fd: c_int) -> Result<Vec<u8>, Errno> {
        let id = self.socket(fd)?.id();
        let info = id.and_then(|id| self.stack().tcp_info(id).ok().flatten());
        // tcp(7): 536 before there is a connection.
        let size = info.map_or(536, |info| c_int::from(info.send_mss));
        Ok(size.to_ne_bytes().to_vec())
    }
}

/// Linux counts in segments what netlane counts in bytes, and times in microseconds.
fn fill(bytes: &mut [u8], info: &TcpInfo) {
    let segments = |len: u32| len.div_ceil(u32::from(info.send_mss).max(1));
    let (ours, peers) = info.window_scales;
    let (rtt, variation) = info.rtt.unwrap_or_default();
    bytes[1] = match info.recovery {
        LossRecovery::Open => 0,
        LossRecovery::Disorder => 1,
        LossRecovery::Fast => 3,
        LossRecovery::Timeout => 4,
    };
    bytes[2] = info.unanswered;
    bytes[3] = info.unanswered;
    bytes[4] = info.backoff;
    for (bit, set) in [
        (TIMESTAMPS, info.timestamps),
        (SACK, info.sack),
        (WINDOW_SCALE, ours > 0 || peers > 0),
        (SYN_DATA, info.fast_open),
    ] {
        bytes[5] |= if set { bit } else { 0 };
    }
    bytes[6] = peers | ours << 4;
    let threshold = info.slow_start_threshold.map_or(NO_THRESHOLD, segments);
    for (at, value) in [
        (8, micros(info.rto)),
        (16, u32::from(info.send_mss)),
        (20, u32::from(info.receive_mss)),
        (24, segments(info.unacknowledged)),
        (28, segments(info.sacked)),
        // What was lost stays so for Linux until it is acknowledged.
        (32, segments(info.lost + info.resent)),
        (36, segments(info.resent)),
        (68, micros(rtt)),
        (72, micros(variation)),
        (76, threshold),
        (80, info.congestion_window / u32::from(info.send_mss).max(1)),
        (144, info.unsent),
        (148, info.min_rtt.map_or(u32::MAX, micros)),
        // The SYN counts as a segment.
        (192, segments(info.delivered as u32) + 1),
        (228, info.peer_window),
    ] {
        bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

/// The numbers of `<netinet/tcp.h>`.
fn linux_state(state: TcpState) -> u8 {
    match state {
        TcpState::Established => 1,
        TcpState::SynSent => 2,
        TcpState::SynReceived => 3,
        TcpState::FinWait1 => 4,
        TcpState::FinWait2 => 5,
        TcpState::TimeWait => 6,
        TcpState::Closed => 7,
        TcpState::CloseWait => 8,
        TcpState::LastAck => 9,
        TcpState::Listen => 10,
        TcpState::Closing => 11,
    }
}
