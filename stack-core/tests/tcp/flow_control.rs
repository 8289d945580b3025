//! Windows, and when acknowledgements and small segments leave: RFC 9293 §3.7.4 and §3.8.6, RFC 5681 §4.2.

use std::time::Duration;

use netlane_core::wire::TcpFlags;
use netlane_core::{KeepAlive, SocketError, SocketId, TcpState};
use netlane_sim::{Host, Script, SimFrame, World, ack, data, seed, syn, syn_ack};

use crate::app::{Mover, connection, header_of};

const MS: fn(u64) -> Duration = Duration::from_millis;
const MSS: usize = 1_460;

fn at(n: u32) -> u32 {
    1 + n * MSS as u32
}

fn full(n: u32) -> netlane_sim::Seg {
    data(at(n), MSS)
}

#[test]
fn first_acknowledgements_leave_at_once_until_the_user_answers() {
    let mut script = Script::builder().stack(|config| config.tcp.quick_acks = 3).start();
    let socket = script.connected();
    for seq in [1, 101, 201] {
        script.inject(data(seq, 100).ack(1));
        script.expect(ack(seq + 100).seq(1));
    }
    script.inject(data(301, 100).ack(1));
    script.expect_after(Duration::from_millis(40), ack(401).seq(1));

    // Another one, whose user answers the first segment.
    let mut script = Script::builder().stack(|config| config.tcp.quick_acks = 3).start();
    let answering = script.connected();
    script.inject(data(1, 100).ack(1));
    script.expect(ack(101).seq(1));
    script.send(answering, 50);
    script.expect(data(1, 50).ack(101));
    script.inject(data(101, 100).ack(51));
    script.expect_after(Duration::from_millis(40), ack(201).seq(51));
    assert_eq!(script.read(socket), 200);
}

#[test]
fn every_second_full_segment_is_acknowledged_at_once() {
    let mut script = Script::new();
    script.accepted();
    for n in (0..10).step_by(2) {
        script.inject(full(n));
        script.expect_nothing();
        script.inject(full(n + 1));
        script.expect(ack(1).ack(at(n + 2)));
    }
}

#[test]
fn all_that_has_arrived_is_processed_before_any_of_it_is_acknowledged() {
    // RFC 9293 §3.10.7.4, MUST-59.
    let mut script = Script::new();
    script.accepted();
    for n in 0..10 {
        let frame = script.frame(&full(n));
        script.stack().io_mut().deliver(SimFrame::loose(&frame));
    }
    script.expect(ack(1).ack(at(10)));
    script.expect_nothing();
}

#[test]
fn last_segment_of_what_is_queued_asks_for_a_push_and_so_does_the_last_of_a_burst() {
    // RFC 9293 §3.9.1.2, MUST-61.
    let mut script = Script::new();
    let socket = script.connected();
    script.send(socket, 2 * MSS + 100);
    for n in 0..2 {
        let frame = script.next_frame().expect("a full segment");
        assert_eq!(header_of(&frame).flags.contains(TcpFlags::PSH), n == 1, "segment {n}");
    }
    script.inject(ack(1).ack(at(2)));
    script.expect(data(at(2), 100).with(TcpFlags::PSH));
}

#[test]
fn lone_segment_is_acknowledged_after_40_ms() {
    let mut script = Script::new();
    script.accepted();
    script.inject(data(1, 10));
    script.run_for(MS(10));
    script.inject(data(11, 10));
    script.expect_after(MS(30), ack(21));
    script.expect_silence(MS(1_000));
}

#[test]
fn acknowledgement_rides_on_data() {
    let mut script = Script::new();
    let socket = script.accepted();
    script.inject(data(1, 10));
    script.send(socket, 20);
    script.expect(data(1, 20).ack(11));
    script.inject(ack(21).seq(11));
    script.expect_silence(MS(1_000));
}

