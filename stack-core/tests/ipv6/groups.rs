//! Multicast groups of IPv6 for sockets: RFC 3810, RFC 2710, RFC 3493 §5.2.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use netlane_core::packet_io::IpVersion;
use netlane_core::wire::{Ipv6Repr, MacAddr, Protocol, Sum, UdpDatagram, UdpRepr, icmpv6, mld, ndp, udp};
use netlane_core::{GroupChange, GroupError, SocketId};
use netlane_sim::{Host, Script, World, seed};

use crate::frames::{PEER, STACK, header, ip, parse_ip};

const GROUP: Ipv6Addr = Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 0x77);
const OTHER: Ipv6Addr = Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 0x78);

/// A stack that tells of its groups, and has told of those that its addresses need.
fn script() -> Script {
    let mut script = Script::builder().over_ipv6().with_listener_reports().start();
    script.run_for(Duration::from_secs(2));
    script.skip();
    script
}

fn bound(script: &mut Script, port: u16) -> SocketId {
    script.stack().udp_bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))).unwrap()
}

fn datagram(src: Ipv6Addr, dst: (Ipv6Addr, u16), payload: &[u8]) -> Vec<u8> {
    let repr = UdpRepr { src_port: 99, dst_port: dst.1, payload_len: payload.len() as u16 };
    let mut bytes = vec![0; udp::HEADER_LEN];
    repr.emit(&mut bytes);
    bytes.extend_from_slice(payload);
    let pseudo = Sum::pseudo_v6(src, dst.0, Protocol::UDP, bytes.len());
    udp::fill_checksum(&mut bytes, pseudo);
    ip(&Ipv6Repr { src, dst: dst.0, ..header(Protocol::UDP) }, &bytes)
}

fn receive(script: &mut Script, socket: SocketId) -> Option<Vec<u8>> {
    let mut out = vec![0; 2_000];
    let (n, _) = script.stack().udp_recv_from(socket, &mut out).ok()?;
    out.truncate(n);
    Some(out)
}

/// A router's question, in version 2 where `more` follows the group.
fn query(max_response: u16, group: Ipv6Addr, more: &[u8]) -> Vec<u8> {
    let mut query = vec![130, 0, 0, 0];
    query.extend(max_response.to_be_bytes());
    query.extend([0, 0]);
    query.extend(group.octets());
    query.extend(more);
    from_neighbor(ndp::ALL_NODES, query)
}

fn from_neighbor(dst: Ipv6Addr, mut message: Vec<u8>) -> Vec<u8> {
    let src = "fe80::ff".parse().unwrap();
    let repr = Ipv6Repr { src, dst, hop_limit: 1, ..header(Protocol::ICMPV6) };
    let pseudo = Sum::pseudo_v6(src, dst, Protocol::ICMPV6, message.len());
    icmpv6::fill_checksum(&mut message, pseudo);
    ip(&repr, &message)
}

/// The next message about groups, and where it goes.
fn report(script: &mut Script) -> Option<(Vec<u8>, Ipv6Addr)> {
    let frame = script.next_frame()?;
    let (ethernet, packet) = parse_ip(&frame);
    let upper = packet.upper().unwrap();
    assert!(upper.router_alert && packet.repr.hop_limit == 1);
    assert_eq!(ethernet.dst, MacAddr::multicast_for_v6(packet.repr.dst));
    let pseudo = Sum::pseudo_v6(packet.repr.src, packet.repr.dst, Protocol::ICMPV6, upper.payload.len());
    assert_eq!(pseudo.add(netlane_core::wire::checksum::sum(upper.payload)).finish(), 0);
    Some((upper.payload.to_vec(), packet.repr.dst))
}

/// A record of a report of version 2 (RFC 3810 §5.2).
fn record(kind: u8, sources: &[Ipv6Addr]) -> Vec<u8> {
    let head = [kind, 0, 0, sources.len() as u8];
    let addresses = std::iter::once(&GROUP).chain(sources).flat_map(Ipv6Addr::octets);
    head.into_iter().chain(addresses).collect()
}

