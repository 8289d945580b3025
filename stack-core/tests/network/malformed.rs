//! Packets that should not be: none panics, and each is counted under its own reason.

use std::net::Ipv4Addr;

use netlane_core::wire::{ArpOperation, EtherType, Fragment, MacAddr, Protocol, VlanId};
use netlane_core::{Counters, SocketId, TcpState};
use netlane_sim::{Script, ack, data, rst, seed, syn};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, RngSeed, TestRunner};

use crate::frames::{PEER, STACK, arp, ethernet, ethernet_to, header, ip, udp};

/// Ethernet's header.
const IP: usize = 14;
/// And IPv4's.
const TCP: usize = IP + 20;

/// What a frame changes in the counters, apart from those of traffic.
fn counted(script: &mut Script, frame: &[u8]) -> Vec<&'static str> {
    let before = script.stack().counters().clone();
    script.inject_frame(frame);
    script.skip();
    changed(&before, script.stack().counters())
}

fn changed(before: &Counters, after: &Counters) -> Vec<&'static str> {
    let traffic =
        ["rx_frames", "rx_bytes", "tx_frames", "tx_bytes", "tcp_segments_received", "tcp_segments_sent"];
    let grown = before.iter().zip(after.iter()).filter(|(before, after)| before.1 != after.1);
    grown.map(|(_, (name, _))| name).filter(|name| !traffic.contains(name)).collect()
}

/// A frame with a good segment, changed by `change`, with a right IPv4 checksum.
fn segment(script: &Script, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut frame = script.frame(&data(1, 20).mss(1_460));
    change(&mut frame);
    frame
}

fn fix_ip_checksum(frame: &mut [u8]) {
    frame[IP + 10..IP + 12].fill(0);
    let header_len = usize::from(frame[IP] & 0x0f) * 4;
    let sum = netlane_core::wire::checksum::sum(&frame[IP..IP + header_len]).finish();
    frame[IP + 10..IP + 12].copy_from_slice(&sum.to_be_bytes());
}

fn fix_tcp_checksum(frame: &mut [u8]) {
    let (src, dst) = (PEER, STACK);
    let bytes = &mut frame[TCP..];
    bytes[16..18].fill(0);
    let pseudo = netlane_core::wire::Sum::pseudo_v4(src, dst, Protocol::TCP, bytes.len());
    netlane_core::wire::tcp::fill_checksum(bytes, pseudo);
}

#[test]
fn ethernet_is_checked() {
    let mut script = Script::new();
    assert_eq!(counted(&mut script, &[0; 13]), ["rx_truncated"]);
    let for_somebody = ethernet_to(MacAddr([2, 9, 9, 9, 9, 9]), EtherType::IPV4, &[0; 40]);
    assert_eq!(counted(&mut script, &for_somebody), ["rx_other_mac"]);
    assert_eq!(counted(&mut script, &ethernet(EtherType(0x88cc), &[0; 40])), ["rx_unknown_protocol"]);
    assert_eq!(counted(&mut script, &ethernet(EtherType(40), &[0; 40])), ["rx_unknown_protocol"]);
    let mut from_a_group = ethernet(EtherType::IPV4, &[0; 40]);
    from_a_group[6] |= 1;
    assert_eq!(counted(&mut script, &from_a_group), ["rx_bad_source"]);
}

#[test]
fn frames_of_other_vlans_are_dropped() {
    let tagged =
        |id: u16| ethernet(EtherType::VLAN, &[&id.to_be_bytes()[..], &[0x08, 0x00], &[0; 40]].concat());
    let mut script = Script::new();
    assert_eq!(counted(&mut script, &tagged(42)), ["rx_other_vlan"]);
    let mut script = Script::builder().stack(|config| config.interface.vlan = VlanId::new(42)).start();
    assert_eq!(counted(&mut script, &tagged(43)), ["rx_other_vlan"]);
    assert_eq!(counted(&mut script, &ethernet(EtherType::IPV4, &[0; 40])), ["rx_other_vlan"]);
    // Its own are looked at: this one has a bad version.
    assert_eq!(counted(&mut script, &tagged(42)), ["rx_malformed"]);
    assert_eq!(counted(&mut script, &ethernet(EtherType::VLAN, &[0])), ["rx_truncated"]);
}

