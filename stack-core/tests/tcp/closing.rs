//! The ends of connections: RFC 9293 §3.6, and what becomes of those who hold on.

use std::time::Duration;

use netlane_core::{Readiness, RecvError, SendError, SocketError, SocketId, TcpState};
use netlane_sim::{Script, World, ack, data, fin, rst, rst_ack, seed, syn, syn_ack};

use crate::app::{Mover, address, connection, state};

const MS: fn(u64) -> Duration = Duration::from_millis;
const MINUTE: Duration = Duration::from_secs(60);

fn tcp_state(script: &mut Script, socket: SocketId) -> Option<TcpState> {
    script.stack().tcp_state(socket).ok()
}

fn all_events(script: &mut Script, socket: SocketId) -> Readiness {
    let mut all = Readiness::empty();
    while let Some(event) = script.stack().next_event() {
        if event.socket == socket {
            all |= event.ready;
        }
    }
    all
}

#[test]
fn active_close_passes_fin_wait_and_time_wait() {
    let mut script = Script::new();
    let socket = script.connected();
    script.stack().tcp_shutdown(socket).unwrap();
    script.expect(fin(1));
    assert_eq!(tcp_state(&mut script, socket), Some(TcpState::FinWait1));
    script.inject(ack(2));
    assert_eq!(tcp_state(&mut script, socket), Some(TcpState::FinWait2));
    all_events(&mut script, socket);
    script.inject(fin(1).ack(2));
    script.expect(ack(2).seq(2));
    assert_eq!(tcp_state(&mut script, socket), Some(TcpState::TimeWait));
    assert!(all_events(&mut script, socket).contains(Readiness::READ_CLOSED | Readiness::CLOSED));
    script.expect_silence(MINUTE - MS(10));
    assert_eq!(tcp_state(&mut script, socket), Some(TcpState::TimeWait));
    script.expect_silence(MS(20));
    assert_eq!(tcp_state(&mut script, socket), Some(TcpState::Closed));
    script.stack().tcp_close(socket).unwrap();
    assert_eq!(tcp_state(&mut script, socket), None);
}

#[test]
fn passive_close_passes_close_wait_and_last_ack() {
    let mut script = Script::new();
    let socket = script.accepted();
    script.inject(fin(1));
    script.expect(ack(1).ack(2));
    assert_eq!(tcp_state(&mut script, socket), Some(TcpState::CloseWait));
    assert_eq!(script.read(socket), 0);
    script.stack().tcp_close(socket).unwrap();
    script.expect(fin(1).ack(2));
    script.inject(ack(2).seq(2));
    script.expect_silence(MINUTE);
    script.inject(ack(2).seq(2));
    script.expect(rst(2));
}

#[test]
fn both_ends_may_close_at_once() {
    let mut script = Script::new();
    let socket = script.connected();
    script.stack().tcp_shutdown(socket).unwrap();
    script.expect(fin(1));
    script.inject(fin(1));
    script.expect(ack(2).seq(2));
    assert_eq!(tcp_state(&mut script, socket), Some(TcpState::Closing));
    script.inject(ack(2).seq(2));
    assert_eq!(tcp_state(&mut script, socket), Some(TcpState::TimeWait));
}

#[test]
fn fin_that_acknowledges_our_fin_leads_to_time_wait_at_once() {
    let mut script = Script::new();
    let socket = script.connected();
    script.stack().tcp_shutdown(socket).unwrap();
    script.expect(fin(1));
    script.inject(fin(1).ack(2));
    script.expect(ack(2).seq(2));
    assert_eq!(tcp_state(&mut script, socket), Some(TcpState::TimeWait));
}

#[test]
fn data_still_arrives_after_our_fin() {
    let mut script = Script::new();
    let socket = script.connected();
    script.stack().tcp_shutdown(socket).unwrap();
    script.expect(fin(1));
    script.inject(data(1, 1_000).ack(2));
    script.inject(data(1_001, 1_000).ack(2).fin());
    script.expect(ack(2).seq(2).ack(2_002));
    assert_eq!(script.stack().tcp_send(socket, b"x"), Err(SendError::Closed));
    assert_eq!(script.read(socket), 2_000);
    assert_eq!(script.read(socket), 0);
}

