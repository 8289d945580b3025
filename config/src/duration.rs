//! Durations as text with their unit, such as `"20us"`, `"40ms"` or `"2h"`.

use std::time::Duration;

use serde::de::{Deserializer, Error, Unexpected};
use serde::{Deserialize, Serializer};

/// For `#[serde(with)]`.
pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_duration(*duration))
}

/// For `#[serde(with)]`.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|_| {
        let expected = "a duration with its unit, such as \"20us\", \"40ms\" or \"2h\"";
        D::Error::invalid_value(Unexpected::Str(&text), &expected)
    })
}
