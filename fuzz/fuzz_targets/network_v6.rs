//! A host of IPv6 that makes itself addresses, while routers, neighbours and their errors, fragments, extension headers
//! and questions about its groups come in any order, with any pauses.
#![no_main]

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use netlane_core::packet_io::{PacketBuf, RxOffload};
use netlane_core::wire::{
    EtherType, EthernetRepr, Icmpv6Repr, Ipv6Packet, Ipv6Repr, MacAddr, Protocol, ethernet, ipv6,
};
use netlane_core::{
    HeapBuffers, Instant, InterfaceConfig, Ipv6Config, Limits, SocketId, Stack, StackConfig, Turn,
};
use netlane_fuzz::device::Device;
use netlane_fuzz::{frames, memory};

const OWN: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const PEER: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
/// What all else that the stack keeps may take: far more than it needs, and less than what a leak would come to.
const MOST_MEMORY: usize = 4 << 20;

/// Addresses that mean something to the stack.
const ADDRESSES: [Ipv6Addr; 8] = [
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe00, 1),
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2),
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2),
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 1),
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x99),
    Ipv6Addr::UNSPECIFIED,
];

#[derive(Arbitrary, Debug)]
enum Step {
    /// A message of ICMPv6, with its checksum put right.
    Message {
        ends: Ends,
        near: bool,
        bytes: Vec<u8>,
    },
    /// A router advertises a prefix.
    Router {
        from: u8,
        lifetime: u16,
        subnet: u8,
        len: u8,
        flags: u8,
        valid: u32,
        preferred: u32,
        mtu: u32,
    },
    /// A neighbour asks for an address, or answers.
    Neighbor {
        ends: Ends,
        answers: bool,
        target: u8,
        flags: u8,
        mac: Option<u8>,
    },
    /// There is a better first hop.
    Redirect {
        ends: Ends,
        target: u8,
        destination: u8,
    },
    /// An error about the last frame that the stack has sent.
    Error {
        kind: u8,
        code: u8,
        word: u32,
    },
    /// A part of one of a few packets; `len` in units of 8 bytes.
    Part {
        ident: u8,
        offset: u8,
        more: bool,
        len: u8,
        odd: u8,
        fill: u8,
    },
    /// A packet with any extension headers.
    Extensions {
        ends: Ends,
        first: u8,
        bytes: Vec<u8>,
    },
    /// Time passes.
    Pause {
        millis: u32,
    },
    Join,
    Leave,
    Add {
        subnet: u8,
    },
    Remove {
        which: u8,
    },
    Send {
        to: u8,
        len: u16,
    },
}

/// Where a packet comes from, and where it goes.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Ends {
    src: u8,
    dst: u8,
}

/// A run.
struct Run {
    stack: Stack<Device>,
    socket: SocketId,
    now: Instant,
    last_sent: Vec<u8>,
}

fuzz_target!(|steps: Vec<Step>| {
    let before = memory::in_use();
    let mut run = Run::new();
    for step in &steps {
        run.make(step);
        run.settle();
        assert!(memory::in_use() - before < MOST_MEMORY, "memory");
    }
});

impl Run {
    fn new() -> Self {
        let limits = Limits {
            fragmented_packets: 4,
            fragments: 8,
            fragment_bytes: 8_192,
            groups: 8,
            neighbors: 8,
            routers: 2,
            prefixes: 3,
            routes: 16,
            path_mtus: 4,
            ..Limits::default()
        };
        let interface = InterfaceConfig {
            addresses: vec!["fd00::1/64".parse().expect("an address")],
            ipv6: Ipv6Config { autoconfigure: true, accept_redirects: true, ..Ipv6Config::default() },
            ..InterfaceConfig::default()
        };
        let config = StackConfig { interface, limits, ..StackConfig::default() };
        let mut stack = Stack::new(Device::new(OWN.0, false, 256), HeapBuffers::new(), config, 1);
        let socket = stack.udp_bind("[::]:53".parse().expect("an end")).expect("a free port");
        Self { stack, socket, now: Instant::ZERO, last_sent: Vec::new() }
    }

