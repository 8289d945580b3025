//! Lanes: how many there are, where they run and how they wait.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::duration;

/// The lanes of a host. Each is one CPU core, one NIC queue and one stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Lanes {
    /// How many lanes to start.
    pub count: LaneCount,
    /// The CPUs to pin them to, by the kernel's numbers, one for each lane in turn. Lanes are not pinned where
    /// this is empty.
    pub cpus: Vec<usize>,
    /// How long an idle lane spins before it parks.
    #[serde(with = "duration")]
    pub spin: Duration,
    /// Never park: each lane takes all of its core, and packets find it awake.
    pub busy_poll: bool,
}

impl Default for Lanes {
    fn default() -> Self {
        Self {
            count: LaneCount::Fixed(1),
            cpus: Vec::new(),
            spin: Duration::from_micros(20),
            busy_poll: false,
        }
    }
}

/// How many lanes to start. See [`Config::lane_count`](crate::Config::lane_count).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneCount {
    /// One for each CPU that is listed, or else for each that the process may run on, as far as the backend
    /// has queues.
    Auto,
    /// This many.
    Fixed(u16),
}

impl Serialize for LaneCount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Fixed(count) => serializer.serialize_u16(*count),
        }
    }
}

impl<'de> Deserialize<'de> for LaneCount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LaneCountVisitor)
    }
}

struct LaneCountVisitor;

impl Visitor<'_> for LaneCountVisitor {
    type Value = LaneCount;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of lanes, or \"auto\" for one on each core")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<LaneCount, E> {
        match text {
            "auto" => Ok(LaneCount::Auto),
            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<LaneCount, E> {
        u16::try_from(number)
            .map(LaneCount::Fixed)
            .map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<LaneCount, E> {
        u16::try_from(number)
            .map(LaneCount::Fixed)
            .map_err(|_| E::invalid_value(Unexpected::Unsigned(number), &self))
    }
}
