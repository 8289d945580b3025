//! IPv6 between netlane and the kernel, and what others wrote.

use std::fs;
use std::net::{self, IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::thread;
use std::time::Duration;

use netlane_config::{Backend, Capture, Config};
use netlane_examples::http;
use netlane_interop::bulk::{from_kernel, to_kernel};
use netlane_interop::bytes::{receive, send};
use netlane_interop::iperf3::{self, Test};
use netlane_interop::namespace::with_programs;
use netlane_interop::program::{Program, command, run, start};
use netlane_interop::tshark::{BROKEN, packets};
use netlane_interop::wire::{DEVICE, NETLANE, Wire, ip};
use netlane_posix::{PingSocket, TcpListener, TcpStream, UdpSocket};

/// The kernel's address.
const KERNEL: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 1);
/// netlane's address.
const NETLANE_V6: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 2);

/// A wire with addresses of both families at both ends.
fn wire() -> Wire {
    configured(|_| {})
}

fn configured(change: impl FnOnce(&mut Config)) -> Wire {
    let wire = Wire::configured(|config| {
        config.interface.addresses.push(format!("{NETLANE_V6}/64").parse().expect("an address"));
        change(config);
    });
    ip(&format!("-6 address add {KERNEL}/64 dev {DEVICE} nodad"));
    wire
}

fn without_offloads(config: &mut Config) {
    let Backend::Tap(tap) = &mut config.backend else { unreachable!("a wire is a TAP device") };
    tap.offload = false;
}

fn at_netlane(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(NETLANE_V6), port)
}

fn at_kernel(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(KERNEL), port)
}

#[test]
fn each_pings_the_other() {
    with_programs(&["ip", "ping"], || {
        let wire = wire();
        for size in [0, 56, 1452] {
            let said = run(&format!("ping -6 -n -c 5 -i 0.01 -s {size} {NETLANE_V6}"));
            assert!(said.contains("5 received"), "{said}");
        }
        let ping = PingSocket::open_from(wire.net(), Ipv6Addr::UNSPECIFIED.into()).expect("an identifier");
        for seq in 1..=5 {
            ping.send_to(seq, b"hello", KERNEL.into()).expect("room");
            assert_eq!(ping.recv_from(&mut [0; 16]).expect("a reply").seq, seq);
        }
    });
}

#[test]
fn all_nodes_and_the_link_local_address_answer_too() {
    with_programs(&["ip", "ping"], || {
        let wire = wire();
        let said = run(&format!("ping -6 -n -c 3 -i 0.01 ff02::1%{DEVICE}"));
        assert!(said.contains("fe80::"), "{said}");
        drop(wire);
    });
}

#[test]
fn much_arrives_from_the_kernel() {
    with_programs(&["ip"], || from_kernel(at_netlane(0), &wire()));
}

#[test]
fn much_arrives_from_the_kernel_without_offloads() {
    with_programs(&["ip"], || from_kernel(at_netlane(0), &configured(without_offloads)));
}

#[test]
fn much_arrives_at_the_kernel() {
    with_programs(&["ip"], || to_kernel(at_kernel(0), &wire()));
}

#[test]
fn much_arrives_at_the_kernel_without_offloads() {
    with_programs(&["ip"], || to_kernel(at_kernel(0), &configured(without_offloads)));
}

#[test]
fn curl_fetches_from_netlane_over_either_family() {
    with_programs(&["ip", "curl"], || {
        let (wire, folder) = (wire(), tempfile::tempdir().expect("a folder"));
        fs::write(folder.path().join("page"), "over the wire\n").expect("room on the disk");
        let listener = TcpListener::bind(wire.net(), "[::]:80").expect("a listener");
        let root = folder.path().to_owned();
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                http::serve(stream, root.as_path()).expect("a client that behaves");
            }
        });
        for (family, host) in [("-6", format!("[{NETLANE_V6}]")), ("-4", NETLANE.to_string())] {
            let said =
                start(&format!("curl {family} --globoff --silent --fail http://{host}/page")).succeed();
            assert_eq!(said, "over the wire\n");
        }
    });
}

#[test]
fn a_listener_on_all_addresses_sees_those_of_ipv4_as_mapped() {
    with_programs(&["ip"], || {
        let wire = wire();
        // The kernel's listener shows what is right.
        let theirs = net::TcpListener::bind("[::]:7000").expect("a listener");
        let client = net::TcpStream::connect("127.0.0.1:7000");
        let right = client.is_ok().then(|| theirs.accept().expect("a connection").1);
        assert!(right.is_none_or(|peer| peer.is_ipv6() && peer.ip().to_canonical().is_ipv4()));

        let ours = TcpListener::bind(wire.net(), "[::]:7001").expect("a listener");
        let client = net::TcpStream::connect((NETLANE, 7001)).expect("a connection");
        let (stream, peer) = ours.accept().expect("a connection");
        let IpAddr::V4(kernel) = client.local_addr().expect("connected").ip() else { panic!("IPv4") };
        assert_eq!(peer.ip(), IpAddr::V6(kernel.to_ipv6_mapped()));
        assert_eq!(stream.peer_addr().expect("connected"), peer);
        assert_eq!(stream.local_addr().expect("connected").ip(), IpAddr::V6(NETLANE.to_ipv6_mapped()));
    });
}