#[test]
fn data_still_leaves_after_the_peers_fin() {
    let mut script = Script::new();
    let socket = script.accepted();
    script.inject(fin(1));
    script.expect(ack(1).ack(2));
    script.send(socket, 2_000);
    script.expect(data(1, 1_460).ack(2));
    script.inject(ack(1_461).seq(2));
    script.expect(data(1_461, 540).ack(2));
    script.stack().tcp_close(socket).unwrap();
    script.expect(fin(2_001).ack(2));
    script.inject(ack(2_002).seq(2));
    assert_eq!(tcp_state(&mut script, socket), None);
}

#[test]
fn fin_rides_on_the_last_data() {
    let mut script = Script::new();
    let socket = script.connected();
    script.send(socket, 2_000);
    script.stack().tcp_close(socket).unwrap();
    script.expect(data(1, 1_460));
    script.expect(data(1_461, 540).fin());
}

#[test]
fn lost_fin_is_repeated() {
    let mut script = Script::new();
    let socket = script.connected();
    script.stack().tcp_close(socket).unwrap();
    script.expect(fin(1));
    script.expect_after(MS(200), fin(1));
    script.expect_after(MS(400), fin(1));
    script.inject(ack(2));
    script.expect_silence(MS(5_000));
}

#[test]
fn lost_fin_is_repeated_behind_lost_data() {
    let mut script = Script::new();
    let socket = script.connected();
    script.send(socket, 1_000);
    script.stack().tcp_close(socket).unwrap();
    script.expect(data(1, 1_000).fin());
    script.expect_after(MS(200), data(1, 1_000).fin());
    // The peer took the data, and not the FIN.
    script.inject(ack(1_001));
    script.expect_after(MS(400), fin(1_001));
    script.inject(ack(1_002));
    script.expect_silence(MS(1_000));
}

#[test]
fn fin_is_repeated_after_duplicates() {
    let mut script = Script::new();
    let socket = script.connected();
    script.send(socket, 5 * 1_460);
    script.stack().tcp_close(socket).unwrap();
    assert_eq!(script.skip(), 5);
    script.inject(ack(1 + 4 * 1_460));
    for _ in 0..3 {
        script.inject(ack(1 + 4 * 1_460));
    }
    script.expect(data(1 + 4 * 1_460, 1_460).fin());
}

#[test]
fn repeated_fin_is_acknowledged_again() {
    let mut script = Script::new();
    script.accepted();
    script.inject(fin(1));
    script.expect(ack(1).ack(2));
    script.inject(fin(1));
    script.expect(ack(1).ack(2));
}

#[test]
fn fin_ahead_of_lost_data_waits_for_it() {
    let mut script = Script::new();
    let socket = script.accepted();
    script.inject(fin(101));
    script.expect(ack(1));
    assert_eq!(tcp_state(&mut script, socket), Some(TcpState::Established));
    script.inject(data(1, 100));
    script.expect(ack(1).ack(102));
    assert_eq!(tcp_state(&mut script, socket), Some(TcpState::CloseWait));
    assert_eq!(script.read(socket), 100);
}

#[test]
fn nothing_counts_that_follows_the_peers_fin() {
    let mut script = Script::new();
    let socket = script.accepted();
    script.inject(data(1, 10).fin());
    script.expect(ack(1).ack(12));
    assert_eq!(script.read(socket), 10);
    script.inject(data(12, 50));
    script.expect(ack(1).ack(12));
    assert_eq!(script.read(socket), 0);
    script.inject(data(12, 50).fin());
    script.expect(ack(1).ack(12));
    assert_eq!(tcp_state(&mut script, socket), Some(TcpState::CloseWait));
}

#[test]
fn closing_with_unread_data_resets() {
    let mut script = Script::new();
    let socket = script.accepted();
    script.inject(data(1, 10));
    script.stack().tcp_close(socket).unwrap();
    script.expect(rst_ack(1, 11));
    assert_eq!(tcp_state(&mut script, socket), None);
    script.expect_silence(MINUTE);
}

