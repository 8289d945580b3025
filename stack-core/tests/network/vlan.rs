//! Both families in a VLAN (IEEE 802.1Q): everything that leaves has the tag, and nothing without it arrives.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use netlane_core::VlanId;
use netlane_core::wire::{EtherType, EthernetRepr, MacAddr, ethernet};
use netlane_sim::{DeviceConfig, Host, HostId, Script, World, pattern, seed};

use crate::frames::{PEER, STACK, udp};

const VLAN: u16 = 42;

/// Two hosts with both families in a VLAN, which have to find each other first.
fn pair(vlans: [u16; 2], device: impl Fn(&mut DeviceConfig)) -> (World, HostId, HostId) {
    let mut world = World::new(seed(1));
    let mut add = |name: &str, number: usize| {
        let host = Host::new(name, &format!("10.0.0.{number}/24")).device(&device);
        world.add(host.stack(|config| {
            config.interface.vlan = VlanId::new(vlans[number - 1]);
            config.interface.addresses.push(format!("fd00::{number}/64").parse().unwrap());
            config.interface.ipv6.duplicate_address_detection = true;
        }))
    };
    let (a, b) = (add("a", 1), add("b", 2));
    world.run_for(Duration::from_secs(3));
    (world, a, b)
}

fn ends(world: &World, host: HostId) -> (u64, u64) {
    let counters = world[host].counters();
    (counters.rx_other_vlan, counters.rx_frames)
}

#[test]
fn both_families_speak_in_a_vlan_with_and_without_offloads() {
    for offload in [false, true] {
        let (mut world, a, b) = pair([VLAN; 2], |device| {
            (device.checksum_offload, device.segmentation_offload) = (offload, offload);
        });
        for peer in ["10.0.0.2", "fd00::2"].map(|peer| peer.parse::<IpAddr>().unwrap()) {
            // TCP, with segments that the device cuts.
            let listener = world[b].tcp_listen(SocketAddr::new(peer, 80), 4).unwrap();
            let stream = world[a].tcp_connect(None, SocketAddr::new(peer, 80)).unwrap();
            world.run_for(Duration::from_millis(100));
            let served = world[b].tcp_accept(listener).unwrap().expect("a connection");
            let sent = pattern(0, 20_000);
            assert_eq!(world[a].tcp_send(stream, &sent), Ok(sent.len()));
            world.run_for(Duration::from_millis(100));
            let mut received = vec![0; 30_000];
            assert_eq!(world[b].tcp_recv(served, &mut received), Ok(sent.len()));
            assert_eq!(received[..sent.len()], sent);
            // UDP: in one frame, in fragments, and many from one call.
            let near = world[a].udp_bind("[::]:0".parse().unwrap()).unwrap();
            let far = world[b].udp_bind(SocketAddr::new(peer, 53)).unwrap();
            let to = SocketAddr::new(peer, 53);
            world[a].udp_send_to(near, to, &sent[..1_000]).unwrap();
            world[a].udp_send_to(near, to, &sent[..5_000]).unwrap();
            world[a].udp_send_segments_to(near, to, &sent[..5_000], 1_000).unwrap();
            world.run_for(Duration::from_millis(100));
            for expected in [1_000, 5_000, 1_000, 1_000, 1_000, 1_000, 1_000] {
                let (n, _) = world[b].udp_recv_from(far, &mut received).expect("a datagram");
                assert_eq!(n, expected);
            }
            // An echo, and a port where nobody listens.
            let echo = world[a]
                .echo_bind(if peer.is_ipv4() { "0.0.0.0" } else { "::" }.parse().unwrap(), 0)
                .unwrap();
            world[a].udp_send_to(echo, SocketAddr::new(peer, 0), &[0, 1, 2, 3]).unwrap();
            world[a].udp_connect(near, Some(SocketAddr::new(peer, 9))).unwrap();
            world[a].udp_send_to(near, SocketAddr::new(peer, 9), b"anybody?").unwrap();
            world.run_for(Duration::from_millis(100));
            assert!(world[a].udp_recv_from(echo, &mut received).is_ok());
            assert!(world[a].take_error(near).unwrap().is_some());
        }
        for host in [a, b] {
            assert_eq!(world[host].counters().rx_other_vlan, 0);
            assert_eq!(world[host].counters().rx_bad_checksum, 0);
        }
    }
}

