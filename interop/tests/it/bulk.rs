//! 256 MB each way.

use std::net;
use std::thread;
use std::time::{Duration, Instant};

use netlane_config::{Backend, Config, Impair, Impairment, Probability};
use netlane_interop::bytes::{Summary, receive, send};
use netlane_interop::namespace::alone;
use netlane_interop::wire::{Wire, at_kernel, at_netlane};
use netlane_posix::{TcpListener, TcpStream};

const LEN: u64 = 256 << 20;

#[test]
fn much_arrives_from_the_kernel_with_offloads() {
    alone(|| from_kernel(&Wire::new()));
}

#[test]
fn much_arrives_at_the_kernel_with_offloads() {
    alone(|| to_kernel(&Wire::new()));
}

#[test]
fn much_arrives_from_the_kernel_without_offloads() {
    alone(|| from_kernel(&Wire::configured(without_offloads)));
}

#[test]
fn much_arrives_at_the_kernel_without_offloads() {
    alone(|| to_kernel(&Wire::configured(without_offloads)));
}

#[test]
fn much_arrives_from_the_kernel_over_a_bad_link() {
    alone(|| from_kernel(&Wire::configured(badly)));
}

#[test]
fn much_arrives_at_the_kernel_over_a_bad_link() {
    alone(|| to_kernel(&Wire::configured(badly)));
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

fn from_kernel(wire: &Wire) {
    let listener = TcpListener::bind(wire.net(), at_netlane(0)).expect("a listener");
    let address = listener.local_addr().expect("a bound listener");
    let kernel = thread::spawn(move || {
        let mut stream = net::TcpStream::connect(address).expect("a connection");
        send(&mut stream, LEN).expect("all is sent")
    });
    let (mut stream, _) = listener.accept().expect("a connection");
    let started = Instant::now();
    let received = receive(&mut stream).expect("all arrives");
    finish("from the kernel", wire, started, &received);
    assert_eq!(received, kernel.join().expect("the kernel's side"));
}

fn to_kernel(wire: &Wire) {
    let listener = net::TcpListener::bind(at_kernel(0)).expect("a listener");
    let address = listener.local_addr().expect("a bound listener");
    let kernel = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        receive(&mut stream).expect("all arrives")
    });
    let mut stream = TcpStream::connect(wire.net(), address).expect("a connection");
    let started = Instant::now();
    let sent = send(&mut stream, LEN).expect("all is sent");
    drop(stream);
    let received = kernel.join().expect("the kernel's side");
    finish("to the kernel", wire, started, &received);
    assert_eq!(received, sent);
}

fn finish(what: &str, wire: &Wire, started: Instant, moved: &Summary) {
    let seconds = started.elapsed().as_secs_f64();
    let mbps = moved.len as f64 * 8e-6 / seconds;
    println!(
        "MEASURED {what}: {seconds:.1} s, {mbps:.0} Mbit/s; netlane: {} of {} segments sent again, {} timeouts, \
         {} probes, {} recoveries undone, {} told to be duplicates",
        wire.counted("tcp_retransmissions"),
        wire.counted("tcp_segments_sent"),
        wire.counted("tcp_retransmission_timeouts"),
        wire.counted("tcp_tail_loss_probes"),
        wire.counted("tcp_spurious_recoveries"),
        wire.counted("tcp_duplicates_told"),
    );
}