#[test]
fn segment_out_of_order_is_acknowledged_at_once_and_kept() {
    let mut script = Script::new();
    let socket = script.accepted();
    script.inject(full(1));
    script.expect(ack(1));
    script.inject(full(3));
    script.expect(ack(1));
    assert_eq!(script.read(socket), 0);
    // What fills a gap, wholly or in part, is acknowledged at once as well.
    script.inject(full(0));
    script.expect(ack(1).ack(at(2)));
    script.inject(full(2));
    script.expect(ack(1).ack(at(4)));
    assert_eq!(script.read(socket), 4 * MSS);
    assert_eq!(script.stack().counters().tcp_out_of_order, 2);
}

#[test]
fn overlapping_segments_count_once() {
    let mut script = Script::new();
    let socket = script.accepted();
    script.inject(data(101, 100));
    script.inject(data(151, 100));
    script.inject(data(51, 300));
    script.inject(data(1, 120));
    script.run_for(MS(100));
    assert_eq!(script.read(socket), 350);
    script.inject(data(301, 100));
    assert_eq!(script.read(socket), 50);
}

#[test]
fn old_segment_is_acknowledged_and_read_once() {
    let mut script = Script::new();
    let socket = script.accepted();
    script.inject(data(1, 100));
    script.expect_after(MS(40), ack(101));
    script.inject(data(1, 100));
    script.expect(ack(101));
    assert_eq!(script.read(socket), 100);
}

#[test]
fn ranges_that_wait_for_bytes_before_them_are_limited() {
    let mut script = Script::builder().stack(|config| config.limits.out_of_order_ranges = 2).start();
    let socket = script.accepted();
    for seq in [101, 301, 501] {
        script.inject(data(seq, 100));
        script.expect(ack(1));
    }
    assert_eq!(script.stack().counters().tcp_out_of_order, 2);
    assert_eq!(script.stack().counters().tcp_out_of_order_full, 1);
    // What comes in order is taken even though no range is left: here the first half of the first gap.
    script.inject(data(1, 50));
    script.expect(ack(51));
    assert_eq!(script.read(socket), 50);
    script.inject(data(51, 50));
    script.expect(ack(201));
    script.inject(data(201, 100));
    script.expect(ack(401));
    assert_eq!(script.read(socket), 350);
}

#[test]
fn small_segments_wait_for_what_is_in_flight() {
    let mut script = Script::new();
    let socket = script.connected();
    script.send(socket, 10);
    script.expect(data(1, 10));
    script.send(socket, 10);
    script.send(socket, 10);
    script.expect_nothing();
    script.inject(ack(11));
    script.expect(data(11, 20));
}

#[test]
fn full_segments_do_not_wait() {
    let mut script = Script::new();
    let socket = script.connected();
    script.send(socket, 10);
    script.expect(data(1, 10));
    script.send(socket, MSS + 5);
    script.expect(data(11, MSS));
    script.expect_nothing();
}

#[test]
fn nothing_waits_without_delay() {
    let mut script = Script::new();
    let socket = script.connected();
    script.stack().tcp_set_no_delay(socket, true).unwrap();
    for n in 0..4 {
        script.send(socket, 10);
        script.expect(data(1 + 10 * n, 10));
    }
    script.stack().tcp_set_no_delay(socket, false).unwrap();
    script.send(socket, 10);
    script.expect_nothing();
    script.stack().tcp_set_no_delay(socket, true).unwrap();
    script.expect(data(41, 10));
}

#[test]
fn sender_keeps_to_the_window() {
    let mut script = Script::builder().window(3_000).start();
    let socket = script.connected();
    script.send(socket, 10 * MSS);
    script.expect(full(0));
    script.expect(full(1));
    script.expect_nothing();
    script.inject(ack(at(1)).win(4_000));
    script.expect(full(2));
    script.expect_nothing();
}

