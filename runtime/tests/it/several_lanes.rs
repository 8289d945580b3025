//! A host with two lanes, and a peer on the link of each.

use netlane_backends::memory::{MemoryConfig, pair};
use netlane_runtime::{ConnectError, Host, NetworkError, Readiness, Route, TcpState};

use crate::stream::{read_full, write_all};
use crate::two_hosts::{SERVER, accept, config, soon};

/// A host with two lanes, and two hosts that each reach it through one of them.
fn start() -> (Host, [Host; 2]) {
    let mut ports = Vec::new();
    let peers = [11, 12].map(|number| {
        let link = MemoryConfig { macs: [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, number]], ..Default::default() };
        let (ours, theirs) = pair(&link).expect("a link");
        ports.push(ours);
        Host::start_with(&config(&format!("10.0.0.{number}")), vec![theirs]).expect("a peer")
    });
    (Host::start_with(&config(SERVER), ports).expect("a host with two lanes"), peers)
}

#[test]
fn a_listener_hears_from_every_lane() {
    let (host, peers) = start();
    assert_eq!(host.client().lanes(), 2);
    let listener = host.client().tcp_listen(format!("{SERVER}:0").parse().unwrap(), 8).unwrap();
    for round in 0..4 {
        for peer in &peers {
            let ours = peer.client().tcp_connect(None, listener.local_addr().unwrap(), soon()).unwrap();
            let theirs = accept(&listener);
            assert_eq!(theirs.peer_addr(), ours.local_addr());
            write_all(&ours, &[round]);
            let mut byte = [0];
            assert_eq!(read_full(&theirs, &mut byte), 1);
            assert_eq!((byte, theirs.state()), ([round], Ok(TcpState::Established)));
        }
    }
    for lane in 0..2 {
        assert_eq!(host.client().counters(lane).unwrap().get("tcp_passive_opens"), Some(4));
    }
}

#[test]
fn a_poller_and_a_wait_hear_of_datagrams_on_every_lane() {
    let (host, peers) = start();
    let socket = host.client().udp_bind(format!("{SERVER}:0").parse().unwrap()).unwrap();
    let poller = host.client().poller().unwrap();
    poller.add(&socket, 3, Readiness::READABLE).unwrap();
    for (peer, address) in peers.iter().zip(["10.0.0.11", "10.0.0.12"]) {
        let theirs = peer.client().udp_bind(format!("{address}:0").parse().unwrap()).unwrap();
        theirs.try_send_to(address.as_bytes(), socket.local_addr().unwrap()).unwrap();
        assert_eq!(poller.wait(&mut Vec::new(), soon()), 1);
        socket.wait(Readiness::READABLE, soon()).unwrap();
        let mut bytes = [0; 16];
        let (n, header) = socket.try_recv_from(&mut bytes).unwrap();
        assert_eq!(&bytes[..n], address.as_bytes());
        assert_eq!(Some(header.remote), theirs.local_addr());
    }
}

#[test]
fn addresses_and_routes_come_and_go_on_every_lane() {
    let (host, peers) = start();
    let client = host.client();
    let added = "10.0.0.77/24".parse().unwrap();
    client.add_address(added).unwrap();
    assert_eq!(client.add_address(added), Err(NetworkError::Exists));
    assert_eq!(client.add_address("224.0.0.1/4".parse().unwrap()), Err(NetworkError::NotHost));
    let listener = client.tcp_listen("10.0.0.77:80".parse().unwrap(), 8).unwrap();
    for peer in &peers {
        let _ours = peer.client().tcp_connect(None, listener.local_addr().unwrap(), soon()).unwrap();
        accept(&listener);
    }
    client.remove_address(added.addr()).unwrap();
    assert_eq!(client.remove_address(added.addr()), Err(NetworkError::NotThere));
    let far = "192.0.2.1:80".parse().unwrap();
    for _ in 0..2 {
        assert_eq!(client.tcp_connect(None, far, soon()).unwrap_err(), ConnectError::NoRoute);
    }
    let route =
        |via: &str| Route { to: "192.0.2.0/24".parse().unwrap(), via: via.parse().unwrap(), metric: 5 };
    assert_eq!(client.add_route(route("172.16.0.1")), Err(NetworkError::Unreachable));
    client.add_route(route("10.0.0.11")).unwrap();
    for _ in 0..2 {
        client.tcp_begin_connect(None, far).unwrap();
    }
    client.remove_route(route("10.0.0.11")).unwrap();
    assert_eq!(client.remove_route(route("10.0.0.11")), Err(NetworkError::NotThere));
    assert_eq!(client.tcp_connect(None, far, soon()).unwrap_err(), ConnectError::NoRoute);
}
