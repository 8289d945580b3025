//! What a connection tells of itself.

use netlane_core::{Duration, LossRecovery, StackConfig, TcpState};
use netlane_sim::{Script, ack, data, syn_ack};

const MSS: u32 = 1_460;
const MS: fn(u64) -> Duration = Duration::from_millis;

#[test]
fn idle_connection_tells_what_was_agreed_on_and_its_initial_window() {
    let options = |config: &mut StackConfig| {
        (config.tcp.timestamps, config.tcp.sack, config.tcp.window_scaling) = (true, true, true);
    };
    let mut script = Script::builder().stack(options).start();
    let socket = script.connect();
    assert_eq!(script.stack().tcp_info(socket), Ok(None));
    script.skip();
    script.inject(syn_ack().mss(1_460).wscale(7).sack_permitted().ts(1, 0));
    script.skip();
    let info = script.stack().tcp_info(socket).unwrap().expect("a connection");
    assert_eq!(info.state, TcpState::Established);
    // RFC 7323 §3.2: timestamps take 12 bytes of every segment.
    assert_eq!((info.send_mss, info.timestamps, info.sack), (1_448, true, true));
    assert_eq!(info.window_scales.1, 7);
    // RFC 6928 §2: ten segments, but no more than 14,600 bytes.
    assert_eq!(info.congestion_window, 14_480);
    assert_eq!((info.slow_start_threshold, info.unacknowledged, info.unsent), (None, 0, 0));
    assert_eq!(info.recovery, LossRecovery::Open);
}

#[test]
fn loss_is_told_from_its_first_sign_to_its_end() {
    let mut script = Script::builder().stack(|config| config.tcp.sack = true).start();
    let socket = script.connect();
    script.skip();
    script.run_for(MS(50));
    script.inject(syn_ack().mss(1_460).sack_permitted());
    script.skip();
    let at = |n: u32| 1 + n * MSS;
    script.send(socket, 12 * MSS as usize);
    script.skip();
    let info = script.stack().tcp_info(socket).unwrap().expect("a connection");
    assert_eq!((info.unacknowledged, info.unsent), (10 * MSS, 2 * MSS));
    script.run_for(MS(50));

    // The first segment is missing.
    script.inject(ack(1).sack(&[(at(1), at(2))]));
    script.skip();
    let info = script.stack().tcp_info(socket).unwrap().expect("a connection");
    assert_eq!((info.recovery, info.sacked), (LossRecovery::Disorder, MSS));
    script.inject(ack(1).sack(&[(at(1), at(5))]));
    script.skip();
    let info = script.stack().tcp_info(socket).unwrap().expect("a connection");
    assert_eq!((info.recovery, info.sacked, info.resent), (LossRecovery::Fast, 4 * MSS, MSS));
    assert!(info.slow_start_threshold.is_some_and(|threshold| threshold < 10 * MSS), "{info:?}");
    assert_eq!(info.rtt.map(|(srtt, _)| srtt), Some(MS(50)));

    for n in [11, 12] {
        script.inject(ack(at(n)));
        script.skip();
    }
    let info = script.stack().tcp_info(socket).unwrap().expect("a connection");
    assert_eq!((info.recovery, info.sacked, info.unacknowledged), (LossRecovery::Open, 0, 0));
    assert_eq!(info.delivered, u64::from(12 * MSS));
}

#[test]
fn largest_segment_that_has_arrived_is_told_and_a_listener_has_nothing_to_tell() {
    let mut script = Script::new();
    let socket = script.connected();
    script.inject(data(1, 900));
    let info = script.stack().tcp_info(socket).unwrap().expect("a connection");
    assert_eq!(info.receive_mss, 900);
    let listener = script.listen();
    assert!(script.stack().tcp_info(listener).is_err());
}
