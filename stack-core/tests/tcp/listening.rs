//! Listeners: handshakes that peers begin, and the queues that they pass through.

use std::time::Duration;

use netlane_core::{SocketError, SocketId, StackConfig, SynCookies, TcpState};
use netlane_sim::impairment::{Impairment, Rate};
use netlane_sim::{Script, World, ack, data, rst, seed, syn, syn_ack};

use crate::app;

const MS: fn(u64) -> Duration = Duration::from_millis;

#[test]
fn syn_ack_is_repeated_and_forgotten_without_an_answer() {
    let mut script = Script::builder().stack(|config| config.tcp.syn_ack_retries = 2).start();
    let listener = script.listen();
    script.inject(syn().mss(1_460));
    script.expect(syn_ack().mss(1_460));
    script.expect_after(Duration::from_secs(1), syn_ack().mss(1_460));
    script.expect_after(Duration::from_secs(2), syn_ack().mss(1_460));
    script.expect_silence(Duration::from_secs(5));
    script.inject(ack(1));
    script.expect(rst(1));
    assert_eq!(script.stack().tcp_accept(listener), Ok(None));
}

#[test]
fn repeated_syn_is_answered_at_once() {
    let mut script = Script::new();
    script.listen();
    script.inject(syn().mss(1_460));
    script.expect(syn_ack().mss(1_460));
    script.run_for(MS(100));
    script.inject(syn().mss(1_460));
    script.expect(syn_ack().mss(1_460));
}

#[test]
fn syn_queue_of_a_listener_is_limited() {
    let mut script = without_cookies(|config| config.limits.syn_queue = 2);
    script.listen();
    full_of_two_handshakes(&mut script);
}

#[test]
fn handshakes_of_all_listeners_together_are_limited() {
    let mut script = without_cookies(|config| config.limits.syn_cache = 2);
    script.listen();
    full_of_two_handshakes(&mut script);
}

fn without_cookies(change: impl FnOnce(&mut StackConfig)) -> Script {
    Script::builder().stack(|config| config.tcp.syn_cookies = SynCookies::Off).stack(change).start()
}

/// SYNs from these ports, each of which is answered.
fn begin_handshakes(script: &mut Script, ports: impl IntoIterator<Item = u16>) {
    for port in ports {
        script.inject(syn().port(port));
        script.expect(syn_ack().port(port));
    }
}

fn full_of_two_handshakes(script: &mut Script) {
    begin_handshakes(script, [1_001, 1_002]);
    script.inject(syn().port(1_003));
    script.expect_nothing();
    assert_eq!(script.stack().counters().tcp_syn_queue_full, 1);
    // One that completes its handshake makes room for another.
    script.inject(ack(1).port(1_001));
    script.inject(syn().port(1_003));
    script.expect(syn_ack().port(1_003));
}

#[test]
fn one_connection_more_than_the_backlog_waits_to_be_accepted() {
    let mut script = Script::new();
    // As in Linux: a listener with a backlog of 0 serves one after the other.
    let listener = script.stack().tcp_listen(Script::STACK, 0).unwrap();
    begin_handshakes(&mut script, [1_001, 1_002]);
    script.inject(ack(1).port(1_001));
    script.inject(ack(1).port(1_002));
    assert_eq!(script.stack().counters().tcp_passive_opens, 1);
    assert_eq!(script.stack().counters().tcp_accept_queue_full, 1);
    assert!(script.stack().tcp_accept(listener).unwrap().is_some());
}

#[test]
fn syns_are_dropped_while_the_accept_queue_is_full() {
    let mut script = Script::new();
    let listener = script.stack().tcp_listen(Script::STACK, 0).unwrap();
    script.inject(syn().port(1_001));
    script.expect(syn_ack().port(1_001));
    script.inject(ack(1).port(1_001));
    script.inject(syn().port(1_002));
    script.expect_nothing();
    assert_eq!(script.stack().counters().tcp_accept_queue_full, 1);
    assert!(script.stack().tcp_accept(listener).unwrap().is_some());
    script.inject(syn().port(1_002));
    script.expect(syn_ack().port(1_002));
}

