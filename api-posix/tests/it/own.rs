//! What only netlane has, or does in its own way.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use netlane_config::{Backend, Limits, MemoryBackend};
use netlane_posix::{
    BindOptions, CongestionAlgorithm, GroupChange, KeepAlive, ListenOptions, Netlane, PingSocket, Poller,
    Readiness, TcpListener, TcpStream, UdpSocket,
};
use rustix::io::Errno;

use crate::network::{CLIENT, SERVER, config, two_hosts, two_hosts_with};

/// Long enough to be noticed, short enough to be waited for in vain.
const SOON: Duration = Duration::from_millis(50);
/// Nothing here takes so long.
const LONG: Duration = Duration::from_secs(20);

fn errno<T>(outcome: io::Result<T>) -> Option<Errno> {
    Errno::from_io_error(&outcome.err().expect("an error"))
}

fn connection(server: &Netlane, client: &Netlane) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(server, (SERVER, 0)).unwrap();
    let stream = TcpStream::connect(client, listener.local_addr().unwrap()).unwrap();
    (listener.accept().unwrap().0, stream)
}

#[test]
fn sockets_keep_their_network_alive() {
    let (server, client) = two_hosts();
    let (mut served, mut stream) = connection(&server, &client);
    drop((server, client));
    stream.write_all(b"still here").unwrap();
    drop(stream);
    let mut said = String::new();
    served.read_to_string(&mut said).unwrap();
    assert_eq!(said, "still here");
}

#[test]
fn sockets_of_a_host_that_has_ended_say_so() {
    let (a, b) = netlane_runtime::Host::pair(&config(SERVER), &config(CLIENT)).unwrap();
    let (server, client) = (Netlane::attach(a.client()), Netlane::from(b));
    let listener = TcpListener::bind(&server, (SERVER, 0)).unwrap();
    let _stream = TcpStream::connect(&client, listener.local_addr().unwrap()).unwrap();
    let (mut served, _) = listener.accept().unwrap();
    let mut clone = served.try_clone().unwrap();
    let reader = thread::spawn(move || errno(clone.read(&mut [0; 4])));
    a.stop();
    assert_eq!(reader.join().unwrap(), Some(Errno::NETDOWN));
    assert_eq!(errno(served.read(&mut [0; 4])), Some(Errno::NETDOWN));
    assert_eq!(errno(served.write(b"x")), Some(Errno::NETDOWN));
    assert_eq!(errno(listener.accept()), Some(Errno::NETDOWN));
    assert_eq!(errno(TcpListener::bind(&server, (SERVER, 0))), Some(Errno::NETDOWN));
    assert_eq!(errno(UdpSocket::bind(&server, (SERVER, 0))), Some(Errno::NETDOWN));
}

#[test]
fn many_threads_use_one_connection_and_lose_nothing() {
    const THREADS: usize = 4;
    const WRITES: usize = 500;
    let (server, client) = two_hosts();
    let (served, stream) = connection(&server, &client);
    let received = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut bytes = [0; 1000];
                loop {
                    match (&served).read(&mut bytes).unwrap() {
                        0 => break,
                        n => received.fetch_add(n, Ordering::Relaxed),
                    };
                }
            });
        }
        thread::scope(|writers| {
            for _ in 0..THREADS {
                writers.spawn(|| (0..WRITES).for_each(|_| (&stream).write_all(&[7; 1500]).unwrap()));
            }
        });
        stream.shutdown(std::net::Shutdown::Write).unwrap();
    });
    assert_eq!(received.into_inner(), THREADS * WRITES * 1500);
}

#[test]
fn many_threads_accept_and_connect_at_once() {
    const THREADS: usize = 8;
    const CONNECTIONS: usize = 25;
    let (server, client) = two_hosts();
    let listener = TcpListener::bind(&server, (SERVER, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for stream in listener.incoming().take(CONNECTIONS) {
                    let mut stream = stream.unwrap();
                    let mut number = [0; 8];
                    stream.read_exact(&mut number).unwrap();
                    stream.write_all(&number).unwrap();
                }
            });
            scope.spawn(|| {
                for number in 0..CONNECTIONS {
                    let mut stream = TcpStream::connect(&client, address).unwrap();
                    stream.write_all(&number.to_ne_bytes()).unwrap();
                    let mut echo = Vec::new();
                    stream.read_to_end(&mut echo).unwrap();
                    assert_eq!(echo, number.to_ne_bytes());
                }
            });
        }
    });
}

