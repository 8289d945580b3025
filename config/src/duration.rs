//! Durations as text with their unit, such as `"20us"`, `"40ms"` or `"2h"`.

use std::time::Duration;

use serde::{Deserializer, Serializer};

use crate::text;

/// For `#[serde(with)]`.
pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_duration(*duration))
}

/// For `#[serde(with)]`.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let expected = "a duration with its unit, such as \"20us\", \"40ms\" or \"2h\"";
    text::deserialize(deserializer, expected, |text| humantime::parse_duration(text).ok())
}
