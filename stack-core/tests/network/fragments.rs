//! Packets in parts: RFC 791 §3.2, RFC 1122 §3.3.2, RFC 5722.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use netlane_core::SocketId;
use netlane_core::wire::icmpv4::TimeExceeded;
use netlane_core::wire::{Fragment, Icmpv4Repr, Ipv4Repr, Protocol, Quoted};
use netlane_sim::{Host, Script, World, pattern, seed};

use crate::frames::{PEER, STACK, cut, header, icmp, ip, parse_ip, udp};

fn bound(script: &mut Script) -> SocketId {
    script.stack().udp_bind(SocketAddr::from((STACK, 53))).unwrap()
}

fn receive(script: &mut Script, socket: SocketId) -> Option<Vec<u8>> {
    let mut out = vec![0; 70_000];
    let (n, _) = script.stack().udp_recv_from(socket, &mut out).ok()?;
    out.truncate(n);
    Some(out)
}

#[test]
fn datagram_in_parts_arrives_whole_whatever_their_order() {
    let mut script = Script::builder().stack(|config| config.tcp.receive_buffer = 1 << 17).start();
    let socket = bound(&mut script);
    for len in [1_473, 4_000, 60_000] {
        let payload = pattern(0, len);
        let mut parts = cut(&udp((PEER, 99), (STACK, 53), &payload), 1_480);
        parts.reverse();
        let last = parts.pop().unwrap();
        for part in &parts {
            script.inject_frame(part);
        }
        assert_eq!(receive(&mut script, socket), None);
        script.inject_frame(&last);
        assert_eq!(receive(&mut script, socket), Some(payload));
    }
    assert_eq!(script.stack().counters().rx_reassembled, 3);
    script.expect_nothing();
}

#[test]
fn checksum_of_the_whole_is_verified() {
    let mut script = Script::new();
    let socket = bound(&mut script);
    let mut parts = cut(&udp((PEER, 99), (STACK, 53), &[7; 2_000]), 1_480);
    *parts[1].last_mut().unwrap() ^= 1;
    parts.iter().for_each(|part| script.inject_frame(part));
    assert_eq!(receive(&mut script, socket), None);
    assert_eq!(script.stack().counters().rx_bad_checksum, 1);
}

#[test]
fn large_echo_in_parts_is_heard() {
    let mut script = Script::new();
    let data = pattern(0, 1_000);
    let request = icmp(&Icmpv4Repr::EchoRequest { ident: 7, seq: 9, data: &data });
    for part in cut(&request, 400) {
        script.inject_frame(&part);
    }
    let frame = script.next_frame().expect("an answer");
    let (_, packet) = parse_ip(&frame);
    let reply = Icmpv4Repr::EchoReply { ident: 7, seq: 9, data: &data };
    assert_eq!(Icmpv4Repr::parse(packet.payload), Ok(reply));
}

/// The error quotes the whole packet's header: no part of it was refused.
#[test]
fn datagram_in_parts_to_a_closed_port_is_answered_once() {
    let mut script = Script::new();
    for part in cut(&udp((PEER, 99), (STACK, 53), &[7; 2_000]), 1_480) {
        script.inject_frame(&part);
    }
    let frame = script.next_frame().expect("an error");
    let (_, packet) = parse_ip(&frame);
    let Ok(Icmpv4Repr::DestinationUnreachable { quote, .. }) = Icmpv4Repr::parse(packet.payload) else {
        panic!("no error: {packet:?}");
    };
    let quoted = Quoted::parse_v4(quote).unwrap();
    assert_eq!((quoted.src, quoted.dst), (PEER.into(), STACK.into()));
    script.expect_nothing();
}

#[test]
fn sender_learns_after_60_seconds_that_a_part_was_missing() {
    let mut script = Script::new();
    let parts = cut(&udp((PEER, 99), (STACK, 53), &[7; 2_000]), 1_480);
    script.inject_frame(&parts[0]);
    script.expect_silence(Duration::from_secs(59));
    script.run_for(Duration::from_secs(1));
    let frame = script.next_frame().expect("an error");
    let (_, packet) = parse_ip(&frame);
    let Ok(Icmpv4Repr::TimeExceeded { reason, quote }) = Icmpv4Repr::parse(packet.payload) else {
        panic!("no error: {packet:?}");
    };
    assert_eq!(reason, TimeExceeded::Reassembly);
    // RFC 792: the header and 64 bits of the datagram.
    let (_, first) = parse_ip(&parts[0]);
    assert_eq!(quote.len(), 20 + 8);
    assert_eq!(quote[20..], first.payload[..8]);
    assert_eq!(script.stack().counters().rx_fragments_timed_out, 1);
    // What comes later is too late.
    script.inject_frame(&parts[1]);
    script.run_for(Duration::from_secs(61));
    script.expect_nothing();
}

