//! Every limit of the configuration, reached. (Those of handshakes and reassembly stand with TCP's tests, those of
//! neighbours with ARP's.)

use std::net::SocketAddr;

use netlane_core::{BindError, ConnectError};
use netlane_sim::{Script, ack, syn, syn_ack};

fn port(port: u16) -> SocketAddr {
    SocketAddr::new(Script::STACK.ip(), port)
}

#[test]
fn table_of_sockets_is_limited_for_all_who_open_some() {
    let mut script = Script::builder().stack(|config| config.limits.sockets = 2).start();
    let listener = script.listen();
    let datagrams = script.stack().udp_bind(port(53)).unwrap();
    assert_eq!(script.stack().udp_bind(port(54)), Err(BindError::TableFull));
    assert_eq!(script.stack().tcp_listen(port(55), 1), Err(BindError::TableFull));
    assert_eq!(script.stack().tcp_connect(None, Script::PEER), Err(ConnectError::TableFull));
    script.inject(syn().mss(1_460));
    script.expect_nothing();
    assert_eq!(script.stack().counters().sockets_full, 1);
    // One socket less, and a connection finds its place.
    script.stack().datagram_close(datagrams).unwrap();
    script.inject(syn().mss(1_460));
    script.expect(syn_ack().mss(1_460));
    script.inject(ack(1));
    assert!(script.stack().tcp_accept(listener).unwrap().is_some());
}

#[test]
fn send_buffer_takes_as_much_as_it_may() {
    let mut script = Script::builder().stack(|config| config.tcp.send_buffer = 5_000).start();
    let socket = script.connected();
    assert_eq!(script.stack().tcp_send(socket, &[0; 9_000]), Ok(5_000));
    assert_eq!(script.stack().tcp_send(socket, b"x"), Ok(0));
    script.skip();
    script.inject(ack(1_461));
    assert_eq!(script.stack().tcp_send(socket, &[0; 9_000]), Ok(1_460));
}

#[test]
fn ports_of_one_peer_run_out_and_come_back() {
    // 2^14 dynamic ports, each joined to the same end of the peer.
    let mut script = Script::builder().stack(|config| config.limits.sockets = 20_000).start();
    let mut sockets = Vec::new();
    loop {
        match script.stack().tcp_connect(None, Script::PEER) {
            Ok(socket) => sockets.push(socket),
            Err(error) => break assert_eq!(error, ConnectError::InUse),
        }
    }
    assert_eq!(sockets.len(), 1 << 14);
    script.stack().tcp_abort(sockets[77]).unwrap();
    assert!(script.stack().tcp_connect(None, Script::PEER).is_ok());
}

#[test]
fn ports_for_one_peer_tell_nothing_of_those_for_another() {
    // RFC 6056 §3.3.4: each peer sees ports one after the other, from a place of its own. How many connections
    // lead elsewhere shows in one of 256 counters at most.
    let port = |script: &mut Script, remote: SocketAddr| {
        let socket = script.stack().tcp_connect(None, remote).unwrap();
        script.stack().local_addr(socket).unwrap().port()
    };
    let mut script = Script::new();
    let peers: Vec<_> = (1..=64).map(|n| SocketAddr::new(Script::PEER.ip(), n)).collect();
    let first: Vec<_> = peers.iter().map(|&peer| port(&mut script, peer)).collect();
    let next: Vec<_> = peers.iter().map(|&peer| port(&mut script, peer)).collect();
    let one_further = first.iter().zip(&next).filter(|(first, next)| **next == **first + 1).count();
    assert!(one_further > 40, "{one_further} of 64 go on where they ended");
    let neighbors = first.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) < 100).count();
    assert!(neighbors < 10, "{neighbors} of 63 lie close to the one before");
}

#[test]
fn same_ends_are_joined_once() {
    let mut script = Script::new();
    script.connect();
    let again = script.stack().tcp_connect(Some(Script::STACK), Script::PEER);
    assert_eq!(again, Err(ConnectError::InUse));
}

#[test]
fn only_our_own_addresses_can_be_used() {
    let mut script = Script::new();
    let strange: SocketAddr = "10.0.0.9:80".parse().unwrap();
    assert_eq!(script.stack().tcp_listen(strange, 1), Err(BindError::NotLocal));
    assert_eq!(script.stack().tcp_connect(Some(strange), Script::PEER), Err(ConnectError::NotLocal));
    assert_eq!(script.stack().tcp_listen(port(0), 1), Err(BindError::InUse));
}

#[test]
fn groups_and_everybody_cannot_be_connected_to() {
    let mut script = Script::new();
    for nobody in ["10.0.0.255:80", "255.255.255.255:80", "224.0.0.1:80", "0.0.0.0:80", "10.0.0.2:0"] {
        let refused = script.stack().tcp_connect(None, nobody.parse().unwrap());
        assert_eq!(refused, Err(ConnectError::Unreachable), "{nobody}");
    }
}
