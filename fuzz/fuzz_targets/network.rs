//! A stack that asks a DHCP server for its address, while fragments, answers of servers, claims to its addresses and
//! questions about its groups come in any order, with any pauses.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use netlane_core::packet_io::{PacketBuf, RxOffload};
use netlane_core::wire::{
    ArpOperation, ArpRepr, EtherType, EthernetRepr, Fragment, Ipv4Packet, Ipv4Repr, MacAddr, Protocol, arp,
    ethernet, ipv4,
};
use netlane_core::{
    ConflictDetection, HeapBuffers, Instant, InterfaceConfig, Limits, Stack, StackConfig, Turn,
};
use netlane_fuzz::device::Device;

const OWN: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const PEER: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const OWN_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const PEER_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const LEASED: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);

#[derive(Arbitrary, Debug)]
enum Step {
    /// A part of one of a few packets; `len` in units of 8 bytes.
    Part {
        ident: u8,
        offset: u8,
        more: bool,
        len: u8,
        odd: u8,
        fill: u8,
    },
    /// A DHCP message with these options, in answer to the last question or to none.
    Dhcp {
        answers: bool,
        address: bool,
        options: Vec<u8>,
    },
    /// Somebody claims an address.
    Claim {
        leased: bool,
        probe: bool,
    },
    /// IGMP.
    Group {
        bytes: Vec<u8>,
    },
    /// Time passes.
    Pause {
        millis: u32,
    },
    Join,
    Leave,
    Release,
}

fuzz_target!(|steps: Vec<Step>| {
    let limits =
        Limits { fragmented_packets: 4, fragments: 8, fragment_bytes: 8_192, groups: 2, ..Limits::default() };
    let interface = InterfaceConfig {
        addresses: vec!["10.0.0.1/24".parse().expect("an address")],
        neighbors: vec![(IpAddr::V4(PEER_IP), PEER)],
        dhcp: true,
        conflict_detection: ConflictDetection::Probe,
        ..InterfaceConfig::default()
    };
    let config = StackConfig { interface, limits, ..StackConfig::default() };
    let mut stack = Stack::new(Device::new(OWN.0, false, 256), HeapBuffers::new(), config, 1);
    let socket = stack.udp_bind("0.0.0.0:53".parse().expect("an end")).expect("a free port");
    let (mut now, mut xid) = (Instant::ZERO, [0; 4]);
    for step in steps {
        match step {
            Step::Part { ident, offset, more, len, odd, fill } => {
                let len = usize::from(len) * 8 + if more { 0 } else { usize::from(odd % 8) };
                let fragment = Some(Fragment { offset: u16::from(offset) * 8, more });
                let repr =
                    Ipv4Repr { ident: u16::from(ident % 8), fragment, ..header(OWN_IP, Protocol::UDP, len) };
                deliver(&mut stack, &packet(&repr, &vec![fill; len]), OWN);
            }
            Step::Dhcp { answers, address, options } => {
                let message = dhcp(if answers { xid } else { [7; 4] }, address, &options);
                let len = message.len();
                deliver(
                    &mut stack,
                    &packet(&header(Ipv4Addr::BROADCAST, Protocol::UDP, len), &message),
                    MacAddr::BROADCAST,
                );
            }
            Step::Claim { leased, probe } => {
                let address = if leased { LEASED } else { OWN_IP };
                let sender_ip = if probe { Ipv4Addr::UNSPECIFIED } else { address };
                let operation = ArpOperation::Request;
                let repr = ArpRepr {
                    operation,
                    sender_mac: PEER,
                    sender_ip,
                    target_mac: MacAddr::ZERO,
                    target_ip: address,
                };
                let mut bytes = vec![0; arp::PACKET_LEN];
                repr.emit(&mut bytes);
                deliver(&mut stack, &frame(EtherType::ARP, MacAddr::BROADCAST, &bytes), MacAddr::BROADCAST);
            }
            Step::Group { bytes } => {
                let repr = header(Ipv4Addr::new(224, 0, 0, 1), Protocol::IGMP, bytes.len().min(1_000));
                let mut bytes = bytes;
                bytes.truncate(1_000);
                if bytes.len() >= 4 {
                    bytes[2..4].fill(0);
                    let checksum = netlane_core::wire::checksum::sum(&bytes).finish();
                    bytes[2..4].copy_from_slice(&checksum.to_be_bytes());
                }
                deliver(&mut stack, &packet(&repr, &bytes), MacAddr::multicast_for_v4(repr.dst));
            }
            Step::Pause { millis } => now += Duration::from_millis(u64::from(millis)),
            Step::Join => drop(stack.udp_join(socket, IpAddr::V4(GROUP))),
            Step::Leave => drop(stack.udp_leave(socket, IpAddr::V4(GROUP))),
            Step::Release => stack.dhcp_release(),
        }
        settle(&mut stack, now, &mut xid);
    }
});

/// Gives the stack turns until it rests, which it must before long, and notes its last question to a DHCP server.
fn settle(stack: &mut Stack<Device>, now: Instant, xid: &mut [u8; 4]) {
    for _ in 0..1_000 {
        let turn = stack.poll(now).expect("the device is there");
        while stack.next_network_event().is_some() {}
        for frame in std::mem::take(&mut stack.io_mut().sent) {
            let bytes = frame.bytes().get(ethernet::HEADER_LEN..).unwrap_or_default();
            if let Ok(packet) = Ipv4Packet::parse(bytes)
                && packet.repr.protocol == Protocol::UDP
                && let Some(question) = packet.payload.get(12..16)
            {
                xid.copy_from_slice(question);
            }
        }
        if !matches!(turn, Turn::Busy) {
            return;
        }
    }
    panic!("it never rests");
}

fn deliver(stack: &mut Stack<Device>, packet: &[u8], to: MacAddr) {
    let bytes =
        if packet.first() == Some(&0x45) { frame(EtherType::IPV4, to, packet) } else { packet.to_vec() };
    stack.io_mut().deliver(bytes, RxOffload::default());
}

fn header(dst: Ipv4Addr, protocol: Protocol, len: usize) -> Ipv4Repr {
    Ipv4Repr {
        src: PEER_IP,
        dst,
        protocol,
        ttl: 1,
        tos: 0,
        ident: 0,
        dont_fragment: false,
        fragment: None,
        payload_len: len as u16,
    }
}

fn packet(repr: &Ipv4Repr, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; ipv4::HEADER_LEN];
    repr.emit(&mut bytes);
    bytes.extend_from_slice(payload);
    bytes
}

fn frame(ethertype: EtherType, dst: MacAddr, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; ethernet::HEADER_LEN];
    EthernetRepr { dst, src: PEER, ethertype, vlan: None }.emit(&mut bytes);
    bytes.extend_from_slice(payload);
    bytes
}

/// A server's datagram, without a checksum.
fn dhcp(xid: [u8; 4], address: bool, options: &[u8]) -> Vec<u8> {
    let mut message = vec![0; 240];
    message[..3].copy_from_slice(&[2, 1, 6]);
    message[4..8].copy_from_slice(&xid);
    if address {
        message[16..20].copy_from_slice(&LEASED.octets());
    }
    message[28..34].copy_from_slice(&OWN.0);
    message[236..240].copy_from_slice(&[99, 130, 83, 99]);
    message.extend_from_slice(&options[..options.len().min(1_000)]);
    let len = (message.len() + 8) as u16;
    let mut datagram = vec![0, 67, 0, 68];
    datagram.extend(len.to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(message);
    datagram
}
