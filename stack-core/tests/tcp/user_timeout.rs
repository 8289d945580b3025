//! How long data may stay unacknowledged: RFC 9293 §3.8.3 and RFC 5482.

use std::time::Duration;

use netlane_core::{SocketError, TcpState};
use netlane_sim::{Script, ScriptBuilder, ack, data, syn, syn_ack};

use crate::app::options_of;

const SECS: fn(u64) -> Duration = Duration::from_secs;

fn telling() -> ScriptBuilder {
    Script::builder().stack(|config| config.tcp.user_timeout_option = true)
}

#[test]
fn data_that_is_not_acknowledged_in_time_ends_the_connection() {
    let mut script = Script::new();
    let socket = script.connected();
    script.stack().tcp_set_user_timeout(socket, Some(SECS(10))).unwrap();
    script.expect_silence(SECS(60));
    script.send(socket, 100);
    script.run_for(Duration::from_millis(9_900));
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::Established));
    script.run_for(Duration::from_millis(200));
    assert_eq!(script.stack().take_error(socket), Ok(Some(SocketError::TimedOut)));
}

#[test]
fn acknowledgement_gives_new_time() {
    let mut script = Script::new();
    let socket = script.connected();
    script.stack().tcp_set_user_timeout(socket, Some(SECS(10))).unwrap();
    for n in 0..4 {
        script.send(socket, 100);
        script.run_for(SECS(8));
        script.inject(ack(1).ack(100 * n + 101));
    }
    script.run_for(SECS(60));
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::Established));
}

#[test]
fn attempt_to_connect_ends_in_time_too() {
    let mut script = Script::new();
    let socket = script.connect();
    script.stack().tcp_set_user_timeout(socket, Some(SECS(5))).unwrap();
    script.run_for(Duration::from_millis(4_900));
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::SynSent));
    script.run_for(Duration::from_millis(200));
    assert_eq!(script.stack().take_error(socket), Ok(Some(SocketError::TimedOut)));
}

#[test]
fn timeout_may_be_longer_than_the_retries_would_take() {
    let mut script = Script::builder().stack(|config| config.tcp.retries = 2).start();
    let socket = script.connected();
    script.stack().tcp_set_user_timeout(socket, Some(SECS(100))).unwrap();
    script.send(socket, 100);
    script.run_for(SECS(99));
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::Established));
    script.run_for(SECS(2));
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::Closed));
}

#[test]
fn both_ends_tell_each_other_and_the_longer_time_holds() {
    let mut script = telling().stack(|config| config.tcp.user_timeout = Some(SECS(150))).start();
    let socket = script.connect();
    let told = options_of(&script.next_frame().expect("a SYN")).user_timeout.expect("the option");
    assert_eq!(told.duration(), SECS(150));
    script.inject(syn_ack().mss(1_460).user_timeout(SECS(200)));
    let told = options_of(&script.next_frame().expect("an acknowledgement")).user_timeout;
    assert_eq!(told.expect("once more: the SYN might have been another one").duration(), SECS(150));
    script.send(socket, 100);
    script.expect(data(1, 100).exact_options());
    script.run_for(SECS(199));
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::Established));
    script.run_for(SECS(2));
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::Closed));
}

#[test]
fn what_a_forged_segment_tells_is_not_believed() {
    let mut script = telling().stack(|config| config.tcp.user_timeout = Some(SECS(150))).start();
    let socket = script.accept(syn().mss(1_460));
    script.inject(ack(1).seq(100_000).user_timeout(SECS(3_000)));
    script.skip();
    script.send(socket, 100);
    script.run_for(SECS(151));
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::Closed));
}

#[test]
fn nothing_is_told_and_nobody_heard_unless_the_configuration_says_so() {
    let mut script = Script::builder().stack(|config| config.tcp.user_timeout = Some(SECS(150))).start();
    let socket = script.connect();
    script.expect(syn().mss(1_460).exact_options());
    script.inject(syn_ack().mss(1_460).user_timeout(SECS(3_000)));
    script.expect(ack(1).exact_options());
    script.send(socket, 100);
    script.run_for(SECS(151));
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::Closed));
}
