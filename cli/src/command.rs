//! The subcommands. Each is a file: a struct of its arguments, and a `run` that carries it out.
//!
//! A new one takes its file, a `mod` line, a variant of [`Command`] and the arm that runs it.

mod bench;
mod check;
mod completions;
mod demo;
mod doctor;
mod ping;

use std::process::ExitCode;

use clap::Subcommand;

/// What to do.
#[derive(Subcommand)]
pub(crate) enum Command {
    Demo(demo::Demo),
    Check(check::Check),
    Doctor(doctor::Doctor),
    Ping(ping::Ping),
    Bench(bench::Bench),
    Completions(completions::Completions),
}

impl Command {
    /// Carries it out, and tells the process's exit status.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Demo(demo) => demo.run(),
            Self::Check(check) => check.run(),
            Self::Doctor(doctor) => doctor.run(),
            Self::Ping(ping) => ping.run(),
            Self::Bench(bench) => bench.run(),
            Self::Completions(completions) => completions.run(),
        }
    }
}
