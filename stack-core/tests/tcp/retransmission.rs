//! When segments are sent once more, and how many may be in flight: RFC 6298, RFC 5681, RFC 6582, RFC 3042.

use std::time::Duration;

use netlane_core::{CongestionAlgorithm, SocketError, TcpState};
use netlane_sim::{Script, World, ack, data, seed, syn, syn_ack};

use crate::app::{Mover, connection};

const MS: fn(u64) -> Duration = Duration::from_millis;
const MSS: usize = 1_460;

/// Where the `n`th full segment begins, from 0 on.
fn at(n: u32) -> u32 {
    1 + n * MSS as u32
}

fn full(n: u32) -> netlane_sim::Seg {
    data(at(n), MSS)
}

/// A connection with `n` full segments in flight, and more queued. The window must allow so many.
fn in_flight(script: &mut Script, n: u32) -> netlane_core::SocketId {
    let socket = script.connected();
    script.send(socket, 100 * MSS);
    for n in 0..n {
        script.expect(full(n));
    }
    socket
}

#[test]
fn first_timeout_is_three_round_trips_and_at_least_the_minimum() {
    // RFC 6298 §2.2: SRTT + 4 * (SRTT / 2).
    for (rtt, rto) in [(10, 200), (100, 300), (400, 1_200)] {
        let mut script = Script::new();
        let socket = script.connect();
        script.expect(syn().mss(1_460));
        script.run_for(MS(rtt));
        script.inject(syn_ack().mss(1_460));
        script.expect(ack(1));
        script.send(socket, 100);
        script.expect(data(1, 100));
        script.expect_after(MS(rto), data(1, 100));
    }
}

#[test]
fn timeouts_double_until_the_connection_fails() {
    let mut script = Script::builder().stack(|config| config.tcp.retries = 4).start();
    let socket = script.connected();
    script.send(socket, 100);
    script.expect(data(1, 100));
    for pause in [200, 400, 800, 1_600] {
        script.expect_after(MS(pause), data(1, 100));
    }
    script.expect_silence(MS(3_150));
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::Established));
    script.expect_silence(MS(100));
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::Closed));
    assert_eq!(script.stack().take_error(socket), Ok(Some(SocketError::TimedOut)));
}

#[test]
fn data_begins_with_a_timeout_of_three_seconds_where_the_syn_had_to_be_repeated() {
    // RFC 6298 §5.7.
    let mut script = Script::new();
    let socket = script.connect();
    script.expect(syn().mss(1_460));
    script.expect_after(Duration::from_secs(1), syn().mss(1_460));
    script.inject(syn_ack().mss(1_460));
    script.expect(ack(1));
    script.send(socket, 100);
    script.expect(data(1, 100));
    script.expect_after(Duration::from_secs(3), data(1, 100));
}

#[test]
fn no_timeout_is_longer_than_the_greatest() {
    let mut script = Script::builder().stack(|config| config.tcp.rto_max = Duration::from_secs(1)).start();
    let socket = script.connected();
    script.send(socket, 100);
    script.expect(data(1, 100));
    for pause in [200, 400, 800, 1_000, 1_000] {
        script.expect_after(MS(pause), data(1, 100));
    }
}

#[test]
fn peer_that_sends_but_never_acknowledges_is_given_up_as_well() {
    let mut script = Script::builder().stack(|config| config.tcp.retries = 4).start();
    let socket = script.connected();
    script.send(socket, 100);
    for n in 0..200 {
        script.inject(data(1 + 10 * n, 10));
        script.run_for(MS(50));
        script.skip();
    }
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::Closed));
    assert_eq!(script.stack().take_error(socket), Ok(Some(SocketError::TimedOut)));
}