#[test]
fn a_host_reaches_itself() {
    let (_server, client) = two_hosts();
    assert_eq!(errno(TcpStream::connect(&client, (CLIENT, 80))), Some(Errno::CONNREFUSED));
    let listener = TcpListener::bind(&client, (CLIENT, 80)).unwrap();
    let mut stream = TcpStream::connect(&client, (CLIENT, 80)).unwrap();
    stream.write_all(b"to myself").unwrap();
    let mut arrived = [0; 9];
    listener.accept().unwrap().0.read_exact(&mut arrived).unwrap();
    assert_eq!(&arrived, b"to myself");
}

#[test]
fn addresses_that_no_route_leads_to_are_unreachable_at_once() {
    let (_server, client) = two_hosts();
    assert_eq!(errno(TcpStream::connect(&client, "192.0.2.1:80")), Some(Errno::NETUNREACH));
    let far: SocketAddr = "192.0.2.1:80".parse().unwrap();
    assert_eq!(errno(TcpStream::connect_nonblocking(&client, &far)), Some(Errno::NETUNREACH));
}

#[test]
fn neighbours_that_do_not_answer_are_unreachable() {
    let (_server, client) = two_hosts();
    let absent = "10.0.0.99:80";
    let timed_out = TcpStream::connect_timeout(&client, &absent.parse().unwrap(), SOON).unwrap_err();
    assert_eq!((timed_out.kind(), timed_out.raw_os_error()), (ErrorKind::TimedOut, None));
    assert_eq!(errno(TcpStream::connect(&client, absent)), Some(Errno::HOSTUNREACH));
}

#[test]
fn sockets_of_ipv4_reach_no_address_of_ipv6() {
    let (server, client) = two_hosts();
    let socket = UdpSocket::bind(&server, (SERVER, 0)).unwrap();
    assert_eq!(errno(socket.send_to(b"x", "[fd00::9]:80")), Some(Errno::AFNOSUPPORT));
    assert_eq!(errno(socket.connect("[fd00::9]:80")), Some(Errno::AFNOSUPPORT));
    let local = SocketAddr::new(CLIENT.parse().unwrap(), 0);
    assert_eq!(errno(TcpStream::connect_from(&client, local, "[fd00::9]:80")), Some(Errno::AFNOSUPPORT));
    // These hosts have no address of IPv6, and thus no way there.
    assert_eq!(errno(TcpStream::connect(&client, "[fd00::9]:80")), Some(Errno::NETUNREACH));
}

#[test]
fn sockets_of_ipv6_see_addresses_of_ipv4_as_mapped() {
    let (server, client) = two_hosts();
    let mapped = |address: &str| format!("::ffff:{address}").parse::<IpAddr>().unwrap();
    let listener = TcpListener::bind(&server, "[::]:80").unwrap();
    let stream = TcpStream::connect(&client, (SERVER, 80)).unwrap();
    let (served, peer) = listener.accept().unwrap();
    assert_eq!((peer.ip(), served.peer_addr().unwrap()), (mapped(CLIENT), peer));
    assert_eq!(served.local_addr().unwrap().ip(), mapped(SERVER));
    assert!(stream.peer_addr().unwrap().is_ipv4());

    let (here, there) =
        (UdpSocket::bind(&client, "[::]:0").unwrap(), UdpSocket::bind(&server, "[::]:53").unwrap());
    here.send_to(b"question", SocketAddr::new(mapped(SERVER), 53)).unwrap();
    let (_, from) = there.recv_from(&mut [0; 16]).unwrap();
    assert_eq!(from.ip(), mapped(CLIENT));
    there.send_to(b"answer", from).unwrap();
    assert_eq!(here.recv_from(&mut [0; 16]).unwrap().1.ip(), mapped(SERVER));
}

