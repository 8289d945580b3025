//! What a receiver tells of segments that came out of order or twice: RFC 2018 and RFC 2883.

use std::time::Duration;

use netlane_sim::impairment::Impairment;
use netlane_sim::{Script, World, ack, data, seed, syn, syn_ack};

use crate::app::{Mover, connection};

/// A script whose stack offers SACK, and an accepted connection with a peer that offers it as well.
fn accepted() -> (Script, netlane_core::SocketId) {
    let mut script = Script::builder().stack(|config| config.tcp.sack = true).start();
    let socket = script.accept(syn().mss(1_460).sack_permitted());
    (script, socket)
}

#[test]
fn sack_is_used_where_both_ends_permit_it() {
    // RFC 2018 §2: an active open ...
    let mut script = Script::builder().stack(|config| config.tcp.sack = true).start();
    script.connect();
    script.expect(syn().mss(1_460).sack_permitted());
    script.inject(syn_ack().mss(1_460).sack_permitted());
    script.expect(ack(1).exact_options());
    script.inject(data(501, 500));
    script.expect(ack(1).seq(1).sack(&[(501, 1_001)]));
    // ... and a passive one; a peer that permits nothing is told nothing.
    let mut script = Script::builder().stack(|config| config.tcp.sack = true).start();
    script.listen();
    script.inject(syn().mss(1_460).sack_permitted());
    script.expect(syn_ack().mss(1_460).sack_permitted());
    let mut script = Script::builder().stack(|config| config.tcp.sack = true).start();
    script.listen();
    script.inject(syn().mss(1_460));
    script.expect(syn_ack().mss(1_460));
    script.inject(ack(1));
    script.inject(data(501, 500));
    script.expect(ack(1).exact_options());
}

#[test]
fn blocks_without_room_beside_data_are_told_once_where_the_window_is_closed() {
    let mut script = Script::builder().stack(|config| config.tcp.sack = true).start();
    let socket = script.accept(syn().mss(64).sack_permitted());
    script.inject(ack(1).win(0));
    script.send(socket, 1_000);
    for seq in [101, 201, 301] {
        script.inject(data(seq, 10).win(0));
    }
    script.skip();
    // Four blocks are more than half of a segment of 64 bytes.
    script.inject(data(401, 10).win(0));
    script.expect(ack(1).sack(&[(401, 411), (301, 311), (201, 211), (101, 111)]));
    script.expect_nothing();
}

#[test]
fn sack_can_be_turned_off() {
    let mut script = Script::new();
    script.accept(syn().mss(1_460).sack_permitted());
    script.inject(data(501, 500));
    script.expect(ack(1).exact_options());
}

#[test]
fn youngest_block_comes_first_and_older_ones_are_repeated() {
    // RFC 2018 §7, case 2 and 3: every other segment is lost.
    let (mut script, _) = accepted();
    script.inject(data(501, 500));
    script.expect(ack(1).sack(&[(501, 1_001)]));
    script.inject(data(1_501, 500));
    script.expect(ack(1).sack(&[(1_501, 2_001), (501, 1_001)]));
    script.inject(data(2_501, 500));
    script.expect(ack(1).sack(&[(2_501, 3_001), (1_501, 2_001), (501, 1_001)]));
    // The fourth segment, late: its block joins two others and comes first.
    script.inject(data(2_001, 500));
    script.expect(ack(1).sack(&[(1_501, 3_001), (501, 1_001)]));
    // What is acknowledged is no block any more.
    script.inject(data(1, 500));
    script.expect(ack(1_001).sack(&[(1_501, 3_001)]));
    script.inject(data(1_001, 500));
    script.expect(ack(3_001).exact_options());
}

#[test]
fn no_more_blocks_are_told_than_find_room() {
    // RFC 2018 §3: four blocks, and three beside timestamps.
    for (timestamps, room) in [(false, 4), (true, 3)] {
        let mut script = Script::builder()
            .stack(|config| {
                config.tcp.sack = true;
                config.tcp.timestamps = timestamps;
            })
            .start();
        let stamp = |segment: netlane_sim::Seg| if timestamps { segment.ts(7, 0) } else { segment };
        script.accept(stamp(syn().mss(1_460).sack_permitted()));
        script.skip();
        for n in 1..=5 {
            script.inject(stamp(data(1_000 * n + 1, 500)));
        }
        let last = script.frames().pop().expect("an acknowledgement for each");
        let blocks = crate::app::options_of(&last).sack;
        assert_eq!(blocks.as_slice().len(), room);
    }
}

#[test]
fn duplicate_is_told_by_the_first_block() {
    let (mut script, _) = accepted();
    script.inject(data(1, 500));
    script.skip();
    // RFC 2883 §4.1, example 1: a segment that was acknowledged.
    script.inject(data(1, 500));
    script.expect(ack(501).sack(&[(1, 501)]));
    // Told only once.
    script.inject(data(1_001, 500));
    script.expect(ack(501).sack(&[(1_001, 1_501)]));
    // Example 3: a segment that waits out of order; its block comes second.
    script.inject(data(1_001, 500));
    script.expect(ack(501).sack(&[(1_001, 1_501), (1_001, 1_501)]));
    // §4.2, partly a duplicate: the first duplicate part, then the block around it.
    script.inject(data(1_251, 500));
    script.expect(ack(501).sack(&[(1_251, 1_501), (1_001, 1_751)]));
    // Partly acknowledged.
    script.inject(data(251, 500));
    script.expect(ack(751).sack(&[(251, 501), (1_001, 1_751)]));
    assert_eq!(script.stack().counters().tcp_duplicate_segments, 4);
}

#[test]
fn blocks_come_off_the_segments_that_carry_them() {
    // RFC 9293 §3.7.1: MSS counts no options.
    let (mut script, socket) = accepted();
    script.inject(data(501, 500));
    script.skip();
    script.send(socket, 4_000);
    // Two bytes of padding, two of kind and length, and eight of the block.
    script.expect(data(1, 1_448).sack(&[(501, 1_001)]));
    script.expect(data(1_449, 1_448).sack(&[(501, 1_001)]));
    script.inject(data(1_501, 500).ack(2_897));
    script.expect(data(2_897, 1_104).sack(&[(1_501, 2_001), (501, 1_001)]));
    script.inject(data(1, 500).ack(4_001));
    script.inject(data(1_001, 500).ack(4_001));
    script.send(socket, 1_460);
    script.skip();
    script.send(socket, 1_460);
    script.inject(ack(5_461).seq(2_001));
    script.expect(data(5_461, 1_460).ack(2_001).exact_options());
}

#[test]
fn receiver_of_a_bad_path_tells_what_it_has() {
    let (mut world, a, b) = World::pair(seed(9), |host| host);
    let link = Impairment { delay: Duration::from_millis(5), ..Impairment::default() };
    world.impair_all(&link);
    world.impair(a, Impairment { loss: 0.02, duplication: 0.01, ..link });
    let (near, far) = connection(&mut world, a, b, 80);
    let mut ends = [Mover::new(a, near, 1_000_000), Mover::new(b, far, 0)];
    let step = |world: &mut World| ends.iter_mut().fold(true, |all, end| end.step(world) & all);
    assert!(world.run_until(step, Duration::from_secs(300)));
    assert!(world[b].counters().tcp_out_of_order > 0);
    assert!(world[b].counters().tcp_duplicate_segments > 0);
}
