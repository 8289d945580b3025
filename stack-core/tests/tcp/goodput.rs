//! How fast a stream arrives over a bad link, as a table to be compared in reviews: virtual time, the same in each
//! run.

use std::fmt::Write as _;
use std::time::Duration;

use netlane_core::CongestionAlgorithm;
use netlane_sim::World;
use netlane_sim::impairment::{Impairment, Rate};

use crate::app::{Mover, connection};

const LOSS: [f64; 5] = [0.0, 0.001, 0.01, 0.03, 0.1];
const BUFFERS: [usize; 5] = [4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20];
const BYTES: u64 = 2_000_000;
/// Runs that are averaged.
const SEEDS: u64 = 3;

/// Mbit/s of a stream over 100 Mbit/s with a round trip of 20 ms, a queue of 100 kB and `loss`, into a receive buffer
/// of `buffer` bytes.
fn goodput(loss: f64, buffer: usize, seed: u64) -> f64 {
    let (mut world, a, b) = World::pair(seed, |host| host.stack(|config| config.tcp.receive_buffer = buffer));
    let (near, far) = connection(&mut world, a, b, 80);
    let rate = Rate { bits_per_second: 100_000_000, queue_bytes: 100_000 };
    let link = Impairment { delay: Duration::from_millis(10), rate: Some(rate), ..Impairment::default() };
    world.impair_all(&link);
    world.impair(a, Impairment { loss, ..link });
    let begin = world.now();
    let mut ends = [Mover::new(a, near, BYTES), Mover::new(b, far, 0)];
    let step = |world: &mut World| ends.iter_mut().fold(true, |all, end| end.step(world) & all);
    assert!(world.run_until(step, Duration::from_secs(3_600)), "loss {loss}, buffer {buffer}");
    BYTES as f64 * 8.0 / (world.now() - begin).as_secs_f64() / 1e6
}

#[test]
fn goodput_by_loss_and_receive_buffer() {
    let mut table = String::from("Mbit/s    ");
    for buffer in BUFFERS {
        let _ = write!(table, "{:>9} KiB", buffer >> 10);
    }
    for loss in LOSS {
        let _ = write!(table, "\n{:>6.1} %  ", loss * 100.0);
        for buffer in BUFFERS {
            let sum: f64 = (1..=SEEDS).map(|seed| goodput(loss, buffer, seed)).sum();
            let _ = write!(table, "{:>13.2}", sum / SEEDS as f64);
        }
    }
    insta::assert_snapshot!(table);
}

/// Mbit/s of `bytes` with NewReno over a link without a rate of its own, with this round trip and loss.
fn reno(round_trip: Duration, loss: f64, bytes: u64, seed: u64) -> f64 {
    let (mut world, a, b) = World::pair(seed, |host| {
        host.stack(|config| {
            config.tcp.congestion_control = CongestionAlgorithm::NewReno;
            // Every segment is acknowledged, as the formula has it.
            config.tcp.delayed_ack = Duration::ZERO;
        })
    });
    let (near, far) = connection(&mut world, a, b, 80);
    let link = Impairment { delay: round_trip / 2, ..Impairment::default() };
    world.impair_all(&link);
    world.impair(a, Impairment { loss, ..link });
    let begin = world.now();
    let mut ends = [Mover::new(a, near, bytes), Mover::new(b, far, 0)];
    let step = |world: &mut World| ends.iter_mut().fold(true, |all, end| end.step(world) & all);
    assert!(world.run_until(step, Duration::from_secs(3_600)), "round trip {round_trip:?}, loss {loss}");
    bytes as f64 * 8.0 / (world.now() - begin).as_secs_f64() / 1e6
}

#[test]
fn reno_is_as_fast_as_theory_has_it() {
    let mut table = String::from("Mbit/s  by round trip, and as part of what the formula gives\n");
    for loss in [0.003f64, 0.01, 0.03] {
        let _ = write!(table, "{:>4.1} %", loss * 100.0);
        for round_trip in [2, 20, 100].map(Duration::from_millis) {
            // Mathis et al., "The Macroscopic Behavior of the TCP Congestion Avoidance Algorithm", 1997:
            // MSS / RTT * sqrt (3/2) / sqrt (p).
            let theory = 1_448.0 * 8.0 / round_trip.as_secs_f64() * (1.5 / loss).sqrt() / 1e6;
            // About as many losses in each run.
            let bytes = (40_000.0 / loss) as u64;
            let measured: f64 = (1..=SEEDS).map(|seed| reno(round_trip, loss, bytes, seed)).sum();
            let share = measured / SEEDS as f64 / theory;
            let _ = write!(table, "{:>10.2} {share:>5.2}", share * theory);
            // The formula knows of no slow start, no lost repetition and no timeout.
            assert!((0.7..1.3).contains(&share), "{share:.2} of theory at loss {loss}, {round_trip:?}");
        }
        table.push('\n');
    }
    insta::assert_snapshot!(table);
}

#[test]
fn story_of_a_request_and_its_answer() {
    let (mut world, a, b) = World::pair(1, |host| host);
    world.impair_all(&Impairment { delay: Duration::from_millis(10), ..Impairment::default() });
    world.record();
    let (near, far) = connection(&mut world, a, b, 80);
    let mut ends = [Mover::new(a, near, 100), Mover::new(b, far, 5_000)];
    let step = |world: &mut World| ends.iter_mut().fold(true, |all, end| end.step(world) & all);
    assert!(world.run_until(step, Duration::from_secs(1)));
    world.run_for(Duration::from_secs(1));
    // Where timestamps begin is the seed's secret, and no part of the story.
    let story: Vec<_> = world
        .trace()
        .expect("it was recorded")
        .lines()
        .map(|line| line.split_once(" ts ").map_or(line, |(line, _)| line).to_owned())
        .collect();
    insta::assert_snapshot!(story.join("\n"));
}
