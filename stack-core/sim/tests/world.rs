//! The simulation itself: time, links and scripts do what they say.

use std::time::Duration;

use netlane_core::{Instant, RecvError};
use netlane_sim::impairment::{Impairment, Rate};
use netlane_sim::{Host, Script, World, ack, data, pattern, syn, syn_ack};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// A host that sends `count` datagrams to another, one a millisecond; returns what arrived there, and the world.
fn datagrams(seed: u64, count: u8, impairment: Impairment) -> (Vec<u8>, World) {
    let (mut world, a, b) = World::pair(seed, |host| {
        host.stack(|config| {
            config.interface.neighbors = vec![
                ("10.0.0.1".parse().unwrap(), "02:00:00:00:00:01".parse().unwrap()),
                ("10.0.0.2".parse().unwrap(), "02:00:00:00:00:02".parse().unwrap()),
            ];
        })
    });
    world.impair(a, impairment);
    let near = world[a].udp_bind("10.0.0.1:1".parse().unwrap()).unwrap();
    let far = world[b].udp_bind("10.0.0.2:1".parse().unwrap()).unwrap();
    for n in 0..count {
        world[a].udp_send_to(near, "10.0.0.2:1".parse().unwrap(), &[n]).unwrap();
        world.run_for(MS(1));
    }
    world.run_for(MS(1_000));
    let mut arrived = Vec::new();
    let mut out = [0; 10];
    while let Ok((n, _)) = world[b].udp_recv_from(far, &mut out) {
        arrived.extend_from_slice(&out[..n]);
    }
    (arrived, world)
}

#[test]
fn time_passes_only_when_it_is_told_to_and_exactly_so_far() {
    let (mut world, ..) = World::pair(1, |host| host);
    assert_eq!(world.now(), Instant::ZERO);
    world.run_for(MS(1_234));
    assert_eq!(world.now(), Instant::from_millis(1_234));
    assert!(!world.run_until(|_| false, MS(1)));
    assert!(world.run_until(|world| world.now() >= Instant::from_millis(1_235), MS(10)));
    assert_eq!(world.now(), Instant::from_millis(1_235));
}

#[test]
fn hosts_of_one_link_hear_each_other_and_nobody_else() {
    let mut world = World::new(1);
    let a = world.add(Host::new("a", "10.0.0.1/24"));
    let b = world.add(Host::new("b", "10.0.0.2/24"));
    let c = world.add(Host::new("c", "10.0.0.3/24"));
    let far = world.add_to(1, Host::new("far", "10.0.0.4/24"));
    let near = world[a].udp_bind("10.0.0.1:1".parse().unwrap()).unwrap();
    let there = world[b].udp_bind("10.0.0.2:1".parse().unwrap()).unwrap();
    world[a].udp_send_to(near, "10.0.0.2:1".parse().unwrap(), b"hello").unwrap();
    world[a].udp_send_to(near, "10.0.0.4:1".parse().unwrap(), b"hello").unwrap();
    world.run_for(MS(10));
    let mut out = [0; 10];
    assert_eq!(world[b].udp_recv_from(there, &mut out).map(|(n, _)| n), Ok(5));
    // The questions for both addresses reached everybody on the link; the datagram only the one that it was for.
    assert_eq!(world[c].counters().rx_frames, 2);
    assert_eq!(world[far].counters().rx_frames, 0);
}

#[test]
fn delay_and_rate_decide_when_frames_arrive() {
    // 43 bytes with all headers take 43 ms at 8 kbit/s, and 5 ms more on the way.
    let rate = Rate { bits_per_second: 8_000, queue_bytes: 1_000 };
    let (mut world, a, b) = World::pair(1, |host| {
        host.stack(|config| {
            config.interface.neighbors =
                vec![("10.0.0.2".parse().unwrap(), "02:00:00:00:00:02".parse().unwrap())];
        })
    });
    world.impair(a, Impairment { rate: Some(rate), delay: MS(5), ..Impairment::default() });
    let near = world[a].udp_bind("10.0.0.1:1".parse().unwrap()).unwrap();
    let far = world[b].udp_bind("10.0.0.2:1".parse().unwrap()).unwrap();
    world[a].udp_send_to(near, "10.0.0.2:1".parse().unwrap(), b"x").unwrap();
    let mut out = [0; 10];
    assert!(world.run_until(|world| world[b].udp_recv_from(far, &mut out).is_ok(), MS(1_000)));
    assert_eq!(world.now(), Instant::from_millis(48));
}