#[test]
fn data_after_close_is_answered_with_a_reset() {
    let mut script = Script::new();
    let socket = script.connected();
    script.stack().tcp_close(socket).unwrap();
    script.expect(fin(1));
    script.inject(data(1, 10).ack(2));
    script.expect(rst(2));
    assert_eq!(script.stack().counters().tcp_data_after_close, 1);
    script.expect_silence(MINUTE);
}

#[test]
fn abort_resets_at_once() {
    let mut script = Script::new();
    let socket = script.connected();
    script.send(socket, 3_000);
    script.skip();
    script.stack().tcp_abort(socket).unwrap();
    script.expect(rst_ack(2_921, 1));
    assert_eq!(tcp_state(&mut script, socket), None);
    script.expect_silence(MINUTE);
}

#[test]
fn reset_carries_timestamps_where_the_connection_has_them() {
    // RFC 7323 §3.2.
    let mut script = Script::builder().stack(|config| config.tcp.timestamps = true).start();
    let socket = script.connect();
    let sent = script.next_frame().expect("a SYN");
    script.inject(syn_ack().mss(1_460).ts(7_000, 0));
    script.skip();
    script.run_for(Duration::from_secs(5));
    script.stack().tcp_abort(socket).unwrap();
    let frame = script.next_frame().expect("a reset");
    let [before, after] =
        [&sent, &frame].map(|frame| crate::app::options_of(frame).timestamps.expect("timestamps"));
    assert_eq!((after.value.wrapping_sub(before.value), after.echo), (5_000, 7_000));
}

#[test]
fn abort_of_a_handshake_of_ours_is_silent() {
    let mut script = Script::new();
    let socket = script.connect();
    script.expect(syn().mss(1_460));
    script.stack().tcp_abort(socket).unwrap();
    script.expect_silence(MINUTE);
    script.inject(syn_ack());
    script.expect(rst(1));
}

#[test]
fn connection_that_is_closed_in_its_handshake_is_closed_in_order() {
    let mut script = Script::new();
    let socket = script.connect();
    script.expect(syn().mss(1_460));
    script.inject(syn().mss(1_460));
    script.expect(syn_ack().mss(1_460));
    script.stack().tcp_close(socket).unwrap();
    script.inject(ack(1));
    script.expect(fin(1));
    script.inject(fin(1).ack(2));
    script.expect(ack(2).seq(2));
}

#[test]
fn shutdown_before_the_handshake_is_complete_sends_all_and_then_a_fin() {
    let mut script = Script::new();
    let socket = script.connect();
    script.send(socket, 100);
    script.stack().tcp_shutdown(socket).unwrap();
    assert_eq!(script.stack().tcp_send(socket, b"x"), Err(SendError::Closed));
    script.expect(syn().mss(1_460));
    script.inject(syn_ack().mss(1_460));
    script.expect(data(1, 100).fin());
}

/// Brings a connection into some state.
type Enter = fn(&mut Script) -> SocketId;

#[test]
fn reset_ends_the_connection_in_every_state() {
    let states: [(TcpState, Enter); 6] = [
        (TcpState::Established, Script::connected),
        (TcpState::FinWait1, |script| {
            let socket = script.connected();
            script.stack().tcp_shutdown(socket).unwrap();
            script.expect(fin(1));
            socket
        }),
        (TcpState::FinWait2, |script| {
            let socket = script.connected();
            script.stack().tcp_shutdown(socket).unwrap();
            script.expect(fin(1));
            script.inject(ack(2));
            socket
        }),
        (TcpState::CloseWait, |script| {
            let socket = script.connected();
            script.inject(fin(1));
            script.expect(ack(1).ack(2));
            socket
        }),
        (TcpState::Closing, |script| {
            let socket = script.connected();
            script.stack().tcp_shutdown(socket).unwrap();
            script.expect(fin(1));
            script.inject(fin(1));
            script.expect(ack(2).seq(2));
            socket
        }),
        (TcpState::LastAck, |script| {
            let socket = script.connected();
            script.inject(fin(1));
            script.expect(ack(1).ack(2));
            script.stack().tcp_shutdown(socket).unwrap();
            script.expect(fin(1).ack(2));
            socket
        }),
    ];
    for (before, enter) in states {
        let mut script = Script::new();
        let socket = enter(&mut script);
        assert_eq!(tcp_state(&mut script, socket), Some(before));
        let fin_seen = matches!(before, TcpState::CloseWait | TcpState::Closing | TcpState::LastAck);
        script.inject(rst(if fin_seen { 2 } else { 1 }));
        assert_eq!(tcp_state(&mut script, socket), Some(TcpState::Closed), "{before:?}");
        // Where both ends had closed already, nothing is lost (RFC 9293 §3.10.7.4).
        let orderly = matches!(before, TcpState::Closing | TcpState::LastAck);
        let error = (!orderly).then_some(SocketError::Reset);
        assert_eq!(script.stack().take_error(socket), Ok(error), "{before:?}");
        assert!(all_events(&mut script, socket).contains(Readiness::CLOSED));
        script.expect_silence(MINUTE);
    }
}

