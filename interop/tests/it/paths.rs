//! A path that carries less than the links at its ends, with the kernel as the router between them.

use std::fs;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use netlane_config::Route;
use netlane_interop::bytes::send;
use netlane_interop::namespace::with_programs;
use netlane_interop::program::{Program, command, run};
use netlane_interop::wire::{KERNEL, NETLANE, Wire, at_netlane, ip};
use netlane_posix::{TcpStream, UdpSocket};

/// The host behind the router.
const FAR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 8, 0, 2)), 7_000);
/// What the router's link to it carries.
const NARROW: usize = 1_000;
const PROGRAMS: &[&str] = &["ip", "nsenter", "unshare", "python3"];

/// Counts what comes over TCP, says how much of UDP came, and by that that it was whole.
const FAR_HOST: &str = "
import os, socket, threading
tcp = socket.create_server(('', 7000))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(('', 7000))
def datagrams():
    while True:
        data, peer = udp.recvfrom(70000)
        udp.sendto(str(len(data)).encode(), peer)
threading.Thread(target=datagrams, daemon=True).start()
print('far host', os.getpid(), flush=True)
while True:
    stream, _ = tcp.accept()
    total = 0
    while chunk := stream.recv(65536):
        total += len(chunk)
    stream.sendall(str(total).encode())
    stream.close()
";

/// A wire, and a far host that is reached over the kernel.
fn narrow_path() -> (Wire, Program) {
    let wire = Wire::configured(|config| {
        let to = "10.8.0.0/24".parse().expect("a network");
        config.routes = vec![Route { to, via: KERNEL.into(), metric: 0 }];
    });
    fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("the kernel forwards");
    let mut line = command("unshare --net python3 -c");
    line.arg(FAR_HOST);
    let mut host = Program::start(line);
    let said = host.wait_for("far host");
    let pid = said.rsplit(' ').next().expect("a process");
    let there = |arguments: &str| run(&format!("nsenter -t {pid} -n ip {arguments}"));
    ip(&format!("link add near mtu {NARROW} type veth peer name far mtu 1500"));
    ip(&format!("link set far netns {pid}"));
    ip("address add 10.8.0.1/24 dev near");
    ip("link set near up");
    there("address add 10.8.0.2/24 dev far");
    there("link set far up");
    there("route add default via 10.8.0.1");
    (wire, host)
}

#[test]
fn streams_find_out_what_the_path_carries() {
    with_programs(PROGRAMS, || {
        let (wire, _host) = narrow_path();
        for _ in 0..2 {
            let mut stream = TcpStream::connect(wire.net(), FAR).expect("a connection");
            send(&mut stream, 4 << 20).expect("all is sent");
            stream.shutdown(std::net::Shutdown::Write).expect("a connection");
            let mut total = String::new();
            stream.read_to_string(&mut total).expect("the far host's answer");
            assert_eq!(total, (4 << 20).to_string());
        }
        assert_eq!(wire.counted("path_mtus_learnt"), 1);
        assert_eq!(wire.counted("tcp_black_holes"), 0);
    });
}

#[test]
fn streams_get_through_where_the_router_says_nothing() {
    with_programs(PROGRAMS, || {
        let (wire, _host) = narrow_path();
        ip(&format!("rule add to {NETLANE} ipproto icmp blackhole"));
        let mut stream = TcpStream::connect(wire.net(), FAR).expect("a connection");
        send(&mut stream, 1 << 20).expect("all is sent");
        stream.shutdown(std::net::Shutdown::Write).expect("a connection");
        let mut total = String::new();
        stream.read_to_string(&mut total).expect("the far host's answer");
        assert_eq!(total, (1 << 20).to_string());
        assert_eq!(wire.counted("path_mtus_learnt"), 0);
        // Segments of 1,024 bytes are too large here too.
        assert_eq!(wire.counted("tcp_black_holes"), 2);
    });
}

#[test]
fn datagrams_are_cut_to_what_the_path_carries() {
    with_programs(PROGRAMS, || {
        let (wire, _host) = narrow_path();
        let socket = UdpSocket::bind(wire.net(), at_netlane(0)).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a time limit");
        let mut answer = [0; 16];
        for size in [100, 1_472, 5_000] {
            // The first one that is too large is lost, and tells what the path carries.
            let heard = (0..20).find_map(|_| {
                socket.send_to(&vec![7; size], FAR).expect("room");
                socket.recv_from(&mut answer).ok()
            });
            let (len, _) = heard.expect("an answer");
            assert_eq!(answer[..len], *size.to_string().as_bytes());
        }
        assert_eq!(wire.counted("path_mtus_learnt"), 1);
    });
}