#[test]
fn groups_of_both_families_are_joined_and_senders_in_them_chosen() {
    let dual = |v4: &str, v6: &str| {
        let mut config = config(v4);
        config.interface.addresses.push(v6.parse().unwrap());
        config.interface.duplicate_address_detection = false;
        config
    };
    let (server, client) = Netlane::pair(&dual(SERVER, "fd00::1/64"), &dual(CLIENT, "fd00::2/64")).unwrap();
    let (group_v4, group_v6) = (Ipv4Addr::new(239, 1, 2, 3), "ff05::77".parse().unwrap());
    let member = UdpSocket::bind(&server, "[::]:53").unwrap();
    member.join_multicast_v4(&group_v4, &Ipv4Addr::UNSPECIFIED).unwrap();
    member.join_multicast_v6(&group_v6, 0).unwrap();
    assert_eq!(errno(member.join_multicast_v6(&group_v6, 0)), Some(Errno::ADDRINUSE));
    assert_eq!(errno(member.join_multicast_v6(&"fd00::1".parse().unwrap(), 0)), Some(Errno::INVAL));
    let sender = UdpSocket::bind(&client, "[::]:0").unwrap();
    sender.set_multicast_hops_v6(3).unwrap();
    assert_eq!(errno(sender.set_multicast_hops_v6(256)), Some(Errno::INVAL));
    member.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    for group in [IpAddr::from(group_v4), group_v6.into()] {
        sender.send_to(b"hello", (group, 53)).unwrap();
        assert_eq!(member.recv_from(&mut [0; 8]).unwrap().0, 5);
    }
    let from: IpAddr = "fd00::2".parse().unwrap();
    member.change_group(group_v6.into(), GroupChange::Block(from)).unwrap();
    assert_eq!(
        errno(member.change_group(group_v6.into(), GroupChange::Block(from))),
        Some(Errno::ADDRNOTAVAIL)
    );
    assert_eq!(
        errno(member.change_group(group_v6.into(), GroupChange::JoinSource(from))),
        Some(Errno::INVAL)
    );
    sender.send_to(b"blocked", (group_v6, 53)).unwrap();
    sender.send_to(b"for one", ("fd00::1", 53)).unwrap();
    let mut bytes = [0; 8];
    assert_eq!(member.recv_from(&mut bytes).unwrap().0, 7);
    assert_eq!(bytes[..7], *b"for one");
    member.change_group(group_v6.into(), GroupChange::Unblock(from)).unwrap();
    sender.send_to(b"again", (group_v6, 53)).unwrap();
    assert_eq!(member.recv_from(&mut [0; 8]).unwrap().0, 5);
    member.leave_multicast_v6(&group_v6, 0).unwrap();
    assert_eq!(errno(member.leave_multicast_v6(&group_v6, 0)), Some(Errno::ADDRNOTAVAIL));
}

#[test]
fn one_call_sends_many_datagrams() {
    let (server, client) = two_hosts_with(|config| {
        config.backend = Backend::Memory(MemoryBackend { offload: true, ..MemoryBackend::default() });
    });
    let there = UdpSocket::bind(&server, (SERVER, 53)).unwrap();
    let here = UdpSocket::bind(&client, (CLIENT, 0)).unwrap();
    let remote = there.local_addr().unwrap();
    let payload: Vec<u8> = (0..3_500).map(|n| n as u8).collect();
    let mut bytes = vec![0; 65_535];
    // The first packet asks for the neighbour.
    here.send_to(b"hello", remote).unwrap();
    assert_eq!(there.recv(&mut bytes).unwrap(), 5);
    assert_eq!(here.send_segments_to(&payload, 1_000, remote).unwrap(), 3_500);
    for expected in payload.chunks(1_000) {
        let len = there.recv(&mut bytes).unwrap();
        assert_eq!(bytes[..len], *expected);
    }
    there.set_takes_joined(true);
    // What the lane answers from here on, it does after that.
    server.client().counters(0).unwrap();
    here.send_segments_to(&payload, 1_000, remote).unwrap();
    let (len, segment_size, from) = there.recv_segments_from(&mut bytes).unwrap();
    assert_eq!((&bytes[..len], segment_size, from), (&payload[..], 1_000, here.local_addr().unwrap()));
    assert_eq!(errno(here.send_segments_to(&payload, 0, remote)), Some(Errno::INVAL));
    assert_eq!(errno(here.send_segments_to(&payload, 1, remote)), Some(Errno::MSGSIZE));

    let many: Vec<(&[u8], SocketAddr)> = payload.chunks(500).map(|chunk| (chunk, remote)).collect();
    assert_eq!(here.send_many(&many).unwrap(), 7);
    for expected in payload.chunks(500) {
        let (len, segment_size, _) = there.recv_segments_from(&mut bytes).unwrap();
        assert_eq!((&bytes[..len], segment_size), (expected, 500));
    }
}