#[test]
fn ipv4_headers_are_checked() {
    let mut script = Script::new();
    script.accepted();
    let mut case = |change: &dyn Fn(&mut Vec<u8>), fix: bool| {
        let mut frame = segment(&script, |frame| change(frame));
        if fix {
            fix_ip_checksum(&mut frame);
        }
        counted(&mut script, &frame)
    };
    assert_eq!(case(&|frame| frame.truncate(IP + 19), false), ["rx_truncated"]);
    assert_eq!(case(&|frame| frame[IP] = 0x65, false), ["rx_malformed"]);
    assert_eq!(case(&|frame| frame[IP] = 0x44, true), ["rx_malformed"]);
    assert_eq!(case(&|frame| frame[IP + 3] = 19, true), ["rx_malformed"]);
    assert_eq!(case(&|frame| frame[IP + 2] = 0xff, true), ["rx_malformed"]);
    assert_eq!(case(&|frame| frame[IP + 8] ^= 1, false), ["rx_bad_checksum"]);
    // 24 bytes of header with a source route, and with an option that leads nowhere.
    let with_options = |options: [u8; 4]| {
        move |frame: &mut Vec<u8>| {
            frame[IP] = 0x46;
            frame.splice(TCP..TCP, options);
            let len = (frame.len() - IP) as u16;
            frame[IP + 2..IP + 4].copy_from_slice(&len.to_be_bytes());
        }
    };
    assert_eq!(case(&with_options([131, 4, 4, 0]), true), ["rx_bad_options"]);
    assert_eq!(case(&with_options([7, 200, 4, 0]), true), ["rx_bad_options"]);
    assert_eq!(case(&with_options([7, 0, 4, 0]), true), ["rx_bad_options"]);
}

#[test]
fn impossible_addresses_are_refused() {
    let mut script = Script::new();
    script.listen();
    let mut from = |src: [u8; 4], dst: [u8; 4]| {
        let (src, dst) = (Ipv4Addr::from(src), Ipv4Addr::from(dst));
        let frame = ip(&header(src, dst, Protocol::TCP, 20), &[0; 20]);
        counted(&mut script, &frame)
    };
    let stack = STACK.octets();
    for bad in [[224, 0, 0, 1], [255, 255, 255, 255], [10, 0, 0, 255], [0, 0, 0, 0], [127, 0, 0, 1]] {
        assert_eq!(from(bad, stack), ["rx_bad_source"], "{bad:?}");
    }
    // A land attack: from ourselves to ourselves.
    assert_eq!(from(stack, stack), ["rx_bad_source"]);
    assert_eq!(from(PEER.octets(), [10, 0, 0, 77]), ["rx_other_address"]);
    // TCP to everybody.
    assert_eq!(from(PEER.octets(), [10, 0, 0, 255]), ["rx_other_address"]);
    assert_eq!(from(PEER.octets(), [224, 0, 0, 1]), ["rx_other_address"]);
    // What came to everybody on the link is not for one address.
    let mut frame = script.frame(&syn());
    frame[..6].fill(0xff);
    assert_eq!(counted(&mut script, &frame), ["rx_bad_source"]);
}

#[test]
fn part_beyond_the_longest_packet_is_refused() {
    let mut script = Script::new();
    let repr = netlane_core::wire::Ipv4Repr {
        fragment: Some(Fragment { offset: 65_528, more: false }),
        ..header(PEER, STACK, Protocol::UDP, 16)
    };
    assert_eq!(counted(&mut script, &ip(&repr, &[0; 16])), ["rx_malformed"]);
}

