//! Congestion control over the whole stack: who chooses the algorithm, and what each makes of a path.

use std::fmt::Write as _;
use std::time::Duration;

use netlane_core::CongestionAlgorithm::{self, Bbr, Cubic, Dctcp, NewReno};
use netlane_core::{Ecn, SocketId};
use netlane_sim::impairment::{Impairment, Rate};
use netlane_sim::{HostId, Script, World, ack, seed};

use crate::app::{Mover, address, connect_to, connection};

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

/// Sends so many segments in one go, and has them acknowledged after a round trip of 100 ms.
fn exchange(script: &mut Script, socket: SocketId, sent: &mut u32, segments: u32) {
    script.send(socket, (segments * 1_460) as usize);
    script.run_for(Duration::from_millis(100));
    assert_eq!(script.skip(), segments as usize);
    *sent += segments * 1_460;
    script.inject(ack(1).ack(1 + *sent));
}

#[test]
fn window_that_losses_made_small_is_not_exceeded_after_a_pause() {
    // RFC 5681 §4.1: RW = min(IW, cwnd).
    let mut script = Script::new();
    let socket = script.connected();
    script.send(socket, 4 * 1_460);
    script.run_for(Duration::from_millis(300));
    assert_eq!(script.skip(), 5, "the first once more, after a timeout");
    script.inject(ack(1).ack(1 + 4 * 1_460));
    script.run_for(Duration::from_secs(20));
    script.send(socket, 10 * 1_460);
    let first = script.skip();
    assert!((1..10).contains(&first), "{first} segments");
}

