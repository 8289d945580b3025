//! The tail loss probe: a segment that draws out an acknowledgement where the end of what was sent may be lost, long
//! before the retransmission timeout (RFC 8985 §7).

use super::seq::SeqNumber;
use crate::time::{Duration, Instant};

/// The probe of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TailProbe {
    /// The probe timer went off, and the probe has not left yet.
    due: bool,
    outstanding: Option<Outstanding>,
}

/// A probe that nothing is known of yet.
#[derive(Clone, Copy, Debug)]
struct Outstanding {
    /// TLP.end_seq: SND.NXT when it left.
    end: SeqNumber,
    /// TLP.is_retrans: it repeated the last segment.
    resent: bool,
}

/// RFC 8985 §7.2, TLP.max_ack_delay: how long a receiver may hold the acknowledgement of a lone segment back.
/// RFC 1122 allows for 500 ms; none of today's systems takes more than this.
const MAX_ACK_DELAY: u64 = Duration::from_millis(200).as_nanos() as u64;

/// No probe leaves earlier: for a round trip within one machine, being scheduled takes longer than the path.
const LEAST_TIMEOUT: u64 = Duration::from_millis(2).as_nanos() as u64;

impl TailProbe {
    /// When the probe timeout (RFC 8985 §7.2) ends that begins now, with a smoothed round trip of `srtt` nanoseconds,
    /// while no more than one segment is in flight or more of them.
    #[inline]
    pub(crate) fn timeout(now: Instant, srtt: u64, lone: bool) -> Instant {
        let patience = (2 * srtt).max(LEAST_TIMEOUT);
        now.plus_nanos(if lone { patience + MAX_ACK_DELAY } else { patience })
    }

    /// Whether a probe left that nothing is known of yet. Until then there is no other (RFC 8985 §7.3).
    #[inline]
    pub(crate) const fn is_outstanding(&self) -> bool {
        self.outstanding.is_some()
    }

    /// Whether a probe shall leave now.
    #[inline]
    pub(crate) const fn is_due(&self) -> bool {
        self.due
    }

    /// The probe timer went off.
    pub(crate) const fn on_timer(&mut self) {
        self.due = true;
    }

    /// The probe left; with it `end` is SND.NXT.
    pub(crate) const fn sent(&mut self, end: SeqNumber, resent: bool) {
        (self.due, self.outstanding) = (false, Some(Outstanding { end, resent }));
    }

    /// There is no use for a probe any more: recovery has begun, or a timeout.
    pub(crate) const fn cancel(&mut self) {
        (self.due, self.outstanding) = (false, None);
    }

    /// An acknowledgement of everything before `una`, which told of this duplicate, or had neither news nor blocks
    /// and so was a bare one (RFC 8985 §7.4.2). Returns whether it shows that the probe has repaired a loss, to
    /// which congestion control has to react.
    #[inline]
    pub(crate) fn on_ack(&mut self, una: SeqNumber, duplicate: Option<SeqNumber>, bare: bool) -> bool {
        let Some(Outstanding { end, resent }) = self.outstanding else { return false };
        if una.before(end) {
            return false;
        }
        if !resent || duplicate == Some(end) {
            self.cancel();
            return false;
        }
        if una.after(end) {
            self.cancel();
            return true;
        }
        if bare {
            self.cancel();
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;
    const AT: Instant = Instant::from_millis(5_000);

    fn repeated(end: u32) -> TailProbe {
        let mut probe = TailProbe::default();
        probe.sent(SeqNumber(end), true);
        probe
    }

    #[test]
    fn probe_waits_two_round_trips_and_longer_for_a_lone_segment() {
        assert_eq!(TailProbe::timeout(AT, 30_000_000, false), AT + MS(60));
        assert_eq!(TailProbe::timeout(AT, 30_000_000, true), AT + MS(260));
    }

    #[test]
    fn repetition_that_arrives_alone_has_repaired_a_loss() {
        let mut probe = repeated(100);
        assert!(!probe.on_ack(SeqNumber(100), None, false));
        assert!(probe.on_ack(SeqNumber(101), None, false));
        assert!(!probe.is_outstanding());
    }

    #[test]
    fn repetition_that_arrives_twice_was_needless() {
        let mut probe = repeated(100);
        assert!(!probe.on_ack(SeqNumber(100), Some(SeqNumber(100)), false));
        assert!(!probe.is_outstanding());
        // Without D-SACK, the acknowledgement of a duplicate has neither news nor blocks.
        let mut probe = repeated(100);
        assert!(!probe.on_ack(SeqNumber(100), None, true));
        assert!(!probe.is_outstanding());
    }

    #[test]
    fn new_data_is_no_repetition() {
        let mut probe = TailProbe::default();
        probe.sent(SeqNumber(200), false);
        assert!(!probe.on_ack(SeqNumber(200), None, false));
        assert!(!probe.is_outstanding());
    }
}