#[test]
fn connections_can_leave_from_a_port_of_ones_choice() {
    let (server, client) = two_hosts();
    let listener = TcpListener::bind(&server, (SERVER, 0)).unwrap();
    let remote = listener.local_addr().unwrap();
    let local: SocketAddr = format!("{CLIENT}:4321").parse().unwrap();
    let _stream = TcpStream::connect_from(&client, local, remote).unwrap();
    assert_eq!(listener.accept().unwrap().1, local);
    assert_eq!(errno(TcpStream::connect_from(&client, local, remote)), Some(Errno::ADDRNOTAVAIL));
    let foreign = "192.0.2.1:0".parse().unwrap();
    assert_eq!(errno(TcpStream::connect_from(&client, foreign, remote)), Some(Errno::ADDRNOTAVAIL));
}

#[test]
fn the_table_of_sockets_ends() {
    const SOCKETS: usize = 8;
    let limits = Limits { sockets: SOCKETS, ..Limits::default() };
    let (server, _client) = two_hosts_with(|config| config.limits = limits.clone());
    let bind = || UdpSocket::bind(&server, (SERVER, 0));
    let mut sockets: Vec<_> = (0..SOCKETS).map(|_| bind().unwrap()).collect();
    assert_eq!(errno(bind()), Some(Errno::MFILE));
    assert_eq!(errno(TcpListener::bind(&server, (SERVER, 0))), Some(Errno::MFILE));
    sockets.pop();
    // Closing happens behind the program's back; what the lane answers from here on, it does after that.
    server.client().counters(0).unwrap();
    bind().unwrap();
}

#[test]
fn no_more_wait_to_be_accepted_than_the_backlog_and_what_the_stack_holds() {
    let (server, client) = two_hosts();
    let options = ListenOptions { backlog: 2, ..ListenOptions::default() };
    let listener = TcpListener::bind_with(&server, (SERVER, 0), options).unwrap();
    let address = listener.local_addr().unwrap();
    let connect = || TcpStream::connect_timeout(&client, &address, Duration::from_millis(500));
    let waiting: Vec<_> = std::iter::from_fn(|| connect().ok()).take(100).collect();
    assert!((2..=8).contains(&waiting.len()), "{} wait", waiting.len());
    for _ in &waiting {
        listener.accept().unwrap();
    }
    connect().unwrap();
}

/// Datagrams and connections go to the socket that names their address.
#[test]
fn one_address_and_all_addresses_share_a_port_where_both_agree() {
    let (server, client) = two_hosts();
    let bind = BindOptions { reuse_port: true, ..BindOptions::default() };
    let options = ListenOptions { bind, ..ListenOptions::default() };
    let all = TcpListener::bind_with(&server, "0.0.0.0:80", options).unwrap();
    assert_eq!(errno(TcpListener::bind(&server, (SERVER, 80))), Some(Errno::ADDRINUSE));
    let one = TcpListener::bind_with(&server, (SERVER, 80), options).unwrap();
    all.set_nonblocking(true).unwrap();
    let _stream = TcpStream::connect(&client, (SERVER, 80)).unwrap();
    one.accept().unwrap();
    assert_eq!(errno(all.accept()), Some(Errno::AGAIN));

    let bind = BindOptions { reuse_address: true, ..BindOptions::default() };
    let all = UdpSocket::bind_with(&server, "0.0.0.0:80", bind).unwrap();
    let one = UdpSocket::bind_with(&server, (SERVER, 80), bind).unwrap();
    let sender = UdpSocket::bind(&client, (CLIENT, 0)).unwrap();
    sender.send_to(b"x", (SERVER, 80)).unwrap();
    assert_eq!(one.recv(&mut [0; 4]).unwrap(), 1);
    all.set_nonblocking(true).unwrap();
    assert_eq!(errno(all.recv(&mut [0; 4])), Some(Errno::AGAIN));
}

#[test]
fn socket_for_ipv6_alone_has_nothing_to_do_with_ipv4() {
    let (server, _client) = two_hosts();
    let only_v6 = BindOptions { only_v6: true, ..BindOptions::default() };
    let socket = UdpSocket::bind_with(&server, "[::]:53", only_v6).unwrap();
    UdpSocket::bind(&server, "0.0.0.0:53").unwrap();
    // As in Linux.
    assert_eq!(errno(socket.send_to(b"x", (CLIENT, 80))), Some(Errno::NETUNREACH));
    assert_eq!(errno(socket.connect((CLIENT, 80))), Some(Errno::NETUNREACH));
}