#[test]
fn only_members_hear_a_group_and_everybody_hears_all_nodes() {
    let mut script = script();
    let (member, other) = (bound(&mut script, 53), bound(&mut script, 54));
    script.inject_frame(&datagram(PEER, (GROUP, 53), b"too early"));
    assert_eq!(script.stack().counters().rx_other_address, 1);
    script.stack().udp_join(member, GROUP.into()).unwrap();
    for port in [53, 54] {
        script.inject_frame(&datagram(PEER, (GROUP, port), b"hello group"));
        script.inject_frame(&datagram(PEER, (OTHER, port), b"another group"));
    }
    assert_eq!(receive(&mut script, member), Some(b"hello group".to_vec()));
    assert_eq!((receive(&mut script, member), receive(&mut script, other)), (None, None));
    script.inject_frame(&datagram(PEER, (ndp::ALL_NODES, 54), b"hello all"));
    assert_eq!(receive(&mut script, other), Some(b"hello all".to_vec()));
    script.stack().udp_leave(member, GROUP.into()).unwrap();
    script.inject_frame(&datagram(PEER, (GROUP, 53), b"too late"));
    assert_eq!(receive(&mut script, member), None);
    let again = script.stack().udp_leave(member, GROUP.into());
    assert_eq!(again, Err(GroupError::NotJoined));
}

/// RFC 3810 §4.2 and §6.1: the routers hear what all sockets together want.
#[test]
fn socket_chooses_whom_it_hears_and_routers_are_told() {
    let mut script = script();
    let member = bound(&mut script, 53);
    let change = |script: &mut Script, change| {
        script.stack().udp_change_group(member, GROUP.into(), change).unwrap();
        let (message, to) = report(script).expect("a report");
        assert_eq!((message[0], to), (143, mld::ALL_MLDV2_ROUTERS));
        script.run_for(Duration::from_secs(2));
        script.skip();
        message[8..].to_vec()
    };
    let another: Ipv6Addr = "fd00::9".parse().unwrap();
    // ALLOW_NEW_SOURCES, BLOCK_OLD_SOURCES, CHANGE_TO_EXCLUDE_MODE.
    assert_eq!(change(&mut script, GroupChange::JoinSource(PEER.into())), record(5, &[PEER]));
    for (sender, heard) in [(PEER, true), (another, false)] {
        script.inject_frame(&datagram(sender, (GROUP, 53), b"hello"));
        assert_eq!(receive(&mut script, member).is_some(), heard);
    }
    assert_eq!(change(&mut script, GroupChange::LeaveSource(PEER.into())), record(6, &[PEER]));
    assert_eq!(change(&mut script, GroupChange::Join), record(4, &[]));
    assert_eq!(change(&mut script, GroupChange::Block(PEER.into())), record(6, &[PEER]));
    for (sender, heard) in [(PEER, false), (another, true)] {
        script.inject_frame(&datagram(sender, (GROUP, 53), b"hello"));
        assert_eq!(receive(&mut script, member).is_some(), heard);
    }
    let number_of_senders = [2, 125, 0, 2];
    let asked = [&number_of_senders[..], &PEER.octets(), &another.octets()].concat();
    script.inject_frame(&query(1_000, GROUP, &asked));
    script.run_for(Duration::from_secs(2));
    // MODE_IS_INCLUDE: of those in question, this one is heard.
    assert_eq!(report(&mut script).expect("an answer").0[8..], record(1, &[another]));
}