#[test]
fn what_arrived_before_a_reset_can_be_read() {
    let mut script = Script::new();
    let socket = script.accepted();
    script.inject(data(1, 10));
    script.inject(rst(11));
    assert_eq!(script.stack().tcp_send(socket, b"x"), Err(SendError::Failed(SocketError::Reset)));
    assert_eq!(script.read(socket), 10);
    let mut out = [0; 1];
    assert_eq!(script.stack().tcp_recv(socket, &mut out), Err(RecvError::Failed(SocketError::Reset)));
}

#[test]
fn reset_of_a_handshake_frees_its_place() {
    let mut script = Script::builder().stack(|config| config.limits.syn_queue = 1).start();
    script.listen();
    for _ in 0..3 {
        script.inject(syn().mss(1_460));
        script.expect(syn_ack().mss(1_460));
        script.inject(rst(1));
        script.expect_nothing();
    }
}

/// A connection in TIME-WAIT whose user has closed.
fn time_wait(script: &mut Script, stamps: bool) {
    let socket = script.connect();
    let offer = |seg: netlane_sim::Seg, value| if stamps { seg.ts(value, 0) } else { seg };
    script.skip();
    script.inject(offer(syn_ack().mss(1_460), 100));
    script.skip();
    script.stack().tcp_close(socket).unwrap();
    assert_eq!(script.skip(), 1);
    script.inject(offer(fin(1).ack(2), 100));
    assert_eq!(script.skip(), 1);
}

#[test]
fn time_wait_acknowledges_the_peers_fin_again_and_lasts_longer() {
    let mut script = Script::new();
    time_wait(&mut script, false);
    script.run_for(MS(50_000));
    script.inject(fin(1).ack(2));
    script.expect(ack(2).seq(2));
    script.expect_silence(MS(59_000));
    script.inject(fin(1).ack(2));
    script.expect(ack(2).seq(2));
    script.expect_silence(MS(61_000));
    script.inject(fin(1).ack(2));
    script.expect(rst(2));
}

#[test]
fn time_wait_is_not_cut_short_by_a_reset() {
    let mut script = Script::new();
    time_wait(&mut script, false);
    script.inject(rst(2));
    script.inject(fin(1).ack(2));
    script.expect(ack(2).seq(2));
}

#[test]
fn acknowledgements_in_time_wait_are_not_answered() {
    let mut script = Script::new();
    time_wait(&mut script, false);
    script.inject(ack(2).seq(2));
    script.expect_nothing();
}

#[test]
fn newer_syn_reopens_a_connection_in_time_wait() {
    let mut script = Script::new();
    time_wait(&mut script, false);
    let listener = script.listen();
    // An old one is acknowledged, as the rest of the old connection is.
    script.inject(syn());
    script.expect(ack(2).seq(2));
    script.inject(syn().seq(1_000).mss(1_460));
    script.expect(syn_ack().ack(1_001).mss(1_460));
    script.inject(ack(1).seq(1_001));
    assert!(script.stack().tcp_accept(listener).unwrap().is_some());
}

