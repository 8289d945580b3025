//! What went over the wire, as tshark sees it.

use std::io::{Read, Write};
use std::net;
use std::path::Path;
use std::thread;

use netlane_config::{Backend, Capture, Config};
use netlane_interop::bytes::{receive, send};
use netlane_interop::namespace::with_programs;
use netlane_interop::program::run;
use netlane_interop::tshark::{BROKEN, KernelCapture, REPEATED, packets};
use netlane_interop::wire::{KERNEL, NETLANE, Wire, at_kernel, at_netlane};
use netlane_posix::{PingSocket, TcpListener, TcpStream, UdpSocket};

/// Bytes each way.
const LEN: u64 = 16 << 20;
const SHORT_CONNECTIONS: usize = 50;

#[test]
fn nothing_is_wrong_in_netlanes_capture() {
    with_programs(&["tshark", "ping"], || judge_netlanes_capture(|_| {}));
}

#[test]
fn nothing_is_wrong_in_netlanes_capture_without_offloads() {
    with_programs(&["tshark", "ping"], || judge_netlanes_capture(without_offloads));
}

#[test]
fn nothing_is_wrong_in_the_kernels_capture() {
    // With offloads, frames are on their way to the kernel before anybody fills their checksums in.
    with_programs(&["tshark", "dumpcap", "ping"], || {
        let folder = tempfile::tempdir().expect("a folder");
        let wire = Wire::configured(without_offloads);
        let capture = KernelCapture::start(folder.path().join("kernel.pcapng"));
        make_traffic(&wire);
        judge(&capture.finish());
    });
}

fn without_offloads(config: &mut Config) {
    let Backend::Tap(tap) = &mut config.backend else { unreachable!("a wire is a TAP device") };
    tap.offload = false;
}

fn judge_netlanes_capture(change: impl FnOnce(&mut Config)) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("netlane.pcapng");
    let wire = Wire::configured(|config| {
        config.capture = Some(Capture::to(&file));
        change(config);
    });
    make_traffic(&wire);
    // The file is complete when the host has ended.
    drop(wire);
    judge(&file);
}

/// Everything that netlane speaks, in both directions.
fn make_traffic(wire: &Wire) {
    bulk_from_netlane(wire);
    bulk_from_the_kernel(wire);
    short_connections(wire);
    datagrams(wire);
    drop(run(&format!("ping -c 3 -i 0.01 -s 1400 {NETLANE}")));
    let ping = PingSocket::open(wire.net()).expect("an identifier");
    ping.send_to(1, b"hello", KERNEL.into()).expect("room");
    ping.recv_from(&mut [0; 16]).expect("a reply");
}

fn judge(file: &Path) {
    assert_eq!(packets(file, BROKEN), [""; 0]);
    // A machine that is busy may answer so late that the end of a stream is probed for (RFC 8985 §7).
    let repeated = packets(file, REPEATED);
    assert!(repeated.len() <= 1, "a clean link loses nothing: {repeated:?}");
    // The filters see what they should.
    let seen = |filter: &str| packets(file, filter).len();
    assert!(seen("tcp.len > 0 && ip.src == 10.9.0.2 && tcp.checksum.status == Good") > 100);
    assert!(seen("tcp.len > 0 && ip.src == 10.9.0.1 && tcp.checksum.status == Good") > 100);
    assert_eq!(seen("tcp.flags.syn == 1 && tcp.flags.ack == 0"), 2 * SHORT_CONNECTIONS + 2);
    assert_eq!(seen("icmp.type == 0 && icmp.checksum.status == Good"), 4);
    assert_eq!(seen("icmp.type == 3 && icmp.code == 3"), 1);
    assert_eq!(seen("udp.checksum.status == Good && !icmp && ip.dst != 10.9.0.255"), 5);
    assert_eq!(seen("arp && _ws.expert"), 0);
}

fn bulk_from_netlane(wire: &Wire) {
    let (mut ours, mut theirs) = connection(wire);
    let kernel = thread::spawn(move || receive(&mut theirs).expect("all arrives"));
    let sent = send(&mut ours, LEN).expect("all is sent");
    drop(ours);
    assert_eq!(kernel.join().expect("the kernel's side"), sent);
}

fn bulk_from_the_kernel(wire: &Wire) {
    let (mut ours, mut theirs) = connection(wire);
    let kernel = thread::spawn(move || send(&mut theirs, LEN).expect("all is sent"));
    let received = receive(&mut ours).expect("all arrives");
    assert_eq!(kernel.join().expect("the kernel's side"), received);
}

fn short_connections(wire: &Wire) {
    for _ in 0..SHORT_CONNECTIONS {
        let (mut ours, mut theirs) = connection(wire);
        exchange(&mut ours, &mut theirs);
    }
    let listener = TcpListener::bind(wire.net(), at_netlane(0)).expect("a listener");
    let address = listener.local_addr().expect("bound");
    for _ in 0..SHORT_CONNECTIONS {
        let mut theirs = net::TcpStream::connect(address).expect("a connection");
        let (mut ours, _) = listener.accept().expect("a connection");
        exchange(&mut theirs, &mut ours);
    }
}

fn exchange(one: &mut (impl Read + Write), other: &mut (impl Read + Write)) {
    let mut bytes = [0; 4];
    one.write_all(b"ping").expect("room to write");
    other.read_exact(&mut bytes).expect("a message");
    other.write_all(b"pong").expect("room to write");
    one.read_exact(&mut bytes).expect("an answer");
}

fn datagrams(wire: &Wire) {
    let netlane = UdpSocket::bind(wire.net(), at_netlane(0)).expect("a socket");
    let kernel = net::UdpSocket::bind(at_kernel(0)).expect("a socket");
    let (ours, theirs) = (netlane.local_addr().expect("bound"), kernel.local_addr().expect("bound"));
    for size in [1, 1472] {
        netlane.send_to(&vec![7; size], theirs).expect("room");
        kernel.recv_from(&mut [0; 2048]).expect("a datagram");
        kernel.send_to(&vec![7; size], ours).expect("room");
        netlane.recv_from(&mut [0; 2048]).expect("a datagram");
    }
    // Nobody listens there.
    kernel.connect(at_netlane(9)).expect("a route");
    kernel.send(b"anybody?").expect("room");
    kernel.recv(&mut [0; 16]).expect_err("an error from netlane");
}

/// A connection from its end at netlane and the one at the kernel.
fn connection(wire: &Wire) -> (TcpStream, net::TcpStream) {
    let listener = net::TcpListener::bind(at_kernel(0)).expect("a listener");
    let address = listener.local_addr().expect("bound");
    let ours = TcpStream::connect(wire.net(), address).expect("a connection");
    let (theirs, _) = listener.accept().expect("a connection");
    (ours, theirs)
}
