//! The subcommands. Each is a file: a struct of its arguments, and a `run` that carries it out.
//!
//! A new one takes its file, a `mod` line, a variant of [`Command`] and the arm that runs it.

mod check;
mod completions;
mod doctor;

use std::process::ExitCode;

use clap::Subcommand;

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    Check(check::Check),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
}

impl Command {
    /// Carries it out, and tells the process's exit status.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Check(check) => check.run(),
            Self::Doctor(doctor) => doctor.run(),
            Self::Completions(completions) => completions.run(),
        }
    }
}
