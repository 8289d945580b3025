//! Congestion control: how much may be in flight. A trait, and one file per algorithm.

pub(crate) use new_reno::NewReno;

mod new_reno;

/// An algorithm that decides how many bytes may be in flight.
///
/// Loss detection calls it: it learns what was acknowledged and lost, and never looks at segments itself.
pub(crate) trait CongestionControl {
    /// The congestion window, in bytes.
    fn window(&self) -> u32;

    /// `acked` bytes were acknowledged for the first time, outside of recovery. `limited` says that the
    /// window, and not the application or the peer, had bounded what was in flight.
    fn on_ack(&mut self, acked: u32, limited: bool, mss: u32);

    /// A segment was lost, with `flight` bytes in flight, and recovery begins.
    fn on_recovery(&mut self, flight: u32, mss: u32);

    /// Another segment has left the network during recovery.
    fn on_duplicate_ack(&mut self, mss: u32);

    /// Part of what was in flight when recovery began has been acknowledged, `acked` bytes of it.
    fn on_partial_ack(&mut self, acked: u32, mss: u32);

    /// All that was in flight when recovery began has been acknowledged; `flight` bytes still are.
    fn on_recovered(&mut self, flight: u32, mss: u32);

    /// The retransmission timer went off, with `flight` bytes in flight; `first` for the segment's first time.
    fn on_timeout(&mut self, flight: u32, first: bool, mss: u32);

    /// The connection was silent for a retransmission timeout or longer; the window restarts from `initial`.
    fn on_idle(&mut self, initial: u32);
}

/// The bytes that a connection may send at first (RFC 6928 §2): `segments`, but no more than 14,600 bytes for
/// ten of them, and never less than two segments.
pub(crate) fn initial_window(segments: u8, mss: u32) -> u32 {
    let segments = u32::from(segments);
    (segments * mss).min((2 * mss).max(segments * 1_460))
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
}