/// RFC 3810 §8.2.1, RFC 2710 §4 and §5.
#[test]
fn routers_of_version_1_are_told_in_their_language_and_others_spare_us_the_answer() {
    let mut script = script();
    let member = bound(&mut script, 53);
    script.inject_frame(&query(1_000, OTHER, &[]));
    script.stack().udp_join(member, GROUP.into()).unwrap();
    let old = |kind: u8| [&[kind, 0][..], &[0; 4], &GROUP.octets()].concat();
    let without_checksum = |(message, to): (Vec<u8>, Ipv6Addr)| ([&message[..2], &message[4..]].concat(), to);
    assert_eq!(report(&mut script).map(without_checksum), Some((old(131), GROUP)));
    script.run_for(Duration::from_secs(11));
    script.skip();
    // Asked about this group, we answer, unless another host is faster.
    script.inject_frame(&query(1_000, GROUP, &[]));
    script.run_for(Duration::from_secs(1));
    assert_eq!(report(&mut script).map(without_checksum), Some((old(131), GROUP)));
    script.inject_frame(&query(1_000, GROUP, &[]));
    script.inject_frame(&from_neighbor(GROUP, mld::old_message(GROUP, true).to_vec()));
    script.expect_silence(Duration::from_secs(5));
    // Who did not report it last has nothing to take back; who did, tells all routers.
    script.inject_frame(&query(1_000, GROUP, &[]));
    script.run_for(Duration::from_secs(1));
    script.skip();
    script.stack().udp_leave(member, GROUP.into()).unwrap();
    assert_eq!(report(&mut script).map(without_checksum), Some((old(132), mld::ALL_ROUTERS)));
}

/// RFC 3493 §5.2: to the link alone, and to ourselves too, unless the user says otherwise.
#[test]
fn datagrams_to_a_group_leave_with_their_hop_limit_and_reach_our_own_members() {
    let mut script = script();
    let member = bound(&mut script, 53);
    script.stack().udp_join(member, GROUP.into()).unwrap();
    script.run_for(Duration::from_secs(2));
    script.skip();
    let sender = script.stack().udp_bind(SocketAddr::from((STACK, 1_000))).unwrap();
    for (hops, looped) in [(None, true), (Some(7), false), (Some(0), true)] {
        if let Some(hops) = hops {
            script.stack().udp_set_multicast_hops(sender, IpVersion::V6, hops).unwrap();
            script.stack().udp_set_multicast_loop(sender, IpVersion::V6, looped).unwrap();
            // What is said of the other family does not matter.
            script.stack().udp_set_multicast_loop(sender, IpVersion::V4, !looped).unwrap();
        }
        script.stack().udp_send_to(sender, SocketAddr::from((GROUP, 53)), b"hello group").unwrap();
        let frame = script.next_frame().expect("a datagram");
        let (ethernet, packet) = parse_ip(&frame);
        assert_eq!(ethernet.dst, MacAddr::multicast_for_v6(GROUP));
        assert_eq!((packet.repr.src, packet.repr.hop_limit), (STACK, hops.unwrap_or(1)));
        assert_eq!(UdpDatagram::parse(packet.upper().unwrap().payload).unwrap().payload, b"hello group");
        assert_eq!(receive(&mut script, member).is_some(), looped);
    }
}

#[test]
fn stacks_on_a_link_hear_each_other_in_a_group_of_ipv6() {
    let mut world = World::new(seed(1));
    let (a, b) = (world.add(Host::new("a", "fd00::1/64")), world.add(Host::new("b", "fd00::2/64")));
    let sender = world[a].udp_bind("[::]:1000".parse().unwrap()).unwrap();
    let member = world[b].udp_bind("[::]:53".parse().unwrap()).unwrap();
    world[b].udp_join(member, GROUP.into()).unwrap();
    world[a].udp_send_to(sender, SocketAddr::from((GROUP, 53)), b"hello").unwrap();
    world.run_for(Duration::from_millis(10));
    let mut out = [0; 10];
    let (n, header) = world[b].udp_recv_from(member, &mut out).expect("a datagram");
    assert_eq!((n, header.remote.ip()), (5, "fd00::1".parse::<IpAddr>().unwrap()));
}
