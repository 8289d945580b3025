//! UDP and ping.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use netlane_runtime::{BindError, DatagramHeader, Readiness, RecvError, SendError, Socket, SocketError};

use crate::two_hosts::{CLIENT, SERVER, TwoHosts, soon};

fn receive(socket: &Socket) -> (Vec<u8>, DatagramHeader) {
    socket.wait(Readiness::READABLE, soon()).expect("a datagram");
    let mut bytes = vec![0; 65_536];
    let (n, header) = socket.try_recv_from(&mut bytes).expect("a datagram");
    bytes.truncate(n);
    (bytes, header)
}

fn any(address: &str) -> SocketAddr {
    format!("{address}:0").parse().unwrap()
}

#[test]
fn datagrams_go_there_and_back() {
    let hosts = TwoHosts::start();
    let server = hosts.server().udp_bind(any(SERVER)).unwrap();
    let client = hosts.client().udp_bind(any(CLIENT)).unwrap();
    let address = server.local_addr().unwrap();
    for len in [0, 1, 100, 1_472] {
        let sent: Vec<u8> = (0..len).map(|n| n as u8).collect();
        client.try_send_to(&sent, address).unwrap();
        let mut two = [0; 2];
        server.wait(Readiness::READABLE, soon()).unwrap();
        let (_, peeked) = server.try_peek_from(&mut two).unwrap();
        assert_eq!(usize::from(peeked.payload_len), len);
        let (received, header) = receive(&server);
        assert_eq!((&received, header), (&sent, peeked));
        assert_eq!(Some(header.remote), client.local_addr());
        server.try_send_to(&received, header.remote).unwrap();
        assert_eq!(receive(&client).0, sent);
    }
    assert_eq!(client.try_recv_from(&mut [0]).unwrap_err(), RecvError::WouldBlock);
}

#[test]
fn a_datagram_keeps_its_bounds_and_is_cut_off_where_it_does_not_fit() {
    let hosts = TwoHosts::start();
    let server = hosts.server().udp_bind(any(SERVER)).unwrap();
    let client = hosts.client().udp_bind(any(CLIENT)).unwrap();
    client.try_send_to(b"hello", server.local_addr().unwrap()).unwrap();
    client.try_send_to(b"world", server.local_addr().unwrap()).unwrap();
    server.wait(Readiness::READABLE, soon()).unwrap();
    let mut two = [0; 2];
    let (n, header) = server.try_recv_from(&mut two).unwrap();
    assert_eq!((n, header.payload_len, &two), (2, 5, b"he"));
    assert_eq!(receive(&server).0, b"world");
    let long = vec![0; 65_508];
    assert_eq!(client.try_send_to(&long, server.local_addr().unwrap()), Err(SendError::TooLarge));
}

#[test]
fn a_socket_with_a_peer_hears_nobody_else() {
    let hosts = TwoHosts::start();
    let server = hosts.server().udp_bind(any(SERVER)).unwrap();
    let [friend, stranger] = [(); 2].map(|()| hosts.client().udp_bind(any(CLIENT)).unwrap());
    server.udp_connect(friend.local_addr());
    assert_eq!(server.peer_addr(), friend.local_addr());
    // The lane has done the job when it answers what was asked behind it.
    hosts.server().counters(0).unwrap();
    stranger.try_send_to(b"no", server.local_addr().unwrap()).unwrap();
    friend.try_send_to(b"yes", server.local_addr().unwrap()).unwrap();
    assert_eq!(receive(&server).0, b"yes");
}

#[test]
fn a_port_belongs_to_one_socket() {
    let hosts = TwoHosts::start();
    let first = hosts.client().udp_bind(any(CLIENT)).unwrap();
    let again = hosts.client().udp_bind(first.local_addr().unwrap());
    assert_eq!(again.unwrap_err(), BindError::InUse);
}

#[test]
fn a_flood_waits_for_the_lane_and_is_told_of_what_it_loses() {
    let hosts = TwoHosts::start();
    let server = hosts.server().udp_bind(any(SERVER)).unwrap();
    let client = hosts.client().udp_bind(any(CLIENT)).unwrap();
    let address = server.local_addr().unwrap();
    const SENT: u64 = 5_000;
    for _ in 0..SENT {
        while let Err(error) = client.try_send_to(&[0; 1_000], address) {
            assert_eq!(error, SendError::WouldBlock);
            client.wait(Readiness::WRITABLE, soon()).unwrap();
        }
    }
    let lost = || {
        let [here, there] = [hosts.client(), hosts.server()].map(|host| host.counters(0).unwrap());
        // The first ones may be too many to wait until the neighbour is known.
        here.get("tx_neighbor_queue_full").unwrap() + there.get("rx_socket_full").unwrap()
    };
    let deadline = soon().unwrap();
    let mut received = 0;
    while received + lost() < SENT {
        assert!(std::time::Instant::now() < deadline, "{received} of {SENT}");
        while server.try_recv_from(&mut []).is_ok() {
            received += 1;
        }
    }
    assert!(received > 0);
}

#[test]
fn nobody_routes_there() {
    let hosts = TwoHosts::start();
    let client = hosts.client().udp_bind(any(CLIENT)).unwrap();
    client.try_send_to(b"x", "192.0.2.1:9".parse().unwrap()).unwrap();
    client.wait(Readiness::READABLE, soon()).unwrap();
    assert_eq!(client.try_recv_from(&mut [0]).unwrap_err(), RecvError::Failed(SocketError::Unreachable));
    assert_eq!(client.try_recv_from(&mut [0]).unwrap_err(), RecvError::WouldBlock);
}

#[test]
fn each_ping_is_answered_under_its_number() {
    let hosts = TwoHosts::start();
    let ping = hosts.client().echo_bind(CLIENT.parse().unwrap(), 0).unwrap();
    assert_ne!(ping.local_addr().unwrap().port(), 0);
    // Until the neighbour is known, few packets wait for it.
    ping.try_send_to(&[0, 0], any(SERVER)).unwrap();
    assert_eq!(receive(&ping).0, [0, 0]);
    let mut expected = BTreeSet::new();
    for number in 1_u16..=20 {
        let request = [&number.to_be_bytes()[..], b"are you there"].concat();
        ping.try_send_to(&request, any(SERVER)).unwrap();
        expected.insert(request);
    }
    while !expected.is_empty() {
        let (reply, header) = receive(&ping);
        assert_eq!(header.remote.ip(), any(SERVER).ip());
        assert!(expected.remove(&reply), "{reply:?} was not asked for");
    }
}