#[test]
fn newer_timestamp_reopens_a_connection_in_time_wait() {
    // RFC 6191 §2: even where the sequence number is an older one.
    let mut script = Script::builder().stack(|config| config.tcp.timestamps = true).start();
    time_wait(&mut script, true);
    script.listen();
    script.inject(syn().seq(0u32.wrapping_sub(5_000)).mss(1_460).ts(100, 0));
    script.expect(ack(2).seq(2));
    script.inject(syn().seq(0u32.wrapping_sub(5_000)).mss(1_460).ts(101, 0));
    let frame = script.next_frame().expect("an answer");
    assert_eq!(crate::app::options_of(&frame).timestamps.map(|stamps| stamps.echo), Some(101));
    assert_eq!(crate::app::options_of(&frame).mss, Some(1_460));
}

#[test]
fn older_timestamp_opens_nothing_whatever_its_sequence_number() {
    let mut script = Script::builder().stack(|config| config.tcp.timestamps = true).start();
    time_wait(&mut script, true);
    script.listen();
    script.inject(syn().seq(5_000).mss(1_460).ts(99, 0));
    script.expect(ack(2).seq(2));
    // RFC 6191 §2: with the same timestamp the sequence number decides, and so it does without one.
    script.inject(syn().seq(5_000).mss(1_460).ts(100, 0));
    let frame = script.next_frame().expect("a SYN-ACK");
    assert_eq!(crate::app::options_of(&frame).mss, Some(1_460));
}

#[test]
fn reopened_connection_begins_above_the_sequence_numbers_of_the_old_one() {
    let mut script = Script::new();
    let socket = script.connected();
    // Many more bytes than the clock of RFC 6528 counts up in the time: one every 4 microseconds.
    let old = script.stack_isn();
    script.stack().tcp_set_no_delay(socket, true).unwrap();
    for n in 1..=130 {
        script.send(socket, 10_000);
        script.skip();
        script.inject(ack(1).ack(10_000 * n + 1));
    }
    script.stack().tcp_close(socket).unwrap();
    script.skip();
    script.inject(fin(1).ack(1_300_002));
    script.skip();
    script.listen();
    script.inject(syn().seq(1_000).mss(1_460));
    script.expect(syn_ack().ack(1_001).mss(1_460));
    assert!(script.stack_isn().wrapping_sub(old) > 1_300_002);
}

#[test]
fn nobody_listening_leaves_time_wait_as_it_is() {
    let mut script = Script::new();
    time_wait(&mut script, false);
    script.inject(syn().seq(1_000).mss(1_460));
    script.expect(ack(2).seq(2));
    script.inject(fin(1).ack(2));
    script.expect(ack(2).seq(2));
}

#[test]
fn user_reads_on_while_its_connection_is_reopened() {
    let mut script = Script::new();
    let socket = script.connected();
    script.stack().tcp_shutdown(socket).unwrap();
    script.expect(fin(1));
    script.inject(data(1, 10).ack(2).fin());
    script.expect(ack(2).seq(2).ack(12));
    let listener = script.listen();
    script.inject(syn().seq(5_000).mss(1_460));
    script.expect(syn_ack().ack(5_001).mss(1_460));
    script.inject(ack(1).seq(5_001));
    let successor = script.stack().tcp_accept(listener).unwrap().expect("a new connection");
    assert_ne!(socket, successor);
    assert_eq!(script.read(socket), 10);
    script.stack().tcp_close(socket).unwrap();
    assert_eq!(tcp_state(&mut script, successor), Some(TcpState::Established));
}

#[test]
fn user_that_closed_does_not_wait_for_ever_in_fin_wait_2() {
    let mut script = Script::builder().stack(|config| config.tcp.fin_wait_2 = MS(5_000)).start();
    let socket = script.connected();
    script.stack().tcp_close(socket).unwrap();
    script.expect(fin(1));
    script.inject(ack(2));
    script.expect_silence(MS(4_900));
    script.inject(ack(2));
    script.expect_nothing();
    script.expect_silence(MS(200));
    script.inject(fin(1).ack(2));
    script.expect(rst(2));
}

