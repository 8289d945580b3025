//! Millions of connections between two stacks in memory on one thread: opened, used at random, closed.

use std::time::Duration;

use anyhow::ensure;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use netlane_bench::many::Many;
use netlane_bench::{cpu_time, memory};

/// Opens millions of connections between two stacks in memory, echoes over some at random, and closes all.
#[derive(Parser)]
struct Arguments {
    /// How many connections to open.
    #[arg(long, default_value_t = 10_000_000)]
    connections: usize,
    /// How many of them to echo over, each once.
    #[arg(long, default_value_t = 1_000_000)]
    echoes: usize,
    /// Echoes that are under way at the same time.
    #[arg(long, default_value_t = 32)]
    burst: usize,
    /// Runs over IPv6.
    #[arg(long)]
    v6: bool,
}

/// Bytes that both ends of a connection take, and what the bench keeps of it, with something to spare.
const BYTES_OF_A_CONNECTION: u64 = 1_024;
/// How far the stacks' clock moves with each turn.
const STEP: Duration = Duration::from_micros(1);

fn main() -> anyhow::Result<()> {
    let Arguments { connections, echoes, burst, v6 } = Arguments::parse();
    ensure!(connections > 0 && burst > 0, "nothing to do");
    memory::reserve(connections as u64 * BYTES_OF_A_CONNECTION)?;
    let mut order: Vec<usize> = (0..connections).collect();
    fastrand::Rng::with_seed(1).shuffle(&mut order);
    order.truncate(echoes);

    let mut many = Many::new(connections, v6, STEP);
    let before = memory::resident()?;
    many.time_turns();
    let opened = timed("open", connections, |bar| many.open(connections, |n| bar.set_position(n as u64)));
    let turns = many.turn_times();
    many.settle();
    let bytes = memory::resident()?.saturating_sub(before + many.own_bytes() as u64);

    let echoed = timed("echo", order.len(), |bar| {
        for some in order.chunks(burst) {
            many.echo(some);
            bar.inc(some.len() as u64);
        }
    });
    let closed = timed("close", connections, |bar| many.close_all(|n| bar.set_position(n as u64)));

    println!("{connections} connections, both ends in this process, {}", if v6 { "IPv6" } else { "IPv4" });
    println!(
        "memory      {:>10.1} bytes per end, as the system counts pages",
        bytes as f64 / (2 * connections) as f64
    );
    println!("opened      {:>10.0} per second of CPU time", rate(connections, opened));
    println!("echoed      {:>10.0} per second of CPU time, {burst} at a time", rate(order.len(), echoed));
    println!("closed      {:>10.0} per second of CPU time", rate(connections, closed));
    let at = |share: f64| turns[((turns.len() - 1) as f64 * share) as usize];
    println!(
        "turns while opening: median {:?}, 99.99 % under {:?}, longest {:?}",
        at(0.5),
        at(0.9999),
        at(1.0)
    );
    Ok(())
}

/// Shows how far some work of `total` steps has come, and returns the processor's time that it took.
fn timed(name: &'static str, total: usize, work: impl FnOnce(&ProgressBar)) -> Duration {
    let style = ProgressStyle::with_template("{prefix:>6} {bar:40} {pos}/{len}  {per_sec}  {eta}")
        .expect("a template");
    let bar = ProgressBar::new(total as u64).with_style(style).with_prefix(name);
    let begin = cpu_time::now();
    work(&bar);
    let time = cpu_time::now() - begin;
    bar.finish_and_clear();
    time
}

fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
