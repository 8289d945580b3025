//! Multicast groups: RFC 1112, RFC 2236, RFC 3376.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use netlane_core::packet_io::IpVersion;
use netlane_core::wire::{MacAddr, Protocol, igmp};
use netlane_core::{BindOptions, GroupChange, GroupError, SocketId};
use netlane_sim::{Host, Script, World, seed};

use crate::frames::{PEER, STACK, header, ip, parse_ip, parse_udp, udp};

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
const OTHER: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 4);

fn bound(script: &mut Script, port: u16) -> SocketId {
    script.stack().udp_bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).unwrap()
}

fn receive(script: &mut Script, socket: SocketId) -> Option<(Vec<u8>, IpAddr)> {
    let mut out = vec![0; 2_000];
    let (n, header) = script.stack().udp_recv_from(socket, &mut out).ok()?;
    out.truncate(n);
    Some((out, header.local))
}

/// The IGMP message that the stack sends next, to whom, and its header's length.
fn message(script: &mut Script) -> Option<(Vec<u8>, Ipv4Addr)> {
    let frame = script.next_frame()?;
    let (ethernet, packet) = parse_ip(&frame);
    assert_eq!((packet.repr.protocol, packet.repr.ttl, packet.repr.src), (Protocol::IGMP, 1, STACK));
    // RFC 3376 §4: with the option of RFC 2113.
    assert_eq!(frame[34..38], [0x94, 4, 0, 0]);
    assert_eq!(ethernet.dst, MacAddr::multicast_for_v4(packet.repr.dst));
    Some((packet.payload.to_vec(), packet.repr.dst))
}

fn query(code: u8, group: Ipv4Addr, more: &[u8]) -> Vec<u8> {
    let mut message = [&[0x11, code, 0, 0][..], &group.octets(), more].concat();
    let checksum = netlane_core::wire::checksum::sum(&message).finish().to_be_bytes();
    message[2..4].copy_from_slice(&checksum);
    ip(&header(PEER, Ipv4Addr::new(224, 0, 0, 1), Protocol::IGMP, message.len()), &message)
}

#[test]
fn only_members_hear_a_group() {
    let mut script = Script::new();
    let (member, other) = (bound(&mut script, 53), bound(&mut script, 54));
    script.inject_frame(&udp((PEER, 99), (GROUP, 53), b"too early"));
    assert_eq!(script.stack().counters().rx_other_address, 1);
    script.stack().udp_join(member, GROUP.into()).unwrap();
    for port in [53, 54] {
        script.inject_frame(&udp((PEER, 99), (GROUP, port), b"hello group"));
        script.inject_frame(&udp((PEER, 99), (OTHER, port), b"another group"));
    }
    assert_eq!(receive(&mut script, member), Some((b"hello group".to_vec(), GROUP.into())));
    assert_eq!((receive(&mut script, member), receive(&mut script, other)), (None, None));
    script.stack().udp_leave(member, GROUP.into()).unwrap();
    script.inject_frame(&udp((PEER, 99), (GROUP, 53), b"too late"));
    assert_eq!(receive(&mut script, member), None);
}

#[test]
fn each_member_gets_a_copy_and_one_that_leaves_takes_nothing_from_the_others() {
    let mut script = Script::new();
    let shared = BindOptions { reuse_address: true, ..BindOptions::default() };
    let mut bound =
        |address: Ipv4Addr| script.stack().udp_bind_with(SocketAddr::from((address, 53)), shared).unwrap();
    let (wide, close) = (bound(Ipv4Addr::UNSPECIFIED), bound(GROUP));
    for member in [wide, close] {
        script.stack().udp_join(member, GROUP.into()).unwrap();
    }
    script.inject_frame(&udp((PEER, 99), (GROUP, 53), b"hello"));
    assert!(receive(&mut script, wide).is_some() && receive(&mut script, close).is_some());
    script.stack().datagram_close(close).unwrap();
    script.inject_frame(&udp((PEER, 99), (GROUP, 53), b"hello"));
    assert!(receive(&mut script, wide).is_some());
}

