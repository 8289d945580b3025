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
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Impairment {
    /// How likely a frame is lost.
    pub loss: Probability,
    /// How likely a frame arrives twice.
    pub duplicate: Probability,
    /// How likely a frame is overtaken by those behind it.
    pub reorder: Probability,
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
}

/// A number from 0 (never) to 1 (always).
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64")]
pub struct Probability(f64);

impl Probability {
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

/// The section as it is written, before its defaults and overrides are resolved.
mod table {
    use std::num::NonZeroU64;
    use std::time::Duration;

    use serde::{Deserialize, Deserializer};

    use super::{Impairment, Probability};
    use crate::duration;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields, rename_all = "kebab-case")]
    pub(super) struct Impair {
        seed: Option<u64>,
        #[serde(default)]
        loss: Probability,
        #[serde(default)]
        duplicate: Probability,
        #[serde(default)]
        reorder: Probability,
        #[serde(default)]
        corrupt: Probability,
        #[serde(default, with = "duration")]
        delay: Duration,
        #[serde(default, with = "duration")]
        jitter: Duration,
        rate: Option<NonZeroU64>,
        #[serde(default)]
        inbound: Override,
        #[serde(default)]
        outbound: Override,
    }

    #[derive(Default, Deserialize)]
    #[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
    struct Override {
        loss: Option<Probability>,
        duplicate: Option<Probability>,
        reorder: Option<Probability>,
        corrupt: Option<Probability>,
        #[serde(deserialize_with = "some_duration")]
        delay: Option<Duration>,
        #[serde(deserialize_with = "some_duration")]
        jitter: Option<Duration>,
        rate: Option<NonZeroU64>,
    }

    impl From<Impair> for super::Impair {
        fn from(table: Impair) -> Self {
            let Impair { seed, loss, duplicate, reorder, corrupt, delay, jitter, rate, inbound, outbound } =
                table;
            let both = Impairment { loss, duplicate, reorder, corrupt, delay, jitter, rate };
            Self { seed, inbound: inbound.over(both), outbound: outbound.over(both) }
        }
    }

    impl Override {
        fn over(self, both: Impairment) -> Impairment {
            Impairment {
                loss: self.loss.unwrap_or(both.loss),
                duplicate: self.duplicate.unwrap_or(both.duplicate),
                reorder: self.reorder.unwrap_or(both.reorder),
                corrupt: self.corrupt.unwrap_or(both.corrupt),
                delay: self.delay.unwrap_or(both.delay),
                jitter: self.jitter.unwrap_or(both.jitter),
                rate: self.rate.or(both.rate),
            }
        }
    }

    fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        duration::deserialize(deserializer).map(Some)
    }
}