#[test]
fn window_comes_with_what_is_acknowledged_even_where_the_data_beside_it_is_sent_again() {
    let mut script = Script::new();
    script.set_window(2_000);
    let socket = script.connected();
    // The peer has sent ten bytes, which were lost.
    script.inject(ack(1).seq(11));
    script.send(socket, 3_000);
    script.expect(data(1, 1_460));
    // It sends them again: its window ends at 2,461 now, and not a thousand bytes further on.
    script.inject(data(1, 10).ack(1_461).win(1_000));
    script.expect(data(1_461, 1_000).ack(11));
    script.expect_nothing();
}

#[test]
fn sender_waits_for_more_than_a_silly_window() {
    let mut script = Script::builder().window(3_000).start();
    let socket = script.connected();
    script.send(socket, 10 * MSS);
    script.expect(full(0));
    script.expect(full(1));
    // 1,000 bytes are neither a full segment nor half of the greatest window.
    script.inject(ack(at(2)).win(1_000));
    script.expect_nothing();
    // In the end they are sent all the same (RFC 9293 §3.8.6.2.1: the override timeout).
    script.expect_after(MS(200), data(at(2), 1_000));
}

#[test]
fn closed_window_is_probed_with_doubling_pauses() {
    let mut script = Script::new();
    let socket = script.connected();
    script.send(socket, 3_000);
    script.skip();
    script.inject(ack(at(2)).win(0));
    let rest = at(2);
    for pause in [200, 400, 800, 1_600] {
        script.expect_after(MS(pause), data(rest, 1));
        script.inject(ack(rest).win(0));
    }
    assert_eq!(script.stack().counters().tcp_window_probes, 4);
    script.inject(ack(rest).win(10_000));
    script.expect(data(rest, 80));
    script.inject(ack(3_001));
    script.expect_silence(Duration::from_secs(10));
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::Established));
}

#[test]
fn answers_to_probes_are_no_sign_of_loss() {
    let mut script = Script::new();
    let socket = script.connected();
    script.send(socket, 3_000);
    script.skip();
    script.inject(ack(at(2)).win(0));
    for _ in 0..5 {
        script.run_for(Duration::from_secs(7));
        script.inject(ack(at(2)).win(0));
        script.skip();
    }
    assert_eq!(script.stack().counters().tcp_fast_retransmissions, 0);
    assert_eq!(script.stack().counters().tcp_retransmission_timeouts, 0);
}

#[test]
fn peer_that_answers_probes_keeps_the_connection_for_ever_and_a_silent_one_does_not() {
    let mut script = Script::builder()
        .stack(|config| {
            config.tcp.retries = 3;
            config.tcp.rto_max = Duration::from_secs(2);
        })
        .start();
    let socket = script.connected();
    script.send(socket, 3_000);
    script.skip();
    script.inject(ack(at(2)).win(0));
    for _ in 0..100 {
        script.run_for(Duration::from_secs(2));
        script.inject(ack(at(2)).win(0));
    }
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::Established));
    script.run_for(Duration::from_secs(20));
    assert_eq!(script.stack().take_error(socket), Ok(Some(SocketError::TimedOut)));
}

#[test]
fn timeout_is_short_again_once_a_closed_window_has_opened() {
    let mut script = Script::new();
    let socket = script.connected();
    script.send(socket, 3_000);
    script.skip();
    script.inject(ack(at(2)).win(0));
    for _ in 0..6 {
        script.run_for(Duration::from_secs(15));
        script.inject(ack(at(2)).win(0));
    }
    script.skip();
    script.inject(ack(at(2)).win(10_000));
    script.expect(data(at(2), 80));
    // This one is lost. The pauses between probes say nothing about the path.
    script.expect_after(MS(200), data(at(2), 80));
}