#[test]
fn segments_are_checked() {
    let mut script = Script::new();
    let socket = script.accepted();
    let mut case = |change: &dyn Fn(&mut Vec<u8>)| {
        let frame = segment(&script, |frame| {
            change(frame);
            let len = (frame.len() - IP) as u16;
            frame[IP + 2..IP + 4].copy_from_slice(&len.to_be_bytes());
            fix_ip_checksum(frame);
            if frame.len() >= TCP + 20 {
                fix_tcp_checksum(frame);
            }
        });
        counted(&mut script, &frame)
    };
    assert_eq!(case(&|frame| frame.truncate(TCP + 19)), ["rx_truncated"]);
    assert_eq!(case(&|frame| frame.truncate(TCP)), ["rx_truncated"]);
    assert_eq!(case(&|frame| frame[TCP + 12] = 4 << 4), ["rx_malformed"]);
    assert_eq!(case(&|frame| frame[TCP + 12] = 15 << 4), ["rx_malformed"]);
    for options in [[2, 3, 5, 180], [2, 0, 5, 180], [8, 10, 0, 0], [3, 200, 0, 0], [1, 1, 1, 2], [5, 3, 0, 0]]
    {
        assert_eq!(case(&|frame| frame[TCP + 20..TCP + 24].copy_from_slice(&options)), ["rx_bad_options"]);
    }
    // Unknown options and odd ends are skipped.
    for options in [[253, 4, 0, 0], [0, 255, 255, 255], [1, 1, 1, 0]] {
        let changed = case(&|frame| frame[TCP + 20..TCP + 24].copy_from_slice(&options));
        assert!(changed.iter().all(|name| name.starts_with("tcp_")), "{options:?}: {changed:?}");
    }
    let mut frame = segment(&script, |_| {});
    *frame.last_mut().unwrap() ^= 1;
    assert_eq!(counted(&mut script, &frame), ["rx_bad_checksum"]);
    assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::Established));
    assert_eq!(script.read(socket), 20);
}

#[test]
fn datagrams_are_checked() {
    let mut script = Script::new();
    script.stack().udp_bind("10.0.0.1:53".parse().unwrap()).unwrap();
    let good = udp((PEER, 99), (STACK, 53), b"hello");
    let case = |script: &mut Script, change: &dyn Fn(&mut Vec<u8>)| {
        let mut frame = good.clone();
        change(&mut frame);
        let len = (frame.len() - IP) as u16;
        frame[IP + 2..IP + 4].copy_from_slice(&len.to_be_bytes());
        fix_ip_checksum(&mut frame);
        counted(script, &frame)
    };
    assert_eq!(case(&mut script, &|frame| frame.truncate(TCP + 7)), ["rx_truncated"]);
    assert_eq!(case(&mut script, &|frame| frame[TCP + 5] = 7), ["rx_malformed"]);
    assert_eq!(case(&mut script, &|frame| frame[TCP + 5] = 200), ["rx_malformed"]);
    assert_eq!(case(&mut script, &|frame| frame[TCP + 8] ^= 1), ["rx_bad_checksum"]);
    // Without a checksum it is taken (RFC 768), and so is what stands behind its end.
    assert!(case(&mut script, &|frame| frame[TCP + 6..TCP + 8].fill(0)).is_empty());
    assert!(case(&mut script, &|frame| frame.extend_from_slice(&[0; 9])).is_empty());
}

#[test]
fn icmp_and_arp_are_checked() {
    let mut script = Script::new();
    let icmp = |bytes: &[u8]| ip(&header(PEER, STACK, Protocol::ICMP, bytes.len()), bytes);
    assert_eq!(counted(&mut script, &icmp(&[8, 0, 0])), ["rx_truncated"]);
    assert_eq!(counted(&mut script, &icmp(&[8, 0, 0, 0, 0, 0, 0, 0])), ["rx_bad_checksum"]);
    assert_eq!(counted(&mut script, &icmp(&[99, 0, 0x9c, 0xff, 0, 0, 0, 0])), ["rx_unknown_protocol"]);
    let good = arp(ArpOperation::Request, (Script::PEER_MAC, PEER), (MacAddr::ZERO, STACK));
    let mut case = |at: usize, value: u8| {
        let mut frame = good.clone();
        frame[IP + at] = value;
        counted(&mut script, &frame)
    };
    assert_eq!(case(1, 6), ["rx_unknown_protocol"]);
    assert_eq!(case(4, 8), ["rx_malformed"]);
    assert_eq!(case(7, 9), ["rx_unknown_protocol"]);
    assert_eq!(counted(&mut script, &good[..IP + 27]), ["rx_truncated"]);
}

