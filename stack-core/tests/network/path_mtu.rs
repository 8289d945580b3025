//! Paths that carry less than the link: RFC 1191, RFC 5927 §7.

use std::net::SocketAddr;
use std::time::Duration;

use netlane_core::wire::icmpv4::{self, Unreachable};
use netlane_core::wire::{EthernetRepr, Icmpv4Repr};
use netlane_sim::{Script, ack, data};

use crate::frames::{PEER, STACK, icmp, parse_ip};

/// What a router says that could not pass `frame` on over a link that carries `mtu` bytes.
fn too_large(frame: &[u8], mtu: u16) -> Vec<u8> {
    let (_, offset) = EthernetRepr::parse(frame).unwrap();
    let reason = Unreachable::FragmentationNeeded { mtu };
    icmp(&Icmpv4Repr::DestinationUnreachable { reason, quote: icmpv4::quote(&frame[offset..]) })
}

#[test]
fn segments_shrink_to_what_the_path_carries_and_are_sent_again_at_once() {
    let mut script = Script::new();
    let socket = script.connected();
    script.send(socket, 2_920);
    let first = script.next_frame().expect("a full segment");
    let (_, packet) = parse_ip(&first);
    assert!(packet.repr.dont_fragment);
    assert_eq!(packet.payload.len(), 20 + 1_460);
    script.skip();
    script.inject_frame(&too_large(&first, 1_000));
    // RFC 1191 §6.4: no timer has to go off for that.
    script.expect(data(1, 960).ack(1));
    script.expect(data(961, 960).ack(1));
    script.expect(data(1_921, 960).ack(1));
    script.inject(ack(2_881));
    script.run_for(Duration::from_millis(1));
    assert_eq!(script.stack().path_mtu(PEER.into()), 1_000);
}

#[test]
fn other_connections_to_the_same_host_follow_without_being_told() {
    let mut script = Script::new();
    let socket = script.stack().udp_bind(SocketAddr::from((STACK, 53))).unwrap();
    script.stack().udp_send_to(socket, Script::PEER, &[0; 1_472]).unwrap();
    let datagram = script.next_frame().unwrap();
    script.inject_frame(&too_large(&datagram, 1_000));
    let socket = script.connected();
    script.send(socket, 1_920);
    script.expect(data(1, 960).ack(1));
    script.expect(data(961, 960).ack(1));
}

#[test]
fn datagrams_are_cut_to_what_the_path_carries_and_ten_minutes_later_no_more() {
    let mut script = Script::new();
    let socket = script.stack().udp_bind(SocketAddr::from((STACK, 53))).unwrap();
    let send = |script: &mut Script| {
        script.stack().udp_send_to(socket, Script::PEER, &[0; 1_472]).unwrap();
        let frames: Vec<_> = std::iter::from_fn(|| script.next_frame()).collect();
        frames
    };
    let whole = send(&mut script);
    assert!(parse_ip(&whole[0]).1.repr.dont_fragment);
    script.inject_frame(&too_large(&whole[0], 1_000));
    let lens: Vec<_> = send(&mut script).iter().map(|frame| parse_ip(frame).1.payload.len()).collect();
    // 976 is the largest multiple of 8 that fits.
    assert_eq!(lens, [976, 504]);
    script.run_for(Duration::from_secs(601));
    assert_eq!(send(&mut script).len(), 1);
}

/// RFC 5927 §7.2: who does not see the connection cannot know what is on its way.
#[test]
fn forged_messages_are_not_believed() {
    let mut script = Script::new();
    let socket = script.connected();
    script.send(socket, 1_460);
    let segment = script.next_frame().unwrap();
    let seq = 14 + 20 + 4;
    for change in [-1_i64, 1_460, 1 << 31] {
        let mut forged = segment.clone();
        let number = u32::from_be_bytes(forged[seq..seq + 4].try_into().unwrap());
        forged[seq..seq + 4].copy_from_slice(&number.wrapping_add(change as u32).to_be_bytes());
        script.inject_frame(&too_large(&forged, 600));
    }
    assert_eq!(script.stack().counters().rx_icmp_doubted, 3);
    // Once it is acknowledged, it is no longer on its way either.
    script.inject(ack(1_461));
    script.inject_frame(&too_large(&segment, 600));
    assert_eq!(script.stack().counters().rx_icmp_doubted, 4);
    assert_eq!(script.stack().path_mtu(PEER.into()), 1_500);
    // Nor is anything that no socket can have sent.
    let socket = script.stack().udp_bind(SocketAddr::from((STACK, 53))).unwrap();
    script.stack().udp_send_to(socket, Script::PEER, &[0; 1_000]).unwrap();
    let datagram = script.next_frame().unwrap();
    script.stack().datagram_close(socket).unwrap();
    script.inject_frame(&too_large(&datagram, 600));
    assert_eq!(script.stack().counters().path_mtus_learnt, 0);
}

#[test]
fn absurdly_small_paths_get_no_smaller_packets_but_ones_that_may_be_cut() {
    let mut script = Script::new();
    let socket = script.connected();
    script.send(socket, 1_000);
    let segment = script.next_frame().unwrap();
    script.inject_frame(&too_large(&segment, 68));
    let frame = script.next_frame().expect("a smaller one");
    let (_, packet) = parse_ip(&frame);
    assert_eq!(packet.payload.len() + 20, 552);
    assert!(!packet.repr.dont_fragment);
}

/// RFC 2923 §2.1: a path that says nothing about what it swallows. RFC 4821 §7.7.
#[test]
fn path_that_swallows_large_segments_without_a_word_is_found_out() {
    for (detection, carries) in [(true, 1_100), (true, 600), (false, 1_100)] {
        let mut script =
            Script::builder().stack(|config| config.tcp.black_hole_detection = detection).start();
        let socket = script.connected();
        script.send(socket, 1_460);
        let mut sizes = Vec::new();
        let mut arrived = false;
        for _ in 0..600 {
            script.run_for(Duration::from_millis(100));
            while let Some(frame) = script.next_frame() {
                let (_, packet) = parse_ip(&frame);
                let len = packet.payload.len() - 20;
                sizes.push(len);
                // What comes behind the first bytes does not count while these are missing.
                let is_first = packet.payload[4..8] == (script.stack_isn() + 1).to_be_bytes();
                arrived |= is_first && len > 0 && usize::from(packet.repr.payload_len) + 20 <= carries;
            }
            if arrived {
                break;
            }
        }
        assert_eq!(arrived, detection, "{sizes:?}");
        let smaller = sizes.iter().position(|len| *len < 1_460);
        assert!(smaller.is_none_or(|at| at >= 3), "three timeouts come first: {sizes:?}");
        assert_eq!(sizes.contains(&1_024), detection);
        assert_eq!(sizes.contains(&512), detection && carries == 600);
        if detection {
            script.inject(ack(1_461));
            script.send(socket, 1_460);
            let frame = script.next_frame().expect("what follows, in small segments too");
            assert!(parse_ip(&frame).1.payload.len() - 20 <= carries - 40);
        }
    }
}
