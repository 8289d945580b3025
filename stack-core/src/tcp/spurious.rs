//! Reductions of the window that answered to nothing, because what seemed lost had arrived: by what an
//! acknowledgement shows (F-RTO, RFC 5682), by timestamps (Eifel, RFC 3522), and by D-SACK (RFC 3708 §3).

use arrayvec::ArrayVec;

use super::seq::SeqNumber;
use super::timestamps::Timestamps;
use crate::time::Instant;

/// What has to be seen for the last reduction to be undone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doubt {
    /// A reduction was made, and may turn out to have been needless.
    is_open: bool,
    /// What was sent again since, and has not turned out to be a duplicate: the first place, and the one behind.
    unexplained: ArrayVec<(SeqNumber, SeqNumber), MOST_RANGES>,
    /// There was more of that than could be kept, and so no proof that all of it was needless.
    beyond_proof: bool,
    /// When the first of it was sent.
    first_resent: Option<Instant>,
}

/// Where a recovery repeats more ranges than this, hardly all of them were needless.
const MOST_RANGES: usize = 8;

impl Doubt {
    /// The window was reduced.
    pub(crate) fn begin() -> Self {
        Self { is_open: true, ..Self::default() }
    }

    /// `len` places from `start` on were sent again.
    pub(crate) fn resent(&mut self, start: SeqNumber, len: u32, now: Instant) {
        self.first_resent = self.first_resent.or(Some(now));
        match self.unexplained.last_mut() {
            Some(last) if last.1 == start => last.1 = start + len,
            _ => self.beyond_proof |= self.unexplained.try_push((start, start + len)).is_err(),
        }
    }

    /// The peer has received what lies between `start` and `end` twice. Returns whether that is because it was sent
    /// twice, as far as is known: a path may make duplicates itself (RFC 3708 §3).
    pub(crate) fn on_duplicate(&mut self, start: SeqNumber, end: SeqNumber) -> bool {
        let mut explains = false;
        for range in &mut self.unexplained {
            if !range.0.before(start) && range.0.before(end) {
                range.0 = range.1.min(end);
                explains = true;
            }
        }
        self.unexplained.retain(|range| range.0 != range.1);
        explains
    }

    /// RFC 3708 §3: all that was sent again since the reduction had arrived before.
    pub(crate) fn is_cleared_by_duplicates(&self) -> bool {
        self.is_open && self.first_resent.is_some() && self.unexplained.is_empty() && !self.beyond_proof
    }

    /// RFC 3522 §3.2: an acknowledgement of something new that echoes a timestamp from before the first
    /// retransmission answers the original.
    pub(crate) fn is_cleared_by_echo(&self, timestamps: Option<(&Timestamps, u32)>) -> bool {
        let Some((timestamps, echo)) = timestamps else { return false };
        self.is_open
            && self.first_resent.is_some_and(|first_resent| timestamps.is_from_before(echo, first_resent))
    }

    /// There is nothing to undo any more.
    pub(crate) const fn end(&mut self) {
        self.is_open = false;
    }
}

/// F-RTO: after a timeout, new data instead of repetitions shows whether anything was lost (RFC 5682 §3, with SACK).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Frto {
    /// The timeout is taken for what it seems, or there was none.
    #[default]
    Off,
    /// Step 2: the oldest segment was sent again, and what comes back shows more.
    Repeated,
    /// Step 3: new data leaves from here on instead of what seems lost.
    Probing { from: SeqNumber },
}

/// What an acknowledgement after a timeout tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hint {
    /// SND.UNA has moved.
    pub(crate) advanced: bool,
    /// Something has arrived that was sent before the timeout, and only once.
    pub(crate) original: bool,
    /// It is a duplicate, or acknowledges something selectively.
    pub(crate) ahead: bool,
    /// There is new data that the peer has room for.
    pub(crate) has_new_data: bool,
    pub(crate) nxt: SeqNumber,
}

