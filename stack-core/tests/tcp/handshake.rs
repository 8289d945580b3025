//! Opening connections: RFC 9293 §3.5, and what options agree on.

use std::time::Duration;

use netlane_core::{Readiness, SocketError, TcpState};
use netlane_sim::{Script, World, ack, data, rst, rst_ack, seed, syn, syn_ack};

use crate::app::{self, address, state};

const MS: fn(u64) -> Duration = Duration::from_millis;

#[test]
fn server_answers_a_syn_and_is_told_of_the_connection_when_it_is_acknowledged() {
    let mut script = Script::new();
    let listener = script.listen();
    script.inject(syn().mss(1_460));
    script.expect(syn_ack().mss(1_460).win(65_535));
    assert_eq!(script.stack().tcp_accept(listener), Ok(None), "not before the handshake is complete");
    script.inject(ack(1));
    let event = script.stack().next_event().expect("the listener is ready");
    assert_eq!((event.socket, event.ready), (listener, Readiness::READABLE));
    let socket = script.stack().tcp_accept(listener).unwrap().expect("a connection");
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::Established));
    assert_eq!(script.stack().peer_addr(socket), Ok(Some(Script::PEER)));
    assert_eq!(script.stack().local_addr(socket), Ok(Script::STACK));
    script.expect_silence(MS(60_000));
}

#[test]
fn client_sends_a_syn_and_acknowledges_the_answer() {
    let mut script = Script::new();
    let socket = script.connect();
    script.expect(syn().mss(1_460).win(65_535));
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::SynSent));
    script.inject(syn_ack().mss(1_000));
    script.expect(ack(1));
    let event = script.stack().next_event().expect("the connection is ready");
    assert_eq!((event.socket, event.ready), (socket, Readiness::WRITABLE));
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::Established));
}

#[test]
fn the_first_syn_is_not_repeated_early_because_the_stack_has_slept() {
    let mut script = Script::new();
    script.expect_silence(MS(10_000));
    script.connect();
    script.expect(syn().mss(1_460));
    script.expect_silence(MS(999));
    script.expect_after(MS(1), syn().mss(1_460));
}

#[test]
fn the_first_round_trip_does_not_count_the_sleep_before_it() {
    let mut script = Script::new();
    script.expect_silence(MS(10_000));
    let socket = script.connected();
    script.send(socket, 100);
    script.expect(data(1, 100));
    // RFC 6298 §2.4: the least timeout, since the round trip took no time.
    script.expect_after(MS(200), data(1, 100));
}

#[test]
fn bytes_queued_before_the_connection_is_established_follow_the_handshake() {
    let mut script = Script::new();
    let socket = script.connect();
    script.send(socket, 100);
    script.expect(syn().mss(1_460));
    script.inject(syn_ack().mss(1_460));
    script.expect(data(1, 100));
    script.expect_nothing();
}

#[test]
fn data_on_the_acknowledgement_of_the_handshake_is_taken() {
    let mut script = Script::new();
    let listener = script.listen();
    script.inject(syn().mss(1_460));
    script.expect(syn_ack().mss(1_460));
    script.inject(data(1, 50).fin());
    script.expect(ack(52));
    let socket = script.stack().tcp_accept(listener).unwrap().unwrap();
    assert_eq!(script.read(socket), 50);
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::CloseWait));
}

#[test]
fn simultaneous_open_is_one_connection() {
    let mut script = Script::new();
    let socket = script.connect();
    script.expect(syn().mss(1_460));
    script.inject(syn().mss(1_460));
    script.expect(syn_ack().mss(1_460));
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::SynReceived));
    script.inject(syn_ack().mss(1_460));
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::Established));
    script.inject(data(1, 10));
    script.expect_after(MS(40), ack(11));
}

#[test]
fn two_stacks_that_connect_to_each_other_at_once_get_one_connection() {
    let (mut world, a, b) = World::pair(seed(1), |host| host);
    world.impair_all(&delay(10));
    world.record();
    let (end_a, end_b) = (address(a, 4_000), address(b, 5_000));
    let near = world[a].tcp_connect(Some(end_a), end_b).unwrap();
    let far = world[b].tcp_connect(Some(end_b), end_a).unwrap();
    let mut ends = [app::Mover::new(a, near, 100_000), app::Mover::new(b, far, 50_000)];
    let done = world.run_until(
        |world| {
            let open = |host, socket| state(world, host, socket).is_some_and(is_synchronized);
            open(a, near)
                && open(b, far)
                && ends.iter_mut().map(|end| end.step(world)).fold(true, |all, done| all & done)
        },
        Duration::from_secs(20),
    );
    assert!(done);
    assert_eq!((ends[0].received, ends[1].received), (50_000, 100_000));
}

#[test]
fn options_are_used_where_both_ends_offer_them() {
    for (scaling, stamps) in [(false, false), (false, true), (true, false), (true, true)] {
        let script = || {
            Script::builder()
                .stack(|config| {
                    config.tcp.window_scaling = scaling;
                    config.tcp.timestamps = stamps;
                    config.tcp.receive_buffer = 1 << 20;
                })
                .start()
        };
        for (peer_scaling, peer_stamps) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut offer = syn().mss(1_400);
            if peer_scaling {
                offer = offer.wscale(3);
            }
            if peer_stamps {
                offer = offer.ts(77, 0);
            }
            let mut script = script();
            script.listen();
            script.inject(offer);
            let both_stamps = stamps && peer_stamps;
            let frame = script.next_frame().expect("an answer");
            let options = app::options_of(&frame);
            assert_eq!(options.timestamps.map(|stamps| stamps.echo), both_stamps.then_some(77));
            assert_eq!(options.window_scale, (scaling && peer_scaling).then_some(5));
            assert_eq!(options.mss, Some(1_460));
        }
    }
}

