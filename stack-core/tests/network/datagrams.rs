//! UDP: RFC 768, RFC 1122 §4.1.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use netlane_core::wire::{Fragment, MacAddr, Protocol, Sum, UdpDatagram};
use netlane_core::{Readiness, RecvError, SendError, SocketError, SocketId, Stale};
use netlane_sim::{Host, Script, World, pattern, seed};

use crate::frames::{PEER, STACK, parse_ip, parse_udp, udp};

const EVERYBODY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 255);

fn bind(script: &mut Script, address: Ipv4Addr, port: u16) -> SocketId {
    script.stack().udp_bind(SocketAddr::from((address, port))).unwrap()
}

/// The next datagram's payload and sender.
fn receive(script: &mut Script, socket: SocketId) -> Option<(Vec<u8>, SocketAddr)> {
    let mut out = vec![0; 2_000];
    let (n, header) = script.stack().udp_recv_from(socket, &mut out).ok()?;
    out.truncate(n);
    Some((out, header.remote))
}

#[test]
fn two_stacks_exchange_datagrams_of_all_sizes() {
    for offload in [false, true] {
        let (mut world, a, b) =
            World::pair(seed(1), |host: Host| host.device(|device| device.checksum_offload = offload));
        let near = world[a].udp_bind("10.0.0.1:1000".parse().unwrap()).unwrap();
        let far = world[b].udp_bind("0.0.0.0:2000".parse().unwrap()).unwrap();
        for len in [0, 1, 2, 3, 1_000, 1_471, 1_472] {
            let payload = pattern(0, len);
            world[a].udp_send_to(near, "10.0.0.2:2000".parse().unwrap(), &payload).unwrap();
            world.run_for(Duration::from_millis(1));
            let mut out = [0; 2_000];
            let (n, header) = world[b].udp_recv_from(far, &mut out).expect("a datagram");
            assert_eq!(out[..n], payload);
            assert_eq!(header.remote, "10.0.0.1:1000".parse().unwrap());
            assert_eq!(header.local, Ipv4Addr::new(10, 0, 0, 2));
            world[b].udp_send_to(far, header.remote, &payload).unwrap();
            world.run_for(Duration::from_millis(1));
            assert_eq!(world[a].udp_recv_from(near, &mut out).map(|(n, _)| n), Ok(len));
        }
        assert_eq!(world[b].counters().rx_bad_checksum, 0);
    }
}

#[test]
fn datagram_larger_than_the_link_leaves_in_fragments() {
    for offload in [false, true] {
        let mut script = Script::builder().device(|device| device.checksum_offload = offload).start();
        let socket = bind(&mut script, STACK, 53);
        let payload = pattern(0, 4_000);
        script.stack().udp_send_to(socket, Script::PEER, &payload).unwrap();
        let mut whole = Vec::new();
        for (offset, more) in [(0, true), (1_480, true), (2_960, false)] {
            let frame = script.next_frame().expect("a fragment");
            let (_, packet) = parse_ip(&frame);
            assert_eq!(packet.repr.fragment, Some(Fragment { offset, more }));
            assert!(!packet.repr.dont_fragment);
            whole.extend_from_slice(packet.payload);
        }
        let datagram = UdpDatagram::parse(&whole).unwrap();
        datagram.verify(Sum::pseudo_v4(STACK, PEER, Protocol::UDP, whole.len())).expect("a right checksum");
        assert_eq!(datagram.payload, payload);
        assert_eq!(script.stack().counters().tx_fragments, 3);
        script.expect_nothing();
    }
}

/// As with Linux's UDP_SEGMENT: one call, many datagrams.
#[test]
fn one_call_sends_many_datagrams_of_equal_size() {
    let mut script = Script::new();
    let socket = bind(&mut script, STACK, 53);
    let payload = pattern(0, 3_500);
    script.stack().udp_send_segments_to(socket, Script::PEER, &payload, 1_000).unwrap();
    for expected in payload.chunks(1_000) {
        assert_eq!(parse_udp(&script.next_frame().expect("a datagram")).payload, expected);
    }
    script.expect_nothing();
    let too_many = script.stack().udp_send_segments_to(socket, Script::PEER, &[0; 65], 1);
    assert_eq!(too_many, Err(SendError::TooLarge));
    script.stack().udp_send_segments_to(socket, Script::PEER, &[0; 64], 1).unwrap();
    assert_eq!(script.skip(), 64);
}

