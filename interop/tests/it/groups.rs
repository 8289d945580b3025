//! Multicast groups, with Python's sockets in them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use netlane_interop::namespace::with_programs;
use netlane_interop::program::{Program, command};
use netlane_interop::wire::{DEVICE, KERNEL, Wire, at_kernel, ip};
use netlane_posix::{GroupChange, UdpSocket};

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);

/// Joins the group at the kernel's end, and sends back what it hears to whoever sent it and to the group.
const MEMBER: &str = "
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(('', 5000))
sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton('239.1.2.3') + socket.inet_aton('10.9.0.1'))
sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton('10.9.0.1'))
sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
print('member', flush=True)
while True:
    data, peer = sock.recvfrom(2000)
    sock.sendto(b'to you: ' + data, peer)
    sock.sendto(b'to all: ' + data, ('239.1.2.3', peer[1]))
";

#[test]
fn members_at_both_ends_hear_each_other() {
    with_programs(&["python3", "ip"], || {
        let wire = Wire::new();
        ip(&format!("route add 239.0.0.0/8 dev {DEVICE}"));
        let mut line = command("python3 -c");
        line.arg(MEMBER);
        let mut python = Program::start(line);
        python.wait_for("member");
        let socket = UdpSocket::bind(wire.net(), "0.0.0.0:0").expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a time limit");
        socket.set_multicast_loop_v4(false).expect("a switch");
        socket.join_multicast_v4(&GROUP, &Ipv4Addr::UNSPECIFIED).expect("a group");
        let again = socket.join_multicast_v4(&GROUP, &Ipv4Addr::UNSPECIFIED).expect_err("a member already");
        assert_eq!(again.kind(), std::io::ErrorKind::AddrInUse);
        socket.send_to(b"hello", SocketAddr::from((GROUP, 5_000))).expect("room");
        let mut heard = Vec::new();
        for _ in 0..2 {
            let mut bytes = [0; 100];
            let (len, from) = socket.recv_from(&mut bytes).expect("an answer");
            assert_eq!(from, at_kernel(5_000));
            heard.push(String::from_utf8_lossy(&bytes[..len]).into_owned());
        }
        heard.sort();
        assert_eq!(heard, ["to all: hello", "to you: hello"]);
        socket.leave_multicast_v4(&GROUP, &KERNEL).expect("a member");
        socket.send_to(b"again", SocketAddr::from((GROUP, 5_000))).expect("room");
        let mut bytes = [0; 100];
        let (len, _) = socket.recv_from(&mut bytes).expect("an answer");
        assert_eq!(bytes[..len], *b"to you: again");
        socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a time limit");
        assert!(socket.recv_from(&mut bytes).is_err(), "what goes to the group is no longer heard");
    });
}

/// The same over IPv6.
const MEMBER_V6: &str = "
import socket, struct
sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
sock.bind(('::', 5000))
index = socket.if_nametoindex('netlane0')
group = socket.inet_pton(socket.AF_INET6, 'ff15::77')
sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group + struct.pack('I', index))
sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
print('member', flush=True)
while True:
    data, peer = sock.recvfrom(2000)
    sock.sendto(b'to you: ' + data, peer)
    sock.sendto(b'to all: ' + data, ('ff15::77', peer[1], 0, index))
";

#[test]
fn members_of_a_group_of_ipv6_hear_each_other_and_choose_whom() {
    with_programs(&["python3", "ip"], || {
        let wire = Wire::configured(|config| {
            config.interface.addresses.push("fd09::2/64".parse().expect("an address"));
        });
        ip(&format!("-6 address add fd09::1/64 dev {DEVICE} nodad"));
        let mut line = command("python3 -c");
        line.arg(MEMBER_V6);
        let mut python = Program::start(line);
        python.wait_for("member");
        let group: Ipv6Addr = "ff15::77".parse().expect("a group");
        let socket = UdpSocket::bind(wire.net(), "[::]:0").expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a time limit");
        socket.join_multicast_v6(&group, 0).expect("a group");
        socket.set_multicast_loop_v6(false).expect("a switch");
        let hear = |said: &[u8]| {
            socket.send_to(said, SocketAddr::from((group, 5_000))).expect("room");
            let mut bytes = [0; 100];
            let mut heard: Vec<_> = std::iter::from_fn(|| {
                let (len, from) = socket.recv_from(&mut bytes).ok()?;
                Some((String::from_utf8_lossy(&bytes[..len]).into_owned(), from.ip()))
            })
            .take(2)
            .collect();
            heard.sort();
            heard
        };
        let kernel =
            |heard: Vec<(String, IpAddr)>| heard.into_iter().map(|(said, _)| said).collect::<Vec<_>>();
        let both = hear(b"hello");
        let sender = both[0].1;
        assert_eq!(kernel(both), ["to all: hello", "to you: hello"]);
        socket.change_group(group.into(), GroupChange::Block(sender)).expect("a member");
        socket.set_read_timeout(Some(Duration::from_millis(300))).expect("a time limit");
        assert_eq!(kernel(hear(b"blocked")), ["to you: blocked"]);
        socket.change_group(group.into(), GroupChange::Unblock(sender)).expect("a member");
        assert_eq!(kernel(hear(b"again")), ["to all: again", "to you: again"]);
    });
}
