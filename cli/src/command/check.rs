//! `netlane check`: whether a configuration is sound, what would be built from it, and whether this machine
//! has what that takes.

mod fitness;
mod plan;

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap::builder::styling::{AnsiColor, Style};
use netlane_config::{Config, ConfigError, Problem};
use serde::Serialize;

use fitness::Fitness;
use plan::Plan;

/// Check a configuration, and show what would be built from it
///
/// The exit status is 0 if a stack could start from it here, and 1 if not.
#[derive(Args)]
pub(crate) struct Check {
    /// The configuration, in TOML
    config: PathBuf,

    /// Print JSON, problems included
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let name = self.config.display().to_string();
        let text = fs::read_to_string(&self.config)
            .map_err(|source| ConfigError::Read { file: self.config.clone(), source })?;
        let report = Report::on(name, &text)?;
        if self.json {
            let json = serde_json::to_string_pretty(&report)?;
            writeln!(io::stdout(), "{json}")?;
            return Ok(if report.sound { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        report.write(&mut anstream::stdout().lock())?;
        match report.problems {
            problems if problems.is_empty() => Ok(ExitCode::SUCCESS),
            problems => Err(ConfigError::Invalid { problems }.into()),
        }
    }
}

#[derive(Serialize)]
struct Report {
    file: String,
    /// Whether a stack could start from it here: there are no problems.
    sound: bool,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    /// What would be built; `None` if the file does not tell.
    plan: Option<Plan>,
}

impl Report {
    fn on(file: String, text: &str) -> Result<Self, ConfigError> {
        let config = match Config::parse(&file, text) {
            Ok(config) => config,
            Err(ConfigError::Invalid { problems }) => {
                return Ok(Self { file, sound: false, problems, warnings: Vec::new(), plan: None });
            }
            Err(other) => return Err(other),
        };
        let Fitness { problems, warnings } = fitness::of_this_machine_for(&config);
        let located = |problems: Vec<Problem>| -> Vec<_> {
            problems.into_iter().map(|problem| problem.located(&file, text)).collect()
        };
        Ok(Self {
            sound: problems.is_empty(),
            problems: located(problems),
            warnings: located(warnings),
            plan: Some(Plan::of(config)),
            file,
        })
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        if let Some(plan) = &self.plan {
            plan.write(out)?;
        }
        let yellow = Style::new().bold().fg_color(Some(AnsiColor::Yellow.into()));
        for warning in &self.warnings {
            writeln!(out, "\n{yellow}warning:{yellow:#} {warning}")?;
        }
        Ok(())
    }
}
