//! What is wrong with a configuration, where, and what mends it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use serde::Serialize;

use crate::document;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read: name another, or mend its permissions.
    #[error("cannot read `{}`", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The configuration has these problems, one at least; each tells its remedy.
    #[error("{}", Problem::list(problems))]
    Invalid {
        /// The problems, in the order of the sections.
        problems: Vec<Problem>,
    },
}

/// One thing that is wrong with a configuration.
///
/// It displays as the message behind its place, an excerpt with the culprit marked, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The key at fault, such as `tcp.rto-min` or `routes.0.via`; `None` where the text is no configuration at
    /// all.
    pub key: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Where it stands; `None` where the configuration did not come from text.
    pub place: Option<Place>,
}

/// A stretch of one line in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file's name.
    pub file: String,
    /// The line's number, from 1.
    pub line: usize,
    /// The first character's number in its line, from 1.
    pub column: usize,
    /// How many characters it takes, one at least.
    pub width: usize,
    /// The whole line.
    pub excerpt: String,
}

impl Problem {
    /// A problem with the value of `key`, found by someone who knows more than the file: that a device or a CPU
    /// is not there, say.
    pub fn new(key: impl Into<String>, message: impl Into<String>, help: impl Into<String>) -> Self {
        Self { key: Some(key.into()), message: message.into(), help: Some(help.into()), place: None }
    }

    /// The problem with the place of its key in `text`, which is what the file called `name` holds. A key that is
    /// not written there is placed at the table that could hold it, or else at the start.
    #[must_use]
    pub fn located(self, name: &str, text: &str) -> Self {
        let span = self.key.as_deref().map_or(0..0, |key| document::locate(text, key));
        Self { place: Some(Place::of(name, text, span)), ..self }
    }

    fn list(problems: &[Self]) -> String {
        problems.iter().map(Self::to_string).collect::<Vec<_>>().join("\n\n")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut margin = 1;
        match (&self.place, &self.key) {
            (Some(place), _) => {
                let Place { file, line, column, .. } = place;
                write!(f, "{file}:{line}:{column}: {}", self.message)?;
                margin += line.to_string().len();
                place.write_excerpt(f, margin)?;
            }
            (None, Some(key)) => write!(f, "`{key}`: {}", self.message)?,
            (None, None) => f.write_str(&self.message)?,
        }
        match &self.help {
            Some(help) => write!(f, "\n{:margin$}= help: {help}", ""),
            None => Ok(()),
        }
    }
}

impl Place {
    /// The place of `text[start..end]` in the file that holds `text`, up to the end of its first line.
    pub(crate) fn of(file: &str, text: &str, span: std::ops::Range<usize>) -> Self {
        let start = text.floor_char_boundary(span.start);
        let end = text.floor_char_boundary(span.end).max(start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |newline| start + newline);
        Self {
            file: file.to_owned(),
            line: text[..line_start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            width: text[start..end.min(line_end)].trim_end().chars().count().max(1),
            excerpt: text[line_start..line_end].trim_end().to_owned(),
        }
    }

    fn write_excerpt(&self, f: &mut fmt::Formatter<'_>, margin: usize) -> fmt::Result {
        // Tabs before the mark stay tabs, so that it stands below what it marks.
        let before = self.excerpt.chars().take(self.column - 1);
        let indent: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        writeln!(f, "\n{:margin$}|", "")?;
        writeln!(f, "{} | {}", self.line, self.excerpt)?;
        write!(f, "{:margin$}| {indent}{}", "", "^".repeat(self.width))
    }
}