#[test]
fn our_acknowledgements_are_taken_while_the_window_towards_the_peer_is_closed() {
    // One end does not read, and sends much; the other end's acknowledgements must count nevertheless.
    let (mut world, a, b) =
        World::pair(seed(7), |host: Host| host.stack(|config| config.tcp.receive_buffer = 8_000));
    world.record();
    world.impair_all(&delay(1));
    let (near, far) = connection(&mut world, a, b, 80);
    world[a].tcp_send(near, &[0; 20_000]).unwrap();
    let mut reader = Mover::new(a, near, 0);
    let mut writer = Mover::new(b, far, 500_000);
    world.run_for(MS(5_000));
    assert!(world[a].counters().tcp_window_probes > 2);
    let done = world.run_until(
        |world| {
            writer.send(world);
            reader.receive(world);
            reader.received == 500_000
        },
        Duration::from_secs(10),
    );
    assert!(done, "{} bytes in {} ms", reader.received, world.now().as_millis());
    assert_eq!(world[b].counters().tcp_retransmission_timeouts, 0);
}

#[test]
fn lost_window_update_is_made_up_for_by_a_probe() {
    let (mut world, a, b) =
        World::pair(seed(8), |host: Host| host.stack(|config| config.tcp.receive_buffer = 8_000));
    world.record();
    let (near, far) = connection(&mut world, a, b, 80);
    let mut writer = Mover::new(a, near, 100_000);
    world.run_until(
        |world| {
            writer.send(world);
            false
        },
        MS(1_000),
    );
    world.cut_off(b, true);
    let mut reader = Mover::new(b, far, 0);
    reader.receive(&mut world);
    world.run_for(MS(1));
    world.cut_off(b, false);
    let done = world.run_until(
        |world| {
            writer.send(world);
            reader.receive(world);
            reader.received == 100_000
        },
        Duration::from_secs(10),
    );
    assert!(done, "{} bytes", reader.received);
}

#[test]
fn receiver_announces_no_silly_window() {
    let mut script = Script::builder().stack(|config| config.tcp.receive_buffer = 10_000).start();
    let socket = script.accepted();
    fill(&mut script, socket, 10_000);
    // RFC 9293 §3.8.6.2.2: no window before half of the buffer or a full segment is free.
    for _ in 0..14 {
        assert_eq!(script.read_up_to(socket, 100), 100);
        script.expect_nothing();
        script.inject(data(10_001, 1));
        script.expect(ack(10_001).win(0));
    }
    assert_eq!(script.read_up_to(socket, 100), 100);
    script.inject(data(10_001, 1));
    script.expect(ack(10_001).win(1_500));
}

#[test]
fn reader_that_makes_much_room_tells_at_once() {
    let mut script = Script::builder().stack(|config| config.tcp.receive_buffer = 10_000).start();
    let socket = script.accepted();
    fill(&mut script, socket, 10_000);
    assert_eq!(script.read_up_to(socket, 2_000), 2_000);
    script.expect_nothing();
    assert_eq!(script.read_up_to(socket, 1_000), 1_000);
    script.expect(ack(10_001).win(3_000));
}

#[test]
fn bytes_beyond_the_window_are_cut_off_and_counted() {
    let mut script = Script::builder().stack(|config| config.tcp.receive_buffer = 2_000).start();
    let socket = script.accepted();
    script.inject(data(1, MSS));
    script.inject(data(at(1), MSS));
    script.expect(ack(2_001).win(0));
    assert_eq!(script.read(socket), 2_000);
    assert_eq!(script.stack().counters().tcp_bytes_beyond_window, 920);
}

#[test]
fn acknowledgement_from_the_end_of_a_filled_window_counts() {
    let mut script = Script::builder().stack(|config| config.tcp.receive_buffer = 2_000).start();
    let socket = script.accepted();
    script.send(socket, 500);
    script.expect(data(1, 500));
    // The peer's 2,000 bytes are lost; what it acknowledges comes from behind them.
    script.inject(ack(501).seq(2_001));
    script.expect_silence(MS(5_000));
    assert_eq!(script.stack().counters().tcp_retransmission_timeouts, 0);
}

