//! Congestion control over the whole stack: who chooses the algorithm, and what each makes of a path.

use std::time::Duration;

use netlane_core::CongestionAlgorithm::{self, Bbr, Cubic, Dctcp, NewReno};
use netlane_sim::impairment::{Impairment, Rate};
use netlane_sim::{Script, World, ack, seed, syn, syn_ack};

use crate::app::{Mover, address, connect_to};

const ALL: [CongestionAlgorithm; 4] = [NewReno, Cubic, Dctcp, Bbr];

/// Who says which algorithm the server uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Configuration,
    Listener,
    Connection,
}

/// What became of three megabytes that a server sends over a link of 50 Mbit/s, with 20 ms and some losses.
fn download(algorithm: CongestionAlgorithm, choice: Choice) -> u64 {
    let (mut world, client, server) = World::pair(seed(11), |host| {
        host.stack(|config| {
            config.tcp.congestion_control = match choice {
                Choice::Configuration => algorithm,
                _ if algorithm == NewReno => Cubic,
                _ => NewReno,
            };
        })
    });
    let listener = world[server].tcp_listen(address(server, 80), 16).expect("the port is free");
    if choice == Choice::Listener {
        world[server].tcp_set_congestion_control(listener, algorithm).expect("it is a listener");
    }
    let (near, far) = connect_to(&mut world, client, server, listener, address(server, 80));
    if choice == Choice::Connection {
        world[server].tcp_set_congestion_control(far, algorithm).expect("it is a connection");
    }
    let rate = Rate { bits_per_second: 50_000_000, queue_bytes: 60_000 };
    let link = Impairment { delay: Duration::from_millis(10), rate: Some(rate), ..Impairment::default() };
    world.impair_all(&link);
    world.impair(server, Impairment { loss: 0.002, ..link });
    let mut ends = [Mover::new(server, far, 3_000_000), Mover::new(client, near, 0)];
    let step = |world: &mut World| ends.iter_mut().fold(true, |all, end| end.step(world) & all);
    assert!(world.run_until(step, Duration::from_secs(600)), "{algorithm:?}");
    world.digest()
}

#[test]
fn configuration_listener_and_connection_choose_alike() {
    let mut runs = Vec::new();
    for algorithm in ALL {
        let run = download(algorithm, Choice::Configuration);
        assert_eq!(run, download(algorithm, Choice::Listener), "{algorithm:?} by the listener");
        assert_eq!(run, download(algorithm, Choice::Connection), "{algorithm:?} by the connection");
        runs.push(run);
    }
    // Without marks DCTCP is NewReno.
    assert_eq!(runs[0], runs[2]);
    runs.remove(2);
    runs.dedup();
    assert_eq!(runs.len(), 3, "the others differ");
}

#[test]
fn bbr_sends_at_its_pace_and_not_in_one_burst() {
    let mut script = Script::builder()
        .stack(|config| {
            config.tcp.sack = true;
            config.tcp.congestion_control = Bbr;
        })
        .start();
    let socket = script.connect();
    script.expect(syn().mss(1_460).sack_permitted());
    script.run_for(Duration::from_millis(40));
    script.inject(syn_ack().mss(1_460).sack_permitted());
    script.skip();
    script.send(socket, 40 * 1_460);
    // draft-ietf-ccwg-bbr §5.2.2: at first, the pace is for a round trip of 1 ms.
    assert_eq!(script.skip(), 10);
    script.run_for(Duration::from_millis(40));
    script.inject(ack(1 + 10 * 1_460));
    // §5.6.2, §5.3.1: 2.77 times the ten segments in a round trip of 40 ms, so that one takes 1.4 ms.
    let mut sent = Vec::new();
    for _ in 0..5 {
        sent.push(script.skip());
        script.run_for(Duration::from_millis(5));
    }
    assert!((1..=3).contains(&sent[0]), "{sent:?}");
    assert!(sent[1..].iter().all(|sent| (3..=4).contains(sent)), "{sent:?}");
}
