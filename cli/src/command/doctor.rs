//! `netlane doctor`: what this machine offers to each backend, and what to do where it lacks.

mod backends;
mod finding;
mod system;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args;
use clap::builder::styling::Style;
use netlane_config::Backend;
use serde::Serialize;

use finding::{Finding, Verdict};

/// Show what this machine offers to each backend, and what to do where it lacks
#[derive(Args)]
pub(crate) struct Doctor {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let diagnosis = Diagnosis::of_this_machine();
        if self.json {
            let json = serde_json::to_string_pretty(&diagnosis)?;
            writeln!(io::stdout(), "{json}")?;
        } else {
            diagnosis.write(&mut anstream::stdout().lock())?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Serialize)]
struct Diagnosis {
    system: Vec<Finding>,
    backends: Vec<BackendDiagnosis>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct BackendDiagnosis {
    /// As the configuration calls it.
    kind: &'static str,
    /// Whether this build of netlane drives it.
    supported: bool,
    /// The worst of the findings.
    verdict: Verdict,
    findings: Vec<Finding>,
}

impl Diagnosis {
    fn of_this_machine() -> Self {
        let backend = |(kind, findings): (&'static str, Vec<Finding>)| BackendDiagnosis {
            kind,
            supported: Backend::KINDS.contains(&kind),
            verdict: findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok),
            findings,
        };
        Self { system: system::examine(), backends: backends::examine().into_iter().map(backend).collect() }
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let bold = Style::new().bold();
        writeln!(out, "{bold}system{bold:#}")?;
        finding::write_all(&self.system, out)?;
        for BackendDiagnosis { kind, supported, verdict, findings } in &self.backends {
            let color = verdict.style();
            let state = match verdict {
                Verdict::Ok => "ready",
                Verdict::Warn => "usable, with reservations",
                Verdict::Missing => "not usable",
            };
            let note = if *supported { "" } else { "; this version of netlane does not drive it yet" };
            writeln!(out, "\n{bold}{kind}{bold:#}: {color}{state}{color:#}{note}")?;
            finding::write_all(findings, out)?;
        }
        Ok(())
    }
}
