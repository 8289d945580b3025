//! Many connections at once: what one of them costs does not grow with the others.

use std::time::{Duration, Instant};

use netlane_core::{Readiness, SocketId};
use netlane_sim::{Host, HostId, World};

/// Opens `connections` and returns what 100 echoes over some of them cost: frames, events, and steps of the world.
fn cost_of_echoes(connections: usize) -> (u64, u64, u64) {
    let (mut world, a, b) = World::pair(1, |host: Host| host.device(|device| device.frames = 100_000));
    let listener = world[b].tcp_listen("10.0.0.2:80".parse().unwrap(), 4_096).unwrap();
    let clients = open(&mut world, a, b, listener, connections);
    let frames = |world: &World| world[a].counters().tx_frames + world[b].counters().tx_frames;
    let before = frames(&world);
    let (mut events, mut steps) = (0, 0);
    for n in 0..100 {
        let socket = clients[n * connections / 100];
        world[a].tcp_send(socket, b"are you there?").unwrap();
        let mut answered = false;
        let step = |world: &mut World| {
            steps += 1;
            events += echo(world, b);
            while let Some(event) = world[a].next_event() {
                events += 1;
                let mut out = [0; 64];
                if event.ready.contains(Readiness::READABLE) {
                    assert_eq!(event.socket, socket);
                    assert_eq!(world[a].tcp_recv(socket, &mut out), Ok(14));
                    answered = true;
                }
            }
            answered
        };
        assert!(world.run_until(step, Duration::from_secs(1)));
    }
    (frames(&world) - before, events, steps)
}

/// Connections from `a`, all of them established and accepted by `b`.
fn open(world: &mut World, a: HostId, b: HostId, listener: SocketId, count: usize) -> Vec<SocketId> {
    let mut clients = Vec::with_capacity(count);
    let mut accepted = 0;
    while clients.len() < count {
        for _ in 0..100 {
            clients.push(world[a].tcp_connect(None, "10.0.0.2:80".parse().unwrap()).unwrap());
        }
        let step = |world: &mut World| {
            while world[b].tcp_accept(listener).unwrap().is_some() {
                accepted += 1;
            }
            accepted == clients.len()
        };
        assert!(world.run_until(step, Duration::from_secs(10)));
    }
    world.run_for(Duration::from_secs(1));
    for host in [a, b] {
        while world[host].next_event().is_some() {}
    }
    clients
}

/// Sends back what arrives, and returns how many events told of it.
fn echo(world: &mut World, host: HostId) -> u64 {
    let mut events = 0;
    while let Some(event) = world[host].next_event() {
        events += 1;
        let mut out = [0; 64];
        while let Ok(n) = world[host].tcp_recv(event.socket, &mut out) {
            assert_eq!(world[host].tcp_send(event.socket, &out[..n]), Ok(n));
        }
    }
    events
}

#[test]
fn an_echo_costs_the_same_among_a_thousand_and_among_ten_thousand_connections() {
    let few = cost_of_echoes(100);
    assert_eq!(cost_of_echoes(1_000), few);
    assert_eq!(cost_of_echoes(10_000), few);
    let (frames, ..) = few;
    assert!(frames <= 100 * 4, "{frames} frames for 100 echoes");
}

/// The shortest of many polls of a stack with `connections` idle ones, which no interruption has made longer.
fn shortest_poll(connections: usize) -> Duration {
    let (mut world, a, b) = World::pair(1, |host: Host| host.device(|device| device.frames = 100_000));
    let listener = world[b].tcp_listen("10.0.0.2:80".parse().unwrap(), 4_096).unwrap();
    open(&mut world, a, b, listener, connections);
    let now = world.now();
    let polls = (0..10_000).map(|_| {
        let begin = Instant::now();
        world[a].poll(now).expect("the device is there");
        begin.elapsed()
    });
    polls.min().expect("there were some")
}

#[test]
fn poll_looks_at_no_idle_connection() {
    let (few, many) = (shortest_poll(100), shortest_poll(10_000));
    // A look at each would take a hundred times as long, and ten microseconds at the least.
    assert!(many < 10 * few + Duration::from_micros(2), "{few:?} among 100, {many:?} among 10,000");
}
