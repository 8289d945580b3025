//! Bulk transfer between two stacks, over good links and bad ones. Every byte is compared.

use std::time::Duration;

use netlane_core::VlanId;
use netlane_sim::impairment::{Impairment, Rate};
use netlane_sim::{Host, World, seed};

use crate::app::{Mover, connection};

/// Moves `bytes` both ways at once and returns the world in which that happened.
fn transfer(bytes: u64, impairment: Impairment, change: impl Fn(Host) -> Host) -> World {
    let (mut world, a, b) = World::pair(seed(0x6e65_746c_616e_6531), change);
    world.record();
    world.impair_all(&impairment);
    let (near, far) = connection(&mut world, a, b, 80);
    let mut ends = [Mover::new(a, near, bytes), Mover::new(b, far, bytes)];
    let limit = Duration::from_secs(3_600);
    let done =
        world.run_until(|world| ends.iter_mut().map(|end| end.step(world)).fold(true, |all, one| all & one), limit);
    assert!(done, "after {limit:?}: {ends:?}\n{:?}\n{:?}", world[a].counters(), world[b].counters());
    assert_eq!(ends.map(|end| end.received), [bytes; 2]);
    world
}

fn lan() -> Impairment {
    Impairment { delay: Duration::from_micros(200), ..Impairment::default() }
}

#[test]
fn perfect_link_carries_both_streams_without_a_retransmission() {
    let world = transfer(2_000_000, lan(), |host| host);
    println!("{} ms", world.now().as_millis());
}