#[test]
fn routers_are_told_of_members_and_answered() {
    let mut script = Script::new();
    let member = bound(&mut script, 53);
    script.stack().udp_join(member, GROUP.into()).unwrap();
    script.run_for(Duration::from_secs(2));
    let joined = vec![0x22, 0, 0xe8, 0xf9, 0, 0, 0, 1, 4, 0, 0, 0, 239, 1, 2, 3];
    for _ in 0..2 {
        assert_eq!(message(&mut script), Some((joined.clone(), igmp::ALL_V3_ROUTERS)));
    }
    script.inject_frame(&query(100, Ipv4Addr::UNSPECIFIED, &[2, 125, 0, 0]));
    script.run_for(Duration::from_secs(10));
    let (answer, _) = message(&mut script).expect("an answer");
    assert_eq!(answer[8..], [2, 0, 0, 0, 239, 1, 2, 3]);
    script.stack().datagram_close(member).unwrap();
    script.run_for(Duration::from_secs(2));
    let (left, _) = message(&mut script).expect("that we have left");
    assert_eq!(left[8..], [3, 0, 0, 0, 239, 1, 2, 3]);
}

#[test]
fn old_routers_are_told_in_their_language_and_others_spare_us_the_answer() {
    let mut script = Script::new();
    let member = bound(&mut script, 53);
    script.inject_frame(&query(100, Ipv4Addr::UNSPECIFIED, &[]));
    script.stack().udp_join(member, GROUP.into()).unwrap();
    script.run_for(Duration::from_secs(10));
    let report = igmp::old_report(igmp::IgmpVersion::V2, GROUP).to_vec();
    assert_eq!(message(&mut script), Some((report.clone(), GROUP)));
    script.skip();
    script.inject_frame(&query(100, Ipv4Addr::UNSPECIFIED, &[]));
    script.inject_frame(&ip(&header(PEER, GROUP, Protocol::IGMP, 8), &report));
    script.expect_silence(Duration::from_secs(20));
}

/// RFC 1112 §6.1: to the link alone, and to ourselves too, unless the user says otherwise.
#[test]
fn datagrams_to_a_group_leave_with_their_ttl_and_reach_our_own_members() {
    let mut script = Script::new();
    let member = bound(&mut script, 53);
    script.stack().udp_join(member, GROUP.into()).unwrap();
    script.run_for(Duration::from_secs(2));
    script.skip();
    let sender = script.stack().udp_bind(SocketAddr::from((STACK, 1_000))).unwrap();
    let to = SocketAddr::from((GROUP, 53));
    for (ttl, looped) in [(1, true), (1, false), (7, true)] {
        if !looped || ttl > 1 {
            script.stack().udp_set_multicast_hops(sender, IpVersion::V4, ttl).unwrap();
            script.stack().udp_set_multicast_loop(sender, IpVersion::V4, looped).unwrap();
        }
        script.stack().udp_send_to(sender, to, b"hello group").unwrap();
        let frame = script.next_frame().expect("a datagram");
        assert_eq!(parse_ip(&frame).1.repr.ttl, ttl);
        assert_eq!(parse_udp(&frame).payload, b"hello group");
        assert_eq!(receive(&mut script, member).is_some(), looped);
    }
}

/// RFC 3376 §3.1: what a socket hears is its own choice, whatever others on the same port hear.
#[test]
fn sockets_choose_whom_they_hear_in_a_group() {
    let mut script = Script::new();
    let shared = BindOptions { reuse_address: true, ..BindOptions::default() };
    let sockets =
        [1, 2, 3].map(|_| script.stack().udp_bind_with("0.0.0.0:53".parse().unwrap(), shared).unwrap());
    let [chooses, blocks, hears_all] = sockets;
    let stack = script.stack();
    stack.udp_change_group(chooses, GROUP.into(), GroupChange::JoinSource(PEER.into())).unwrap();
    stack.udp_join(blocks, GROUP.into()).unwrap();
    stack.udp_change_group(blocks, GROUP.into(), GroupChange::Block(PEER.into())).unwrap();
    stack.udp_join(hears_all, GROUP.into()).unwrap();
    let another = Ipv4Addr::new(10, 0, 0, 9);
    for (sender, heard) in [(PEER, [true, false, true]), (another, [false, true, true])] {
        script.inject_frame(&udp((sender, 99), (GROUP, 53), b"hello group"));
        assert_eq!(sockets.map(|socket| receive(&mut script, socket).is_some()), heard);
    }
}

