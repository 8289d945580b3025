//! How a sender learns what was lost, and what it sends then, where the peer acknowledges selectively: RFC 6675,
//! RFC 8985, RFC 6937, RFC 5682.

use std::time::Duration;

use netlane_core::{CongestionAlgorithm, SocketId};
use netlane_sim::impairment::Impairment;
use netlane_sim::{Script, Seg, World, ack, data, seed, syn, syn_ack};

use crate::app::{Mover, connection};

const MS: fn(u64) -> Duration = Duration::from_millis;
const MSS: usize = 1_460;

/// Where the `n`th full segment begins, from 0 on.
fn at(n: u32) -> u32 {
    1 + n * MSS as u32
}

fn full(n: u32) -> Seg {
    data(at(n), MSS)
}

/// An acknowledgement of the first `n` segments, and of some runs of others: the first one, and the one behind it.
fn sack(n: u32, runs: &[(u32, u32)]) -> Seg {
    let runs: Vec<_> = runs.iter().map(|&(from, to)| (at(from), at(to))).collect();
    ack(at(n)).sack(&runs)
}

/// A connection over a round trip of 40 ms to a peer with SACK.
fn connected(script: &mut Script) -> SocketId {
    let socket = script.connect();
    script.expect(syn().mss(1_460).sack_permitted());
    script.run_for(MS(40));
    script.inject(syn_ack().mss(1_460).sack_permitted());
    script.expect(ack(1));
    socket
}

/// A stack that halves its window for a loss, so that what it sends is easily foretold.
fn with_reno() -> Script {
    Script::builder()
        .stack(|config| {
            config.tcp.sack = true;
            config.tcp.congestion_control = CongestionAlgorithm::NewReno;
        })
        .start()
}

/// The same with ten full segments in flight, which is as many as the window allows, and more queued.
fn ten_in_flight() -> (Script, SocketId) {
    let mut script = with_reno();
    let socket = connected(&mut script);
    script.send(socket, 100 * MSS);
    for n in 0..10 {
        script.expect(full(n));
    }
    (script, socket)
}

#[test]
fn missing_segment_is_given_a_quarter_of_a_round_trip_to_come_late() {
    let (mut script, _) = ten_in_flight();
    script.run_for(MS(40));
    script.inject(sack(0, &[(1, 2)]));
    // RFC 3042: what has arrived makes room for new data.
    script.expect(full(10));
    // RFC 8985 §6.2: reo_wnd = min_RTT / 4.
    script.expect_after(MS(10), full(0));
    assert_eq!(script.stack().counters().tcp_fast_retransmissions, 1);
}

#[test]
fn segment_that_comes_late_is_not_repeated() {
    let (mut script, _) = ten_in_flight();
    script.run_for(MS(40));
    script.inject(sack(0, &[(1, 2)]));
    script.expect(full(10));
    script.run_for(MS(9));
    script.inject(ack(at(2)));
    assert_eq!(script.skip(), 2);
    script.run_for(MS(35));
    assert_eq!(script.stack().counters().tcp_retransmissions, 0);
}

#[test]
fn no_time_is_lost_once_three_segments_have_overtaken_the_missing_one() {
    // RFC 8985 §6.2 step 4: where nothing was ever reordered, counting to DupThresh is enough.
    let (mut script, _) = ten_in_flight();
    script.run_for(MS(40));
    script.inject(sack(0, &[(1, 4)]));
    script.expect(full(0));
    // RFC 6937: three have arrived, and half as many leave, rounded up.
    script.expect(full(10));
    script.expect_nothing();
}

#[test]
fn only_what_was_lost_is_repeated_in_order_and_before_new_data() {
    let (mut script, _) = ten_in_flight();
    script.run_for(MS(40));
    script.inject(sack(0, &[(5, 10), (3, 4), (1, 2)]));
    // RFC 5681: ssthresh = 5. RFC 6937: nothing is in flight any more, so that as much may leave.
    for n in [0, 2, 4, 10, 11] {
        script.expect(full(n));
    }
    script.expect_nothing();
    // All holes are filled after one round trip, without a timeout.
    script.run_for(MS(40));
    script.inject(ack(at(12)));
    for n in 12..17 {
        script.expect(full(n));
    }
    script.expect_nothing();
    assert_eq!(script.stack().counters().tcp_retransmission_timeouts, 0);
}