#[test]
fn windows_are_scaled_once_both_ends_have_agreed() {
    let mut script = Script::builder()
        .stack(|config| {
            config.tcp.window_scaling = true;
            config.tcp.receive_buffer = 1 << 20;
        })
        .window(16)
        .start();
    // The window of a SYN itself is not scaled: 16 in the handshake's last segment means 16 << 7.
    let socket = script.accept(syn().mss(1_460).wscale(7).win(16));
    script.send(socket, 4_000);
    script.expect(data(1, 1_460));
    script.inject(data(1, 1_000).ack(1_461));
    // 2,048 bytes of window: one full segment, and the rest is not worth one (RFC 9293 §3.8.6.2.1).
    script.expect(data(1_461, 1_460).ack(1_001).win((1 << 20 >> 5) as u16 - 32));
}

#[test]
fn peer_without_an_mss_option_gets_segments_of_536_bytes() {
    let mut script = Script::new();
    let socket = script.accept(syn());
    script.send(socket, 1_000);
    script.expect(data(1, 536));
}

#[test]
fn absurdly_small_mss_is_not_followed() {
    let mut script = Script::new();
    let socket = script.accept(syn().mss(1));
    script.send(socket, 100);
    script.expect(data(1, 48));
}

#[test]
fn connecting_to_a_closed_port_is_refused() {
    let mut script = Script::new();
    let socket = script.connect();
    script.expect(syn().mss(1_460));
    script.inject(rst_ack(0, 1));
    let event = script.stack().next_event().expect("an event");
    assert_eq!(event.ready, Readiness::CLOSED | Readiness::ERROR);
    assert_eq!(script.stack().take_error(socket), Ok(Some(SocketError::Refused)));
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::Closed));
    script.expect_silence(MS(10_000));
}

#[test]
fn syn_to_a_closed_port_is_refused_and_counted() {
    let mut script = Script::new();
    script.inject(syn().mss(1_460));
    script.expect(rst_ack(0, 1));
    assert_eq!(script.stack().counters().rx_no_socket, 1);
    assert_eq!(script.stack().counters().tcp_resets_sent, 1);
}

#[test]
fn two_stacks_tell_a_refused_connection() {
    let (mut world, a, b) = World::pair(seed(1), |host| host);
    let socket = world[a].tcp_connect(None, address(b, 9)).unwrap();
    assert!(world.run_until(|world| state(world, a, socket) == Some(TcpState::Closed), MS(100)));
    assert_eq!(world[a].take_error(socket), Ok(Some(SocketError::Refused)));
}

#[test]
fn reset_that_does_not_acknowledge_our_syn_is_not_believed() {
    let mut script = Script::new();
    let socket = script.connect();
    script.expect(syn().mss(1_460));
    script.inject(rst_ack(0, 2));
    script.inject(rst(0));
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::SynSent));
    script.expect_nothing();
}

#[test]
fn acknowledgement_of_something_never_sent_is_reset_in_syn_sent() {
    let mut script = Script::new();
    let socket = script.connect();
    script.expect(syn().mss(1_460));
    script.inject(syn_ack().ack(500));
    script.expect(rst(500));
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::SynSent));
}

#[test]
fn syn_is_repeated_with_doubling_pauses_until_the_attempt_times_out() {
    let mut script = Script::builder().stack(|config| config.tcp.syn_retries = 3).start();
    let socket = script.connect();
    script.expect(syn().mss(1_460));
    for pause in [1, 2, 4] {
        script.expect_after(Duration::from_secs(pause), syn().mss(1_460));
    }
    script.expect_silence(MS(7_900));
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::SynSent));
    script.expect_silence(MS(200));
    assert_eq!(script.stack().take_error(socket), Ok(Some(SocketError::TimedOut)));
}

#[test]
fn attempt_to_connect_takes_three_minutes_at_least() {
    let mut script = Script::new();
    let socket = script.connect();
    // RFC 9293 §3.8.3, MUST-23.
    script.run_for(Duration::from_secs(180));
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::SynSent));
    script.run_for(Duration::from_secs(60));
    assert_eq!(script.stack().take_error(socket), Ok(Some(SocketError::TimedOut)));
}

#[test]
fn initial_sequence_numbers_differ_between_ports_and_grow_with_time() {
    let isn = |port: u16, after: Duration| {
        let mut script = Script::new();
        script.run_for(after);
        let near = Script::STACK;
        let far = std::net::SocketAddr::new(Script::PEER.ip(), port);
        script.stack().tcp_connect(Some(near), far).unwrap();
        app::sequence_number_of(&script.next_frame().unwrap())
    };
    let first = isn(80, MS(1));
    assert_eq!(isn(80, MS(5)).wrapping_sub(first), 1_000, "RFC 6528: one every 4 microseconds");
    assert!(isn(81, MS(1)).abs_diff(first) > 1_000, "another port, another place");
}

fn is_synchronized(state: TcpState) -> bool {
    !matches!(state, TcpState::SynSent | TcpState::SynReceived | TcpState::Closed)
}

fn delay(millis: u64) -> netlane_sim::impairment::Impairment {
    netlane_sim::impairment::Impairment { delay: MS(millis), ..Default::default() }
}
