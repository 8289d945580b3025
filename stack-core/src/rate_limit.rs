//! A bound on how often something happens.

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_its_share_and_the_next_has_its_own() {
        let mut limit = RateLimit::per_second(2);
        let allowed = [0, 1, 999, 1_000, 1_001, 1_002].map(|ms| limit.allow(Instant::from_millis(ms)));
        assert_eq!(allowed, [true, true, false, true, true, false]);
    }
}