#[test]
fn round_trips_of_repeated_segments_are_not_measured() {
    // Karn: the acknowledgement may be for either transmission.
    let mut script = Script::builder().stack(|config| config.tcp.rto_min = MS(50)).start();
    let socket = script.connect();
    script.expect(syn().mss(1_460));
    script.run_for(MS(20));
    script.inject(syn_ack().mss(1_460));
    script.expect(ack(1));
    script.send(socket, 100);
    script.expect(data(1, 100));
    script.expect_after(MS(60), data(1, 100));
    // Believed, this would be a round trip of 1 ms or of 61 ms.
    script.run_for(MS(1));
    script.inject(ack(101));
    script.send(socket, 100);
    script.expect(data(101, 100));
    // Without a new measurement the backed-off timeout holds (RFC 6298 §5, (5.7)).
    script.expect_after(MS(120), data(101, 100));
}

#[test]
fn connection_gets_used_to_a_path_that_has_become_slow() {
    let (mut world, a, b) = World::pair(seed(5), |host| host.stack(|config| config.tcp.timestamps = false));
    world.impair_all(&delay(5));
    let (near, far) = connection(&mut world, a, b, 80);
    let mut ends = [Mover::new(a, near, 2_000_000), Mover::new(b, far, 0)];
    world.run_until(|world| ends.iter_mut().fold(true, |all, end| end.step(world) & all), MS(40));
    world.impair_all(&delay(300));
    let step = |world: &mut World| ends.iter_mut().fold(true, |all, end| end.step(world) & all);
    assert!(world.run_until(step, Duration::from_secs(300)));
    let timeouts = world[a].counters().tcp_retransmission_timeouts;
    assert!(timeouts <= 4, "{timeouts} timeouts on a path that loses nothing");
}

#[test]
fn timer_starts_anew_with_each_acknowledgement_of_new_data() {
    let mut script = Script::new();
    let socket = script.connected();
    script.send(socket, 2 * MSS);
    script.expect(full(0));
    script.expect(full(1));
    script.run_for(MS(150));
    script.inject(ack(at(1)));
    // The measurement of 150 ms makes the timeout longer, too: SRTT = 19 ms from 1 µs, RTTVAR = 37 ms.
    script.expect_silence(MS(190));
    script.expect_after(MS(10), full(1));
}

#[test]
fn lone_lost_segment_is_repeated_on_the_third_duplicate() {
    let mut script = Script::new();
    in_flight(&mut script, 10);
    script.inject(ack(1));
    // RFC 3042: each of the first two duplicates lets a new segment go.
    script.expect(full(10));
    script.inject(ack(1));
    script.expect(full(11));
    script.expect_nothing();
    script.inject(ack(1));
    script.expect(full(0));
    script.expect_nothing();
    assert_eq!(script.stack().counters().tcp_fast_retransmissions, 1);
    assert_eq!(script.stack().counters().tcp_duplicate_acks, 3);
}

#[test]
fn window_comes_down_to_half_by_a_segment_for_every_second_duplicate() {
    let reno = CongestionAlgorithm::NewReno;
    let mut script = Script::builder().stack(|config| config.tcp.congestion_control = reno).start();
    in_flight(&mut script, 10);
    for _ in 0..3 {
        script.inject(ack(1));
    }
    assert_eq!(script.skip(), 3);
    // RFC 5681 §3.2 (2): ssthresh = 5, what limited transmit had sent does not count. RFC 6937: of 12 in flight three
    // have arrived and one is lost, which makes 9 with the repetition.
    for n in [None, Some(12), None, Some(13), None, None, Some(14)] {
        script.inject(ack(1));
        if let Some(n) = n {
            script.expect(full(n));
        }
        script.expect_nothing();
    }
    // The repeated segment fills the gap, and the window is half of what it was.
    script.inject(ack(at(15)));
    for n in 15..20 {
        script.expect(full(n));
    }
    script.expect_nothing();
}

#[test]
fn partial_acknowledgement_repeats_the_next_hole_at_once() {
    let mut script = Script::new();
    in_flight(&mut script, 10);
    for _ in 0..3 {
        script.inject(ack(1));
    }
    script.skip();
    script.inject(ack(at(4)));
    script.expect(full(4));
    script.skip();
    script.inject(ack(at(7)));
    script.expect(full(7));
    assert_eq!(script.stack().counters().tcp_retransmission_timeouts, 0);
}