#[test]
fn datagrams_of_one_call_follow_when_the_device_takes_more() {
    let mut script = Script::builder().device(|device| (device.frames, device.queue) = (8, 4)).start();
    let socket = bind(&mut script, STACK, 53);
    let payload = pattern(0, 20_000);
    script.stack().udp_send_segments_to(socket, Script::PEER, &payload, 1_000).unwrap();
    let mut arrived = Vec::new();
    while let Some(frame) = script.next_frame() {
        arrived.extend_from_slice(parse_udp(&frame).payload);
    }
    assert_eq!(arrived, payload);
}

#[test]
fn segments_that_are_larger_than_the_path_leave_in_fragments() {
    let offload = Script::builder().device(|device| {
        (device.checksum_offload, device.segmentation_offload) = (true, true);
    });
    let mut script = offload.start();
    let socket = bind(&mut script, STACK, 53);
    script.stack().udp_send_segments_to(socket, Script::PEER, &pattern(0, 4_000), 2_000).unwrap();
    let offsets: Vec<_> = std::iter::from_fn(|| script.next_frame())
        .map(|frame| parse_ip(&frame).1.repr.fragment.expect("a fragment").offset)
        .collect();
    assert_eq!(offsets, [0, 1_480, 0, 1_480]);
}

#[test]
fn devices_cut_and_join_datagrams() {
    for v6 in [false, true] {
        // A device that cuts; and one that hands on what the sender's has not cut.
        for joined in [false, true] {
            let mut world = World::new(seed(1));
            let mut add = |name: &str, v4: &str, net: &str| {
                let net = if v6 { net } else { v4 };
                world.add(Host::new(name, net).device(|device| {
                    (device.checksum_offload, device.segmentation_offload) = (true, true);
                    device.super_frames = joined;
                }))
            };
            let (a, b) = (add("a", "10.0.0.1/24", "fd00::1/64"), add("b", "10.0.0.2/24", "fd00::2/64"));
            let near = world[a].udp_bind("[::]:1000".parse().unwrap()).unwrap();
            let [one_by_one, whole] = [2_000, 2_001].map(|port| {
                world[b].udp_bind(SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port))).unwrap()
            });
            world[b].udp_set_takes_joined(whole, true).unwrap();
            let to = |port| SocketAddr::new(if v6 { "fd00::2" } else { "10.0.0.2" }.parse().unwrap(), port);
            // The first packet asks for the neighbour.
            world[a].udp_send_to(near, to(9), b"hello").unwrap();
            world.run_for(Duration::from_millis(10));
            let payload = pattern(0, 5_500);
            let before = world[a].counters().tx_frames;
            for port in [2_000, 2_001] {
                world[a].udp_send_segments_to(near, to(port), &payload, 1_000).unwrap();
            }
            world.run_for(Duration::from_millis(10));
            assert_eq!(world[a].counters().tx_frames - before, 2, "a frame for each call");
            let mut out = vec![0; 10_000];
            for expected in payload.chunks(1_000) {
                let (n, header) = world[b].udp_recv_from(one_by_one, &mut out).expect("a datagram");
                assert_eq!((&out[..n], header.segment_size), (expected, 0));
            }
            let (n, header) = world[b].udp_recv_from(whole, &mut out).expect("a datagram");
            let (len, segment_size) = if joined { (5_500, 1_000) } else { (1_000, 0) };
            assert_eq!((&out[..n], header.segment_size), (&payload[..len], segment_size));
            assert_eq!(world[b].counters().rx_bad_checksum, 0);
        }
    }
}

