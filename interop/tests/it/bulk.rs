//! 256 MB each way.

use std::time::Duration;

use netlane_config::{Backend, Config, Impair, Impairment, Probability};
use netlane_interop::bulk::{from_kernel, to_kernel};
use netlane_interop::namespace::alone;
use netlane_interop::wire::{Wire, at_kernel, at_netlane};

#[test]
fn much_arrives_from_the_kernel_with_offloads() {
    alone(|| from_kernel(at_netlane(0), &Wire::new()));
}

#[test]
fn much_arrives_at_the_kernel_with_offloads() {
    alone(|| to_kernel(at_kernel(0), &Wire::new()));
}

#[test]
fn much_arrives_from_the_kernel_without_offloads() {
    alone(|| from_kernel(at_netlane(0), &Wire::configured(without_offloads)));
}

#[test]
fn much_arrives_at_the_kernel_without_offloads() {
    alone(|| to_kernel(at_kernel(0), &Wire::configured(without_offloads)));
}

#[test]
fn much_arrives_from_the_kernel_over_a_bad_link() {
    alone(|| from_kernel(at_netlane(0), &Wire::configured(badly)));
}

#[test]
fn much_arrives_at_the_kernel_over_a_bad_link() {
    alone(|| to_kernel(at_kernel(0), &Wire::configured(badly)));
}

fn without_offloads(config: &mut Config) {
    let Backend::Tap(tap) = &mut config.backend else { unreachable!("a wire is a TAP device") };
    tap.offload = false;
}

/// Loses 2 % of the frames each way, swaps some and doubles some. All timers are as they are by default: a recovery that
/// waited for timeouts of 200 ms would not be done in the time that a test has.
fn badly(config: &mut Config) {
    let chance = |value| Probability::new(value).expect("a probability");
    let both = Impairment {
        loss: chance(0.02),
        duplicate: chance(0.01),
        reorder: chance(0.01),
        reorder_delay: Duration::from_millis(1),
        ..Impairment::default()
    };
    config.impair = Some(Impair { seed: Some(1), inbound: both, outbound: both });
}
