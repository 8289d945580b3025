//! Proportional rate reduction: what may leave while the window comes down in recovery (RFC 6937).

/// The state of one recovery. All sizes are in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Prr {
    /// RecoverFS: in flight when recovery began.
    flight: u32,
    delivered: u32,
    sent: u32,
    /// What may be sent now.
    allowance: u32,
}

/// What an acknowledgement in recovery tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// Delivered by it.
    pub(crate) delivered: u32,
    /// In flight now.
    pub(crate) pipe: u32,
    pub(crate) ssthresh: u32,
    /// It acknowledged more than before, and told of no further loss.
    pub(crate) safe: bool,
    pub(crate) mss: u32,
}

impl Prr {
    /// Recovery begins with `flight` bytes in flight.
    pub(crate) const fn new(flight: u32) -> Self {
        Self { flight, delivered: 0, sent: 0, allowance: 0 }
    }

    /// What may be sent now.
    #[inline]
    pub(crate) const fn allowance(&self) -> u32 {
        self.allowance
    }

    pub(crate) const fn sent(&mut self, len: u32) {
        self.sent = self.sent.saturating_add(len);
        self.allowance = self.allowance.saturating_sub(len);
    }

    /// RFC 6937 §3.1.
    pub(crate) fn on_ack(&mut self, progress: &Progress) {
        let Progress { delivered, pipe, ssthresh, safe, mss } = *progress;
        self.delivered = self.delivered.saturating_add(delivered);
        let allowance = if pipe > ssthresh {
            let share = u64::from(self.delivered) * u64::from(ssthresh);
            // The RFC counts in segments, and rounds up: else a small window would stand still.
            let share = share.div_ceil(u64::from(self.flight.max(1))).next_multiple_of(u64::from(mss.max(1)));
            u32::try_from(share).unwrap_or(u32::MAX).saturating_sub(self.sent)
        } else {
            // The slow start part (SSRB) catches up with what was lost on top, but only while things get better;
            // else the conservative one (CRB) sends no more than was delivered.
            let conserving = self.delivered.saturating_sub(self.sent);
            let limit = if safe { conserving.max(delivered).saturating_add(mss) } else { conserving };
            limit.min(ssthresh - pipe)
        };
        // RFC 6937 §3: the first retransmission always leaves; and one more where nothing is in flight that could be
        // acknowledged, for else the timeout would come.
        self.allowance = if self.sent == 0 || pipe == 0 { allowance.max(mss) } else { allowance };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1_000;

    #[test]
    fn one_segment_leaves_for_two_delivered_while_the_window_is_halved() {
        // RFC 6937 §4, figure: 20 segments in flight, the first one lost, ssthresh = 10.
        let mut prr = Prr::new(20 * MSS);
        let (mut pipe, mut sent) = (17 * MSS, [0; 16]);
        for sent in &mut sent {
            pipe -= MSS;
            prr.on_ack(&Progress { delivered: MSS, pipe, ssthresh: 10 * MSS, safe: false, mss: MSS });
            while prr.allowance() >= MSS {
                prr.sent(MSS);
                pipe += MSS;
                *sent += 1;
            }
        }
        // And one for each once half of the window is reached.
        assert_eq!(sent, [1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 1, 1, 1]);
        assert_eq!(pipe, 10 * MSS);
    }

    #[test]
    fn window_is_reached_even_after_heavy_loss() {
        // RFC 6937 §4: 20 in flight, 15 of them lost at once: pipe falls below ssthresh, and slow start fills it.
        let mut prr = Prr::new(20 * MSS);
        let mut pipe = 4 * MSS;
        prr.on_ack(&Progress { delivered: MSS, pipe, ssthresh: 10 * MSS, safe: false, mss: MSS });
        assert_eq!(prr.allowance(), MSS, "packet conservation while more losses come to light");
        prr.sent(MSS);
        prr.on_ack(&Progress { delivered: MSS, pipe, ssthresh: 10 * MSS, safe: true, mss: MSS });
        assert_eq!(prr.allowance(), 2 * MSS, "slow start while things get better");
        prr.sent(2 * MSS);
        pipe = 9 * MSS;
        prr.on_ack(&Progress { delivered: MSS, pipe, ssthresh: 10 * MSS, safe: true, mss: MSS });
        assert_eq!(prr.allowance(), MSS, "never beyond ssthresh");
    }

    #[test]
    fn first_retransmission_leaves_whatever_the_window_says() {
        let mut prr = Prr::new(4 * MSS);
        prr.on_ack(&Progress { delivered: 100, pipe: 3 * MSS, ssthresh: 2 * MSS, safe: false, mss: MSS });
        assert_eq!(prr.allowance(), MSS);
    }
}