/// Linux waits for a byte that it does not deliver.
#[test]
fn reading_no_bytes_never_waits() {
    let (server, client) = two_hosts();
    let (_served, mut stream) = connection(&server, &client);
    assert_eq!(stream.read(&mut []).unwrap(), 0);
    assert_eq!(stream.peek(&mut []).unwrap(), 0);
}

#[test]
fn giving_up_an_attempt_to_connect() {
    let (_server, client) = two_hosts();
    let absent = "10.0.0.99:80".parse().unwrap();
    let mut stream = TcpStream::connect_nonblocking(&client, &absent).unwrap();
    assert_eq!(errno(stream.peer_addr()), Some(Errno::NOTCONN));
    assert_eq!(errno(stream.read(&mut [0; 4])), Some(Errno::AGAIN));
    assert_eq!(errno(stream.write(b"x")), Some(Errno::AGAIN));
    stream.shutdown(std::net::Shutdown::Both).unwrap();
    assert_eq!(errno(stream.shutdown(std::net::Shutdown::Both)), Some(Errno::NOTCONN));
    assert_eq!(errno(stream.write(b"x")), Some(Errno::PIPE));
}

#[test]
fn lingering_waits_for_a_peer_that_reads_late_and_not_for_ever() {
    let (server, client) = two_hosts();
    let much = vec![7; 4 << 20];
    let (mut served, mut stream) = connection(&server, &client);
    stream.set_linger(Some(LONG)).unwrap();
    stream.set_nonblocking(true).unwrap();
    let written = fill(&mut stream, &much);
    let reader = thread::spawn(move || io::copy(&mut served, &mut io::sink()).unwrap());
    drop(stream);
    // What has not arrived by now never will without the client's help.
    assert_eq!(reader.join().unwrap(), written as u64);

    let (_served, mut stream) = connection(&server, &client);
    stream.set_linger(Some(SOON)).unwrap();
    stream.set_nonblocking(true).unwrap();
    fill(&mut stream, &much);
    let began = Instant::now();
    drop(stream);
    assert!((SOON..LONG).contains(&began.elapsed()), "{:?}", began.elapsed());
}

/// Writes until nothing goes in any more, and so neither does anything go out.
fn fill(stream: &mut TcpStream, bytes: &[u8]) -> usize {
    let mut written = 0;
    while let Ok(n) = stream.write(bytes) {
        written += n;
    }
    written
}

#[test]
fn keepalive_is_remembered_and_harmless_while_the_peer_lives() {
    let (server, client) = two_hosts();
    let (_served, mut stream) = connection(&server, &client);
    assert_eq!(stream.keepalive().unwrap(), None);
    let keepalive =
        KeepAlive { idle: Duration::from_millis(5), interval: Duration::from_secs(10), probes: 1 };
    stream.set_keepalive(Some(keepalive)).unwrap();
    assert_eq!(stream.keepalive().unwrap(), Some(keepalive));
    stream.set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(errno(stream.read(&mut [0; 4])), Some(Errno::AGAIN));
    assert!(client.client().counters(0).unwrap().get("tcp_keepalive_probes").unwrap() > 0);
    stream.set_keepalive(None).unwrap();
    assert_eq!(stream.keepalive().unwrap(), None);
}

#[test]
fn user_timeout_is_remembered_and_harmless_while_the_peer_answers() {
    let (server, client) = two_hosts();
    let (_served, mut stream) = connection(&server, &client);
    assert_eq!(stream.user_timeout().unwrap(), None);
    let timeout = Some(Duration::from_secs(5));
    stream.set_user_timeout(timeout).unwrap();
    assert_eq!(stream.user_timeout().unwrap(), timeout);
    assert_eq!(stream.write(b"still here").unwrap(), 10);
    stream.set_user_timeout(None).unwrap();
    assert_eq!(stream.user_timeout().unwrap(), None);
}