#[test]
fn lost_repetition_is_repeated_again_without_a_timeout() {
    let (mut script, _) = ten_in_flight();
    script.run_for(MS(40));
    script.inject(sack(0, &[(1, 10)]));
    script.expect(full(0));
    for n in 10..14 {
        script.expect(full(n));
    }
    // RFC 8985 §3.1: what was sent after the repetition has arrived, and the repetition has not.
    script.run_for(MS(40));
    script.inject(sack(0, &[(1, 14)]));
    script.expect(full(0));
    assert_eq!(script.stack().counters().tcp_retransmission_timeouts, 0);
}

#[test]
fn lost_end_is_probed_after_two_round_trips() {
    let mut script = Script::builder().stack(|config| config.tcp.sack = true).start();
    let socket = connected(&mut script);
    script.send(socket, 3 * MSS);
    assert_eq!(script.skip(), 3);
    // RFC 8985 §7.2: PTO = 2 * SRTT, and the last segment is sent again.
    script.expect_after(MS(80), full(2));
    // Its acknowledgement shows that those before it were lost.
    script.run_for(MS(40));
    script.inject(sack(0, &[(2, 3)]));
    script.expect(full(0));
    script.run_for(MS(40));
    script.inject(sack(1, &[(2, 3)]));
    script.expect(full(1));
    script.run_for(MS(40));
    script.inject(ack(at(3)));
    script.expect_silence(MS(1_000));
    assert_eq!(script.stack().counters().tcp_tail_loss_probes, 1);
    assert_eq!(script.stack().counters().tcp_retransmission_timeouts, 0);
}

#[test]
fn probe_is_new_data_where_there_is_any_and_the_timeout_follows_it() {
    let (mut script, _) = ten_in_flight();
    script.expect_after(MS(80), full(10));
    // RFC 8985 §7.3: then the retransmission timer runs, and there is no second probe.
    script.expect_after(MS(200), full(0));
    assert_eq!(script.stack().counters().tcp_tail_loss_probes, 1);
    assert_eq!(script.stack().counters().tcp_retransmission_timeouts, 1);
}

#[test]
fn lone_segment_is_probed_when_its_timeout_comes() {
    let mut script = Script::builder().stack(|config| config.tcp.sack = true).start();
    let socket = connected(&mut script);
    script.send(socket, 100);
    script.expect(data(1, 100));
    // RFC 8985 §7.2: its acknowledgement may be delayed, 2 * 40 ms + 200 ms; but no later than the timeout of 200 ms.
    script.expect_after(MS(200), data(1, 100));
    assert_eq!(script.stack().counters().tcp_tail_loss_probes, 1);
    script.expect_after(MS(200), data(1, 100));
    assert_eq!(script.stack().counters().tcp_retransmission_timeouts, 1);
}

#[test]
fn probe_that_repairs_a_loss_brings_the_window_down() {
    let mut script = Script::builder().stack(|config| config.tcp.sack = true).start();
    let socket = connected(&mut script);
    script.send(socket, 10 * MSS);
    assert_eq!(script.skip(), 10);
    script.run_for(MS(40));
    script.inject(ack(at(9)));
    script.expect_after(MS(200), full(9));
    script.run_for(MS(40));
    script.send(socket, 100 * MSS);
    script.skip();
    // RFC 8985 §7.4: no second acknowledgement of the last segment: the probe was needed.
    script.inject(ack(at(10)));
    let before = script.skip();
    script.run_for(MS(40));
    script.inject(ack(at(11)));
    let after = script.skip();
    assert!(before + after < 20, "{before} and {after} segments");
}

#[test]
fn duplicate_of_all_that_was_repeated_undoes_the_reduction() {
    let (mut script, _) = ten_in_flight();
    script.run_for(MS(40));
    script.inject(sack(0, &[(1, 4)]));
    script.expect(full(0));
    // The original was merely late; RFC 3708: the peer has it twice.
    script.inject(ack(at(4)));
    script.skip();
    script.run_for(MS(40));
    script.inject(sack(4, &[(0, 1)]));
    assert_eq!(script.stack().counters().tcp_spurious_recoveries, 1);
    assert_eq!(script.stack().counters().tcp_duplicates_told, 1);
    // The window is ten segments again, or more.
    script.inject(ack(at(10)));
    script.skip();
    script.run_for(MS(40));
    script.inject(ack(at(14)));
    let window = script.skip();
    assert!(window >= 4, "{window} segments");
}

#[test]
fn timeout_that_answers_to_a_delay_is_recognised() {
    let (mut script, _) = ten_in_flight();
    script.expect_after(MS(80), full(10));
    script.expect_after(MS(200), full(0));
    // RFC 5682 §3.1: the acknowledgements of the originals were held up. After the first one, new data leaves ...
    script.inject(ack(at(1)));
    script.expect(full(11));
    script.expect(full(12));
    script.expect_nothing();
    // ... and the second one shows that the others have arrived without being repeated.
    script.inject(ack(at(2)));
    assert_eq!(script.stack().counters().tcp_spurious_recoveries, 1);
    script.skip();
    script.inject(ack(at(11)));
    script.skip();
    assert_eq!(script.stack().counters().tcp_retransmissions, 1);
}

