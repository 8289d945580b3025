//! How fast a stream arrives over a bad link, as a table to be compared in reviews: virtual time, the same in each
//! run.

use std::fmt::Write as _;
use std::time::Duration;

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
