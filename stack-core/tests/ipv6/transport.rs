//! TCP and UDP over IPv6.

use std::net::SocketAddr;
use std::time::Duration;

use netlane_core::SocketId;
use netlane_sim::impairment::Impairment;
use netlane_sim::{DeviceConfig, Host, HostId, Script, World, ack, data, pattern, seed, syn, syn_ack};

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Two hosts with cards of this kind, and a connection from the first to the second.
fn connected(seed: u64, card: impl Fn(&mut DeviceConfig)) -> (World, HostId, HostId, SocketId, SocketId) {
    let mut world = World::new(seed);
    let a = world.add(Host::new("a", "fd00::1/64").device(&card));
    let b = world.add(Host::new("b", "fd00::2/64").device(&card));
    let listener = world[b].tcp_listen(address("[fd00::2]:80"), 16).unwrap();
    let client = world[a].tcp_connect(None, address("[fd00::2]:80")).unwrap();
    world.run_for(Duration::from_millis(100));
    let server = world[b].tcp_accept(listener).unwrap().expect("a connection");
    (world, a, b, client, server)
}

/// Carries `len` bytes, and returns how long that took.
fn carry(
    world: &mut World,
    (a, client): (HostId, SocketId),
    (b, server): (HostId, SocketId),
    len: usize,
) -> Duration {
    let bytes = pattern(0, len);
    let (mut sent, mut received) = (0, Vec::with_capacity(len));
    let begin = world.now();
    while received.len() < len {
        sent += world[a].tcp_send(client, &bytes[sent..]).unwrap();
        world.run_for(Duration::from_millis(1));
        let mut out = [0; 65_536];
        while let Ok(read @ 1..) = world[b].tcp_recv(server, &mut out) {
            received.extend_from_slice(&out[..read]);
        }
        assert!(world.now() - begin < Duration::from_secs(300), "{} of {len} bytes", received.len());
    }
    assert!(received == bytes, "the bytes are the same");
    world.now() - begin
}

#[test]
fn rfc_9293_section_3_7_1_segments_leave_room_for_the_larger_header() {
    let mut script = Script::builder().over_ipv6().start();
    script.connect();
    script.expect(syn().mss(1_440));
    script.inject(syn_ack().mss(1_440));
    script.expect(ack(1));
}

#[test]
fn connection_carries_bytes_both_ways_as_a_script_has_it() {
    let mut script = Script::builder().over_ipv6().start();
    let socket = script.accepted();
    script.inject(data(1, 1_000));
    assert_eq!(script.read(socket), 1_000);
    script.send(socket, 500);
    script.expect(data(1, 500).ack(1_001).with(netlane_core::wire::TcpFlags::PSH));
}

#[test]
fn megabytes_arrive_over_a_bad_link() {
    let seed = seed(7);
    let (mut world, a, b, client, server) = connected(seed, |_| {});
    let bad = Impairment { loss: 0.02, duplication: 0.01, corruption: 0.001, ..Impairment::default() };
    world.impair_all(&bad);
    carry(&mut world, (a, client), (b, server), 1 << 20);
}

#[test]
fn cards_that_cut_super_frames_cut_those_of_ipv6_too() {
    let (mut world, a, b, client, server) = connected(seed(1), |card| {
        card.checksum_offload = true;
        card.segmentation_offload = true;
    });
    carry(&mut world, (a, client), (b, server), 4 << 20);
    assert!(world[a].counters().tcp_super_segments_sent > 0);
    assert_eq!(world[b].counters().rx_bad_checksum, 0);
}

#[test]
fn super_frames_are_taken_as_they_are_where_the_receiver_can() {
    let (mut world, a, b, client, server) = connected(seed(1), |card| {
        card.checksum_offload = true;
        card.segmentation_offload = true;
        card.super_frames = true;
    });
    carry(&mut world, (a, client), (b, server), 4 << 20);
    assert!(world[b].counters().tcp_super_segments_received > 0);
}

#[test]
fn hosts_with_both_families_speak_both_at_once() {
    let mut world = World::new(seed(1));
    let (a, b) = dual(&mut world);
    for server in ["10.0.0.2:80", "[fd00::2]:80"] {
        let listener = world[b].tcp_listen(address(server), 16).unwrap();
        let client = world[a].tcp_connect(None, address(server)).unwrap();
        world.run_for(Duration::from_millis(100));
        let accepted = world[b].tcp_accept(listener).unwrap().expect("a connection");
        let peer = world[b].peer_addr(accepted).unwrap().unwrap();
        assert_eq!((peer, Ok(peer)), (peer, world[a].local_addr(client)));
        carry(&mut world, (a, client), (b, accepted), 100_000);
    }
}

