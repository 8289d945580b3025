//! Worsening the link, for tests.

use std::num::NonZeroU64;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::duration;

/// What befalls frames on their way in and out.
///
/// In a file, the section's own keys hold for both directions, and those of its sub-tables `inbound` and
/// `outbound` override them for one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "table::Impair", rename_all = "kebab-case")]
pub struct Impair {
    /// Seed of the dice; derived from the configuration's own seed where `None`.
    pub seed: Option<u64>,
    /// What befalls frames that arrive.
    pub inbound: Impairment,
    /// What befalls frames that leave.
    pub outbound: Impairment,
}

/// What befalls frames in one direction. The default leaves them alone.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Impairment {
    /// How likely a frame is lost.
    pub loss: Probability,
    /// How likely a frame arrives twice.
    pub duplicate: Probability,
    /// How likely a frame is held back by `reorder_delay`, so that those behind it overtake it.
    pub reorder: Probability,
    /// How much longer a frame that is held back takes.
    #[serde(with = "duration")]
    pub reorder_delay: Duration,
    /// How likely one bit of a frame flips.
    pub corrupt: Probability,
    /// How long every frame is under way.
    #[serde(with = "duration")]
    pub delay: Duration,
    /// The most by which `delay` grows, at random for each frame.
    #[serde(with = "duration")]
    pub jitter: Duration,
    /// The link's speed, in bits per second; unlimited where `None`.
    pub rate: Option<NonZeroU64>,
    /// Bytes that may wait in front of a link with a `rate`. A frame that finds no room is lost.
    pub queue: usize,
}

impl Default for Impairment {
    fn default() -> Self {
        Self {
            loss: Probability::NEVER,
            duplicate: Probability::NEVER,
            reorder: Probability::NEVER,
            reorder_delay: Duration::from_millis(10),
            corrupt: Probability::NEVER,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            rate: None,
            queue: 256 * 1024,
        }
    }
}

/// A number from 0 (never) to 1 (always).
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64")]
pub struct Probability(f64);

impl Probability {
    /// Zero.
    pub const NEVER: Self = Self(0.0);

    /// `value` as a probability, or `None` where it is not between 0 and 1.
    #[must_use]
    pub fn new(value: f64) -> Option<Self> {
        (0.0..=1.0).contains(&value).then_some(Self(value))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Probability {
    type Error = String;

    fn try_from(value: f64) -> Result<Self, String> {
        Self::new(value).ok_or_else(|| {
            format!("invalid value: floating point `{value}`, expected a probability from 0 to 1")
        })
    }
}

/// The section as it is written, before its overrides are resolved.
mod table {
    use std::num::NonZeroU64;
    use std::time::Duration;

    use serde::{Deserialize, Deserializer};

    use super::{Impairment, Probability};
    use crate::duration;

    #[derive(Default, Deserialize)]
    #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
    pub(super) struct Impair {
        seed: Option<u64>,
        loss: Option<Probability>,
        duplicate: Option<Probability>,
        reorder: Option<Probability>,
        #[serde(deserialize_with = "some_duration")]
        reorder_delay: Option<Duration>,
        corrupt: Option<Probability>,
        #[serde(deserialize_with = "some_duration")]
        delay: Option<Duration>,
        #[serde(deserialize_with = "some_duration")]
        jitter: Option<Duration>,
        rate: Option<NonZeroU64>,
        queue: Option<usize>,
        inbound: Override,
        outbound: Override,
    }

    #[derive(Default, Deserialize)]
    #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
    struct Override {
        loss: Option<Probability>,
        duplicate: Option<Probability>,
        reorder: Option<Probability>,
        #[serde(deserialize_with = "some_duration")]
        reorder_delay: Option<Duration>,
        corrupt: Option<Probability>,
        #[serde(deserialize_with = "some_duration")]
        delay: Option<Duration>,
        #[serde(deserialize_with = "some_duration")]
        jitter: Option<Duration>,
        rate: Option<NonZeroU64>,
        queue: Option<usize>,
    }

    impl From<Impair> for super::Impair {
        fn from(table: Impair) -> Self {
            let Impair {
                seed,
                loss,
                duplicate,
                reorder,
                reorder_delay,
                corrupt,
                delay,
                jitter,
                rate,
                queue,
                inbound,
                outbound,
            } = table;
            let both =
                Override { loss, duplicate, reorder, reorder_delay, corrupt, delay, jitter, rate, queue };
            let both = both.over(Impairment::default());
            Self { seed, inbound: inbound.over(both), outbound: outbound.over(both) }
        }
    }

    impl Override {
        fn over(self, below: Impairment) -> Impairment {
            Impairment {
                loss: self.loss.unwrap_or(below.loss),
                duplicate: self.duplicate.unwrap_or(below.duplicate),
                reorder: self.reorder.unwrap_or(below.reorder),
                reorder_delay: self.reorder_delay.unwrap_or(below.reorder_delay),
                corrupt: self.corrupt.unwrap_or(below.corrupt),
                delay: self.delay.unwrap_or(below.delay),
                jitter: self.jitter.unwrap_or(below.jitter),
                rate: self.rate.or(below.rate),
                queue: self.queue.unwrap_or(below.queue),
            }
        }
    }

    fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        duration::deserialize(deserializer).map(Some)
    }
}
