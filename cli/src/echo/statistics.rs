//! What the replies to a number of requests have in common.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// How many requests were answered, and how fast.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Statistics {
    pub(crate) transmitted: usize,
    pub(crate) received: usize,
    /// `None` while nothing was received.
    #[serde(flatten)]
    pub(crate) times: Option<RoundTripTimes>,
}

/// Round-trip times.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct RoundTripTimes {
    #[serde(rename = "min-us", serialize_with = "microseconds")]
    pub(crate) min: Duration,
    #[serde(rename = "avg-us", serialize_with = "microseconds")]
    pub(crate) avg: Duration,
    #[serde(rename = "max-us", serialize_with = "microseconds")]
    pub(crate) max: Duration,
    /// Their standard deviation, as ping(8) calls it.
    #[serde(rename = "mdev-us", serialize_with = "microseconds")]
    pub(crate) mdev: Duration,
}

impl Statistics {
    /// Of these outcomes of requests: the time that the reply took, where one came.
    pub(crate) fn of(outcomes: &[Option<Duration>]) -> Self {
        let times: Vec<Duration> = outcomes.iter().flatten().copied().collect();
        Self { transmitted: outcomes.len(), received: times.len(), times: RoundTripTimes::of(&times) }
    }

    /// Requests without a reply, in per cent.
    pub(crate) fn loss(&self) -> f64 {
        let lost = self.transmitted - self.received;
        100.0 * lost as f64 / self.transmitted.max(1) as f64
    }
}

impl RoundTripTimes {
    fn of(times: &[Duration]) -> Option<Self> {
        let (min, max) = (*times.iter().min()?, *times.iter().max()?);
        let mean = |values: &dyn Fn(f64) -> f64| {
            times.iter().map(|time| values(time.as_secs_f64())).sum::<f64>() / times.len() as f64
        };
        let avg = mean(&|time| time);
        let variance = mean(&|time| (time - avg).powi(2));
        let [avg, mdev] = [avg, variance.sqrt()].map(Duration::from_secs_f64);
        Some(Self { min, avg, max, mdev })
    }
}

impl fmt::Display for RoundTripTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [min, avg, max, mdev] =
            [self.min, self.avg, self.max, self.mdev].map(|time| time.as_secs_f64() * 1e3);
        write!(f, "min/avg/max/mdev {min:.3}/{avg:.3}/{max:.3}/{mdev:.3} ms")
    }
}

/// A time in microseconds, with their fractions.
pub(crate) fn microseconds<S, T>(time: &T, serializer: S) -> Result<S::Ok, S::Error>
where
    S: Serializer,
    T: Copy + Into<Option<Duration>>,
{
    let time: Option<Duration> = (*time).into();
    time.map(|time| time.as_nanos() as f64 / 1e3).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_are_summed_up_as_ping_does() {
        let outcomes = [Some(1), None, Some(3), None].map(|time| time.map(Duration::from_millis));
        let statistics = Statistics::of(&outcomes);
        assert_eq!((statistics.transmitted, statistics.received, statistics.loss()), (4, 2, 50.0));
        let times = statistics.times.expect("two replies");
        assert_eq!(times.to_string(), "min/avg/max/mdev 1.000/2.000/3.000/1.000 ms");
    }

    #[test]
    fn nothing_is_said_about_times_where_nothing_came() {
        let statistics = Statistics::of(&[None]);
        assert_eq!((statistics.loss(), statistics.times), (100.0, None));
    }
}
