//! The `netlane` command.
#![forbid(unsafe_code)]

mod command;
mod echo;
mod lab;
mod machine;
mod network;
mod progress;
mod workload;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Style};
use clap::{ArgAction, Parser};
use tracing_subscriber::EnvFilter;

use crate::command::Command;

/// A TCP/IP stack in user space.
#[derive(Parser)]
#[command(name = "netlane", version, arg_required_else_help = true)]
struct Netlane {
    #[command(subcommand)]
    command: Command,

    /// Log more: -v what happens, -vv in detail, -vvv every packet; RUST_LOG chooses by module
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
}

fn main() -> ExitCode {
    let Netlane { command, verbose } = Netlane::parse();
    log(verbose);
    match command.run() {
        Ok(code) => code,
        // Whoever read our output has read enough, `head` say.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
            anstream::eprintln!("{red}error:{red:#} {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn log(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}
