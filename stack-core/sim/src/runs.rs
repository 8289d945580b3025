//! Tests of many runs, each with a seed of its own.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::seed::seed_from_environment;

/// The environment variable that says how many runs a test makes.
const RUNS: &str = "NETLANE_RUNS";
/// The environment variable that has a test make runs with seeds that nobody has tried, for so many minutes.
const SOAK: &str = "NETLANE_SOAK_MINUTES";

/// Makes `runs` runs, each with another seed: the same ones every time. `test` is what the test's program and the test
/// itself are called, for the command that repeats a run. A run gets its seed, and whether it shall record what happens
/// because somebody will read it.
///
/// Where the environment variable `NETLANE_SEED` names a seed, that run is made and no other; `NETLANE_RUNS` asks for
/// more or fewer runs; and with `NETLANE_SOAK_MINUTES`, runs go on for so long, with seeds that begin at the time of day.
///
/// # Panics
/// When a run does, after the same run was made once more and recorded.
pub fn many_runs(test: &str, runs: u64, mut run: impl FnMut(u64, bool)) {
    if let Some(seed) = seed_from_environment() {
        return run(seed, true);
    }
    let begin = Instant::now();
    let soak = number(SOAK).map(|minutes| Duration::from_secs(60 * minutes));
    let runs = if soak.is_some() { u64::MAX } else { number(RUNS).unwrap_or(runs) };
    let first = soak.map_or(0, |_| {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
    });
    for n in 0..runs {
        if soak.is_some_and(|soak| begin.elapsed() >= soak) {
            println!("{test}: {n} runs");
            return;
        }
        let seed = scatter(first.wrapping_add(n));
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(seed, false))) {
            println!(
                "\nrun {n} failed. To repeat it: NETLANE_SEED={seed:#x} cargo test -p netlane-core --test {test}\n"
            );
            run(seed, true);
            resume_unwind(panic);
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

/// Numbers that look as if they had nothing to do with each other, for numbers in a row (the output function of
/// SplitMix64).
fn scatter(n: u64) -> u64 {
    let n = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}
