//! TOML text to a [`Config`], keeping in mind where each key stands.

use std::ops::Range;

use serde::Deserialize;
use serde::de::IntoDeserializer;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

use crate::{Backend, Config, ConfigError, MemoryBackend, Place, Problem, TapBackend, check};

/// See [`Config::parse`].
pub(crate) fn parse(name: &str, text: &str) -> Result<Config, ConfigError> {
    let config = read(text).map_err(|error| {
        let (message, help) = in_plain_words(&error.message);
        let place = Some(Place::of(name, text, error.span));
        ConfigError::Invalid { problems: vec![Problem { key: None, message, help, place }] }
    })?;
    let problems: Vec<_> =
        check::problems(&config).into_iter().map(|problem| problem.located(name, text)).collect();
    if problems.is_empty() { Ok(config) } else { Err(ConfigError::Invalid { problems }) }
}

/// Where the value of `key` stands in `text`, or else what comes closest: the table around it, or the start.
pub(crate) fn locate(text: &str, key: &str) -> Range<usize> {
    let Ok(document) = DeTable::parse(text) else { return 0..0 };
    let mut parts = key.split('.');
    let Some(mut value) = parts.next().and_then(|first| document.get_ref().get(first)) else {
        return 0..0;
    };
    for part in parts {
        let inner = match value.get_ref() {
            DeValue::Table(table) => table.get(part),
            DeValue::Array(array) => part.parse::<usize>().ok().and_then(|index| array.get(index)),
            _ => None,
        };
        match inner {
            Some(inner) => value = inner,
            None => break,
        }
    }
    value.span()
}

/// The text is no TOML, or a value has not the type that its key asks for.
struct Unreadable {
    message: String,
    span: Range<usize>,
}

impl From<toml::de::Error> for Unreadable {
    fn from(error: toml::de::Error) -> Self {
        Self { message: error.message().to_owned(), span: error.span().unwrap_or(0..0) }
    }
}

fn read(text: &str) -> Result<Config, Unreadable> {
    let mut document = DeTable::parse(text)?;
    let backend = document.get_mut().remove("backend").map(read_backend).transpose()?;
    let config = Config::deserialize(Deserializer::from(document))?;
    Ok(Config { backend: backend.unwrap_or_default(), ..config })
}

/// Takes the tag off before serde sees the table. Serde would copy the table to look for the tag, and forget
/// where its keys stand.
fn read_backend(value: Spanned<DeValue<'_>>) -> Result<Backend, Unreadable> {
    let span = value.span();
    let refuse = |span, message: &str| {
        let kinds = Backend::KINDS.join("\", \"");
        Err(Unreadable { message: format!("{message}, expected one of \"{kinds}\""), span })
    };
    let DeValue::Table(mut table) = value.into_inner() else {
        return refuse(span, "the backend is not a table `[backend]` with a `kind`");
    };
    let Some(kind) = table.remove("kind") else {
        return refuse(span, "missing field `kind`");
    };
    let keys = Spanned::new(span, DeValue::Table(table)).into_deserializer();
    Ok(match kind.get_ref().as_str() {
        Some("memory") => Backend::Memory(MemoryBackend::deserialize(keys)?),
        Some("tap") => Backend::Tap(TapBackend::deserialize(keys)?),
        _ => return refuse(kind.span(), "there is no such backend"),
    })
}

/// Serde's message as what is wrong, and what is expected instead.
fn in_plain_words(message: &str) -> (String, Option<String>) {
    let message = message.replace("unknown field", "unknown key").replace("missing field", "missing key");
    match message.split_once(", expected ") {
        Some((wrong, expected)) => (wrong.to_owned(), Some(format!("expected {}", type_in_words(expected)))),
        None => {
            let help = if message.starts_with("missing key") {
                Some("add it to this table")
            } else if message.starts_with("duplicate key") {
                Some("remove one of the two")
            } else {
                None
            };
            (message, help.map(str::to_owned))
        }
    }
}

fn type_in_words(expected: &str) -> &str {
    match expected {
        "u8" => "an integer from 0 to 255",
        "u16" => "an integer from 0 to 65535",
        "u32" => "an integer from 0 to 4294967295",
        "u64" | "usize" => "an integer that is not negative",
        "a nonzero u64" => "an integer from 1 on",
        "a sequence" => "an array",
        "f64" => "a number",
        other => other,
    }
}
