use super::*;
use crate::config::CongestionAlgorithm;
use crate::tcp::congestion::Congestion;
use crate::tcp::congestion::bottleneck::{Bottleneck, Link, MSS};
use crate::time::Duration;

fn flight(in_flight: u32) -> Snapshot {
    Snapshot { in_flight, mss: MSS }
}

/// An acknowledgement of one segment, `millis` after the start, over a path with a round trip of `rtt` milliseconds.
fn acked_at(millis: u64, rtt: u64) -> Acked {
    let rtt = Some(Duration::from_millis(rtt));
    Acked { now: Instant::from_millis(millis), rtt, srtt: rtt, ..Acked::of(MSS, MSS) }
}

/// A sender whose window of 100 segments has just been reduced.
fn reduced_from_100() -> Cubic {
    let mut cubic = Cubic::new(100 * MSS, 50 * MSS);
    cubic.on_loss(&flight(100 * MSS));
    cubic.on_recovered(&flight(60 * MSS));
    cubic
}

/// A window's acknowledgements in each round trip of `rtt` milliseconds, from `from` to `to`.
fn run(cubic: &mut Cubic, from: u64, to: u64, rtt: u64) {
    for round in (from..to).step_by(rtt as usize) {
        let acks = u64::from(cubic.window() / MSS).max(1);
        for ack in 0..acks {
            cubic.on_ack(&acked_at(round + rtt * ack / acks, rtt));
        }
    }
}

#[test]
fn loss_takes_three_tenths_of_the_window() {
    // RFC 9438 §4.6: beta_cubic = 0.7.
    let cubic = reduced_from_100();
    assert_eq!((cubic.window(), cubic.ssthresh()), (70 * MSS, 70 * MSS));
}

#[test]
fn window_comes_back_after_k_seconds() {
    // RFC 9438 §4.2: K = cbrt((100 - 70) / 0.4) = 4.217 s.
    let mut cubic = reduced_from_100();
    run(&mut cubic, 0, 4_217, 100);
    assert_eq!(cubic.curve.k, 4_217);
    assert!((99 * MSS..=100 * MSS).contains(&cubic.window()), "{}", cubic.window());
    // Around W_max it hardly grows: 0.4 * 0.5^3 = 0.05 segments in half a second.
    run(&mut cubic, 4_217, 4_717, 100);
    assert!(cubic.window() < 101 * MSS);
}

#[test]
fn window_is_convex_beyond_its_old_maximum() {
    // W_cubic(K + 4 s) = 100 + 0.4 * 4^3 = 125.6 segments; an acknowledgement looks one round trip ahead: 127.6.
    let mut cubic = reduced_from_100();
    run(&mut cubic, 0, 8_217, 100);
    assert!((125 * MSS..=128 * MSS).contains(&cubic.window()), "{}", cubic.window());
}

#[test]
fn curve_follows_the_standard_by_hand() {
    // RFC 9438 §4.2, figure 1: W_cubic(t) = 0.4 * (t - 4.217)^3 + 100.
    let mut cubic = reduced_from_100();
    cubic.on_ack(&acked_at(0, 100));
    for (millis, bytes) in [(0, 70_000), (1_000, 86_681), (2_217, 96_800), (4_217, 100_000), (6_217, 103_200)]
    {
        let w_cubic = cubic.curve.at(millis, MSS);
        assert!(w_cubic.abs_diff(bytes) <= 10, "after {millis} ms {w_cubic}, not {bytes}");
    }
}

#[test]
fn short_round_trips_grow_as_fast_as_reno() {
    // RFC 9438 §4.3: alpha_cubic = 9/17 segments in a round trip. In 10 ms the cubic curve gains nothing.
    let mut cubic = Cubic::new(20 * MSS, 10 * MSS);
    cubic.on_loss(&flight(20 * MSS));
    run(&mut cubic, 0, 10, 1);
    // 5.3 segments, less what a window that grows within the round trip divides by.
    let grown = cubic.window() - 14 * MSS;
    assert!((5_000..=5_300).contains(&grown), "{grown} bytes in 10 round trips");
}

#[test]
fn estimate_of_reno_gains_a_whole_segment_above_the_prior_window() {
    // RFC 9438 §4.3: alpha_cubic = 1 once W_est has come to cwnd_prior.
    let mut cubic = Cubic::new(10 * MSS, 5 * MSS);
    cubic.on_loss(&flight(10 * MSS));
    // From 7 to 10 segments at 9/17 of one in a round trip: six round trips.
    run(&mut cubic, 0, 6, 1);
    let before = cubic.window();
    run(&mut cubic, 6, 16, 1);
    let grown = cubic.window() - before;
    assert!((9 * MSS..=10 * MSS).contains(&grown), "{grown} bytes in 10 round trips");
}

#[test]
fn window_grows_by_half_in_a_round_trip_at_most() {
    // RFC 9438 §4.4: target is no more than 1.5 * cwnd.
    let mut cubic = reduced_from_100();
    cubic.on_ack(&acked_at(0, 100));
    let before = cubic.window();
    // A window's acknowledgements, all at once and long after.
    for _ in 0..before / MSS {
        cubic.on_ack(&acked_at(60_000, 100));
    }
    assert!(cubic.window().abs_diff(before * 3 / 2) < MSS, "{} from {before}", cubic.window());
}

