//! Bounds on how often something happens.

use crate::time::Instant;

/// Lets a number of events through in each second, and no more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RateLimit {
    per_second: u32,
    left: u32,
    second: u64,
}

impl RateLimit {
    pub(crate) const fn per_second(limit: u32) -> Self {
        Self { per_second: limit, left: limit, second: 0 }
    }

    /// Whether one more event at `now` is within the bound.
    pub(crate) fn allow(&mut self, now: Instant) -> bool {
        let second = now.as_millis() / 1_000;
        if second != self.second {
            (self.second, self.left) = (second, self.per_second);
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}

/// Lets about so many events through in each second. How many exactly is drawn anew for each, between a half and
/// one and a half times the number: who counts what comes through cannot tell how much of it others have caused
/// (the side channel of CVE-2016-5696).
#[derive(Clone, Debug)]
pub(crate) struct VagueLimit {
    per_second: u32,
    left: u32,
    second: u64,
    rng: fastrand::Rng,
}

impl VagueLimit {
    pub(crate) fn per_second(limit: u32, seed: u64) -> Self {
        Self { per_second: limit, left: 0, second: u64::MAX, rng: fastrand::Rng::with_seed(seed) }
    }

    /// Whether one more event at `now` is within the bound.
    pub(crate) fn allow(&mut self, now: Instant) -> bool {
        let second = now.as_millis() / 1_000;
        if second != self.second {
            self.second = second;
            self.left = (self.per_second / 2).saturating_add(self.rng.u32(..=self.per_second));
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_can_tell_how_many_a_second_has() {
        let mut limit = VagueLimit::per_second(100, 1);
        let counts: alloc::vec::Vec<usize> = (0..100)
            .map(|second| (0..1_000).filter(|_| limit.allow(Instant::from_millis(1_000 * second))).count())
            .collect();
        assert!(counts.iter().all(|count| (50..=150).contains(count)), "{counts:?}");
        let different: alloc::collections::BTreeSet<_> = counts.iter().collect();
        assert!(different.len() > 40, "{counts:?}");
    }

    #[test]
    fn a_second_has_its_share_and_the_next_has_its_own() {
        let mut limit = RateLimit::per_second(2);
        let allowed = [0, 1, 999, 1_000, 1_001, 1_002].map(|ms| limit.allow(Instant::from_millis(ms)));
        assert_eq!(allowed, [true, true, false, true, true, false]);
    }
}