#[test]
fn two_stacks_exchange_the_largest_datagram() {
    let (mut world, a, b) = World::pair(seed(1), |host: Host| host);
    let near = world[a].udp_bind("10.0.0.1:1000".parse().unwrap()).unwrap();
    let far = world[b].udp_bind("0.0.0.0:2000".parse().unwrap()).unwrap();
    let to = "10.0.0.2:2000".parse().unwrap();
    // The first packet asks for the neighbour.
    world[a].udp_send_to(near, to, b"hello").unwrap();
    world.run_for(Duration::from_millis(1));
    let payload = pattern(0, 65_507);
    world[a].udp_send_to(near, to, &payload).unwrap();
    world.run_for(Duration::from_millis(10));
    let mut out = vec![0; 70_000];
    assert_eq!(world[b].udp_recv_from(far, &mut out).map(|(n, _)| n), Ok(5));
    assert_eq!(world[b].udp_recv_from(far, &mut out).map(|(n, _)| n), Ok(65_507));
    assert_eq!(out[..65_507], payload);
}

#[test]
fn datagram_that_must_not_be_cut_is_refused_and_its_sender_told() {
    let mut script = Script::new();
    let socket = bind(&mut script, STACK, 53);
    script.stack().udp_set_dont_fragment(socket, true).unwrap();
    script.stack().udp_send_to(socket, Script::PEER, &[0; 1_473]).unwrap();
    script.expect_nothing();
    assert_eq!(script.stack().counters().tx_too_large, 1);
    assert_eq!(script.stack().take_error(socket), Ok(Some(SocketError::TooLarge)));
    script.stack().udp_send_to(socket, Script::PEER, &[0; 1_472]).unwrap();
    assert_eq!(script.skip(), 1);
}

#[test]
fn datagram_that_no_buffer_holds_is_refused_at_once() {
    let mut script = Script::builder().stack(|config| config.tcp.send_buffer = 1_000).start();
    let socket = bind(&mut script, STACK, 53);
    assert_eq!(script.stack().udp_send_to(socket, Script::PEER, &[0; 1_000]), Err(SendError::TooLarge));
    assert_eq!(script.stack().udp_send_to(socket, Script::PEER, &[0; 65_508]), Err(SendError::TooLarge));
    assert_eq!(script.stack().udp_send_to(socket, Script::PEER, &[0; 900]), Ok(()));
}

#[test]
fn longer_datagram_is_cut_off_and_its_length_is_told() {
    let mut script = Script::new();
    let socket = bind(&mut script, STACK, 53);
    script.inject_frame(&udp((PEER, 99), (STACK, 53), b"0123456789"));
    script.inject_frame(&udp((PEER, 99), (STACK, 53), b"next"));
    let mut out = [0; 4];
    let (n, header) = script.stack().udp_recv_from(socket, &mut out).unwrap();
    assert_eq!((n, header.payload_len, &out), (4, 10, b"0123"));
    assert_eq!(receive(&mut script, socket).unwrap().0, b"next");
    assert_eq!(script.stack().udp_recv_from(socket, &mut out).map(|_| ()), Err(RecvError::WouldBlock));
}

#[test]
fn connected_socket_hears_its_peer_alone() {
    let mut script = Script::new();
    let socket = bind(&mut script, STACK, 53);
    script.stack().udp_connect(socket, Some(SocketAddr::from((PEER, 99)))).unwrap();
    script.inject_frame(&udp((PEER, 98), (STACK, 53), b"another port"));
    script.inject_frame(&udp((Ipv4Addr::new(10, 0, 0, 3), 99), (STACK, 53), b"another host"));
    assert_eq!(receive(&mut script, socket), None);
    assert_eq!(script.stack().counters().rx_no_socket, 2);
    script.inject_frame(&udp((PEER, 99), (STACK, 53), b"the peer"));
    assert_eq!(receive(&mut script, socket).unwrap().0, b"the peer");
    script.stack().udp_connect(socket, None).unwrap();
    script.inject_frame(&udp((PEER, 98), (STACK, 53), b"anybody"));
    assert_eq!(receive(&mut script, socket).unwrap().0, b"anybody");
}

#[test]
fn datagrams_to_everybody_arrive_at_a_socket_for_all_addresses() {
    let mut script = Script::new();
    let socket = bind(&mut script, Ipv4Addr::UNSPECIFIED, 53);
    for everybody in [EVERYBODY, Ipv4Addr::BROADCAST, Ipv4Addr::new(224, 0, 0, 1)] {
        script.inject_frame(&udp((PEER, 99), (everybody, 53), b"hello all"));
        assert_eq!(receive(&mut script, socket).unwrap().0, b"hello all");
    }
    // Where nobody listens, nobody complains.
    script.inject_frame(&udp((PEER, 99), (EVERYBODY, 54), b"hello all"));
    script.expect_nothing();
}

