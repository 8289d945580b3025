//! 256 MB one way, between netlane and the kernel.

use std::net::{self, SocketAddr};
use std::thread;
use std::time::Instant;

use netlane_posix::{TcpListener, TcpStream};

use crate::bytes::{Summary, receive, send};
use crate::wire::Wire;

/// Bytes of a transfer.
const LEN: u64 = 256 << 20;

/// Has the kernel send to netlane, which listens at `local`.
///
/// # Panics
/// If not every byte arrives as it was sent.
pub fn from_kernel(local: SocketAddr, wire: &Wire) {
    let listener = TcpListener::bind(wire.net(), local).expect("a listener");
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

/// Has netlane send to the kernel, which listens at `local`.
///
/// # Panics
/// If not every byte arrives as it was sent.
pub fn to_kernel(local: SocketAddr, wire: &Wire) {
    let listener = net::TcpListener::bind(local).expect("a listener");
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