/// RFC 3376 §4.2.12 and §5.2.
#[test]
fn routers_are_told_whom_we_hear_and_asked_about_senders_answered() {
    let mut script = Script::new();
    let member = bound(&mut script, 53);
    script.stack().udp_change_group(member, GROUP.into(), GroupChange::JoinSource(PEER.into())).unwrap();
    let (allowed, to) = message(&mut script).expect("a report");
    assert_eq!((&allowed[8..], to), (&[5, 0, 0, 1, 239, 1, 2, 3, 10, 0, 0, 2][..], igmp::ALL_V3_ROUTERS));
    script.run_for(Duration::from_secs(2));
    script.skip();
    script.inject_frame(&query(10, GROUP, &[2, 125, 0, 2, 10, 0, 0, 2, 10, 0, 0, 9]));
    script.run_for(Duration::from_secs(2));
    let (answer, _) = message(&mut script).expect("an answer");
    assert_eq!(answer[8..], [1, 0, 0, 1, 239, 1, 2, 3, 10, 0, 0, 2]);
    script.inject_frame(&query(10, GROUP, &[2, 125, 0, 1, 10, 0, 0, 9]));
    script.expect_silence(Duration::from_secs(5));
    script.stack().datagram_close(member).unwrap();
    let (blocked, _) = message(&mut script).expect("a report");
    assert_eq!(blocked[8..], [6, 0, 0, 1, 239, 1, 2, 3, 10, 0, 0, 2]);
}

#[test]
fn what_cannot_be_joined_is_refused() {
    let mut script = Script::builder()
        .stack(|config| (config.limits.groups, config.limits.group_sources) = (1, 1))
        .start();
    let socket = bound(&mut script, 53);
    let stack = script.stack();
    assert_eq!(stack.udp_join(socket, PEER.into()), Err(GroupError::NotGroup));
    assert_eq!(stack.udp_leave(socket, GROUP.into()), Err(GroupError::NotJoined));
    stack.udp_join(socket, GROUP.into()).unwrap();
    assert_eq!(stack.udp_join(socket, GROUP.into()), Err(GroupError::Joined));
    assert_eq!(stack.udp_join(socket, OTHER.into()), Err(GroupError::TooMany));
    stack.udp_change_group(socket, GROUP.into(), GroupChange::Block(PEER.into())).unwrap();
    let second = GroupChange::Block(STACK.into());
    assert_eq!(stack.udp_change_group(socket, GROUP.into(), second), Err(GroupError::TooMany));
    let second = stack.udp_bind("0.0.0.0:54".parse().unwrap()).unwrap();
    assert_eq!(stack.udp_join(second, OTHER.into()), Err(GroupError::TooMany));
    stack.datagram_close(socket).unwrap();
    assert_eq!(stack.udp_join(socket, GROUP.into()), Err(GroupError::Stale));
}

#[test]
fn stacks_on_a_link_hear_each_other_in_a_group() {
    let (mut world, a, b) = World::pair(seed(1), |host: Host| host);
    let sender = world[a].udp_bind("10.0.0.1:1000".parse().unwrap()).unwrap();
    let member = world[b].udp_bind("0.0.0.0:53".parse().unwrap()).unwrap();
    world[b].udp_join(member, GROUP.into()).unwrap();
    world[a].udp_send_to(sender, SocketAddr::from((GROUP, 53)), b"hello").unwrap();
    world.run_for(Duration::from_millis(10));
    let mut out = [0; 10];
    let (n, header) = world[b].udp_recv_from(member, &mut out).expect("a datagram");
    assert_eq!((n, header.remote), (5, "10.0.0.1:1000".parse().unwrap()));
}
