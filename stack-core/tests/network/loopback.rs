//! Packets from the stack to itself.

use std::net::SocketAddr;
use std::time::Duration;

use netlane_core::{ConnectError, TcpState};
use netlane_sim::{Host, HostId, World, pattern, seed};

use crate::frames::STACK;

/// A host that has told its groups to the link, and is quiet.
fn host(change: impl Fn(Host) -> Host) -> (World, HostId) {
    let mut world = World::new(seed(1));
    let host = world.add(change(Host::new("alone", "10.0.0.1/24").stack(|config| {
        config.interface.addresses.push("10.0.0.7/24".parse().unwrap());
        config.interface.addresses.push("127.0.0.1/8".parse().unwrap());
        config.interface.addresses.push("::1/128".parse().unwrap());
        config.interface.addresses.push("fd00::1/64".parse().unwrap());
    })));
    world.run_for(Duration::from_secs(2));
    (world, host)
}

/// Sends a stream from the stack to itself over `address`, and returns how many frames left the device.
fn stream(world: &mut World, host: HostId, address: &str) -> u64 {
    let before = world[host].counters().tx_frames;
    let end = SocketAddr::new(address.parse().unwrap(), 80);
    let listener = world[host].tcp_listen(end, 4).unwrap();
    let client = world[host].tcp_connect(None, end).unwrap();
    assert_eq!(world[host].local_addr(client).unwrap().ip(), end.ip(), "from the address that it goes to");
    world.run_for(Duration::from_millis(10));
    let server = world[host].tcp_accept(listener).unwrap().expect("a connection");
    let (sent, mut received) = (pattern(0, 300_000), Vec::new());
    let mut queued = 0;
    let done = world.run_until(
        |world| {
            queued += world[host].tcp_send(client, &sent[queued..]).unwrap();
            let mut out = [0; 65_536];
            while let Ok(n @ 1..) = world[host].tcp_recv(server, &mut out) {
                received.extend_from_slice(&out[..n]);
            }
            received.len() == sent.len()
        },
        Duration::from_secs(10),
    );
    assert!(done && received == sent);
    world[host].tcp_close(client).unwrap();
    world[host].tcp_close(server).unwrap();
    world[host].tcp_close(listener).unwrap();
    world.run_for(Duration::from_secs(1));
    world[host].counters().tx_frames - before
}

#[test]
fn streams_between_own_addresses_never_leave() {
    for offload in [false, true] {
        for queue in [2, 256] {
            let (mut world, host) = host(|host| {
                host.device(|device| {
                    device.checksum_offload = offload;
                    device.segmentation_offload = offload;
                })
                .stack(|config| config.limits.loopback_queue = queue)
            });
            for address in ["10.0.0.1", "10.0.0.7", "127.0.0.1", "fd00::1", "::1"] {
                assert_eq!(stream(&mut world, host, address), 0);
            }
            assert!(world[host].counters().looped_packets > 20);
            assert_eq!(world[host].counters().rx_bad_checksum, 0);
        }
    }
}

#[test]
fn datagrams_of_any_size_reach_another_socket_of_the_same_stack() {
    let (mut world, host) = host(|host| host);
    let before = world[host].counters().tx_frames;
    let near = world[host].udp_bind("10.0.0.1:1000".parse().unwrap()).unwrap();
    let far = world[host].udp_bind("0.0.0.0:2000".parse().unwrap()).unwrap();
    for len in [0, 1_472, 20_000] {
        world[host].udp_send_to(near, "10.0.0.7:2000".parse().unwrap(), &pattern(0, len)).unwrap();
        world.run_for(Duration::from_millis(1));
        let mut out = vec![0; 30_000];
        let (n, header) = world[host].udp_recv_from(far, &mut out).expect("a datagram");
        assert_eq!((n, header.remote.ip()), (len, STACK.into()));
        assert_eq!(out[..n], pattern(0, len));
    }
    assert_eq!(world[host].counters().tx_frames, before);
}

#[test]
fn nobody_listens_on_the_own_address_either() {
    let (mut world, host) = host(|host| host);
    let socket = world[host].tcp_connect(None, "127.0.0.1:81".parse().unwrap()).unwrap();
    world.run_for(Duration::from_millis(1));
    assert_eq!(world[host].tcp_state(socket), Ok(TcpState::Closed));
    let other = world[host].tcp_connect(None, "127.0.0.2:81".parse().unwrap());
    assert_eq!(other, Err(ConnectError::Unreachable));
}

/// RFC 1122 §3.2.1.3 (g): loopback addresses stay inside.
#[test]
fn loopback_addresses_neither_leave_nor_enter() {
    let (mut world, host) = host(|host| host);
    let peer = world.add(Host::new("peer", "10.0.0.2/24"));
    let before = world[host].counters().tx_frames;
    let socket = world[host].udp_bind("127.0.0.1:1000".parse().unwrap()).unwrap();
    world[host].udp_send_to(socket, "10.0.0.2:1000".parse().unwrap(), b"out").unwrap();
    world.run_for(Duration::from_secs(1));
    assert_eq!(world[host].counters().tx_frames, before);
    assert_eq!(world[host].counters().tx_no_route, 1);
    assert_eq!(world[peer].counters().rx_frames, 0);
}