#[test]
fn acknowledgement_with_data_or_another_window_is_no_duplicate() {
    let mut script = Script::new();
    in_flight(&mut script, 10);
    for n in 0..4 {
        script.inject(data(1 + 10 * n, 10));
        script.inject(ack(1).seq(11 + 10 * n).win(60_000 + n as u16));
    }
    assert_eq!(script.stack().counters().tcp_duplicate_acks, 0);
    assert_eq!(script.stack().counters().tcp_fast_retransmissions, 0);
}

#[test]
fn slow_start_doubles_and_a_timeout_begins_with_one_segment() {
    let mut script = Script::new();
    in_flight(&mut script, 10);
    script.expect_nothing();
    script.inject(ack(at(10)));
    for n in 10..30 {
        script.expect(full(n));
    }
    script.expect_nothing();
    script.expect_after(MS(200), full(10));
    script.expect_nothing();
    script.inject(ack(at(11)));
    script.expect(full(11));
    script.expect(full(12));
    script.expect_nothing();
    // What the peer had already is not sent again.
    script.inject(ack(at(30)));
    script.expect(full(30));
}

#[test]
fn window_restarts_after_a_pause() {
    let mut script = Script::new();
    let socket = in_flight(&mut script, 10);
    script.inject(ack(at(10)));
    assert_eq!(script.skip(), 20);
    script.inject(ack(at(30)));
    assert_eq!(script.skip(), 40);
    script.inject(ack(at(70)));
    assert_eq!(script.skip(), 30);
    script.inject(ack(at(100)));
    script.run_for(MS(5_000));
    script.send(socket, 50 * MSS);
    // RFC 5681 §4.1: no more than the initial window after a retransmission timeout of silence.
    assert_eq!(script.skip(), 10);
}

#[test]
fn duplicates_of_needless_repetitions_start_no_recovery() {
    let mut script = Script::new();
    in_flight(&mut script, 10);
    // The acknowledgements are late: a timeout repeats what the peer has.
    script.expect_after(MS(200), full(0));
    script.inject(ack(at(1)));
    script.expect(full(1));
    script.expect(full(2));
    script.inject(ack(at(10)));
    let fresh = script.skip();
    assert!(fresh > 0);
    // Three duplicates for the three repeated segments (RFC 6582 §3.2 (2)).
    for _ in 0..3 {
        script.inject(ack(at(10)));
    }
    assert_eq!(script.stack().counters().tcp_fast_retransmissions, 0);
}

#[test]
fn data_is_delivered_when_the_path_comes_back() {
    let (mut world, a, b) = World::pair(seed(6), |host| host);
    world.record();
    let (near, far) = connection(&mut world, a, b, 80);
    let mut ends = [Mover::new(a, near, 5_000_000), Mover::new(b, far, 1_000)];
    let step = |world: &mut World, ends: &mut [Mover; 2]| {
        ends.iter_mut().fold(true, |all, end| end.step(world) & all)
    };
    world.impair_all(&delay(10));
    assert!(!world.run_until(|world| step(world, &mut ends), MS(100)));
    world.cut_off(a, true);
    assert!(!world.run_until(|world| step(world, &mut ends), Duration::from_secs(30)));
    world.cut_off(a, false);
    assert!(world.run_until(|world| step(world, &mut ends), Duration::from_secs(90)));
}

#[test]
fn vanished_peer_ends_the_connection_after_the_last_retry() {
    let (mut world, a, b) = World::pair(seed(6), |host| host.stack(|config| config.tcp.retries = 5));
    let (near, _) = connection(&mut world, a, b, 80);
    world.cut_off(b, true);
    world[a].tcp_send(near, b"are you there?").unwrap();
    world.run_for(Duration::from_secs(30));
    assert_eq!(world[a].tcp_state(near), Ok(TcpState::Closed));
    assert_eq!(world[a].take_error(near), Ok(Some(SocketError::TimedOut)));
    assert_eq!(world[a].counters().tcp_retransmission_timeouts, 5);
}

fn delay(millis: u64) -> netlane_sim::impairment::Impairment {
    netlane_sim::impairment::Impairment { delay: MS(millis), ..Default::default() }
}
