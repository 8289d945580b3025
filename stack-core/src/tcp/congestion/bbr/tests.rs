use alloc::vec::Vec;

use super::*;
use crate::config::CongestionAlgorithm;
use crate::tcp::congestion::Congestion;
use crate::tcp::congestion::bottleneck::{Bottleneck, Link, MSS};
use crate::time::Duration;

/// 20 Mbit/s and a round trip of 40 ms: 100 segments are on their way. The queue holds five times as much.
const LINK: Link = Link::new(20_000_000, 40, 500_000);
const BYTES_PER_SECOND: u64 = 2_500_000;

fn bbr() -> Congestion {
    Congestion::new(CongestionAlgorithm::Bbr, 10 * MSS, u32::MAX)
}

fn of(path: &Bottleneck, flow: usize) -> &Bbr {
    match path.algorithm(flow) {
        Congestion::Bbr(bbr) => bbr,
        other => panic!("{other:?} is no BBR"),
    }
}

/// Runs until BBR is in a state that is `wanted`, at most for `limit`; how long it took.
fn run_until(path: &mut Bottleneck, wanted: impl Fn(&Bbr) -> bool, limit: Duration) -> Duration {
    let step = Duration::from_millis(1);
    let mut passed = Duration::ZERO;
    while !wanted(of(path, 0)) {
        assert!(passed < limit, "not within {limit:?}: {:?}", of(path, 0));
        path.run(step);
        passed += step;
    }
    passed
}

/// A path on which BBR has come to the steady state.
fn steady(link: &Link) -> Bottleneck {
    let mut path = Bottleneck::new(link.clone(), 1);
    path.add(bbr());
    run_until(&mut path, |bbr| bbr.state.is_probe_bw(), Duration::from_secs(3));
    path
}

#[test]
fn startup_finds_the_bandwidth_and_drain_takes_the_queue_away() {
    // Draft, "Exiting STARTUP on Bandwidth Plateau" and "Exiting DRAIN Based on Inflight".
    let mut path = Bottleneck::new(LINK, 1);
    path.add(bbr());
    run_until(&mut path, |bbr| bbr.full_pipe.reached, Duration::from_secs(2));
    let max_bw = of(&path, 0).model.max_bw();
    assert!(max_bw.abs_diff(BYTES_PER_SECOND) < BYTES_PER_SECOND / 50, "{max_bw}");
    assert!(of(&path, 0).full_pipe.now);
    assert!(matches!(of(&path, 0).state, State::Drain { .. }), "{:?}", of(&path, 0).state);
    assert_eq!(of(&path, 0).state.pacing_gain(), 50);
    // Where nothing is left in the queue, nothing keeps it from cruising at once.
    run_until(&mut path, |bbr| bbr.state == State::Cruise, Duration::from_millis(200));
    let min_rtt = of(&path, 0).model.min_rtt();
    assert!((40_000_000..41_500_000).contains(&min_rtt), "{min_rtt} ns");
}

#[test]
fn bandwidth_doubles_in_each_round_of_startup() {
    // 100 segments from 10: after four rounds it is there, and three show that it grows no more. Theirs take twice as
    // long, with the queue that they make.
    let mut path = Bottleneck::new(LINK, 1);
    path.add(bbr());
    let took = run_until(&mut path, |bbr| bbr.full_pipe.reached, Duration::from_secs(2));
    assert!(took < Duration::from_millis((4 + 1) * 40 + (3 + 1) * 80), "{took:?}");
}

#[test]
fn steady_state_uses_the_link_and_keeps_the_queue_short() {
    let mut path = steady(&LINK);
    path.run(Duration::from_secs(4));
    let shares = path.run(Duration::from_secs(20));
    assert!(shares[0].goodput > 0.95 * 20e6, "{shares:?}");
    // A tenth of what loss-based algorithms would let wait.
    assert!(shares[0].queue < 50_000.0, "{shares:?}");
}

#[test]
fn all_states_of_probing_come_in_turn() {
    let mut path = steady(&LINK);
    let limit = Duration::from_secs(4);
    for state in [State::Cruise, State::Refill, State::Up, State::Down, State::Cruise] {
        run_until(&mut path, |bbr| bbr.state == state || bbr.state == State::ProbeRtt, limit);
    }
    let up = of(&path, 0);
    assert!(up.model.inflight_longterm == UNBOUNDED, "no loss has bounded what is in flight");
}

