//! Two stacks in memory on one thread: bulk bytes, round trips and short connections, netlane beside other stacks.
//!
//! The sides take turns within each round, and what counts is the ratio of their medians: times swing with the
//! machine, ratios of one run much less. For counts of instructions, which don't swing at all, run one side
//! under callgrind with `--only`; see docs/benchmarks.md.

use std::time::Duration;

use anyhow::bail;
use clap::{Parser, ValueEnum};
use netlane_bench::lwip::Lwip;
use netlane_bench::netlane::Netlane;
use netlane_bench::smoltcp::Smoltcp;
use netlane_bench::{Conditions, MESSAGE, Subject, cpu_time};

/// Measures two stacks in memory on one thread, netlane beside others.
#[derive(Parser)]
struct Arguments {
    /// Rounds, in each of which every side runs every workload once.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Bytes of a bulk transfer, in MiB.
    #[arg(long, default_value_t = 512)]
    mebibytes: u64,
    /// Round trips of a round. It has a twentieth of that in short connections, and in round trips among all.
    #[arg(long, default_value_t = 200_000)]
    count: u64,
    /// Established connections that nobody uses, except for round trips among all.
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
    Lwip,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Workload {
    /// Bulk bytes, TCP checksums computed and verified.
    Bulk,
    /// Bulk bytes without TCP checksums, as where a device does them.
    BulkNoChecksums,
    /// 64 bytes there and back on one connection.
    RoundTrips,
    /// The same on connections picked at random among all: only where there are idle ones.
    RoundTripsAmong,
    /// Connect, 64 bytes there and back, close.
    ShortConnections,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(only) = &arguments.only {
        let unknown = |text: &str| anyhow::Error::msg(format!("unknown name {text:?}: see --help"));
        let side = Side::from_str(&only[0], true).map_err(|_| unknown(&only[0]))?;
        let workload = Workload::from_str(&only[1], true).map_err(|_| unknown(&only[1]))?;
        if let Err(reason) = run(side, workload, &arguments) {
            bail!("{}: {reason}", name(side));
        }
        return Ok(());
    }
    for side in Side::value_variants() {
        println!("{:<8} {}", name(*side), terms(*side));
    }
    for workload in Workload::value_variants() {
        if *workload != Workload::RoundTripsAmong || arguments.idle > 0 {
            compare(*workload, &arguments);
        }
    }
    memcpy_limit(&arguments);
    Ok(())
}

/// Runs all sides in turn and prints what came out.
fn compare(workload: Workload, arguments: &Arguments) {
    let sides = Side::value_variants();
    let mut times = vec![Vec::new(); sides.len()];
    for round in 0..arguments.rounds {
        for turn in 0..sides.len() {
            // Whoever goes first in one round goes last in the next.
            let side = if round % 2 == 0 { turn } else { sides.len() - 1 - turn };
            times[side].push(run(sides[side], workload, arguments));
        }
    }
    let medians: Vec<_> =
        times.into_iter().map(|times| times.into_iter().collect::<Result<_, _>>().map(median)).collect();
    let best = medians[1..].iter().flatten().min().copied();
    for (&side, median) in sides.iter().zip(medians) {
        let (title, against) = match (side, median, best) {
            (Side::Netlane, Ok(ours), Some(best)) => {
                let ratio = best.as_secs_f64() / ours.as_secs_f64();
                (name(workload), format!("   {ratio:.2} times as fast as the better of the others"))
            }
            _ => (String::new(), String::new()),
        };
        let result = median.map_or_else(str::to_owned, |time| figure(workload, time, arguments));
        println!("{title:<20} {:<8} {result:>18}{against}", name(side));
    }
}

/// What else holds for a side, in a few words.
fn terms(side: Side) -> &'static str {
    match side {
        Side::Netlane => Netlane::TERMS,
        Side::Smoltcp => Smoltcp::TERMS,
        Side::Lwip => Lwip::TERMS,
    }
}

/// The processor's time that one side takes for a workload, setting up apart; or why it cannot do it.
fn run(side: Side, workload: Workload, arguments: &Arguments) -> Result<Duration, &'static str> {
    match side {
        Side::Netlane => measure::<Netlane>(workload, arguments),
        Side::Smoltcp => measure::<Smoltcp>(workload, arguments),
        Side::Lwip => measure::<Lwip>(workload, arguments),
    }
}

fn measure<S: Subject>(workload: Workload, arguments: &Arguments) -> Result<Duration, &'static str> {
    let checksums = workload != Workload::BulkNoChecksums;
    let conditions = Conditions { checksums, ..Conditions::default() };
    if let Some(reason) = S::refusal(conditions, arguments.idle) {
        return Err(reason);
    }
    let mut subject = S::new(conditions, arguments.idle);
    // Valgrind does not know the clock.
    let begin = arguments.only.is_none().then(cpu_time::now);
    match workload {
        Workload::Bulk | Workload::BulkNoChecksums => {
            subject.bulk(arguments.mebibytes << 20);
        }
        Workload::RoundTrips => subject.round_trips(times(workload, arguments)),
        Workload::RoundTripsAmong => subject.round_trips_among(times(workload, arguments)),
        Workload::ShortConnections => subject.short_connections(times(workload, arguments)),
    }
    Ok(begin.map_or(Duration::ZERO, |begin| cpu_time::now() - begin))
}

/// How often a round does what it measures.
fn times(workload: Workload, arguments: &Arguments) -> u64 {
    match workload {
        Workload::Bulk | Workload::BulkNoChecksums => 1,
        Workload::RoundTrips => arguments.count,
        Workload::RoundTripsAmong | Workload::ShortConnections => arguments.count.div_ceil(20),
    }
}

/// Copies as much as a bulk transfer does at the least: from the user to the socket, to the frame, to the other
/// socket, to its user.
fn memcpy_limit(arguments: &Arguments) {
    const COPIES: usize = 4;
    const SEGMENT: usize = 1_448;
    let mut buffers = vec![vec![7_u8; 64 * 1_024]; COPIES + 1];
    let bytes = arguments.mebibytes << 20;
    let begin = cpu_time::now();
    for at in (0..bytes as usize).step_by(SEGMENT) {
        let at = at % (64 * 1_024 - SEGMENT);
        for copy in 0..COPIES {
            let [from, to] = buffers.get_disjoint_mut([copy, copy + 1]).expect("neighbours differ");
            std::hint::black_box(&mut to[at..at + SEGMENT]).copy_from_slice(&from[at..at + SEGMENT]);
        }
    }
    let gigabits = bytes as f64 * 8e-9 / (cpu_time::now() - begin).as_secs_f64();
    println!("four copies of the same bytes in segments of {SEGMENT}: {gigabits:.1} Gbit/s");
}

/// The name of a side or a workload, as the command line has it.
fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().expect("nothing is hidden").get_name().to_owned()
}

fn figure(workload: Workload, time: Duration, arguments: &Arguments) -> String {
    let each = time.as_nanos() as f64 / times(workload, arguments) as f64;
    match workload {
        Workload::Bulk | Workload::BulkNoChecksums => {
            format!("{:.2} Gbit/s", (arguments.mebibytes << 20) as f64 * 8.0 / each)
        }
        Workload::RoundTrips | Workload::RoundTripsAmong => format!("{each:.0} ns per {MESSAGE} B"),
        Workload::ShortConnections => format!("{each:.0} ns each"),
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