impl Frto {
    /// Takes an acknowledgement that leaves part of what was in flight at the timeout open. Returns whether it
    /// shows that the timeout was spurious.
    pub(crate) fn on_ack(&mut self, hint: &Hint) -> bool {
        match *self {
            Self::Off => {}
            Self::Repeated if hint.advanced => {
                // Step 2b; without new data, there is nothing to learn.
                *self = if hint.has_new_data { Self::Probing { from: hint.nxt } } else { Self::Off };
            }
            Self::Repeated => {}
            Self::Probing { .. } if hint.original => {
                // Step 3b.
                *self = Self::Off;
                return true;
            }
            // Step 3a: the new data has arrived, and what was before it has not.
            Self::Probing { from } if hint.nxt.after(from) && hint.ahead => *self = Self::Off,
            Self::Probing { .. } => {}
        }
        false
    }

    /// Whether new data leaves before what seems lost.
    #[inline]
    pub(crate) const fn prefers_new_data(&self) -> bool {
        matches!(self, Self::Probing { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seq(n: u32) -> SeqNumber {
        SeqNumber(n)
    }

    const HINT: Hint =
        Hint { advanced: true, original: false, ahead: false, has_new_data: true, nxt: SeqNumber(100) };

    #[test]
    fn duplicates_of_everything_that_was_sent_again_clear_the_doubt() {
        let mut doubt = Doubt::begin();
        assert!(!doubt.is_cleared_by_duplicates(), "nothing was sent again yet");
        doubt.resent(seq(0), 20, Instant::ZERO);
        doubt.resent(seq(40), 10, Instant::ZERO);
        assert!(doubt.on_duplicate(seq(0), seq(10)));
        assert!(doubt.on_duplicate(seq(40), seq(50)));
        assert!(!doubt.is_cleared_by_duplicates());
        assert!(doubt.on_duplicate(seq(10), seq(20)));
        assert!(doubt.is_cleared_by_duplicates());
    }

    #[test]
    fn duplicates_that_the_path_has_made_clear_nothing() {
        let mut doubt = Doubt::begin();
        doubt.resent(seq(10), 10, Instant::ZERO);
        assert!(!doubt.on_duplicate(seq(0), seq(10)));
        assert!(!doubt.on_duplicate(seq(20), seq(30)));
        assert!(!doubt.is_cleared_by_duplicates());
    }

    #[test]
    fn too_many_repetitions_cannot_all_be_proved_needless() {
        let mut doubt = Doubt::begin();
        for n in 0..20 {
            doubt.resent(seq(20 * n), 10, Instant::ZERO);
        }
        for n in 0..20 {
            doubt.on_duplicate(seq(20 * n), seq(20 * n + 10));
        }
        assert!(!doubt.is_cleared_by_duplicates());
    }

    #[test]
    fn echo_from_before_the_repetition_clears_the_doubt() {
        let timestamps = Timestamps::new(0, 1_000);
        let mut doubt = Doubt::begin();
        doubt.resent(seq(0), 10, Instant::from_millis(50));
        assert!(doubt.is_cleared_by_echo(Some((&timestamps, 1_049))));
        assert!(!doubt.is_cleared_by_echo(Some((&timestamps, 1_050))));
        assert!(!doubt.is_cleared_by_echo(None));
    }

    #[test]
    fn original_that_arrives_after_new_data_left_shows_a_spurious_timeout() {
        let mut frto = Frto::Repeated;
        assert!(!frto.on_ack(&HINT));
        assert!(frto.prefers_new_data());
        assert!(frto.on_ack(&Hint { original: true, nxt: seq(120), ..HINT }));
        assert!(!frto.prefers_new_data());
    }

    #[test]
    fn duplicate_after_new_data_left_shows_a_real_loss() {
        let mut frto = Frto::Probing { from: seq(100) };
        let dup = Hint { advanced: false, ahead: true, nxt: seq(120), ..HINT };
        assert!(!frto.on_ack(&dup));
        assert_eq!(frto, Frto::Off);
    }

    #[test]
    fn nothing_can_be_learnt_without_new_data() {
        let mut frto = Frto::Repeated;
        frto.on_ack(&Hint { has_new_data: false, ..HINT });
        assert_eq!(frto, Frto::Off);
    }
}