#[test]
fn user_that_only_shut_down_waits_as_long_as_it_likes() {
    let mut script = Script::builder().stack(|config| config.tcp.fin_wait_2 = MS(5_000)).start();
    let socket = script.connected();
    script.stack().tcp_shutdown(socket).unwrap();
    script.expect(fin(1));
    script.inject(ack(2));
    script.expect_silence(MS(100_000));
    assert_eq!(tcp_state(&mut script, socket), Some(TcpState::FinWait2));
    // Until it closes.
    script.stack().tcp_close(socket).unwrap();
    script.expect_silence(MS(6_000));
    assert_eq!(tcp_state(&mut script, socket), None);
    script.inject(ack(2));
    script.expect(rst(2));
}

#[test]
fn timers_of_a_call_begin_at_the_time_that_was_told_however_long_the_stack_has_slept() {
    let mut script = Script::builder().stack(|config| config.tcp.fin_wait_2 = MS(5_000)).start();
    let socket = script.connected();
    script.stack().tcp_shutdown(socket).unwrap();
    script.expect(fin(1));
    script.inject(ack(2));
    script.expect_silence(MS(100_000));
    let now = script.now();
    script.stack().tell_time(now);
    script.stack().tcp_close(socket).unwrap();
    script.expect_silence(MS(4_900));
    script.inject(fin(1).ack(2));
    script.expect(ack(2).seq(2));
}

#[test]
fn closed_listener_resets_those_that_wait_and_refuses_the_rest() {
    let mut script = Script::new();
    let listener = script.listen();
    for port in [1_001, 1_002] {
        script.inject(syn().port(port));
        script.expect(syn_ack().port(port));
    }
    script.inject(ack(1).port(1_001));
    script.stack().tcp_close(listener).unwrap();
    script.expect(rst_ack(1, 1).port(1_001));
    // The one in its handshake finds nobody.
    script.inject(ack(1).port(1_002));
    script.expect(rst(1).port(1_002));
    script.inject(syn().port(1_003));
    script.expect(rst_ack(0, 1).port(1_003));
    script.expect_silence(MINUTE);
    let again = script.listen();
    assert_ne!(again, listener);
}

#[test]
fn accepted_connections_outlive_their_listener() {
    let (mut world, a, b) = World::pair(seed(3), |host| host);
    let (near, far) = connection(&mut world, a, b, 80);
    let mut ends = [Mover::new(a, near, 10_000), Mover::new(b, far, 10_000)];
    let step = |world: &mut World| ends.iter_mut().fold(true, |all, end| end.step(world) & all);
    assert!(world.run_until(step, MS(1_000)));
}

#[test]
fn connection_that_ends_before_it_is_accepted_is_accepted_all_the_same() {
    let mut script = Script::new();
    let listener = script.listen();
    script.inject(syn().mss(1_460));
    script.expect(syn_ack().mss(1_460));
    script.inject(ack(1));
    script.inject(data(1, 10));
    script.inject(rst(11));
    let socket = script.stack().tcp_accept(listener).unwrap().expect("it was established");
    let mut out = [0; 20];
    assert_eq!(script.stack().tcp_recv(socket, &mut out), Ok(10));
    assert_eq!(script.stack().tcp_recv(socket, &mut out), Err(RecvError::Failed(SocketError::Reset)));
}

#[test]
fn two_stacks_close_in_all_orders() {
    for (first, pause) in [(0, 0), (0, 5), (0, 50), (1, 5), (1, 50)] {
        let (mut world, a, b) = World::pair(seed(4), |host| host);
        world.impair_all(&netlane_sim::impairment::Impairment {
            delay: MS(10),
            loss: 0.2,
            ..Default::default()
        });
        world.record();
        let (near, far) = connection(&mut world, a, b, 80);
        let mut closers = [(a, near), (b, far)];
        closers.rotate_left(first);
        for (host, socket) in closers {
            // Where the other end's reset or last acknowledgement came first, there is nothing to close.
            let _ = world[host].tcp_close(socket);
            world.run_for(MS(pause));
        }
        world.run_for(Duration::from_secs(3_000));
        for (host, socket) in closers {
            assert_eq!(state(&world, host, socket), None);
        }
        // Nothing is left: the same ends can be joined again.
        let local = address(a, 4_000);
        world.impair_all(&Default::default());
        assert!(world[a].tcp_connect(Some(local), address(b, 9)).is_ok());
    }
}