    fn make(&mut self, step: &Step) {
        match *step {
            Step::Message { ends, near, ref bytes } => {
                self.deliver(ends, Protocol::ICMPV6, if near { 255 } else { 1 }, bytes);
            }
            Step::Router { from, lifetime, subnet, len, flags, valid, preferred, mtu } => {
                let mut bytes = vec![134, 0, 0, 0, 64, 0];
                bytes.extend(lifetime.to_be_bytes());
                bytes.extend([0; 8]);
                bytes.extend([5, 1, 0, 0]);
                bytes.extend(mtu.to_be_bytes());
                bytes.extend([3, 4, len, flags]);
                bytes.extend(valid.to_be_bytes());
                bytes.extend(preferred.to_be_bytes());
                bytes.extend([0; 4]);
                bytes.extend(subnet_of(subnet).octets());
                let src = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, u16::from(from % 4));
                self.deliver_between(src, ADDRESSES[4], Protocol::ICMPV6, 255, &bytes);
            }
            Step::Neighbor { ends, answers, target, flags, mac } => {
                let mut bytes = vec![if answers { 136 } else { 135 }, 0, 0, 0, flags, 0, 0, 0];
                bytes.extend(address(target).octets());
                if let Some(mac) = mac {
                    bytes.extend([if answers { 2 } else { 1 }, 1, 2, 0, 0, 0, 0, mac]);
                }
                self.deliver(ends, Protocol::ICMPV6, 255, &bytes);
            }
            Step::Redirect { ends, target, destination } => {
                let mut bytes = vec![137, 0, 0, 0, 0, 0, 0, 0];
                bytes.extend(address(target).octets());
                bytes.extend(address(destination).octets());
                self.deliver(ends, Protocol::ICMPV6, 255, &bytes);
            }
            Step::Error { kind, code, word } => {
                let mut bytes = vec![kind % 5, code, 0, 0];
                bytes.extend(word.to_be_bytes());
                bytes.extend(self.last_sent.iter().skip(ethernet::HEADER_LEN).take(1_200));
                self.deliver(Ends { src: 3, dst: 0 }, Protocol::ICMPV6, 64, &bytes);
            }
            Step::Part { ident, offset, more, len, odd, fill } => {
                let len = usize::from(len) * 8 + if more { 0 } else { usize::from(odd % 8) };
                let place = u16::from(offset) << 3 | u16::from(more);
                let mut bytes = vec![Protocol::UDP.0, 0];
                bytes.extend(place.to_be_bytes());
                bytes.extend([0, 0, 0, ident % 8]);
                bytes.resize(bytes.len() + len.min(1_400), fill);
                self.deliver(Ends { src: 3, dst: 0 }, Protocol(44), 64, &bytes);
            }
            Step::Extensions { ends, first, ref bytes } => {
                const HEADERS: [u8; 8] = [0, 43, 44, 50, 51, 59, 60, 135];
                self.deliver(ends, Protocol(HEADERS[usize::from(first % 8)]), 64, bytes);
            }
            Step::Pause { millis } => self.now += Duration::from_millis(u64::from(millis)),
            Step::Join => drop(self.stack.udp_join(self.socket, IpAddr::V6(ADDRESSES[6]))),
            Step::Leave => drop(self.stack.udp_leave(self.socket, IpAddr::V6(ADDRESSES[6]))),
            Step::Add { subnet } => {
                let net = format!("{}/64", Ipv6Addr::from(u128::from(subnet_of(subnet)) | 7));
                let _ = self.stack.add_address(net.parse().expect("an address"));
            }
            Step::Remove { which } => drop(self.stack.remove_address(IpAddr::V6(address(which)))),
            Step::Send { to, len } => {
                let remote = (address(to), 53).into();
                let _ = self.stack.udp_send_to(self.socket, remote, &vec![0; usize::from(len % 4_096)]);
            }
        }
    }

    fn deliver(&mut self, ends: Ends, next_header: Protocol, hop_limit: u8, payload: &[u8]) {
        self.deliver_between(address(ends.src), address(ends.dst), next_header, hop_limit, payload);
    }

    fn deliver_between(
        &mut self,
        src: Ipv6Addr,
        dst: Ipv6Addr,
        next_header: Protocol,
        hop_limit: u8,
        payload: &[u8],
    ) {
        let payload = &payload[..payload.len().min(1_440)];
        let to = if dst.is_multicast() { MacAddr::multicast_for_v6(dst) } else { OWN };
        let mut bytes = vec![0; ethernet::HEADER_LEN + ipv6::HEADER_LEN];
        EthernetRepr { dst: to, src: PEER, ethertype: EtherType::IPV6, vlan: None }.emit(&mut bytes);
        let payload_len = payload.len() as u16;
        let repr =
            Ipv6Repr { src, dst, next_header, hop_limit, traffic_class: 0, flow_label: 0, payload_len };
        repr.emit(&mut bytes[ethernet::HEADER_LEN..]);
        bytes.extend_from_slice(payload);
        frames::repair(&mut bytes);
        self.stack.io_mut().deliver(bytes, RxOffload::default());
    }

    /// Gives the stack turns until it rests, which it must before long. What it sends is well-formed.
    fn settle(&mut self) {
        for _ in 0..1_000 {
            let turn = self.stack.poll(self.now).expect("the device is there");
            while self.stack.next_network_event().is_some() {}
            while self.stack.next_address_event().is_some() {}
            let mut out = [0; 64];
            while self.stack.udp_recv_from(self.socket, &mut out).is_ok() {}
            for frame in std::mem::take(&mut self.stack.io_mut().sent) {
                let (ethernet, at) = EthernetRepr::parse(frame.bytes()).expect("an Ethernet header");
                assert_eq!(ethernet.ethertype, EtherType::IPV6);
                let packet = Ipv6Packet::parse(&frame.bytes()[at..]).expect("a whole packet");
                assert!(packet.bytes.len() <= 1_500);
                // What hosts send and do not read, they cannot parse.
                if let Ok(upper) = packet.upper()
                    && upper.protocol == Protocol::ICMPV6
                    && upper.payload[0] < 128
                {
                    Icmpv6Repr::parse(&packet.repr, upper.payload).expect("a message");
                }
                self.last_sent = frame.bytes().to_vec();
            }
            match turn {
                Turn::Busy => {}
                Turn::Idle { .. } | Turn::Blocked { .. } => return,
            }
        }
        panic!("it never rests");
    }
}

fn address(which: u8) -> Ipv6Addr {
    ADDRESSES[usize::from(which % 8)]
}

fn subnet_of(n: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0, 0, u16::from(n % 6), 0, 0, 0, 0)
}
