//! How large buffers are: they follow the path and their user, within a budget for all.

use std::time::Duration;

use netlane_core::{Buffers, SocketId, TcpState};
use netlane_sim::impairment::{Impairment, Rate};
use netlane_sim::{Script, World, ack, data, pattern, seed, syn, syn_ack};

use crate::app::{Mover, connection, header_of};

const MS: fn(u64) -> Duration = Duration::from_millis;
const MSS: usize = 1_460;

#[test]
fn stream_fills_a_long_fast_path_without_any_configuration() {
    const BITS_PER_SECOND: u64 = 1_000_000_000;
    let (mut world, a, b) = World::pair(seed(1), |host| host);
    let rate = Some(Rate { bits_per_second: BITS_PER_SECOND, queue_bytes: 16 << 20 });
    world.impair_all(&Impairment { delay: MS(50), rate, ..Impairment::default() });
    let (near, far) = connection(&mut world, a, b, 80);
    let mut ends = [Mover::new(a, near, 200_000_000), Mover::new(b, far, 0)];
    let mut run_to = |world: &mut World, bytes: u64| {
        let arrived = |world: &mut World| {
            ends.iter_mut().for_each(|end| _ = end.step(world));
            ends[1].received >= bytes
        };
        assert!(world.run_until(arrived, Duration::from_secs(60)), "{bytes} bytes");
    };
    run_to(&mut world, 100_000_000);
    let begin = world.now();
    run_to(&mut world, 200_000_000);
    let took = (world.now() - begin).as_secs_f64();
    let of_the_rate = 100_000_000.0 * 8.0 / took / BITS_PER_SECOND as f64;
    assert!(of_the_rate > 0.9, "{of_the_rate:.2} of what the path carries");
}

/// A connection whose peer was offered a window of 10,000 bytes, which may become 60,000.
fn right_sized(script: &mut Script) -> SocketId {
    let listener = script.listen();
    script.inject(syn().mss(1_460));
    script.expect(syn_ack().mss(1_460).win(10_000));
    script.run_for(MS(10));
    script.inject(ack(1));
    script.stack().tcp_accept(listener).unwrap().unwrap()
}

fn small_at_first() -> Script {
    Script::builder()
        .stack(|config| {
            config.tcp.receive_buffer = 60_000;
            config.tcp.receive_buffer_start = 10_000;
        })
        .start()
}

#[test]
fn window_begins_small_and_grows_where_the_user_reads_one_in_a_round_trip() {
    let mut script = small_at_first();
    let socket = right_sized(&mut script);
    for n in 0..11 {
        script.inject(data(1 + 1_000 * n, 1_000));
        script.run_for(MS(1));
        assert_eq!(script.read(socket), 1_000);
    }
    // More than the window was read, in little more than a round trip.
    assert_eq!(edge(&mut script), Some(11_001 + 40_000));
}

#[test]
fn window_of_a_user_that_does_not_read_does_not_grow() {
    let mut script = small_at_first();
    let socket = right_sized(&mut script);
    for n in 0..10 {
        script.inject(data(1 + 1_000 * n, 1_000));
        script.run_for(MS(100));
    }
    assert_eq!(edge(&mut script), Some(10_001));
    assert_eq!(script.read(socket), 10_000);
    assert_eq!(edge(&mut script), Some(20_001));
}

#[test]
fn sender_may_queue_twice_what_may_be_in_flight() {
    let mut script = Script::builder().stack(|config| config.tcp.send_buffer_start = 20_000).start();
    let socket = script.connected();
    // Ten segments may be in flight, and twice that is more than the start.
    assert_eq!(script.stack().tcp_send(socket, &pattern(0, 100_000)), Ok(20_000));
    assert_eq!(script.skip(), 10);
    assert_eq!(script.stack().tcp_send(socket, &pattern(20_000, 100_000)), Ok(20 * MSS - 20_000));
    // Each acknowledgement in slow start makes room for itself, and for twice what the window grows by.
    script.inject(ack(1).ack(10 * MSS as u32 + 1));
    script.skip();
    assert_eq!(script.stack().tcp_send(socket, &pattern(20 * MSS as u64, 100_000)), Ok(30 * MSS));
}

