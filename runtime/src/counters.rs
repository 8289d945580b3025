//! What lanes have counted.

use std::fmt;

use crate::lane::LANE_COUNTERS;

/// A snapshot of what a lane and its stack have counted.
///
/// The names are those of [`netlane_core::Counters`], behind the lane's own: `lane_turns` of its loop, `lane_jobs`
/// that clients had, `lane_parks`, how often it went to sleep, and `lane_wakes`, how often a client woke it up.
#[derive(Clone, PartialEq, Eq)]
pub struct Counters {
    values: Vec<u64>,
}

impl Counters {
    pub(crate) fn new(values: Vec<u64>) -> Self {
        Self { values }
    }

    /// The counter of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<u64> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Every counter's name and value, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        names().zip(self.values.iter().copied())
    }
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

fn names() -> impl Iterator<Item = &'static str> {
    let stack: Vec<_> = netlane_core::Counters::default().iter().map(|(name, _)| name).collect();
    LANE_COUNTERS.into_iter().chain(stack)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::REPORT_VALUES;

    #[test]
    fn all_counters_fit_into_a_report() {
        assert!(names().count() <= REPORT_VALUES);
    }
}
