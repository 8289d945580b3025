//! What an echo costs among few and among very many connections: two stacks in memory on one thread.
//!
//! The numbers of connections take turns within each round, and what counts is the ratio of their medians. For counts
//! of instructions run one of them under callgrind with `--only`: see `bench/instructions.sh`.

use std::time::Duration;

use clap::Parser;
use netlane_bench::many::Many;
use netlane_bench::{cpu_time, memory};

/// Measures echoes of 64 bytes over connections picked at random, among few connections and among very many.
#[derive(Parser)]
struct Arguments {
    /// How many connections are open: a row for each.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 1_000, 10_000, 100_000, 1_000_000])]
    connections: Vec<usize>,
    /// Rounds, in each of which every row is measured once.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Echoes of a round.
    #[arg(long, default_value_t = 200_000)]
    echoes: usize,
    /// Echoes that are under way at the same time, each on a connection of its own.
    #[arg(long, default_value_t = 32)]
    burst: usize,
    /// Picks from so many of the connections only.
    #[arg(long, default_value_t = usize::MAX)]
    active: usize,
    /// Nanoseconds by which the stacks' clock moves with each turn.
    #[arg(long, default_value_t = 1_000)]
    step: u64,
    /// Runs over IPv6.
    #[arg(long)]
    v6: bool,
    /// Opens so many connections, runs one round, and prints nothing: for counting instructions.
    #[arg(long)]
    only: Option<usize>,
}

/// Bytes that both ends of a connection take, and what the bench keeps of it, with something to spare.
const BYTES_OF_A_CONNECTION: u64 = 1_024;

fn main() -> anyhow::Result<()> {
    let mut arguments = Arguments::parse();
    if let Some(only) = arguments.only {
        arguments.connections = vec![only];
    }
    memory::reserve(arguments.connections.iter().sum::<usize>() as u64 * BYTES_OF_A_CONNECTION)?;
    let mut rows = arguments.connections.iter().map(|&count| Row::new(count, &arguments)).collect::<Vec<_>>();
    if arguments.only.is_some() {
        rows[0].run(&arguments);
        return Ok(());
    }
    let mut times = vec![Vec::new(); rows.len()];
    for round in 0..=arguments.rounds {
        for (row, times) in rows.iter_mut().zip(&mut times) {
            let time = row.run(&arguments);
            // The first round warms up.
            if round > 0 {
                times.push(time);
            }
        }
    }
    let medians: Vec<_> = times.into_iter().map(median).collect();
    println!("{:>11}  {:>11}  {:>12}", "connections", "CPU ns/echo", "to the first");
    for (count, time) in arguments.connections.iter().zip(&medians) {
        let each = time.as_nanos() as f64 / arguments.echoes as f64;
        let ratio = time.as_secs_f64() / medians[0].as_secs_f64();
        println!("{count:>11}  {each:>11.0}  {ratio:>12.2}");
    }
    Ok(())
}

/// So many connections, and the choice among them.
struct Row {
    many: Many,
    rng: fastrand::Rng,
    picked: Vec<usize>,
    /// The burst in which a connection was picked last, so that none is picked twice in one.
    picked_in: Vec<u32>,
    bursts: u32,
}

impl Row {
    fn new(count: usize, arguments: &Arguments) -> Self {
        let mut many = Many::new(count, arguments.v6, Duration::from_nanos(arguments.step));
        many.open(count, |_| {});
        many.settle();
        let picked_in = vec![0; count.min(arguments.active)];
        Self { many, rng: fastrand::Rng::with_seed(1), picked: Vec::new(), picked_in, bursts: 0 }
    }

    /// The processor's time for a round.
    fn run(&mut self, arguments: &Arguments) -> Duration {
        let burst = arguments.burst.min(self.picked_in.len());
        let mut left = arguments.echoes;
        let mut time = Duration::ZERO;
        while left > 0 {
            self.pick(burst.min(left));
            left -= self.picked.len();
            // Valgrind does not know the clock.
            let begin = arguments.only.is_none().then(cpu_time::now);
            self.many.echo(&self.picked);
            time += begin.map_or(Duration::ZERO, |begin| cpu_time::now() - begin);
        }
        time
    }

    /// Picks so many connections at random.
    fn pick(&mut self, count: usize) {
        self.bursts += 1;
        self.picked.clear();
        while self.picked.len() < count {
            let number = self.rng.usize(..self.picked_in.len());
            if self.picked_in[number] != self.bursts {
                self.picked_in[number] = self.bursts;
                self.picked.push(number);
            }
        }
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