#[test]
fn datagrams_are_answered_from_the_address_that_they_came_to() {
    let mut world = World::new(seed(1));
    let a = world.add(Host::new("a", "fd00::1/64"));
    let b = world.add(Host::new("b", "fd00::2/64").stack(|config| {
        config.interface.addresses.push("fd00::22/64".parse().unwrap());
    }));
    let client = world[a].udp_bind(address("[::]:0")).unwrap();
    let server = world[b].udp_bind(address("[::]:53")).unwrap();
    world[a].udp_send_to(client, address("[fd00::22]:53"), b"question").unwrap();
    world.run_for(Duration::from_millis(10));
    let mut out = [0; 64];
    let (n, question) = world[b].udp_recv_from(server, &mut out).expect("a question");
    assert_eq!((&out[..n], question.local), (&b"question"[..], "fd00::22".parse().unwrap()));
    assert_eq!(question.remote.ip(), "fd00::1".parse::<std::net::IpAddr>().unwrap());
}

#[test]
fn link_local_and_global_destinations_get_the_source_that_suits_them() {
    let mut world = World::new(seed(1));
    let a = world.add(Host::new("a", "fe80::1/64").stack(|config| {
        config.interface.addresses.push("2001:db8::1/64".parse().unwrap());
    }));
    let b = world.add(Host::new("b", "fe80::2/64").stack(|config| {
        config.interface.addresses.push("2001:db8::2/64".parse().unwrap());
    }));
    let server = world[b].udp_bind(address("[::]:53")).unwrap();
    let client = world[a].udp_bind(address("[::]:0")).unwrap();
    for (to, from) in [("[fe80::2]:53", "fe80::1"), ("[2001:db8::2]:53", "2001:db8::1")] {
        world[a].udp_send_to(client, address(to), b"?").unwrap();
        world.run_for(Duration::from_millis(10));
        let (_, header) = world[b].udp_recv_from(server, &mut [0; 64]).expect("a datagram");
        assert_eq!(header.remote.ip().to_string(), from);
    }
}

/// Two hosts that have both families.
fn dual(world: &mut World) -> (HostId, HostId) {
    let both = |name, v4: &str, v6: &str| {
        let v6 = v6.parse().unwrap();
        Host::new(name, v4).stack(move |config| config.interface.addresses.push(v6))
    };
    (world.add(both("a", "10.0.0.1/24", "fd00::1/64")), world.add(both("b", "10.0.0.2/24", "fd00::2/64")))
}

#[test]
fn rfc_3493_section_3_7_who_listens_everywhere_takes_connections_of_both_families() {
    let mut world = World::new(seed(1));
    let (a, b) = dual(&mut world);
    let listener = world[b].tcp_listen(address("[::]:80"), 16).unwrap();
    for server in ["10.0.0.2:80", "[fd00::2]:80"] {
        let client = world[a].tcp_connect(None, address(server)).unwrap();
        world.run_for(Duration::from_millis(100));
        let accepted = world[b].tcp_accept(listener).unwrap().expect("a connection");
        assert_eq!(world[b].local_addr(accepted), Ok(address(server)));
        assert_eq!(world[b].peer_addr(accepted), world[a].local_addr(client).map(Some));
    }
    assert!(world[b].tcp_listen(address("0.0.0.0:80"), 16).is_err(), "it has the port of both families");
    world[b].tcp_close(listener).unwrap();
    world[b].tcp_listen(address("0.0.0.0:80"), 16).expect("both are free");
    assert!(world[b].tcp_listen(address("[::]:80"), 16).is_err(), "one of them is taken");
}

#[test]
fn a_datagram_socket_of_all_addresses_speaks_both_families() {
    let mut world = World::new(seed(1));
    let (a, b) = dual(&mut world);
    let server = world[b].udp_bind(address("[::]:53")).unwrap();
    let client = world[a].udp_bind(address("[::]:0")).unwrap();
    // The last one is the first in its mapped form (RFC 4291 §2.5.5.2).
    for to in ["10.0.0.2:53", "[fd00::2]:53", "[::ffff:10.0.0.2]:53"] {
        world[a].udp_send_to(client, address(to), b"question").unwrap();
        world.run_for(Duration::from_millis(10));
        let (_, question) = world[b].udp_recv_from(server, &mut [0; 64]).expect("a question");
        world[b].udp_send_to(server, question.remote, b"answer").unwrap();
        world.run_for(Duration::from_millis(10));
        let (_, answer) = world[a].udp_recv_from(client, &mut [0; 64]).expect("an answer");
        assert_eq!(answer.remote.ip().to_canonical(), address(to).ip().to_canonical());
    }
}

/// RFC 9293 §3.7.1 (MUST-15).
#[test]
fn peer_without_an_mss_option_gets_segments_of_1220_bytes() {
    let mut script = Script::builder().over_ipv6().start();
    let socket = script.accept(syn());
    script.send(socket, 2_000);
    script.expect(data(1, 1_220));
    let mut script = Script::builder().over_ipv6().start();
    let socket = script.connect();
    script.skip();
    script.inject(syn_ack());
    script.skip();
    script.send(socket, 2_000);
    script.expect(data(1, 1_220));
}