#[test]
fn round_trip_is_probed_every_five_seconds_for_200_ms() {
    // Draft, "Entering and Exiting PROBE_RTT".
    let mut path = steady(&LINK);
    let since = run_until(&mut path, |bbr| bbr.state == State::ProbeRtt, Duration::from_secs(8));
    assert!(since > Duration::from_secs(2), "{since:?}");
    path.run(Duration::from_millis(100));
    // Half of the 100 segments on their way (BBR.ProbeRTTCwndGain).
    let window = of(&path, 0).window();
    assert!((45 * MSS..=52 * MSS).contains(&window), "{window}");
    let lasted = run_until(&mut path, |bbr| bbr.state == State::Cruise, Duration::from_millis(400));
    assert!(lasted + Duration::from_millis(100) > Duration::from_millis(200), "{lasted:?}");
    assert!(of(&path, 0).window() > 90 * MSS, "and the window is what it was");
}

#[test]
fn more_bandwidth_is_found_soon_and_less_as_well() {
    let mut path = steady(&LINK);
    path.run(Duration::from_secs(3));
    path.set_link(|link| link.rate = 100_000_000);
    path.run(Duration::from_secs(15));
    let faster = path.run(Duration::from_secs(5))[0].goodput;
    assert!(faster > 80e6, "{faster}");
    path.set_link(|link| link.rate = 50_000_000);
    // The old bandwidth is forgotten after two cycles of up to three seconds and a probe each.
    path.run(Duration::from_secs(20));
    let slower = path.run(Duration::from_secs(10))[0];
    assert!(slower.goodput > 45e6 && slower.queue < 250_000.0, "{slower:?}");
    assert!(of(&path, 0).model.max_bw() < 6_500_000, "{:?}", of(&path, 0).model);
}

#[test]
fn random_losses_below_the_threshold_cost_little() {
    // BBR.LossThresh = 2 %. CUBIC gets a tenth of the link here.
    for loss in [0.001, 0.01] {
        let mut path = steady(&Link { loss, ..LINK });
        path.run(Duration::from_secs(5));
        let goodput = path.run(Duration::from_secs(30))[0].goodput;
        assert!(goodput > 0.8 * 20e6, "{goodput} at {loss}");
    }
}

#[test]
fn two_flows_share_a_bottleneck() {
    let mut path = steady(&LINK);
    path.add(bbr());
    path.run(Duration::from_secs(30));
    let shares: Vec<f64> = path.run(Duration::from_secs(60)).iter().map(|share| share.goodput).collect();
    let total = shares[0] + shares[1];
    assert!(total > 0.9 * 20e6, "{shares:?}");
    assert!((0.3..0.7).contains(&(shares[0] / total)), "{shares:?}");
}

#[test]
fn shallow_queue_bounds_what_is_in_flight() {
    // A queue of a fifth of what is on its way overflows when probing.
    let mut path = steady(&Link { queue: 20_000, ..LINK });
    path.run(Duration::from_secs(10));
    assert!(of(&path, 0).model.inflight_longterm < 150 * MSS, "{:?}", of(&path, 0).model);
    let goodput = path.run(Duration::from_secs(20))[0].goodput;
    assert!(goodput > 0.85 * 20e6, "{goodput}");
}

#[test]
fn marks_count_as_congestion() {
    let mut path = steady(&Link { mark_above: Some(10_000), ..LINK });
    path.run(Duration::from_secs(5));
    let share = path.run(Duration::from_secs(20))[0];
    assert!(share.goodput > 0.85 * 20e6 && share.queue < 30_000.0, "{share:?}");
}

#[test]
fn timeout_leaves_one_segment_and_a_false_one_is_taken_back() {
    let mut path = steady(&LINK);
    let mut bbr = of(&path, 0).clone();
    path.run(Duration::from_millis(100));
    let before = bbr.window();
    bbr.on_timeout(&Snapshot { in_flight: before, mss: MSS }, true);
    assert_eq!(bbr.window(), MSS);
    bbr.undo();
    assert_eq!(bbr.window(), before);
}

#[test]
fn losses_of_a_burst_are_told_from_what_went_before() {
    // Draft §5.5.10.2: 2 % of 100 segments are two. One was lost before this burst of ten, all of which are lost:
    // lost_prefix = (0.02 * 90 - 1) / 0.98 = 0.816 segments.
    let lost = LostSegment { len: 10 * MSS, tx_in_flight: 100 * MSS, lost: 11 * MSS, app_limited: false };
    assert_eq!(model::inflight_at_loss(&lost), 90_816);
}
