//! Two stacks in memory on one thread: bulk bytes, round trips and short connections, netlane beside smoltcp.
//!
//! The sides alternate within each round, and what counts is the ratio of their medians: times swing with the
//! machine, ratios of one run much less. For counts of instructions, which don't swing at all, run one side
//! under callgrind with `--only`; see docs/benchmarks.md.

use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use netlane_bench::netlane::Netlane;
use netlane_bench::smoltcp::Smoltcp;
use netlane_bench::{Conditions, MESSAGE, Subject};

/// Measures two stacks in memory on one thread, netlane beside smoltcp.
#[derive(Parser)]
struct Arguments {
    /// Rounds, in each of which every side runs every workload once.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Bytes of a bulk transfer, in MiB.
    #[arg(long, default_value_t = 512)]
    mebibytes: u64,
    /// Round trips of a round; of short connections it has a twentieth.
    #[arg(long, default_value_t = 200_000)]
    count: u64,
    /// Established connections that nobody uses.
    #[arg(long, default_value_t = 0)]
    idle: usize,
    /// Runs one workload of one side once, and prints nothing: for counting instructions.
    #[arg(long, num_args = 2, value_names = ["SIDE", "WORKLOAD"])]
    only: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Side {
    Netlane,
    Smoltcp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Workload {
    /// Bulk bytes, TCP checksums computed and verified.
    Bulk,
    /// Bulk bytes without TCP checksums, as where a device does them.
    BulkNoChecksums,
    /// 64 bytes there and back on one connection.
    RoundTrips,
    /// Connect, 64 bytes there and back, close.
    ShortConnections,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(only) = &arguments.only {
        let parse = |text: &str| anyhow::Error::msg(format!("unknown name {text:?}: see --help"));
        let side = Side::from_str(&only[0], true).map_err(|_| parse(&only[0]))?;
        let workload = Workload::from_str(&only[1], true).map_err(|_| parse(&only[1]))?;
        run(side, workload, &arguments);
        return Ok(());
    }
    for workload in Workload::value_variants() {
        compare(*workload, &arguments);
    }
    memcpy_limit(&arguments);
    Ok(())
}

/// Runs both sides in turn and prints what came out.
fn compare(workload: Workload, arguments: &Arguments) {
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..arguments.rounds {
        // Whoever goes first in one round goes second in the next.
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for side in order {
            times[side].push(run(Side::value_variants()[side], workload, arguments));
        }
    }
    let [ours, theirs] = times.map(median);
    let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
    let name = workload.to_possible_value().expect("no workload is hidden").get_name().to_owned();
    let [ours, theirs] = [ours, theirs].map(|time| figure(workload, time, arguments));
    println!("{name:<20} netlane {ours:>16}   smoltcp {theirs:>16}   ratio {ratio:.2}");
}

/// The time that one side takes for a workload, setting up apart.
fn run(side: Side, workload: Workload, arguments: &Arguments) -> Duration {
    match side {
        Side::Netlane => measure::<Netlane>(workload, arguments),
        Side::Smoltcp => measure::<Smoltcp>(workload, arguments),
    }
}

fn measure<S: Subject>(workload: Workload, arguments: &Arguments) -> Duration {
    let checksums = workload != Workload::BulkNoChecksums;
    let mut subject = S::new(Conditions { checksums, ..Conditions::default() }, arguments.idle);
    let start = Instant::now();
    match workload {
        Workload::Bulk | Workload::BulkNoChecksums => {
            subject.bulk(arguments.mebibytes << 20);
        }
        Workload::RoundTrips => subject.round_trips(arguments.count),
        Workload::ShortConnections => subject.short_connections(arguments.count / 20),
    }
    start.elapsed()
}

/// Copies as much as a bulk transfer does at the least: from the user to the socket, to the frame, to the other
/// socket, to its user.
fn memcpy_limit(arguments: &Arguments) {
    const COPIES: usize = 4;
    const SEGMENT: usize = 1_448;
    let mut buffers = vec![vec![7_u8; 64 * 1_024]; COPIES + 1];
    let bytes = arguments.mebibytes << 20;
    let start = Instant::now();
    for at in (0..bytes as usize).step_by(SEGMENT) {
        let at = at % (64 * 1_024 - SEGMENT);
        for copy in 0..COPIES {
            let [from, to] = buffers.get_disjoint_mut([copy, copy + 1]).expect("neighbours differ");
            std::hint::black_box(&mut to[at..at + SEGMENT]).copy_from_slice(&from[at..at + SEGMENT]);
        }
    }
    let gigabits = bytes as f64 * 8e-9 / start.elapsed().as_secs_f64();
    println!("four copies of the same bytes in segments of {SEGMENT}: {gigabits:.1} Gbit/s");
}

fn figure(workload: Workload, time: Duration, arguments: &Arguments) -> String {
    let nanos = time.as_nanos() as f64;
    match workload {
        Workload::Bulk | Workload::BulkNoChecksums => {
            format!("{:.1} Gbit/s", (arguments.mebibytes << 20) as f64 * 8.0 / nanos)
        }
        Workload::RoundTrips => format!("{:.0} ns per {MESSAGE} B", nanos / arguments.count as f64),
        Workload::ShortConnections => format!("{:.0} ns each", nanos / (arguments.count / 20) as f64),
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
