//! Runs packetdrill's scripts against netlane, and tells by topic which pass.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

mod runner;

/// Runs packetdrill's scripts against netlane's core under virtual time.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The packetdrill binary; else the one that $PACKETDRILL names, else the first in $PATH.
    #[arg(long, value_name = "PATH")]
    packetdrill: Option<PathBuf>,
    /// Run the scripts over IPv6.
    #[arg(long)]
    ipv6: bool,
    /// Print the outcomes as JSON.
    #[arg(long)]
    json: bool,
    /// Scripts, and folders of scripts.
    #[arg(required = true, value_name = "FOLDER|SCRIPT")]
    scripts: Vec<PathBuf>,
}

fn main() -> Result<ExitCode> {
    if let Some(code) = runner::stand_in::run() {
        return Ok(code);
    }
    let arguments = Arguments::parse();
    let bench = runner::Bench::new(arguments.packetdrill.as_deref(), arguments.ipv6)?;
    let scripts = runner::find(&arguments.scripts, arguments.ipv6)?;
    anyhow::ensure!(!scripts.is_empty(), "no file in there ends in .pkt");
    let outcomes = bench.run_all(&scripts)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&outcomes).context("the outcomes as JSON")?);
    } else {
        runner::report::print(&outcomes);
    }
    let failed = outcomes.iter().any(|outcome| outcome.verdict == runner::Verdict::Failed);
    Ok(ExitCode::from(u8::from(failed)))
}
