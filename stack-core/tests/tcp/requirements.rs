//! What RFC 9293's Appendix B lists and no other test has for its subject.

use std::time::Duration;

use netlane_core::{KeepAlive, SocketError, StackConfig, TcpState};
use netlane_sim::{Script, ack, data, rst, syn, syn_ack};

/// MUST-66: an attacker or a full buffer must not make us deaf to the peer's end.
#[test]
fn reset_is_taken_while_our_window_is_closed() {
    let mut script = Script::builder().stack(|config| config.tcp.receive_buffer = 2_920).start();
    let socket = script.connected();
    script.inject(data(1, 1_460));
    script.inject(data(1_461, 1_460));
    script.run_for(Duration::from_millis(500));
    script.skip();
    script.inject(rst(2_921));
    assert_eq!(script.stack().take_error(socket), Ok(Some(SocketError::Reset)));
}

/// SHLD-2: text that tells why.
#[test]
fn reset_may_carry_data() {
    let mut script = Script::new();
    let socket = script.connected();
    script.inject(rst(1).bytes(b"out of memory"));
    assert_eq!(script.stack().take_error(socket), Ok(Some(SocketError::Reset)));
    script.expect_nothing();
}

/// SHLD-15, SHLD-16.
#[test]
fn new_data_waits_for_a_window_that_has_shrunk_and_old_data_within_it_is_sent_again() {
    let mut script = Script::builder().window(10_000).start();
    let socket = script.connected();
    script.send(socket, 2_920);
    assert_eq!(script.skip(), 2);
    script.inject(ack(1).win(1_460));
    script.send(socket, 1_460);
    script.expect_nothing();
    script.run_for(Duration::from_secs(1));
    script.expect(data(1, 1_460));
    script.skip();
    script.inject(ack(2_921).win(1_460));
    script.expect(data(2_921, 1_460));
}

/// SHLD-17.
#[test]
fn data_beyond_a_window_that_has_shrunk_does_not_time_out_while_the_peer_answers() {
    let mut script = Script::builder().window(10_000).stack(|config| config.tcp.retries = 3).start();
    let socket = script.connected();
    script.send(socket, 2_920);
    assert_eq!(script.skip(), 2);
    script.inject(ack(1).win(0));
    let mut answers = 0;
    for _ in 0..600 {
        script.run_for(Duration::from_millis(100));
        if script.skip() > 0 {
            script.inject(ack(1).win(0));
            answers += 1;
        }
    }
    assert!(answers > 4, "it asks more often than it is patient without an answer: {answers}");
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::Established));
    script.inject(ack(1).win(10_000));
    script.run_for(Duration::from_secs(60));
    script.expect(data(1, 1_460));
}

/// MUST-42.
#[test]
fn port_of_a_connection_that_is_being_opened_can_be_listened_on() {
    let mut script = Script::new();
    let local = "10.0.0.1:5000".parse().unwrap();
    let opening = script.stack().tcp_connect(Some(local), Script::PEER).unwrap();
    assert_eq!(script.stack().tcp_state(opening), Ok(TcpState::SynSent));
    let listener = script.stack().tcp_listen(local, 1).expect("a listener beside it");
    assert_eq!(script.stack().tcp_state(listener), Ok(TcpState::Listen));
    assert_eq!(script.stack().tcp_state(opening), Ok(TcpState::SynSent), "MUST-41: it goes on");
}

/// MUST-65.
#[test]
fn segment_size_is_told_on_syns_alone() {
    let mut script = Script::new();
    let socket = script.connect();
    script.send(socket, 100);
    script.expect(syn().mss(1_460));
    script.inject(syn_ack().mss(1_460));
    script.expect(data(1, 100).exact_options());
}

/// MUST-60, SHLD-27, SHLD-28: nobody has to ask for a push, and what is queued in pieces leaves in full segments.
#[test]
fn pieces_leave_at_once_in_as_few_segments_as_hold_them() {
    let mut script = Script::new();
    let socket = script.connected();
    script.stack().tcp_set_no_delay(socket, true).unwrap();
    for piece in [1_000, 1_000, 1_000] {
        script.send(socket, piece);
    }
    let mut lens = Vec::new();
    for (seq, len) in [(1, 1_460), (1_461, 1_460), (2_921, 80)] {
        script.expect(data(seq, len));
        lens.push(len);
    }
    script.expect_nothing();
    assert_eq!(lens.iter().sum::<usize>(), 3_000);
}

/// MUST-25, MUST-28.
#[test]
fn keepalive_is_off_by_default_and_waits_two_hours_where_it_is_on() {
    assert_eq!(StackConfig::default().tcp.keepalive, None);
    assert!(KeepAlive::default().idle >= Duration::from_secs(2 * 60 * 60));
    let mut script = Script::new();
    script.connected();
    script.expect_silence(Duration::from_secs(3 * 60 * 60));
}
