//! Handles that are kept for too long, and events that tell once what happened many times.

use netlane_core::{Readiness, RecvError, SendError, Stale};
use netlane_sim::{Script, ack, data, fin};

#[test]
fn handle_of_a_closed_connection_names_nothing_even_when_its_slot_is_used_again() {
    let mut script = Script::new();
    let old = script.connected();
    script.stack().tcp_abort(old).unwrap();
    script.skip();
    let new = script.connect();
    assert_eq!(old.slot(), new.slot(), "the slot is used again");
    assert_ne!(old, new);
    let stack = script.stack();
    assert_eq!(stack.tcp_send(old, b"x"), Err(SendError::Stale));
    assert_eq!(stack.tcp_recv(old, &mut [0; 1]), Err(RecvError::Stale));
    assert_eq!(stack.tcp_peek(old, &mut [0; 1]), Err(RecvError::Stale));
    assert_eq!(stack.tcp_shutdown(old), Err(Stale));
    assert_eq!(stack.tcp_close(old), Err(Stale));
    assert_eq!(stack.tcp_abort(old), Err(Stale));
    assert_eq!(stack.tcp_state(old), Err(Stale));
    assert_eq!(stack.tcp_accept(old), Err(Stale));
    assert_eq!(stack.tcp_set_no_delay(old, true), Err(Stale));
    assert_eq!(stack.tcp_set_keepalive(old, None), Err(Stale));
    assert_eq!(stack.tcp_queued(old), Err(Stale));
    assert_eq!(stack.tcp_consumed(old), Err(Stale));
    assert_eq!(stack.local_addr(old), Err(Stale));
    assert_eq!(stack.peer_addr(old), Err(Stale));
    assert_eq!(stack.take_error(old), Err(Stale));
    assert!(stack.tcp_state(new).is_ok());
}

#[test]
fn handle_of_a_connection_that_still_closes_is_stale_to_its_user() {
    let mut script = Script::new();
    let socket = script.connected();
    script.send(socket, 100);
    script.stack().tcp_close(socket).unwrap();
    assert_eq!(script.stack().tcp_send(socket, b"x"), Err(SendError::Stale));
    assert_eq!(script.stack().tcp_recv(socket, &mut [0; 1]), Err(RecvError::Stale));
    assert_eq!(script.stack().tcp_close(socket), Err(Stale));
    // The connection goes on without it.
    script.expect(data(1, 100).fin());
}

#[test]
fn handles_of_other_kinds_are_refused() {
    let mut script = Script::new();
    let listener = script.listen();
    let datagrams = script.stack().udp_bind("10.0.0.1:53".parse().unwrap()).unwrap();
    let stack = script.stack();
    assert_eq!(stack.tcp_send(listener, b"x"), Err(SendError::Stale));
    assert_eq!(stack.tcp_close(datagrams), Err(Stale));
    assert_eq!(stack.tcp_accept(datagrams), Err(Stale));
    assert_eq!(stack.datagram_close(listener), Err(Stale));
    assert_eq!(stack.udp_send_to(listener, Script::PEER, b"x"), Err(SendError::Stale));
    assert_eq!(stack.udp_recv_from(listener, &mut [0; 1]).map(|_| ()), Err(RecvError::Stale));
}

#[test]
fn many_changes_are_one_event() {
    let mut script = Script::new();
    let socket = script.connected();
    while script.stack().next_event().is_some() {}
    for n in 0..10 {
        script.inject(data(1 + 10 * n, 10));
    }
    script.send(socket, 10);
    script.skip();
    script.inject(ack(11).seq(101));
    script.inject(fin(101).ack(11));
    let event = script.stack().next_event().expect("an event");
    assert_eq!(event.socket, socket);
    assert_eq!(event.ready, Readiness::READABLE | Readiness::WRITABLE | Readiness::READ_CLOSED);
    assert_eq!(script.stack().next_event(), None);
}

#[test]
fn closed_socket_tells_nothing() {
    let mut script = Script::new();
    let socket = script.connected();
    script.stack().tcp_close(socket).unwrap();
    script.skip();
    script.inject(fin(1).ack(2));
    assert_eq!(script.stack().next_event(), None);
}

#[test]
fn what_happened_before_a_connection_was_accepted_is_told_then() {
    let mut script = Script::new();
    let listener = script.listen();
    script.inject(netlane_sim::syn().mss(1_460));
    script.skip();
    script.inject(ack(1));
    script.inject(data(1, 10));
    let event = script.stack().next_event().expect("the listener's");
    assert_eq!((event.socket, event.ready), (listener, Readiness::READABLE));
    assert_eq!(script.stack().next_event(), None);
    let socket = script.stack().tcp_accept(listener).unwrap().unwrap();
    let event = script.stack().next_event().expect("the connection's");
    assert_eq!((event.socket, event.ready), (socket, Readiness::READABLE | Readiness::WRITABLE));
}