#[test]
fn of_segments_that_contradict_each_other_the_later_counts_until_its_bytes_are_in_order() {
    let mut script = Script::new();
    let socket = script.accepted();
    script.inject(data(11, 10).bytes(b"bbbbbbbbbb"));
    script.inject(data(6, 10).bytes(b"cccccccccc"));
    script.inject(data(1, 10).bytes(b"aaaaaaaaaa"));
    // All twenty are in order now, and nothing changes them any more.
    script.inject(data(1, 20).bytes(b"dddddddddddddddddddd"));
    let mut out = [0; 100];
    assert_eq!(script.stack().tcp_recv(socket, &mut out), Ok(20));
    assert_eq!(&out[..20], b"aaaaaaaaaacccccbbbbb");
    script.inject(data(11, 11).bytes(b"dddddddddde"));
    assert_eq!(script.stack().tcp_recv(socket, &mut out), Ok(1));
    assert_eq!(out[0], b'e');
}

/// A stack with something of everything: connections in several states, a listener, sockets for datagrams.
fn busy() -> (Script, SocketId) {
    let mut script = Script::builder().stack(|config| config.tcp.timestamps = true).start();
    let socket = script.accepted();
    script.send(socket, 5_000);
    script.stack().udp_bind("0.0.0.0:53".parse().unwrap()).unwrap();
    script.stack().echo_bind("10.0.0.1".parse().unwrap(), 7).unwrap();
    script.inject(syn().port(1_001));
    script.inject(data(100, 10));
    script.skip();
    (script, socket)
}

fn runner(cases: u32) -> TestRunner {
    let config = Config {
        cases,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed(0x6e65_746c_616e_6531)),
        rng_algorithm: RngAlgorithm::ChaCha,
        ..Config::default()
    };
    TestRunner::new(config)
}

#[test]
fn random_bytes_do_no_harm() {
    let frames = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..20);
    let run = |frames: Vec<Vec<u8>>| {
        let (mut script, socket) = busy();
        for mut frame in frames {
            // Half of them get past the Ethernet header.
            if frame.len() > IP + 20 && frame[0] & 1 == 0 {
                let ethertype = if frame[1] & 1 == 0 { EtherType::IPV4 } else { EtherType::ARP };
                frame[..6].copy_from_slice(&Script::STACK_MAC.0);
                frame[6] &= !1;
                frame[12..14].copy_from_slice(&ethertype.0.to_be_bytes());
                frame[IP] = 0x45;
            }
            script.inject_frame(&frame);
        }
        script.run_for(std::time::Duration::from_secs(1));
        prop_assert_eq!(script.stack().tcp_state(socket), Ok(TcpState::Established));
        Ok(())
    };
    runner(300).run(&frames, run).unwrap();
}

#[test]
fn mutated_frames_do_no_harm() {
    let mutations =
        prop::collection::vec((0..6usize, any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..30);
    let run = |mutations: Vec<(usize, prop::sample::Index, u8, bool)>| {
        let (mut script, _) = busy();
        for (kind, at, value, fix) in mutations {
            let mut frame = match kind {
                0 => script.frame(&data(1, 50)),
                1 => script.frame(&ack(1_461)),
                2 => script.frame(&syn().mss(1_460).wscale(7).ts(5, 0).port(1_002)),
                3 => script.frame(&data(60, 30).fin()),
                4 => udp((PEER, 99), (STACK, 53), b"hello"),
                _ => script.frame(&rst(1).port(1_001)),
            };
            let at = at.index(frame.len());
            frame[at] = value;
            if fix && frame[IP] == 0x45 {
                fix_ip_checksum(&mut frame);
                if frame[IP + 9] == 6 {
                    fix_tcp_checksum(&mut frame);
                }
            }
            script.inject_frame(&frame);
            script.run_for(std::time::Duration::from_millis(u64::from(value)));
        }
        script.run_for(std::time::Duration::from_secs(100));
        Ok(())
    };
    runner(300).run(&mutations, run).unwrap();
}