#[test]
fn bad_links_lose_and_double_as_told() {
    let sent: Vec<u8> = (0..100).collect();
    assert_eq!(datagrams(1, 100, Impairment::default()).0, sent);
    assert_eq!(datagrams(1, 100, Impairment { loss: 1.0, ..Impairment::default() }).0, []);
    let doubled = datagrams(1, 100, Impairment { duplication: 1.0, ..Impairment::default() }).0;
    assert_eq!(doubled, sent.iter().flat_map(|n| [*n; 2]).collect::<Vec<_>>());
}

#[test]
fn same_seed_gives_the_same_run_and_another_seed_another_one() {
    let bad = Impairment { loss: 0.3, ..Impairment::default() };
    let run = |seed| {
        let (arrived, world) = datagrams(seed, 100, bad.clone());
        (arrived, world.digest())
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1).0, run(2).0);
}

#[test]
fn recorded_run_reads_like_a_story() {
    let (mut world, a, b) = World::pair(1, |host| host.stack(|config| config.tcp.timestamps = false));
    world.record();
    let listener = world[b].tcp_listen("10.0.0.2:80".parse().unwrap(), 1).unwrap();
    let socket = world[a].tcp_connect(None, "10.0.0.2:80".parse().unwrap()).unwrap();
    world[a].tcp_send(socket, &pattern(0, 10)).unwrap();
    world.run_for(MS(1));
    world.cut_off(b, true);
    world.run_for(MS(100));
    assert!(world[b].tcp_accept(listener).unwrap().is_some());
    let lines: Vec<_> = world.trace().unwrap().lines().map(str::to_owned).collect();
    assert_eq!(lines[0], "0.000000 a > arp who has 10.0.0.2 tell 10.0.0.1");
    assert_eq!(lines[2], "0.000000 a > S 0:0(0) win 65535 mss 1460 wscale 9 sackOK");
    assert!(lines.iter().any(|line| line.starts_with("0.000000 a > P. 1:11(10) ack 1 win ")), "{lines:#?}");
    assert!(lines.last().unwrap().ends_with("ack 11 win 127 LOST"), "{lines:#?}");
}

#[test]
fn script_sees_whose_bytes_are_wrong() {
    let mut script = Script::new();
    let socket = script.accepted();
    script.inject(data(1, 10).bytes(b"not those!"));
    let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| script.read(socket)));
    assert!(read.is_err());
}

#[test]
fn script_insists_on_what_it_expects_and_when() {
    let fails = |act: fn(&mut Script)| {
        let mut script = Script::new();
        script.connect();
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| act(&mut script))).is_err()
    };
    assert!(!fails(|script| script.expect(syn().mss(1_460))));
    assert!(fails(|script| script.expect(syn().mss(1_459))));
    assert!(fails(|script| script.expect(syn().exact_options())));
    assert!(fails(|script| script.expect(syn().win(1))));
    assert!(fails(|script| script.expect(syn_ack())));
    assert!(fails(Script::expect_nothing));
    // The SYN is repeated after a second: neither earlier nor later, and it is no silence.
    assert!(!fails(|script| repeated_after(script, MS(1_000))));
    assert!(fails(|script| repeated_after(script, MS(999))));
    assert!(fails(|script| repeated_after(script, MS(1_001))));
    assert!(fails(|script| {
        script.expect(syn().mss(1_460));
        script.expect_silence(MS(1_001));
    }));
}

fn repeated_after(script: &mut Script, pause: Duration) {
    script.expect(syn().mss(1_460));
    script.expect_after(pause, syn().mss(1_460));
}

#[test]
fn card_that_is_pulled_out_stops_its_host_and_nothing_else() {
    let (mut world, a, b) = World::pair(1, |host| host);
    world[a].io_mut().pull_out();
    let socket = world[b].tcp_connect(None, "10.0.0.1:80".parse().unwrap()).unwrap();
    world.run_for(MS(5_000));
    assert_eq!(
        world[b].tcp_recv(socket, &mut [0; 1]).map(|_| ()),
        Err(RecvError::Failed(netlane_core::SocketError::Unreachable))
    );
    assert_eq!(world[a].counters().tx_frames, 0);
}

#[test]
fn sequence_numbers_of_both_ends_count_from_their_syn() {
    let mut script = Script::builder().peer_isn(u32::MAX - 3).start();
    let socket = script.accepted();
    script.inject(data(1, 10));
    script.expect_after(MS(40), ack(11));
    assert_eq!(script.read(socket), 10);
}
