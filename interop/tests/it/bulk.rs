//! 256 MB each way.

use std::net;
use std::thread;
use std::time::{Duration, Instant};

use netlane_config::{Backend, Config, Impair, Impairment, Probability};
use netlane_interop::bytes::{Summary, receive, send};
use netlane_interop::namespace::{alone, with_programs};
use netlane_interop::wire::{Wire, at_kernel, at_netlane, ip};
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
    with_programs(&["ip"], || from_kernel(&bad_wire()));
}

#[test]
fn much_arrives_at_the_kernel_over_a_bad_link() {
    with_programs(&["ip"], || to_kernel(&bad_wire()));
}

fn without_offloads(config: &mut Config) {
    let Backend::Tap(tap) = &mut config.backend else { unreachable!("a wire is a TAP device") };
    tap.offload = false;
}

/// A link that is bad both ways, and timers at both ends that fit its round trip of less than a millisecond. Without
/// selective acknowledgements, many losses wait for a timeout: at the usual least of 200 ms, netlane and the kernel
/// alike, most of the time would be spent on these, and 256 MB from the kernel take longer than a test may.
fn bad_wire() -> Wire {
    let wire = Wire::configured(badly);
    ip("route change 10.9.0.0/24 dev netlane0 src 10.9.0.1 rto_min 5ms quickack 1");
    wire
}

/// Loses 2 % of the frames each way, swaps some and doubles some.
fn badly(config: &mut Config) {
    let chance = |value| Probability::new(value).expect("a probability");
    let both = Impairment {
        loss: chance(0.02),
        duplicate: chance(0.01),
        reorder: chance(0.01),
        reorder_delay: Duration::from_millis(1),
        ..Impairment::default()
    };
    config.tcp.rto_min = Duration::from_millis(5);
    config.tcp.delayed_ack = Duration::from_millis(1);
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
        "MEASURED {what}: {seconds:.1} s, {mbps:.0} Mbit/s, {} fast retransmissions, {} timeouts",
        wire.counted("tcp_fast_retransmissions"),
        wire.counted("tcp_retransmission_timeouts"),
    );
}