#[test]
fn flow_that_lost_again_too_soon_gives_way() {
    // RFC 9438 §4.7: W_max = cwnd * (1 + beta_cubic) / 2.
    let mut cubic = reduced_from_100();
    cubic.on_loss(&flight(70 * MSS));
    assert_eq!(cubic.curve.w_max, 70 * MSS * 17 / 20);
    assert_eq!(cubic.window(), 49 * MSS);
}

#[test]
fn timeout_leaves_one_segment_and_seven_tenths_as_threshold() {
    // RFC 9438 §4.8.
    let mut cubic = Cubic::new(100 * MSS, 50 * MSS);
    cubic.on_timeout(&flight(100 * MSS), true);
    cubic.on_timeout(&flight(MSS), false);
    assert_eq!((cubic.window(), cubic.ssthresh()), (MSS, 70 * MSS));
    // Slow start up to the threshold, and from there on the convex part: K = 0.
    run(&mut cubic, 0, 800, 100);
    assert_eq!(cubic.curve.k, 0);
    assert!((70 * MSS..75 * MSS).contains(&cubic.window()), "{}", cubic.window());
}

#[test]
fn reduction_for_nothing_is_taken_back() {
    // RFC 9438 §4.9.
    let mut cubic = reduced_from_100();
    run(&mut cubic, 0, 3_000, 100);
    let (window, w_max) = (cubic.window(), cubic.curve.w_max);
    cubic.on_timeout(&flight(window), true);
    cubic.undo();
    assert_eq!((cubic.window(), cubic.ssthresh(), cubic.curve.w_max), (window, 70 * MSS, w_max));
}

#[test]
fn time_in_which_the_window_is_not_used_does_not_count() {
    // RFC 9438 §5.8.
    let mut cubic = reduced_from_100();
    run(&mut cubic, 0, 1_000, 100);
    let before = cubic.window();
    for second in 1..60 {
        cubic.on_ack(&Acked { limited: false, ..acked_at(second * 1_000, 100) });
    }
    assert_eq!(cubic.window(), before);
    run(&mut cubic, 59_100, 60_100, 100);
    // As if it were the second second: W_cubic(2 s + 0.1 s) = 100 - 0.4 * 2.117^3 = 96.2 segments.
    assert!((95 * MSS..=97 * MSS).contains(&cubic.window()), "{}", cubic.window());
}

#[test]
fn slow_start_ends_with_the_queue_it_has_made_and_without_a_loss() {
    let mut path = Bottleneck::new(Link::new(50_000_000, 100, 20_000_000), 1);
    let flow = path.add(Congestion::new(CongestionAlgorithm::Cubic, 10 * MSS, u32::MAX));
    // The bandwidth-delay product is 625 segments, and the queue takes 20,000. The round trip tells of the queue after two
    // rounds at most, and five conservative rounds follow: 625 * 2^2 * 1.25^5 = 7,600 segments.
    let mut worst_queue = 0;
    for _ in 0..200 {
        worst_queue = worst_queue.max(path.run(Duration::from_millis(100))[flow].worst_queue);
        if path.algorithm(flow).ssthresh() < MAX_WINDOW {
            break;
        }
    }
    assert!(worst_queue < 8_000_000, "{worst_queue}");
    let ssthresh = path.algorithm(flow).ssthresh();
    assert!((625 * MSS..8_000 * MSS).contains(&ssthresh), "{ssthresh}");
}

#[test]
fn average_window_follows_the_response_function() {
    // RFC 9438 §5.1, figure 5: AVG_W_cubic = 1.054 * RTT^0.75 / p^0.75 for C = 0.4, where that is more than Reno's.
    for (every, rtt) in [(10_000, 100), (10_000, 200), (30_000, 100), (3_000, 200)] {
        let theory = 1.054 * f64::powf(rtt as f64 / 1e3, 0.75) * f64::powf(every as f64, 0.75);
        let link = Link { lose_every: every, ..Link::new(10_000_000_000, rtt, 1 << 30) };
        let mut path = Bottleneck::new(link, 1);
        let flow = path.add(Congestion::new(CongestionAlgorithm::Cubic, 10 * MSS, u32::MAX));
        path.run(Duration::from_secs(100));
        let goodput = path.run(Duration::from_secs(400))[flow].goodput;
        let window = goodput * rtt as f64 / 1e3 / 8.0 / f64::from(MSS);
        let ratio = window / theory;
        // A round trip of recovery in each period is not in the formula.
        assert!((0.85..1.1).contains(&ratio), "{window} segments, every {every}, {rtt} ms: not {theory}");
    }
}

#[test]
fn two_flows_share_a_bottleneck_evenly() {
    let mut path = Bottleneck::new(Link::new(50_000_000, 40, 250_000), 1);
    path.add(Congestion::new(CongestionAlgorithm::Cubic, 10 * MSS, u32::MAX));
    path.run(Duration::from_secs(10));
    path.add(Congestion::new(CongestionAlgorithm::Cubic, 10 * MSS, u32::MAX));
    path.run(Duration::from_secs(60));
    let shares = path.run(Duration::from_secs(100));
    let part = shares[1].goodput / (shares[0].goodput + shares[1].goodput);
    assert!((0.4..0.6).contains(&part), "{part} of {shares:?}");
    assert!(shares[0].goodput + shares[1].goodput > 45e6, "{shares:?}");
}