#[test]
fn right_edge_of_our_window_never_moves_back() {
    // RFC 9293 §3.8.6, SHLD-14: whatever is read, or not, and in whichever order it arrives.
    let mut script = Script::builder().stack(|config| config.tcp.receive_buffer = 20_000).start();
    let socket = script.accepted();
    script.inject(full(0));
    script.inject(full(1));
    let mut edge = right_edge(&script.next_frame().expect("an acknowledgement"));
    let first_edge = edge;
    for n in 1..100 {
        let (first, second) = if n % 3 == 0 { (2 * n + 1, 2 * n) } else { (2 * n, 2 * n + 1) };
        script.inject(full(first));
        script.inject(full(second));
        if n % 2 == 0 {
            script.read_up_to(socket, 5_000);
        }
        while let Some(frame) = script.next_frame() {
            let announced = right_edge(&frame);
            assert!(announced >= edge, "from {edge} to {announced}");
            edge = announced;
        }
    }
    assert!(edge > first_edge + 20_000, "it moves forward");
}

/// The end of the window that a segment announces.
fn right_edge(frame: &[u8]) -> u32 {
    let header = header_of(frame);
    header.ack + u32::from(header.window)
}

#[test]
fn as_many_bytes_wait_to_be_sent_as_the_user_allows() {
    let mut script = Script::builder().stack(|config| config.tcp.send_buffer = 1_000).start();
    let socket = script.connected();
    assert_eq!(script.stack().tcp_send(socket, &[1; 4_000]), Ok(1_000));
    script.stack().tcp_set_send_limit(socket, 2_500).unwrap();
    assert_eq!(script.stack().tcp_send(socket, &[1; 4_000]), Ok(1_500));
    script.stack().tcp_set_send_limit(socket, 500).unwrap();
    assert_eq!(script.stack().tcp_send(socket, &[1; 4_000]), Ok(0));
    // What waited stays, and leaves.
    assert_eq!(script.skip(), 1);
    script.inject(ack(1_461));
    assert_eq!(script.skip(), 1);
    assert_eq!(script.stack().tcp_send(socket, &[1; 4_000]), Ok(0));
    script.inject(ack(2_501));
    assert_eq!(script.stack().tcp_send(socket, &[1; 4_000]), Ok(500));
}

#[test]
fn window_that_shrinks_is_survived() {
    let mut script = Script::builder().window(10_000).start();
    let socket = script.connected();
    script.send(socket, 8_000);
    assert_eq!(script.skip(), 5);
    script.inject(ack(at(1)).win(1_000));
    script.expect_nothing();
    // What lies beyond the new window is not sent again; what lies within is.
    script.run_for(MS(2_000));
    assert!(script.skip() > 0);
    script.inject(ack(at(1)).win(10_000));
    script.run_for(MS(2_000));
    assert!(script.skip() > 0);
    script.inject(ack(at(5)));
    script.expect(data(at(5), 700));
    script.inject(ack(8_001));
    script.expect_silence(MS(10_000));
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::Established));
}

#[test]
fn silent_peer_is_asked_and_given_up() {
    let keepalive = KeepAlive { idle: MS(10_000), interval: MS(1_000), probes: 3 };
    let mut script = Script::builder().stack(|config| config.tcp.keepalive = Some(keepalive)).start();
    let socket = script.connected();
    // RFC 9293 §3.8.4: an old sequence number and no data.
    script.expect_after(MS(10_000), ack(1).seq(0));
    script.inject(ack(1));
    script.expect_after(MS(10_000), ack(1).seq(0));
    script.expect_after(MS(1_000), ack(1).seq(0));
    script.expect_after(MS(1_000), ack(1).seq(0));
    script.expect_silence(MS(1_500));
    assert_eq!(script.stack().take_error(socket), Ok(Some(SocketError::TimedOut)));
    assert_eq!(script.stack().counters().tcp_keepalive_probes, 4);
}