/// RFC 1122 §3.2.2: no error about an error, nor about what went to everybody.
#[test]
fn nobody_is_told_about_incomplete_errors_and_broadcasts() {
    let mut script = Script::new();
    let quote = [0x45; 60];
    let error = icmp(&Icmpv4Repr::TimeExceeded { reason: TimeExceeded::InTransit, quote: &quote });
    script.inject_frame(&cut(&error, 32)[0]);
    let everybody = Ipv4Addr::new(10, 0, 0, 255);
    script.inject_frame(&cut(&udp((PEER, 99), (everybody, 53), &[7; 2_000]), 1_480)[0]);
    script.expect_silence(Duration::from_secs(70));
    assert_eq!(script.stack().counters().rx_fragments_timed_out, 2);
}

#[test]
fn teardrop_is_dropped_and_counted() {
    let mut script = Script::new();
    let socket = bound(&mut script);
    let frame = udp((PEER, 99), (STACK, 53), &[7; 80]);
    let (fine, coarse) = (cut(&frame, 24), cut(&frame, 40));
    script.inject_frame(&fine[0]);
    script.inject_frame(&coarse[1]);
    script.inject_frame(&fine[2]);
    script.inject_frame(&fine[2]);
    assert_eq!(script.stack().counters().rx_fragments_overlapping, 2);
    assert_eq!(receive(&mut script, socket), None);
    // The rest changes nothing any more.
    fine.iter().for_each(|part| script.inject_frame(part));
    assert_eq!(receive(&mut script, socket), None);
}

#[test]
fn flood_of_lone_parts_is_bounded_and_others_pass() {
    let mut script = Script::builder()
        .stack(|config| {
            config.limits.fragmented_packets = 4;
            config.limits.fragment_bytes = 8_000;
            config.limits.fragments = 3;
        })
        .start();
    let socket = bound(&mut script);
    for ident in 0..100_u16 {
        let fragment = Some(Fragment { offset: 0, more: true });
        let repr = Ipv4Repr { ident: 1_000 + ident, fragment, ..header(PEER, STACK, Protocol::UDP, 1_480) };
        script.inject_frame(&ip(&repr, &[7; 1_480]));
    }
    assert!(script.stack().counters().rx_fragments_full >= 96);
    cut(&udp((PEER, 99), (STACK, 53), &[8; 2_000]), 1_480).iter().for_each(|part| script.inject_frame(part));
    assert_eq!(receive(&mut script, socket), Some(vec![8; 2_000]));
    // Four parts are one too many here.
    let before = script.stack().counters().rx_fragments_full;
    let parts = cut(&udp((PEER, 99), (STACK, 53), &[9; 120]), 32);
    parts[..4].iter().for_each(|part| script.inject_frame(part));
    assert!(script.stack().counters().rx_fragments_full > before);
    assert_eq!(receive(&mut script, socket), None);
}

#[test]
fn large_datagrams_cross_a_link_of_ipv6_in_parts() {
    let mut world = World::new(seed(1));
    let a = world.add(Host::new("a", "fd00::1/64"));
    let b = world.add(Host::new("b", "fd00::2/64"));
    let near = world[a].udp_bind("[fd00::1]:1000".parse().unwrap()).unwrap();
    let far = world[b].udp_bind("[::]:2000".parse().unwrap()).unwrap();
    let to = "[fd00::2]:2000".parse().unwrap();
    world[a].udp_send_to(near, to, b"who are you?").unwrap();
    world.run_for(Duration::from_millis(10));
    let mut out = vec![0; 70_000];
    world[b].udp_recv_from(far, &mut out).expect("the first datagram");
    for len in [1_452, 1_453, 20_000, 65_507] {
        let payload = pattern(0, len);
        world[a].udp_send_to(near, to, &payload).unwrap();
        world.run_for(Duration::from_millis(10));
        let (n, header) = world[b].udp_recv_from(far, &mut out).expect("a datagram");
        assert_eq!((n, header.remote), (len, "[fd00::1]:1000".parse().unwrap()));
        assert_eq!(out[..n], payload);
    }
    // The first one fits: 40 and 8 bytes of headers.
    assert_eq!(world[b].counters().rx_reassembled, 3);
    assert_eq!(world[b].counters().rx_bad_checksum, 0);
}

#[test]
fn parts_of_ipv6_that_never_become_whole_are_given_up_and_their_sender_told() {
    let mut world = World::new(seed(1));
    let a = world.add(Host::new("a", "fd00::1/64"));
    let b = world.add(Host::new("b", "fd00::2/64").stack(|config| config.limits.fragments = 2));
    let near = world[a].udp_bind("[fd00::1]:1000".parse().unwrap()).unwrap();
    world[a].udp_send_to(near, "[fd00::2]:2000".parse().unwrap(), b"who are you?").unwrap();
    world.run_for(Duration::from_millis(10));
    let heard = world[a].counters().rx_frames;
    world[a].udp_send_to(near, "[fd00::2]:2000".parse().unwrap(), &[0; 10_000]).unwrap();
    world.run_for(Duration::from_secs(59));
    assert_eq!(world[b].counters().rx_fragments_timed_out, 0);
    world.run_for(Duration::from_secs(2));
    assert_eq!(world[b].counters().rx_fragments_timed_out, 1);
    assert!(world[b].counters().rx_fragments_full > 0);
    assert!(world[a].counters().rx_frames > heard, "RFC 4443 §3.3: time exceeded");
}
