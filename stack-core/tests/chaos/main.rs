//! Random runs: stacks with random configurations exchange random streams over links on which everything goes wrong
//! that may. Each run ends in a right outcome, in bounded time and memory.
//!
//! A run that fails is made once more, with all that happened in it printed, and the command that repeats it. See
//! [`many_runs`] for how to make more runs.

mod connection;
mod drive;
mod odd_peer;
mod plan;
mod program;
mod verdict;
mod witness;

use drive::Run;
use netlane_sim::many_runs;
use plan::Plan;

/// Runs of each test.
const RUNS: u64 = 8_000;

#[test]
fn streams_arrive_whole_whatever_the_weather() {
    many_runs("chaos streams_arrive_whole_whatever_the_weather", RUNS, |seed, record| {
        run(seed, true, record);
    });
}

#[test]
fn streams_arrive_whole_or_fail_for_a_reason() {
    many_runs("chaos streams_arrive_whole_or_fail_for_a_reason", RUNS, |seed, record| {
        run(seed, false, record);
    });
}

#[test]
fn peer_that_misbehaves_and_comes_to_its_senses_gets_everything_across() {
    many_runs(
        "chaos peer_that_misbehaves_and_comes_to_its_senses_gets_everything_across",
        RUNS,
        |seed, _| {
            odd_peer::run(seed);
        },
    );
}

fn run(seed: u64, calm: bool, record: bool) {
    let plan = Plan::draw(seed, calm);
    if record {
        println!("{plan:#?}");
    }
    let mut run = Run::new(&plan, record);
    run.play();
    run.judge();
    run.clear();
}
