//! One thing that was looked at, and what was found.

use std::io::{self, Write};

use clap::builder::styling::{AnsiColor, Style};
use serde::Serialize;

/// One thing that was looked at, and what was found.
#[derive(Clone, Serialize)]
pub(super) struct Finding {
    /// What was looked at.
    pub(super) name: &'static str,
    pub(super) verdict: Verdict,
    /// What was found.
    pub(super) detail: String,
    /// What to do, unless all is well.
    pub(super) remedy: Option<String>,
}

/// How well it serves, the best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    /// Nothing is to be done.
    Ok,
    /// It works, but slower, for fewer, or only with some preparation.
    Warn,
    /// It does not work without this.
    Missing,
}

impl Finding {
    pub(super) fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, detail: detail.into(), remedy: None }
    }

    pub(super) fn warn(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Warn, detail: detail.into(), remedy: Some(remedy.into()) }
    }

    pub(super) fn missing(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Missing, detail: detail.into(), remedy: Some(remedy.into()) }
    }

    /// The finding at its worst a warning: where there is another way.
    pub(super) fn at_worst_a_warning(mut self) -> Self {
        self.verdict = self.verdict.min(Verdict::Warn);
        self
    }
}

impl Verdict {
    pub(super) fn style(self) -> Style {
        let color = match self {
            Self::Ok => AnsiColor::Green,
            Self::Warn => AnsiColor::Yellow,
            Self::Missing => AnsiColor::Red,
        };
        Style::new().fg_color(Some(color.into()))
    }

    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Missing => "missing",
        }
    }
}

pub(super) fn write_all(findings: &[Finding], out: &mut impl Write) -> io::Result<()> {
    for Finding { name, verdict, detail, remedy } in findings {
        let (style, word) = (verdict.style(), verdict.word());
        writeln!(out, "  {style}{word:<7}{style:#}  {name:<15}  {detail}")?;
        if let Some(remedy) = remedy {
            writeln!(out, "  {:26}→ {remedy}", "")?;
        }
    }
    Ok(())
}
