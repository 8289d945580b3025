//! Who has which port: RFC 1122 §4.1.3.5 and §4.2.3, RFC 9293 §3.9.1, and the socket options of Linux (socket(7), ipv6(7)).

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use netlane_core::{BindError, BindOptions, SocketId};
use netlane_sim::{Script, ack, rst_ack, syn};

use crate::frames::{PEER, STACK, udp};

const NOT_SHARED: BindOptions = BindOptions { reuse_address: false, reuse_port: false, only_v6: false };
const BY_ADDRESS: BindOptions = BindOptions { reuse_address: true, ..NOT_SHARED };
const BY_PORT: BindOptions = BindOptions { reuse_port: true, ..NOT_SHARED };
const ONLY_V6: BindOptions = BindOptions { only_v6: true, ..NOT_SHARED };

fn end(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn receive(script: &mut Script, socket: SocketId) -> Option<Vec<u8>> {
    let mut out = vec![0; 2_000];
    let (n, _) = script.stack().udp_recv_from(socket, &mut out).ok()?;
    out.truncate(n);
    Some(out)
}

/// Opens a connection from `port` of the peer, and returns the first of `listeners` that it comes to.
fn connect(script: &mut Script, port: u16, listeners: &[SocketId]) -> Option<usize> {
    script.inject(syn().port(port));
    script.skip();
    script.inject(ack(1).port(port));
    listeners.iter().position(|listener| script.stack().tcp_accept(*listener).unwrap().is_some())
}

#[test]
fn a_port_is_bound_once_on_one_address_and_on_all() {
    let mut script = Script::new();
    let stack = script.stack();
    let socket = stack.udp_bind(end("10.0.0.1:53")).unwrap();
    assert_eq!(stack.udp_bind(end("10.0.0.1:53")), Err(BindError::InUse));
    assert_eq!(stack.udp_bind(end("0.0.0.0:53")), Err(BindError::InUse));
    assert_eq!(stack.udp_bind(end("[::]:53")), Err(BindError::InUse), "it is for both families");
    assert_eq!(stack.udp_bind(end("10.0.0.7:53")), Err(BindError::NotLocal));
    let listener = stack.tcp_listen(end("0.0.0.0:53"), 1).expect("TCP has ports of its own");
    assert_eq!(stack.tcp_listen(end("10.0.0.1:53"), 1), Err(BindError::InUse));
    stack.tcp_close(listener).unwrap();
    stack.tcp_listen(end("10.0.0.1:53"), 1).expect("it is free again");
    stack.datagram_close(socket).unwrap();
    stack.udp_bind(end("0.0.0.0:53")).expect("it is free again");
}

#[test]
fn sockets_share_a_port_only_where_all_of_them_agree() {
    let mut script = Script::new();
    let stack = script.stack();
    for (first, second, agree) in [
        (BY_ADDRESS, BY_ADDRESS, true),
        (BY_PORT, BY_PORT, true),
        (BY_ADDRESS, BY_PORT, false),
        (NOT_SHARED, BY_ADDRESS, false),
        (BY_PORT, NOT_SHARED, false),
    ] {
        for ends in [["10.0.0.1:53", "0.0.0.0:53"], ["0.0.0.0:53", "10.0.0.1:53"], ["10.0.0.1:53"; 2]] {
            let one = stack.udp_bind_with(end(ends[0]), first).unwrap();
            let other = stack.udp_bind_with(end(ends[1]), second);
            assert_eq!(other.is_ok(), agree, "{ends:?} {first:?} {second:?}");
            for socket in [Ok(one), other].into_iter().flatten() {
                stack.datagram_close(socket).unwrap();
            }
        }
    }
    // As in Linux, a listener's port is shared by SO_REUSEPORT alone.
    stack.tcp_listen_with(end("10.0.0.1:53"), 1, BY_ADDRESS).unwrap();
    assert_eq!(stack.tcp_listen_with(end("0.0.0.0:53"), 1, BY_ADDRESS), Err(BindError::InUse));
}

#[test]
fn datagram_goes_to_the_socket_that_names_its_address() {
    let mut script = Script::new();
    let close = script.stack().udp_bind_with(end("10.0.0.1:53"), BY_ADDRESS).unwrap();
    let wide = script.stack().udp_bind_with(end("0.0.0.0:53"), BY_ADDRESS).unwrap();
    script.inject_frame(&udp((PEER, 99), (STACK, 53), b"close"));
    assert_eq!(receive(&mut script, close), Some(b"close".to_vec()));
    assert_eq!(receive(&mut script, wide), None);
    script.stack().datagram_close(close).unwrap();
    script.inject_frame(&udp((PEER, 99), (STACK, 53), b"wide"));
    assert_eq!(receive(&mut script, wide), Some(b"wide".to_vec()));
}

#[test]
fn of_sockets_on_one_address_the_last_gets_what_is_for_one_and_all_what_is_for_everybody() {
    let mut script = Script::new();
    let sockets = [1, 2, 3].map(|_| script.stack().udp_bind_with(end("0.0.0.0:53"), BY_ADDRESS).unwrap());
    script.inject_frame(&udp((PEER, 99), (STACK, 53), b"for one"));
    let heard = sockets.map(|socket| receive(&mut script, socket).is_some());
    assert_eq!(heard, [false, false, true]);
    script.inject_frame(&udp((PEER, 99), (Ipv4Addr::BROADCAST, 53), b"for everybody"));
    let heard = sockets.map(|socket| receive(&mut script, socket).is_some());
    assert_eq!(heard, [true, true, true]);
}

#[test]
fn socket_that_has_chosen_the_sender_comes_before_those_that_hear_anybody() {
    let mut script = Script::new();
    let sockets = [1, 2, 3].map(|_| script.stack().udp_bind_with(end("10.0.0.1:53"), BY_PORT).unwrap());
    let wide = script.stack().udp_bind_with(end("0.0.0.0:53"), BY_PORT).unwrap();
    script.stack().udp_connect(sockets[0], Some(SocketAddr::from((PEER, 99)))).unwrap();
    script.stack().udp_connect(sockets[1], Some(SocketAddr::from((PEER, 98)))).unwrap();
    script.inject_frame(&udp((PEER, 99), (STACK, 53), b"from its peer"));
    assert_eq!(receive(&mut script, sockets[0]), Some(b"from its peer".to_vec()));
    script.inject_frame(&udp((PEER, 97), (STACK, 53), b"from another"));
    assert_eq!(receive(&mut script, sockets[2]), Some(b"from another".to_vec()));
    script.stack().datagram_close(sockets[2]).unwrap();
    script.inject_frame(&udp((PEER, 97), (STACK, 53), b"from another"));
    assert_eq!(receive(&mut script, wide), Some(b"from another".to_vec()), "no closer one wants it");
}

#[test]
fn sockets_that_reuse_a_port_share_its_senders() {
    let mut script = Script::new();
    let sockets = [1, 2, 3].map(|_| script.stack().udp_bind_with(end("10.0.0.1:53"), BY_PORT).unwrap());
    let mut shares = [0; 3];
    for port in 1_000..1_300 {
        let mut takers = BTreeSet::new();
        for _ in 0..2 {
            script.inject_frame(&udp((PEER, port), (STACK, 53), b"hello"));
            let taker = sockets.iter().position(|socket| receive(&mut script, *socket).is_some()).unwrap();
            takers.insert(taker);
            shares[taker] += 1;
        }
        assert_eq!(takers.len(), 1, "what one peer sends goes to one socket");
    }
    assert!(shares.iter().all(|share| (100..300).contains(share)), "{shares:?}");
}

/// RFC 9293 §3.9.1.1 (MUST-41): a listener takes nothing away from another one.
#[test]
fn listener_on_one_address_comes_before_one_on_all() {
    let mut script = Script::new();
    let wide = script.stack().tcp_listen_with(end("0.0.0.0:8000"), 4, BY_PORT).unwrap();
    assert_eq!(connect(&mut script, 1_001, &[wide]), Some(0));
    let close = script.stack().tcp_listen_with(end("10.0.0.1:8000"), 4, BY_PORT).unwrap();
    assert_eq!(connect(&mut script, 1_002, &[wide, close]), Some(1));
    script.stack().tcp_close(close).unwrap();
    assert_eq!(connect(&mut script, 1_003, &[wide]), Some(0));
    script.stack().tcp_close(wide).unwrap();
    script.inject(syn().port(1_004));
    script.expect(rst_ack(0, 1).port(1_004));
}

#[test]
fn listeners_that_reuse_a_port_share_its_connections() {
    let mut script = Script::new();
    let listeners = [1, 2].map(|_| script.stack().tcp_listen_with(end("0.0.0.0:8000"), 4, BY_PORT).unwrap());
    let mut shares = [0; 2];
    for port in 1_000..1_200 {
        shares[connect(&mut script, port, &listeners).expect("somebody accepts")] += 1;
    }
    assert!(shares.iter().all(|share| (60..140).contains(share)), "{shares:?}");
}

/// RFC 3493 §5.3.
#[test]
fn socket_for_ipv6_alone_leaves_the_port_of_ipv4_to_others() {
    let mut script = Script::new();
    let v6 = script.stack().udp_bind_with(end("[::]:53"), ONLY_V6).unwrap();
    script.inject_frame(&udp((PEER, 99), (STACK, 53), b"nobody"));
    assert_eq!((receive(&mut script, v6), script.stack().counters().rx_no_socket), (None, 1));
    let v4 = script.stack().udp_bind(end("0.0.0.0:53")).expect("the port of the other family");
    script.inject_frame(&udp((PEER, 99), (STACK, 53), b"somebody"));
    assert_eq!(receive(&mut script, v4), Some(b"somebody".to_vec()));
    assert_eq!(script.stack().udp_bind(end("[::]:53")), Err(BindError::InUse));
    script.stack().tcp_listen_with(end("[::]:80"), 1, ONLY_V6).unwrap();
    script.stack().tcp_listen(end("0.0.0.0:80"), 1).expect("the port of the other family");
}
