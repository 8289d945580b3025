//! Addresses and routes that come and go.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use netlane_core::{
    AddressError, BindError, ConnectError, Readiness, Route, RouteError, SocketError, TcpState,
};
use netlane_sim::{Script, rst_ack};

use crate::frames::{STACK, parse_ip, udp};

fn route(to: &str, via: &str, metric: u32) -> Route {
    Route { to: to.parse().unwrap(), via: via.parse().unwrap(), metric }
}

#[test]
fn address_that_was_added_is_used_and_heard() {
    let mut script = Script::new();
    let second = "192.168.7.2".parse().unwrap();
    let end = SocketAddr::new(second, 53);
    assert_eq!(script.stack().udp_bind(end), Err(BindError::NotLocal));
    script.stack().add_address("192.168.7.2/24".parse().unwrap()).unwrap();
    let socket = script.stack().udp_bind(end).unwrap();
    let IpAddr::V4(own) = second else { unreachable!() };
    script.inject_frame(&udp(([192, 168, 7, 9].into(), 99), (own, 53), b"hello"));
    let mut out = [0; 10];
    assert_eq!(script.stack().udp_recv_from(socket, &mut out).map(|(n, _)| n), Ok(5));
    assert_eq!(script.stack().add_address("192.168.7.2/16".parse().unwrap()), Err(AddressError::Exists));
    assert_eq!(script.stack().add_address("224.0.0.1/24".parse().unwrap()), Err(AddressError::NotHost));
}

#[test]
fn removing_an_address_resets_its_connections_and_tells_their_users() {
    let mut script = Script::new();
    let connection = script.accepted();
    let listener = script.stack().tcp_listen("10.0.0.1:81".parse().unwrap(), 1).unwrap();
    let socket = script.stack().udp_bind(SocketAddr::from((STACK, 53))).unwrap();
    let elsewhere = script.stack().udp_bind("0.0.0.0:54".parse().unwrap()).unwrap();
    while script.stack().next_event().is_some() {}
    assert!(script.stack().remove_address(STACK.into()));
    assert!(!script.stack().remove_address(STACK.into()));
    script.expect(rst_ack(1, 1));
    assert_eq!(script.stack().tcp_state(connection), Ok(TcpState::Closed));
    for id in [connection, socket] {
        assert_eq!(script.stack().take_error(id), Ok(Some(SocketError::AddressRemoved)));
        let event = script.stack().next_event().expect("an event");
        assert!(event.socket == id && event.ready.contains(Readiness::ERROR));
    }
    assert_eq!(script.stack().take_error(elsewhere), Ok(None));
    assert_eq!(script.stack().tcp_connect(None, Script::PEER), Err(ConnectError::Unreachable));
    // It may come back, and the listener is still there.
    script.stack().add_address("10.0.0.1/24".parse().unwrap()).unwrap();
    assert_eq!(script.stack().tcp_state(listener), Ok(TcpState::Listen));
    assert!(script.stack().tcp_connect(None, Script::PEER).is_ok());
}

#[test]
fn route_with_the_least_metric_is_taken_while_it_is_there() {
    let mut script = Script::new();
    let far: SocketAddr = "192.0.2.1:80".parse().unwrap();
    script.stack().add_address("192.168.7.2/24".parse().unwrap()).unwrap();
    let (near, other) = (route("0.0.0.0/0", "10.0.0.2", 1), route("0.0.0.0/0", "192.168.7.1", 2));
    script.stack().add_route(other).unwrap();
    script.stack().add_route(near).unwrap();
    let local = |script: &mut Script| {
        let socket = script.stack().tcp_connect(None, far).unwrap();
        script.stack().local_addr(socket).unwrap().ip().to_string()
    };
    assert_eq!(local(&mut script), "10.0.0.1");
    assert!(script.stack().remove_route(&near));
    assert!(!script.stack().remove_route(&near));
    assert_eq!(local(&mut script), "192.168.7.2");
    // A gateway that cannot be reached is passed over.
    script.stack().add_route(near).unwrap();
    script.stack().remove_address(STACK.into());
    assert_eq!(local(&mut script), "192.168.7.2");
}

#[test]
fn routes_that_lead_nowhere_or_are_too_many_are_refused() {
    let mut script = Script::builder().stack(|config| config.limits.routes = 2).start();
    let stack = script.stack();
    assert_eq!(stack.add_route(route("0.0.0.0/0", "172.16.0.1", 0)), Err(RouteError::Unreachable));
    stack.add_route(route("0.0.0.0/0", "10.0.0.2", 0)).unwrap();
    assert_eq!(stack.add_route(route("0.0.0.0/0", "10.0.0.2", 0)), Err(RouteError::Exists));
    assert_eq!(stack.add_route(route("192.0.2.0/24", "10.0.0.2", 0)), Err(RouteError::TableFull));
    assert_eq!(stack.add_address("192.168.7.2/24".parse().unwrap()), Err(AddressError::TableFull));
}

#[test]
fn way_that_was_in_use_is_left_at_once() {
    let mut script = Script::new();
    script.stack().add_route(route("192.0.2.0/24", "10.0.0.2", 0)).unwrap();
    let socket = script.stack().udp_bind(SocketAddr::from((STACK, 53))).unwrap();
    let far = "192.0.2.1:99".parse().unwrap();
    script.stack().udp_send_to(socket, far, b"one").unwrap();
    let frame = script.next_frame().expect("over the gateway");
    assert_eq!(parse_ip(&frame).0.dst, Script::PEER_MAC);
    script.stack().remove_route(&route("192.0.2.0/24", "10.0.0.2", 0));
    script.stack().udp_send_to(socket, far, b"two").unwrap();
    script.expect_silence(Duration::from_millis(10));
    assert_eq!(script.stack().take_error(socket), Ok(Some(SocketError::Unreachable)));
}
