//! `netlane bench`: how fast netlane is, beside the kernel where that is asked for.

mod report;
mod subject;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::builder::RangedU64ValueParser;
use clap::{Args, ValueEnum};
use netlane_config::Config;

use crate::lab::namespace;
use crate::progress;
use crate::workload::{Load, Workload};
use report::{Report, Row};
use subject::Subject;

/// Measure bulk transfer, round trips and connections
///
/// Without a configuration, two of netlane's stacks are joined in memory. With one for a TAP device, which must give the
/// kernel's end an address, the kernel's TCP is the server.
///
/// With --kernel, netlane over TAP and the kernel over a veth pair run the same workloads, both with and without offload,
/// in namespaces of their own. The subjects take turns within each round, and what counts is the ratio of their medians:
/// bare figures swing with the machine.
#[derive(Args)]
pub(crate) struct Bench {
    /// The configuration, in TOML
    config: Option<PathBuf>,

    /// What to measure; everything if not given
    #[arg(short, long, value_enum, value_delimiter = ',')]
    workload: Vec<Choice>,

    /// Seconds that each measurement takes
    #[arg(short, long, default_value_t = 1, value_parser = RangedU64ValueParser::<u32>::new().range(1..=3600))]
    seconds: u32,

    /// Connections at a time
    #[arg(short, long, default_value_t = 1, value_parser = RangedU64ValueParser::<u16>::new().range(1..=1024))]
    connections: u16,

    /// Rounds, in each of which every subject runs every workload once
    #[arg(short, long, default_value_t = 3, value_parser = RangedU64ValueParser::<u16>::new().range(1..=1000))]
    rounds: u16,

    /// Compare with the kernel's TCP over a veth pair
    #[arg(long)]
    kernel: bool,

    /// Do it in a network namespace of its own, which takes no privileges; so does --kernel
    #[arg(long)]
    own_namespace: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Choice {
    /// Bytes in one direction, as many as go: sent, and received
    Bulk,
    /// Requests and responses of 64 bytes
    Rr,
    /// Connections with one request and response of 64 bytes
    Conn,
}

impl Bench {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.config.as_ref().map(Config::load).transpose()?;
        if self.kernel || self.own_namespace {
            namespace::enter()?;
        }
        let subjects = self.subjects(config.as_ref())?;
        let report = self.measure(&subjects)?;
        subjects.into_iter().for_each(Subject::end);
        if self.json {
            writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&report)?)?;
        } else {
            report.write(&mut anstream::stdout().lock())?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn subjects(&self, config: Option<&Config>) -> anyhow::Result<Vec<Subject>> {
        let threads = usize::from(self.connections);
        let mut subjects = match (config, self.kernel) {
            (Some(config), _) => vec![Subject::configured(config, threads)?],
            (None, false) => vec![Subject::in_memory(threads)?],
            (None, true) => vec![Subject::over_tap(true, threads)?, Subject::over_tap(false, threads)?],
        };
        if self.kernel {
            subjects.push(Subject::over_veth(true, threads)?);
            match Subject::over_veth(false, threads) {
                Ok(subject) => subjects.push(subject),
                Err(error) => tracing::warn!("the kernel is not measured without offload: {error:#}"),
            }
        }
        Ok(subjects)
    }

    fn measure(&self, subjects: &[Subject]) -> anyhow::Result<Report> {
        let load =
            Load { duration: Duration::from_secs(self.seconds.into()), connections: self.connections.into() };
        let workloads = self.workloads();
        let bar = progress::steps((workloads.len() * subjects.len() * usize::from(self.rounds)) as u64);
        let mut report = Report::new(load, self.rounds);
        for workload in workloads {
            let row = |subject: &Subject| Row::new(subject.name.clone(), subject.is_yardstick);
            let mut rows: Vec<_> = subjects.iter().map(row).collect();
            for round in 0..usize::from(self.rounds) {
                // Each is the first one now and then.
                for turn in 0..subjects.len() {
                    let index = (round + turn) % subjects.len();
                    let subject = &subjects[index];
                    bar.set_message(format!("{}: {}", report::name(workload), subject.name));
                    let outcome = subject.run(workload, load);
                    let what = || format!("{}: {}", subject.name, report::name(workload));
                    rows[index].add(workload, outcome.with_context(what)?);
                    bar.inc(1);
                }
            }
            report.add(workload, rows);
        }
        Ok(report)
    }

    fn workloads(&self) -> Vec<Workload> {
        let wants = |choice| self.workload.is_empty() || self.workload.contains(&choice);
        let all = [
            (Choice::Bulk, Workload::BulkSend),
            (Choice::Bulk, Workload::BulkReceive),
            (Choice::Rr, Workload::RoundTrips),
            (Choice::Conn, Workload::Connections),
        ];
        all.into_iter().filter(|(choice, _)| wants(*choice)).map(|(_, workload)| workload).collect()
    }
}