#[test]
fn timeout_that_answers_to_a_loss_is_taken_for_one() {
    let (mut script, _) = ten_in_flight();
    script.expect_after(MS(80), full(10));
    script.expect_after(MS(200), full(0));
    script.run_for(MS(40));
    script.inject(ack(at(1)));
    script.expect(full(11));
    script.expect(full(12));
    // The new data arrives, and nothing before it: everything else is sent again.
    script.run_for(MS(40));
    script.inject(sack(1, &[(11, 12)]));
    script.expect(full(1));
    script.inject(sack(1, &[(11, 13)]));
    script.expect(full(2));
    assert_eq!(script.stack().counters().tcp_spurious_recoveries, 0);
}

#[test]
fn receiver_may_throw_away_what_it_has_acknowledged_selectively() {
    let (mut script, _) = ten_in_flight();
    script.run_for(MS(40));
    script.inject(sack(0, &[(1, 10)]));
    script.expect(full(0));
    assert_eq!(script.skip(), 4);
    // RFC 2018 §8: the repetition has arrived, and all the rest is gone. After the timeout it is sent once more.
    script.run_for(MS(40));
    script.inject(ack(at(1)));
    script.skip();
    script.run_for(MS(300));
    script.expect(full(1));
    script.inject(ack(at(2)));
    script.expect(full(2));
}

#[test]
fn blocks_that_cannot_be_are_not_believed() {
    let (mut script, _) = ten_in_flight();
    // Beyond what was sent, ending before it begins, empty.
    for run in [(20, 30), (5, 3), (4, 4), (9, 12)] {
        script.inject(sack(0, &[run]));
    }
    script.expect_nothing();
    script.run_for(MS(60));
    assert_eq!(script.stack().counters().tcp_retransmissions, 0);
}

#[test]
fn path_that_reorders_within_a_quarter_of_a_round_trip_costs_nothing() {
    let (mut world, a, b) = World::pair(seed(3), |host| host);
    let link = Impairment { delay: MS(20), ..Impairment::default() };
    world.impair_all(&link);
    world.impair(a, Impairment { reordering: 0.02, reorder_delay: MS(5), ..link });
    transfer(&mut world, a, b, 4_000_000);
    let counters = world[a].counters();
    // Only before the first reordering was seen may counting have misled.
    assert!(counters.tcp_retransmissions <= 8, "{} retransmissions", counters.tcp_retransmissions);
    assert!(counters.tcp_spurious_recoveries <= 2, "{} recoveries", counters.tcp_spurious_recoveries);
    assert_eq!(counters.tcp_retransmission_timeouts, 0);
}

#[test]
fn losses_of_one_in_fifty_are_made_up_for_without_timeouts() {
    let mut timeouts = 0;
    for n in 0..10 {
        let (mut world, a, b) = World::pair(seed(3).wrapping_add(n), |host| host);
        let link = Impairment { delay: MS(5), ..Impairment::default() };
        world.impair_all(&link);
        world.impair(a, Impairment { loss: 0.02, ..link });
        transfer(&mut world, a, b, 2_000_000);
        let counters = world[a].counters();
        timeouts += counters.tcp_retransmission_timeouts;
        // 1,400 segments, and no more repetitions than losses but for a few.
        assert!(counters.tcp_retransmissions < 60, "{} retransmissions", counters.tcp_retransmissions);
    }
    assert!(timeouts <= 3, "{timeouts} timeouts in ten transfers");
}

#[test]
fn few_records_are_enough() {
    let (mut world, a, b) =
        World::pair(seed(4), |host| host.stack(|config| config.limits.in_flight_records = 4));
    let link = Impairment { delay: MS(5), ..Impairment::default() };
    world.impair_all(&link);
    world.impair(a, Impairment { loss: 0.02, reordering: 0.02, reorder_delay: MS(3), ..link });
    transfer(&mut world, a, b, 1_000_000);
}

fn transfer(world: &mut World, a: netlane_sim::HostId, b: netlane_sim::HostId, bytes: u64) {
    let (near, far) = connection(world, a, b, 80);
    let mut ends = [Mover::new(a, near, bytes), Mover::new(b, far, 0)];
    let step = |world: &mut World| ends.iter_mut().fold(true, |all, end| end.step(world) & all);
    assert!(world.run_until(step, Duration::from_secs(300)), "{:?}", world[a].counters());
}