#[test]
fn datagrams_to_everybody_leave_as_such() {
    let mut script = Script::new();
    let socket = bind(&mut script, Ipv4Addr::UNSPECIFIED, 53);
    let group = Ipv4Addr::new(224, 0, 0, 251);
    for (to, mac) in [
        (EVERYBODY, MacAddr::BROADCAST),
        (Ipv4Addr::BROADCAST, MacAddr::BROADCAST),
        (group, MacAddr([0x01, 0x00, 0x5e, 0, 0, 251])),
    ] {
        script.stack().udp_send_to(socket, SocketAddr::from((to, 53)), b"hello all").unwrap();
        let frame = script.next_frame().expect("a datagram");
        let (ethernet, packet) = parse_ip(&frame);
        assert_eq!((ethernet.dst, packet.repr.src, packet.repr.dst), (mac, STACK, to));
        assert_eq!(parse_udp(&frame).payload, b"hello all");
    }
}

#[test]
fn full_receive_buffer_drops_and_counts() {
    let mut script = Script::builder().stack(|config| config.tcp.receive_buffer = 1_000).start();
    let socket = bind(&mut script, STACK, 53);
    for n in 0..5 {
        script.inject_frame(&udp((PEER, 99), (STACK, 53), &[n; 400]));
    }
    assert_eq!(script.stack().counters().rx_socket_full, 3);
    // What was taken is whole and in order, and there is room again afterwards.
    assert_eq!(receive(&mut script, socket).unwrap().0, [0; 400]);
    assert_eq!(receive(&mut script, socket).unwrap().0, [1; 400]);
    assert_eq!(receive(&mut script, socket), None);
    script.inject_frame(&udp((PEER, 99), (STACK, 53), &[9; 400]));
    assert_eq!(receive(&mut script, socket).unwrap().0, [9; 400]);
}

#[test]
fn full_send_buffer_would_block_until_datagrams_have_left() {
    let mut script = Script::builder().stack(|config| config.tcp.send_buffer = 1_000).start();
    let socket = bind(&mut script, STACK, 53);
    let mut queued = 0;
    while script.stack().udp_send_to(socket, Script::PEER, &[0; 300]) == Ok(()) {
        queued += 1;
    }
    assert_eq!(script.stack().udp_send_to(socket, Script::PEER, &[0; 300]), Err(SendError::WouldBlock));
    while script.stack().next_event().is_some() {}
    assert_eq!(script.skip(), queued);
    let event = script.stack().next_event().expect("room again");
    assert_eq!((event.socket, event.ready), (socket, Readiness::WRITABLE));
}

#[test]
fn what_was_queued_before_closing_is_sent() {
    let mut script = Script::new();
    let socket = bind(&mut script, STACK, 53);
    for _ in 0..3 {
        script.stack().udp_send_to(socket, Script::PEER, b"last words").unwrap();
    }
    script.stack().datagram_close(socket).unwrap();
    assert_eq!(script.stack().datagram_close(socket), Err(Stale));
    assert_eq!(script.stack().udp_send_to(socket, Script::PEER, b"more"), Err(SendError::Stale));
    assert_eq!(script.stack().udp_recv_from(socket, &mut []), Err(RecvError::Stale));
    // The port is free for another, which the first one's end leaves alone.
    let successor = bind(&mut script, STACK, 53);
    assert_eq!(script.skip(), 3);
    assert!(script.stack().next_event().is_some_and(|event| event.socket == successor));
    assert_eq!(script.stack().next_event(), None);
    script.inject_frame(&udp((PEER, 99), (STACK, 53), b"hello"));
    assert!(receive(&mut script, successor).is_some());
}

#[test]
fn free_ports_are_found_and_differ() {
    let mut script = Script::new();
    let mut ports = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let socket = bind(&mut script, STACK, 0);
        let port = script.stack().local_addr(socket).unwrap().port();
        assert!(port >= 49_152);
        assert!(ports.insert(port), "{port} twice");
    }
}