#[test]
fn bbr_knows_its_path_for_a_minute_after_it_was_last_used() {
    let mut script = Script::builder().stack(|config| config.tcp.congestion_control = Bbr).start();
    let (socket, mut sent) = (script.connected(), 0);
    for _ in 0..3 {
        exchange(&mut script, socket, &mut sent, 10);
    }
    let delivered = |script: &mut Script| {
        script.stack().tcp_info(socket).expect("it is a connection").expect("it is established").delivered
    };
    script.run_for(Duration::from_secs(55));
    assert_eq!(delivered(&mut script), u64::from(sent));
    script.run_for(Duration::from_secs(6));
    assert_eq!(delivered(&mut script), 0);
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

/// A connection's way in the tests below, 20 Mbit/s both ways.
#[derive(Clone, Copy, Debug)]
struct Way {
    /// Milliseconds of the round trip.
    rtt: u64,
    /// The share of packets from the sender that are lost.
    loss: f64,
    queue: usize,
    /// Packets that find more bytes waiting are marked (RFC 3168); both ends agree on that then.
    marks: Option<usize>,
}

const LINK: u64 = 20_000_000;
const MSS: f64 = 1_448.0;

impl Way {
    fn lay(self, world: &mut World, sender: HostId) {
        let rate = Rate { bits_per_second: LINK, queue_bytes: self.queue };
        let link = Impairment {
            delay: Duration::from_millis(self.rtt / 2),
            rate: Some(rate),
            mark_above: self.marks,
            ..Impairment::default()
        };
        world.impair_all(&link);
        world.impair(sender, Impairment { loss: self.loss, ..link });
    }
}

/// What a sender got in a stretch of time.
#[derive(Clone, Debug)]
struct Got {
    /// Mbit/s of each connection.
    rates: Vec<f64>,
    /// The average of what waited in front of the link, in bytes.
    queue: f64,
    /// The share of packets that were marked, and the number of those that found the queue full.
    marked: f64,
    dropped: u64,
}

/// Connections that send without end from one host to another, with an algorithm each. After `warm_up` they are watched
/// for `span`.
fn watch(algorithms: &[CongestionAlgorithm], way: Way, warm_up: Duration, span: Duration) -> Got {
    let (mut world, a, b) = World::pair(seed(5), |host| {
        host.stack(|config| {
            config.tcp.send_buffer = 8 << 20;
            config.tcp.receive_buffer = 8 << 20;
            // Both ends of a connection have to speak DCTCP.
            config.tcp.congestion_control = algorithms[0];
            config.tcp.ecn = if way.marks.is_some() { Ecn::On } else { Ecn::Accept };
        })
    });
    let ports = 80..80 + algorithms.len() as u16;
    let mut ends: Vec<_> = ports
        .zip(algorithms)
        .map(|(port, &algorithm)| {
            let (near, far) = connection(&mut world, a, b, port);
            world[a].tcp_set_congestion_control(near, algorithm).expect("it is a connection");
            (Mover::new(a, near, u64::MAX), Mover::new(b, far, 0))
        })
        .collect();
    way.lay(&mut world, a);
    let (mut queues, mut samples) = (0, 0_u32);
    let mut run = |world: &mut World, span| {
        (queues, samples) = (0, 0);
        world.run_until(
            |world| {
                for (near, far) in &mut ends {
                    near.send(world);
                    far.receive(world);
                }
                queues += world.queue(a);
                samples += 1;
                false
            },
            span,
        );
        ends.iter().map(|(_, far)| far.received).collect::<Vec<_>>()
    };
    let before = run(&mut world, warm_up);
    let earlier = world.link_stats(a);
    let after = run(&mut world, span);
    let later = world.link_stats(a);
    let rate = |(after, before): (u64, u64)| (after - before) as f64 * 8.0 / span.as_secs_f64() / 1e6;
    Got {
        rates: after.into_iter().zip(before).map(rate).collect(),
        queue: queues as f64 / f64::from(samples),
        marked: (later.marked - earlier.marked) as f64 / (later.pushed - earlier.pushed) as f64,
        dropped: later.queue_full - earlier.queue_full,
    }
}

/// Mbit/s of a window of `segments`, as far as the link allows.
fn of_window(segments: f64, rtt: u64) -> f64 {
    (segments * MSS * 8.0 / (rtt as f64 / 1e3) / 1e6).min(LINK as f64 / 1e6 * MSS / 1_514.0)
}

/// Mathis et al., "The macroscopic behavior of the TCP congestion avoidance algorithm": sqrt(3/2) / sqrt(p) segments.
fn mathis(loss: f64, rtt: u64) -> f64 {
    of_window((1.5 / loss).sqrt(), rtt)
}

/// RFC 9438 §5.1, figure 5, where it is more than Reno's: 1.054 * RTT^0.75 / p^0.75 segments.
fn cubic_response(loss: f64, rtt: u64) -> f64 {
    of_window(1.054 * (rtt as f64 / 1e3 / loss).powf(0.75), rtt).max(mathis(loss, rtt))
}

#[test]
fn throughput_by_loss_and_delay_beside_theory() {
    let mut table = String::from("  loss    rtt   NewReno  Mathis     CUBIC  theory       BBR    link");
    for loss in [0.001, 0.01, 0.03] {
        for rtt in [10, 40, 160] {
            let way = Way { rtt, loss, queue: 100_000, marks: None };
            // Some hundred round trips, and a few seconds for the slow ones.
            let span = Duration::from_millis(4_000 + 50 * rtt);
            let rate = |algorithm| watch(&[algorithm], way, Duration::from_secs(3), span).rates[0];
            let (reno, cubic, bbr) = (rate(NewReno), rate(Cubic), rate(Bbr));
            let theory = [mathis(loss, rtt), cubic_response(loss, rtt), of_window(f64::INFINITY, rtt)];
            // Chance makes much of a difference in so short a time; a third less would be a fault.
            assert!(reno > 0.6 * theory[0] && cubic > 0.6 * theory[1], "{loss}, {rtt} ms: {reno}, {cubic}");
            let _ = write!(
                table,
                "\n{:>5.2}% {rtt:>4}ms {reno:>9.2} {:>7.2} {cubic:>9.2} {:>7.2} {bbr:>9.2} {:>7.2}",
                loss * 100.0,
                theory[0],
                theory[1],
                theory[2],
            );
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn two_cubic_flows_share_a_link_evenly() {
    let way = Way { rtt: 20, loss: 0.0, queue: 50_000, marks: None };
    let got = watch(&[Cubic, Cubic], way, Duration::from_secs(10), Duration::from_secs(40));
    let total: f64 = got.rates.iter().sum();
    assert!(total > 18.0, "{got:?}");
    assert!((0.35..0.65).contains(&(got.rates[0] / total)), "{got:?}");
}

#[test]
fn cubic_leaves_reno_its_share_on_short_paths() {
    // RFC 9438 §4.3: in the Reno-friendly region.
    let way = Way { rtt: 10, loss: 0.0, queue: 25_000, marks: None };
    let got = watch(&[NewReno, Cubic], way, Duration::from_secs(10), Duration::from_secs(15));
    let total: f64 = got.rates.iter().sum();
    assert!(total > 18.0, "{got:?}");
    assert!((0.25..0.75).contains(&(got.rates[0] / total)), "{got:?}");
}

/// RFC 8257 §3.3, and M. Alizadeh et al., "Data Center TCP (DCTCP)", 2010, §3.3: with C * RTT + K = W bytes, a lone flow's
/// window swings by about sqrt(2 W) segments, and the share of marks comes to about sqrt(2 / W).
#[test]
fn dctcp_swings_around_the_threshold_of_marks_and_comes_down_by_their_share() {
    // C * RTT is 50,000 bytes, and K more than a seventh of it (§3.4).
    let way = Way { rtt: 20, loss: 0.0, queue: 200_000, marks: Some(10_000) };
    let (warm_up, span) = (Duration::from_secs(3), Duration::from_secs(8));
    let [dctcp, reno] = [Dctcp, NewReno].map(|algorithm| watch(&[algorithm], way, warm_up, span));
    assert_eq!((dctcp.dropped, reno.dropped), (0, 0), "marks come first");
    let segments: f64 = 60_000.0 / MSS;
    let expected = (2.0 / segments).sqrt();
    assert!((0.5..2.0).contains(&(dctcp.marked / expected)), "{dctcp:?}, expected {expected}");
    assert!(dctcp.queue < 15_000.0, "{dctcp:?}");
    // Reno halves its window for each flight with a mark, and leaves the link idle until it is back.
    assert!(dctcp.rates[0] > 0.98 * of_window(f64::INFINITY, 20), "{dctcp:?}");
    assert!(reno.rates[0] < 0.95 * dctcp.rates[0], "{reno:?}, DCTCP {dctcp:?}");
}

#[test]
fn bbr_fills_the_link_and_keeps_the_queue_short() {
    let way = Way { rtt: 40, loss: 0.0, queue: 200_000, marks: None };
    let (warm_up, span) = (Duration::from_secs(5), Duration::from_secs(10));
    let [bbr, cubic] = [Bbr, Cubic].map(|algorithm| watch(&[algorithm], way, warm_up, span));
    assert!(bbr.rates[0] > 17.0, "{bbr:?}");
    assert!(bbr.queue < cubic.queue / 3.0, "{bbr:?}, CUBIC {cubic:?}");
}

#[test]
fn bbr_survives_two_percent_of_random_losses() {
    let way = Way { rtt: 40, loss: 0.02, queue: 200_000, marks: None };
    let (warm_up, span) = (Duration::from_secs(5), Duration::from_secs(10));
    let [bbr, cubic] = [Bbr, Cubic].map(|algorithm| watch(&[algorithm], way, warm_up, span).rates[0]);
    assert!(bbr > 2.0 * cubic && bbr > 10.0, "BBR {bbr}, CUBIC {cubic} Mbit/s");
}
