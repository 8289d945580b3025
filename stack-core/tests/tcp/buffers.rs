//! How large buffers are: what waits to be sent follows the path, and all of them have a budget.

use std::time::Duration;

use netlane_core::{SocketId, TcpState};
use netlane_sim::{Script, ack, data, pattern, syn, syn_ack};

use crate::app::header_of;

const MS: fn(u64) -> Duration = Duration::from_millis;
const MSS: usize = 1_460;

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