#[test]
fn client_whose_handshake_finds_the_accept_queue_full_sends_its_data_once_more_and_is_let_in() {
    let mut script = Script::new();
    let listener = script.stack().tcp_listen(Script::STACK, 0).unwrap();
    begin_handshakes(&mut script, [1_001, 1_002]);
    script.inject(ack(1).port(1_001));
    // It believes that it is connected. Nothing tells it otherwise: no acknowledgement, and no reset.
    script.inject(ack(1).port(1_002));
    script.inject(data(1, 100).port(1_002));
    script.expect_nothing();
    script.expect_after(Duration::from_secs(1), syn_ack().port(1_002));
    script.inject(ack(1).port(1_002));
    script.expect_nothing();
    assert!(script.stack().tcp_accept(listener).unwrap().is_some());
    script.inject(data(1, 100).port(1_002));
    let second = script.stack().tcp_accept(listener).unwrap().expect("the second");
    assert_eq!(script.read(second), 100);
    script.expect_after(MS(40), ack(101).port(1_002));
}

#[test]
fn no_backlog_is_larger_than_the_configuration_allows() {
    let mut script = Script::builder().stack(|config| config.limits.accept_queue = 2).start();
    script.stack().tcp_listen(Script::STACK, 100).unwrap();
    begin_handshakes(&mut script, 1_001..=1_004);
    for port in 1_001..=1_004 {
        script.inject(ack(1).port(port));
    }
    assert_eq!(script.stack().counters().tcp_passive_opens, 3);
    assert_eq!(script.stack().counters().tcp_accept_queue_full, 1);
}

#[test]
fn full_table_of_sockets_drops_syns_and_resets_nobody() {
    let mut script = Script::builder().stack(|config| config.limits.sockets = 2).start();
    let listener = script.listen();
    begin_handshakes(&mut script, [1_001, 1_002]);
    script.inject(ack(1).port(1_001));
    script.inject(ack(1).port(1_002));
    script.inject(syn().port(1_003));
    script.expect_nothing();
    assert_eq!(script.stack().counters().sockets_full, 2);
    // The handshake that found no room is completed by its next repetition.
    let first = script.stack().tcp_accept(listener).unwrap().expect("the first");
    script.stack().tcp_abort(first).unwrap();
    script.skip();
    script.expect_after(Duration::from_secs(1), syn_ack().port(1_002));
    script.inject(ack(1).port(1_002));
    let second = script.stack().tcp_accept(listener).unwrap().expect("the second");
    assert_eq!(script.stack().take_error(second), Ok(None::<SocketError>));
}

#[test]
fn ten_thousand_connections_at_once_to_a_backlog_of_128_are_all_accepted() {
    const CONNECTIONS: usize = 10_000;
    let (mut world, client, server) = World::pair(seed(1), |host| host);
    let rate = Some(Rate { bits_per_second: 1_000_000_000, queue_bytes: 1 << 24 });
    world.impair_all(&Impairment { delay: MS(10), rate, ..Impairment::default() });
    let address = app::address(server, 80);
    let listener = world[server].tcp_listen(address, 128).unwrap();
    let sockets: Vec<_> =
        (0..CONNECTIONS).map(|_| world[client].tcp_connect(None, address).unwrap()).collect();
    for &socket in &sockets {
        assert_eq!(world[client].tcp_send(socket, b"question"), Ok(8));
    }
    let mut answered = 0;
    let all = world.run_until(
        |world| {
            while let Some(accepted) = world[server].tcp_accept(listener).unwrap() {
                answered += usize::from(answer(world, server, accepted));
            }
            while let Some(event) = world[server].next_event() {
                if event.socket != listener {
                    answered += usize::from(answer(world, server, event.socket));
                }
            }
            answered == CONNECTIONS
        },
        Duration::from_secs(100),
    );
    assert!(all, "{answered} of {CONNECTIONS} were answered");
    world.run_for(MS(100));
    for socket in sockets {
        assert_eq!(world[client].tcp_state(socket), Ok(TcpState::Established));
        assert_eq!(world[client].tcp_recv(socket, &mut [0; 8]), Ok(6));
    }
    for host in [client, server] {
        assert_eq!(world[host].counters().tcp_resets_sent, 0);
    }
}

/// Answers a question once it has arrived.
fn answer(world: &mut World, server: netlane_sim::HostId, socket: SocketId) -> bool {
    let asked = world[server].tcp_recv(socket, &mut [0; 8]) == Ok(8);
    asked && world[server].tcp_send(socket, b"answer") == Ok(6)
}