#[test]
fn nc_talks_to_netlane_both_ways() {
    with_programs(&["ip", "nc"], || {
        let wire = wire();
        let listener = TcpListener::bind(wire.net(), at_netlane(4000)).expect("a listener");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("noise");
        let sent = send(&mut fs::File::create(&file).expect("a file"), 16 << 20).expect("room on the disk");
        let mut nc = command(&format!("nc -6 -N {NETLANE_V6} 4000"));
        nc.stdin(fs::File::open(&file).expect("a file"));
        let nc = Program::start(nc);
        let (mut stream, _) = listener.accept().expect("a connection");
        assert_eq!(receive(&mut stream).expect("all arrives"), sent);
        drop(stream);
        drop(nc.succeed());

        let mut nc = command(&format!("nc -6 -n -v -N -l {KERNEL} 4001"));
        nc.stdin(fs::File::open(&file).expect("a file"));
        let mut nc = Program::start(nc);
        nc.wait_for("Listening");
        let mut stream = TcpStream::connect(wire.net(), at_kernel(4001)).expect("a connection");
        assert_eq!(receive(&mut stream).expect("all arrives"), sent);
        drop(stream);
        drop(nc.succeed());
    });
}

#[test]
fn iperf3_tests_netlane_both_ways() {
    with_programs(&["ip", "iperf3"], || {
        let wire = wire();
        let listener = TcpListener::bind(wire.net(), at_netlane(iperf3::PORT)).expect("a listener");
        for reverse in ["", "-R"] {
            let client = start(&format!("iperf3 -6 -J -c {NETLANE_V6} -t 1 {reverse}"));
            let outcome = iperf3::serve(wire.net(), &listener).expect("a client that behaves");
            drop(client.succeed());
            println!("MEASURED iperf3 {reverse} over IPv6: {} MB in a second", outcome.bytes >> 20);
            assert!(outcome.bytes > 10 << 20, "{} bytes", outcome.bytes);
        }
    });
}

#[test]
fn netlane_tests_iperf3_both_ways() {
    with_programs(&["ip", "iperf3"], || {
        let wire = wire();
        for reverse in [false, true] {
            let mut server = start(&format!("iperf3 -6 --forceflush -s -1 -B {KERNEL}"));
            server.wait_for("Server listening");
            let test = Test { duration: Duration::from_secs(1), streams: 1, reverse };
            let outcome =
                iperf3::run(wire.net(), at_kernel(iperf3::PORT), test).expect("a server that behaves");
            assert!(outcome.bytes > 10 << 20, "{} bytes", outcome.bytes);
            drop(server.succeed());
        }
    });
}

#[test]
fn nothing_is_wrong_in_the_capture() {
    with_programs(&["ip", "tshark", "ping"], || judge_capture(|_| {}));
}

#[test]
fn nothing_is_wrong_in_the_capture_without_offloads() {
    with_programs(&["ip", "tshark", "ping"], || judge_capture(without_offloads));
}

fn judge_capture(change: impl FnOnce(&mut Config)) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("netlane.pcapng");
    let wire = configured(|config| {
        config.capture = Some(Capture::to(&file));
        change(config);
    });
    make_traffic(&wire);
    // The file is complete when the host has ended.
    drop(wire);
    judge(&file);
}

fn make_traffic(wire: &Wire) {
    let listener = net::TcpListener::bind(at_kernel(0)).expect("a listener");
    let address = listener.local_addr().expect("bound");
    for len in [1_u64, 1 << 20, 16 << 20] {
        let mut ours = TcpStream::connect(wire.net(), address).expect("a connection");
        let (mut theirs, _) = listener.accept().expect("a connection");
        let kernel = thread::spawn(move || receive(&mut theirs).expect("all arrives"));
        let sent = send(&mut ours, len).expect("all is sent");
        drop(ours);
        assert_eq!(kernel.join().expect("the kernel's side"), sent);
    }
    let netlane = UdpSocket::bind(wire.net(), at_netlane(0)).expect("a socket");
    let kernel = net::UdpSocket::bind(at_kernel(0)).expect("a socket");
    for size in [1, 1452] {
        netlane.send_to(&vec![7; size], kernel.local_addr().expect("bound")).expect("room");
        kernel.recv_from(&mut [0; 2048]).expect("a datagram");
        kernel.send_to(&vec![7; size], netlane.local_addr().expect("bound")).expect("room");
        netlane.recv_from(&mut [0; 2048]).expect("a datagram");
    }
    // Nobody listens there.
    kernel.connect(at_netlane(9)).expect("a route");
    kernel.send(b"anybody?").expect("room");
    kernel.recv(&mut [0; 16]).expect_err("an error from netlane");
    drop(run(&format!("ping -6 -c 3 -i 0.01 -s 1400 {NETLANE_V6}")));
}

fn judge(file: &Path) {
    // With offloads, the kernel's datagram that an error quotes had no checksum yet.
    assert_eq!(packets(file, &format!("({BROKEN}) && !(icmpv6.type == 1)")), [""; 0]);
    assert_eq!(packets(file, "icmpv6.checksum.status == Bad"), [""; 0]);
    // The filters see what they should.
    let seen = |filter: &str| packets(file, filter).len();
    assert!(seen(&format!("tcp.len > 0 && ipv6.src == {NETLANE_V6} && tcp.checksum.status == Good")) > 100);
    assert!(
        seen(&format!("icmpv6.type == 135 && icmpv6.nd.ns.target_address == {NETLANE_V6}")) > 0,
        "it asks"
    );
    assert!(seen("icmpv6.type == 143 && ipv6.dst == ff02::16") > 0, "it reports its groups");
    assert_eq!(seen("icmpv6.type == 129 && icmpv6.checksum.status == Good"), 3);
    assert_eq!(seen("icmpv6.type == 1 && icmpv6.code == 4"), 1);
}