#[test]
fn keepalive_can_be_turned_on_and_off() {
    let mut script = Script::new();
    let socket = script.connected();
    let keepalive = KeepAlive { idle: MS(5_000), ..KeepAlive::default() };
    script.stack().tcp_set_keepalive(socket, Some(keepalive)).unwrap();
    script.expect_after(MS(5_000), ack(1).seq(0));
    script.stack().tcp_set_keepalive(socket, None).unwrap();
    script.expect_silence(MS(1_000_000));
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::Established));
}

#[test]
fn keepalive_of_the_peer_is_answered() {
    let mut script = Script::new();
    script.accepted();
    script.inject(ack(1).seq(0));
    script.expect(ack(1));
}

#[test]
fn mss_of_the_peer_counts_no_options() {
    let mut script = Script::builder().stack(|config| config.tcp.timestamps = true).start();
    let socket = script.accept(syn().mss(1_000).ts(1, 0));
    script.send(socket, 2_000);
    // RFC 6691: 12 bytes of each segment are timestamps.
    let frame = script.next_frame().unwrap();
    assert_eq!(frame.len(), 14 + 20 + 20 + 1_000);
}

/// Fills the receive buffer of `capacity` bytes up to the last one.
fn fill(script: &mut Script, socket: SocketId, capacity: usize) {
    let mut seq = 1;
    while seq <= capacity as u32 {
        let len = MSS.min(capacity + 1 - seq as usize);
        script.inject(data(seq, len));
        seq += len as u32;
    }
    script.run_for(MS(50));
    script.skip();
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::Established));
}

fn delay(millis: u64) -> netlane_sim::impairment::Impairment {
    netlane_sim::impairment::Impairment { delay: MS(millis), ..Default::default() }
}

#[test]
fn cork_holds_short_segments_until_it_is_pulled_or_time_has_passed() {
    let mut script = Script::new();
    let socket = script.connected();
    script.stack().tcp_set_cork(socket, true).unwrap();
    script.send(socket, 1_460 + 100);
    assert_eq!(script.skip(), 1);
    script.inject(ack(1).ack(1 + 1_460));
    assert_eq!(script.skip(), 0);
    script.stack().tcp_set_cork(socket, false).unwrap();
    script.run_for(MS(0));
    assert_eq!(script.skip(), 1);
    script.inject(ack(1).ack(1 + 1_460 + 100));
    script.stack().tcp_set_cork(socket, true).unwrap();
    script.send(socket, 200);
    script.expect_silence(MS(190));
    script.run_for(MS(2_000));
    assert!(script.skip() >= 1, "it was held for long enough");
}

#[test]
fn segments_are_no_larger_than_their_socket_bounds_them() {
    let mut script = Script::new();
    let socket = script.connect();
    script.stack().tcp_set_max_segment(socket, 1_000).unwrap();
    script.expect(syn().mss(1_000));
    script.inject(syn_ack().mss(1_460));
    script.expect(ack(1));
    script.send(socket, 2_000);
    assert_eq!(script.skip(), 2);
    script.stack().tcp_set_max_segment(socket, 600).unwrap();
    script.inject(ack(1).ack(2_001));
    script.send(socket, 1_800);
    assert_eq!(script.skip(), 3);
    let mut script = Script::new();
    let listener = script.listen();
    script.stack().tcp_set_max_segment(listener, 700).unwrap();
    script.inject(syn().mss(1_460).port(77));
    script.expect(syn_ack().mss(700).port(77));
}

#[test]
fn syn_is_repeated_as_often_as_its_socket_wants() {
    let mut script = Script::new();
    let socket = script.connect();
    script.stack().tcp_set_syn_retries(socket, 1).unwrap();
    script.run_for(MS(10_000));
    assert_eq!(script.skip(), 2);
    assert_eq!(script.stack().take_error(socket), Ok(Some(SocketError::TimedOut)));
}