#[test]
fn groups_of_both_families_are_heard_in_a_vlan() {
    let (mut world, a, b) = pair([VLAN; 2], |_| {});
    for group in ["239.1.2.3", "ff05::77"].map(|group| group.parse::<IpAddr>().unwrap()) {
        let port = if group.is_ipv4() { 53 } else { 54 };
        let member = world[b].udp_bind(SocketAddr::new("::".parse().unwrap(), port)).unwrap();
        world[b].udp_join(member, group).unwrap();
        let sender = world[a].udp_bind("[::]:0".parse().unwrap()).unwrap();
        world[a].udp_send_to(sender, SocketAddr::new(group, port), b"hello").unwrap();
        world.run_for(Duration::from_millis(10));
        assert!(world[b].udp_recv_from(member, &mut [0; 8]).is_ok(), "{group}");
    }
}

#[test]
fn hosts_in_different_vlans_hear_nothing_of_each_other() {
    let (mut world, a, b) = pair([VLAN, VLAN + 1], |_| {});
    for peer in ["10.0.0.2:53", "[fd00::2]:53"] {
        let sender = world[a].udp_bind("[::]:0".parse().unwrap()).unwrap();
        world[a].udp_send_to(sender, peer.parse().unwrap(), b"hello").unwrap();
        world.run_for(Duration::from_secs(5));
        // Nobody answers the questions for its Ethernet address.
        assert!(world[a].take_error(sender).unwrap().is_none(), "an unconnected socket is told nothing");
    }
    let (others, all) = ends(&world, b);
    assert!(others > 0 && others == all, "{others} of {all} frames");
    assert_eq!(world[a].counters().rx_no_socket + world[b].counters().rx_no_socket, 0);
}

#[test]
fn every_frame_has_the_tag_and_frames_without_it_are_counted() {
    let mut script = Script::builder().stack(|config| config.interface.vlan = VlanId::new(VLAN)).start();
    let socket = script.stack().udp_bind(SocketAddr::from((STACK, 53))).unwrap();
    script.stack().udp_send_to(socket, Script::PEER, b"hello").unwrap();
    script.stack().udp_join(socket, "239.1.2.3".parse().unwrap()).unwrap();
    script.run_for(Duration::from_secs(2));
    let frames = script.frames();
    assert!(frames.len() >= 2, "a datagram and a report");
    for frame in frames {
        // IEEE 802.1Q §9: 0x8100, and the number in the lower 12 bits.
        assert_eq!(frame[12..16], [0x81, 0x00, 0, VLAN as u8]);
    }
    let untagged = udp((PEER, 99), (STACK, 53), b"untagged");
    script.inject_frame(&untagged);
    assert_eq!(script.stack().counters().rx_other_vlan, 1);
    let tagged = |vlan: u16| {
        let mut frame = vec![0; ethernet::HEADER_LEN + ethernet::TAG_LEN];
        let dst: MacAddr = Script::STACK_MAC;
        let vlan = VlanId::new(vlan);
        EthernetRepr { dst, src: Script::PEER_MAC, ethertype: EtherType::IPV4, vlan }.emit(&mut frame);
        frame.extend_from_slice(&untagged[ethernet::HEADER_LEN..]);
        frame
    };
    script.inject_frame(&tagged(VLAN + 1));
    assert_eq!(script.stack().counters().rx_other_vlan, 2);
    script.inject_frame(&tagged(VLAN));
    assert!(script.stack().udp_recv_from(socket, &mut [0; 16]).is_ok());
}
