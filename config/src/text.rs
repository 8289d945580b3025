//! Values that are written as text.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserializer, Unexpected, Visitor};

/// Reads a value by `parse`. Errors say that `expected` was expected.
pub(crate) fn deserialize<'de, D, T, P>(
    deserializer: D,
    expected: &'static str,
    parse: P,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    P: FnOnce(&str) -> Option<T>,
{
    deserializer.deserialize_str(Text { expected, parse, value: PhantomData })
}

struct Text<T, P> {
    expected: &'static str,
    parse: P,
    value: PhantomData<T>,
}

impl<T, P: FnOnce(&str) -> Option<T>> Visitor<'_> for Text<T, P> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self.expected))
    }
}