#[test]
fn pings_are_answered_with_what_they_carry() {
    let (_server, client) = two_hosts();
    let socket = PingSocket::open(&client).unwrap();
    assert_ne!(socket.ident().unwrap(), 0);
    socket.set_read_timeout(Some(LONG)).unwrap();
    let server = SERVER.parse().unwrap();
    for seq in 1..=3 {
        assert_eq!(socket.send_to(seq, b"are you there", server).unwrap(), 13);
        let mut payload = [0; 32];
        let reply = socket.recv_from(&mut payload).unwrap();
        assert_eq!((reply.from, reply.seq), (server, seq));
        assert_eq!(&payload[..reply.len], b"are you there");
    }
    socket.send_to(9, b"long", server).unwrap();
    let mut short = [0; 2];
    assert_eq!(socket.recv_from(&mut short).unwrap().len, 2);
    assert_eq!(&short, b"lo");
    socket.set_nonblocking(true).unwrap();
    assert_eq!(errno(socket.recv_from(&mut short)), Some(Errno::AGAIN));
    assert_eq!(socket.read_timeout().unwrap(), Some(LONG));
    assert!(socket.take_error().unwrap().is_none());
}

#[test]
fn pings_to_nobody_tell_that_nobody_is_there() {
    let (_server, client) = two_hosts();
    let socket = PingSocket::open(&client).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    socket.send_to(1, b"hello", "192.0.2.1".parse().unwrap()).unwrap();
    assert_eq!(errno(socket.recv_from(&mut [0; 8])), Some(Errno::HOSTUNREACH));
    assert_eq!(errno(socket.send_to(1, b"", "::1".parse().unwrap())), Some(Errno::AFNOSUPPORT));
}

#[test]
fn one_thread_serves_many_sockets_with_a_poller() {
    const LISTENER: u64 = 0;
    const DATAGRAMS: u64 = 1;
    const STREAM: u64 = 2;
    let (server, client) = two_hosts();
    let poller = Poller::new(&server).unwrap();
    let listener = TcpListener::bind(&server, (SERVER, 0)).unwrap();
    let datagrams = UdpSocket::bind(&server, (SERVER, 0)).unwrap();
    poller.add(&listener, LISTENER, Readiness::READABLE).unwrap();
    poller.add(&datagrams, DATAGRAMS, Readiness::READABLE).unwrap();
    let next = |timeout| {
        let mut events = Vec::new();
        poller.wait(&mut events, Some(timeout));
        events.iter().map(|event| event.token).collect::<Vec<_>>()
    };
    assert!(next(SOON).is_empty());

    let mut stream = TcpStream::connect(&client, listener.local_addr().unwrap()).unwrap();
    assert_eq!(next(LONG), [LISTENER]);
    assert_eq!(next(LONG), [LISTENER], "it is still ready");
    let (served, _) = listener.accept().unwrap();
    poller.add(&served, STREAM, Readiness::READABLE).unwrap();
    stream.write_all(b"x").unwrap();
    assert_eq!(next(LONG), [STREAM]);
    poller.modify(&served, STREAM, Readiness::WRITABLE).unwrap();
    assert_eq!(next(LONG), [STREAM]);
    poller.remove(&served).unwrap();
    assert_eq!(errno(poller.remove(&served)), Some(Errno::NOENT));

    let sender = UdpSocket::bind(&client, (CLIENT, 0)).unwrap();
    sender.send_to(b"x", datagrams.local_addr().unwrap()).unwrap();
    assert_eq!(next(LONG), [DATAGRAMS]);
    assert_eq!(errno(poller.add(&datagrams, 5, Readiness::READABLE)), Some(Errno::EXIST));
    assert_eq!(errno(poller.add(&sender, 5, Readiness::READABLE)), Some(Errno::INVAL));
    drop(datagrams);
    poller.wake();
    assert!(next(LONG).is_empty(), "woken without an event");
}

#[test]
fn connection_tells_how_it_fares() {
    let (server, client) = two_hosts();
    let (_served, mut stream) = connection(&server, &client);
    assert_eq!(stream.congestion_control().unwrap(), CongestionAlgorithm::Cubic);
    stream.set_congestion_control(CongestionAlgorithm::NewReno).unwrap();
    assert_eq!(stream.congestion_control().unwrap(), CongestionAlgorithm::NewReno);
    stream.set_max_segment(600).unwrap();
    assert!(stream.info().unwrap().send_mss <= 600);
    assert_eq!(stream.set_max_segment(87).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(stream.set_syn_retries(0).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(!stream.cork().unwrap());
    stream.set_cork(true).unwrap();
    assert!(stream.cork().unwrap());
    assert_eq!(stream.write(b"held for a while, and sent").unwrap(), 26);
    stream.set_cork(false).unwrap();
    assert_eq!(stream.info().unwrap().state, netlane_posix::TcpState::Established);
}