/// Connections of peers with these ports, accepted.
fn accept(script: &mut Script, listener: SocketId, ports: &[u16]) -> Vec<SocketId> {
    ports
        .iter()
        .map(|&port| {
            script.inject(syn().mss(1_460).port(port));
            script.expect(syn_ack().port(port));
            script.inject(ack(1).port(port));
            script.stack().tcp_accept(listener).unwrap().expect("a connection")
        })
        .collect()
}

/// Reads all that has arrived, and returns how many bytes those were.
fn read_all(script: &mut Script, socket: SocketId) -> usize {
    let read = script.stack().tcp_recv(socket, &mut [0; 65_536]).unwrap_or(0);
    script.run_for(MS(0));
    read
}

/// The end of the window that was announced last, as an offset from the peer's first sequence number.
fn edge(script: &mut Script) -> Option<u32> {
    script.run_for(MS(0));
    let edge = last_edge(script)?;
    Some(edge - script.peer_isn())
}

/// The end of the window that the last of the stack's segments announces.
fn last_edge(script: &mut Script) -> Option<u32> {
    let frame = script.frames().pop()?;
    let header = header_of(&frame);
    Some(header.ack + u32::from(header.window))
}

#[test]
fn windows_shrink_where_memory_is_scarce_and_are_never_taken_back() {
    let mut script = Script::builder().stack(|config| config.tcp.receive_buffer = 30_000).start();
    let listener = script.listen();
    let sockets = accept(&mut script, listener, &[1_001, 1_002]);
    script.stack().buffers_mut().set_budget(40 << 10);
    // The first one's user does not read: a ring of 32 KiB.
    for n in 0..17 {
        script.inject(data(1 + 1_000 * n, 1_000).port(1_001));
    }
    assert_eq!(script.stack().buffers().used(), 32 << 10);
    script.skip();
    // What the second was allowed to send before still counts, and no more is added.
    let mut edge = 0;
    for n in 0..26 {
        script.inject(data(1 + 1_000 * n, 1_000).port(1_002));
        assert!(read_all(&mut script, sockets[1]) > 0, "it is taken");
        if let Some(announced) = last_edge(&mut script) {
            assert!(announced >= edge);
            edge = announced;
        }
    }
    let window = edge - script.peer_isn() - 26_001;
    assert!((1..=4_096).contains(&window), "{window} is the least");
    assert!(script.stack().counters().memory_pressure > 0);
    // The first one reads, and there is enough again.
    read_all(&mut script, sockets[0]);
    script.inject(data(26_001, 1_000).port(1_002));
    read_all(&mut script, sockets[1]);
    script.run_for(MS(100));
    assert!(last_edge(&mut script).unwrap() > edge + 20_000);
}

#[test]
fn connections_wait_in_their_handshake_while_memory_is_exhausted_and_none_is_lost() {
    let mut script = Script::builder().stack(|config| config.tcp.receive_buffer = 30_000).start();
    let listener = script.listen();
    let sockets = accept(&mut script, listener, &[1_001]);
    script.stack().buffers_mut().set_budget(16 << 10);
    for n in 0..10 {
        script.inject(data(1 + 1_000 * n, 1_000).port(1_001));
    }
    script.skip();
    script.inject(syn().mss(1_460).port(1_002));
    script.expect(syn_ack().port(1_002));
    script.inject(ack(1).port(1_002));
    assert_eq!(script.stack().tcp_accept(listener), Ok(None));
    assert_eq!(script.stack().counters().buffers_full, 1);
    // Nobody queues much, and bytes ahead of others are not kept; what is in order is.
    assert_eq!(script.stack().tcp_send(sockets[0], &pattern(0, 10_000)), Ok(4_096));
    script.inject(data(20_001, 1_000).port(1_001));
    script.inject(data(10_001, 1_000).port(1_001));
    assert_eq!(read_all(&mut script, sockets[0]), 11_000);
    assert_eq!(script.stack().tcp_state(sockets[0]), Ok(TcpState::Established));
    script.inject(ack(1).seq(11_001).ack(4_097).port(1_001));
    script.run_for(MS(2_000));
    script.skip();
    script.inject(ack(1).port(1_002));
    assert!(script.stack().tcp_accept(listener).unwrap().is_some());
}
