//! Plays a script to a stack, and checks what the stack does.
//!
//! Whatever arrives and whatever its user does, the stack must not panic; must come to rest; must send nothing but
//! well-formed packets; must send the very bytes that its user gave it, and give its user the very bytes that the
//! peer has sent; and must stay within the memory that its limits allow.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use netlane_core::packet_io::{PacketBuf, RxChecksum, RxOffload};
use netlane_core::wire::{
    ArpOperation, ArpRepr, EtherType, EthernetRepr, Icmpv4Repr, Ipv4Packet, MacAddr, Protocol, Sum, TcpFlags,
    TcpHeader, TcpOptions, TcpSegment, Timestamps, UdpDatagram, ethernet, icmpv4, tcp,
};
use netlane_core::{
    Duration, HeapBuffers, Instant, InterfaceConfig, KeepAlive, Limits, SocketId, Stack, StackConfig,
    TcpConfig, Turn,
};

use crate::device::{Device, Frame};
use crate::frames::{self, PEER, PEER_MAC, STACK, STACK_MAC, STRANGER};
use crate::memory;
use crate::script::{Call, Distance, Flags, Options, Script, Segment, Setup, Step};

/// Plays a script from its beginning to its end.
///
/// # Panics
/// Where the stack does anything that it must not.
pub fn play(script: &Script) {
    let before = memory::in_use();
    let mut run = Run::new(script.setup);
    if script.setup.connected {
        run.connect();
    }
    for step in &script.steps {
        run.step(step);
        run.settle();
        let taken = memory::in_use().saturating_sub(before);
        assert!(taken < MEMORY, "{taken} bytes are in use where 16 sockets are the most");
    }
}

/// More than 16 sockets of the largest buffers can take, with all spare rings and frames.
const MEMORY: usize = 32 << 20;
/// Polls after which a stack that has nothing left to do must have found out.
const POLLS: usize = 4_000;
/// Frames of the stack that are kept to be turned round.
const KEPT: usize = 64;
const LISTENING: u16 = 80;
const PEERS_PORT: u16 = 7;
const UDP_PORT: u16 = 53;
const PEERS_FLOWS: u16 = 4;
const FIRST_PEERS_PORT: u16 = 40_000;
/// The listener, the datagram socket and the echo socket come first.
const FIXED_SOCKETS: usize = 3;

struct Run {
    stack: Stack<Device>,
    now: Instant,
    wake_at: Option<Instant>,
    /// The user's handles.
    sockets: Vec<User>,
    flows: Vec<Flow>,
    recent: VecDeque<Vec<u8>>,
    /// The device refuses frames, or its buffers are scarce: the stack need not come to rest.
    stalled: bool,
    scarce: bool,
    /// Segments have arrived that the peer did not make, so that its bytes may be any.
    forged: bool,
}

struct User {
    id: SocketId,
    /// Bytes given to the stack.
    sent: u32,
    /// Where in the peer's sequence space the next byte may stand.
    next: Option<Vec<u32>>,
}

/// A connection as the peer sees it.
struct Flow {
    peer: Ipv4Addr,
    peer_port: u16,
    stack_port: u16,
    /// What the stack expects next, as its acknowledgements say.
    expected: u32,
    /// The end of what the stack has sent.
    seen: u32,
    /// The stack's last timestamp.
    stamp: u32,
    /// First bytes' numbers of the streams that the peer has begun.
    peer_streams: Vec<u32>,
    /// First bytes' numbers of the streams that the stack has begun.
    stack_streams: Vec<u32>,
}

impl Run {
    fn new(setup: Setup) -> Self {
        let device = Device::new(STACK_MAC.0, setup.offloads, if setup.scarce { 3 } else { 4_096 });
        let mut stack = Stack::new(device, HeapBuffers::new(), config(setup), u64::from(setup.seed));
        let any = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let ids = [
            stack.tcp_listen(any(LISTENING), 3).expect("a free port"),
            stack.udp_bind(any(UDP_PORT)).expect("a free port"),
            stack.echo_bind(IpAddr::V4(STACK), 9).expect("a free identifier"),
        ];
        Self {
            stack,
            now: Instant::from_millis(1),
            wake_at: None,
            sockets: ids.into_iter().map(User::new).collect(),
            flows: (0..PEERS_FLOWS).map(|n| Flow::new(PEER, FIRST_PEERS_PORT + n, LISTENING)).collect(),
            recent: VecDeque::new(),
            stalled: false,
            scarce: setup.scarce,
            forged: false,
        }
    }

    /// Opens two connections from the peer, which the user accepts, and one to it.
    fn connect(&mut self) {
        let call = |call| Step::Call { socket: 0, call };
        let segment = |flow, flags, options| {
            let (seq, ack) = (Distance::None, Distance::None);
            let window = 20_000;
            Step::Segment(Segment { flow, flags, seq, ack, window, options, len: 0, joined: None, urgent: 0 })
        };
        let syn = || Options::Syn { mss: 1_000, shift: 2, timestamps: true };
        let mut steps = vec![call(Call::Connect { stranger: false })];
        steps.push(segment(PEERS_FLOWS as u8, Flags::SynAck, syn()));
        for flow in 0..2 {
            steps.push(segment(flow, Flags::Syn, syn()));
            steps.push(segment(flow, Flags::Ack, Options::Timestamps(0)));
            steps.push(call(Call::Accept));
        }
        for step in &steps {
            self.step(step);
            self.settle();
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Wait { millis, long } => {
                let millis = u64::from(*millis) * if *long { 1_000 } else { 1 };
                self.now += Duration::from_millis(millis);
            }
            Step::Timer => self.now = self.wake_at.unwrap_or(self.now).max(self.now),
            Step::Frame(bytes) => {
                self.forged = true;
                self.deliver(bytes.clone());
            }
            Step::Packet { protocol, payload } => {
                self.forged = true;
                self.deliver(frames::packet(PEER, Protocol(*protocol), payload));
            }
            Step::Segment(segment) => self.send_segment(segment),
            Step::Datagram { stranger, closed, len } => {
                let port = UDP_PORT + u16::from(*closed);
                let payload = vec![1; usize::from(*len % 1_472)];
                self.deliver(frames::datagram(host(*stranger), 9, port, &payload));
            }
            Step::Arp { reply, sender, mac, to_us } => {
                let operation = if *reply { ArpOperation::Reply } else { ArpOperation::Request };
                let target_ip = if *to_us { STACK } else { PEER };
                let sender_ip = Ipv4Addr::new(10, 0, 0, *sender);
                let repr = ArpRepr {
                    operation,
                    sender_mac: MacAddr(*mac),
                    sender_ip,
                    target_mac: STACK_MAC,
                    target_ip,
                };
                self.deliver(frames::arp(&repr));
            }
            Step::Error { code, about } => self.send_error(*code, *about),
            Step::Echo { which, edits, repair } => self.echo(*which, edits, *repair),
            Step::Call { socket, call } => self.call(usize::from(*socket), *call),
            Step::Device(takes) => {
                self.stack.io_mut().takes = takes.map(usize::from);
                self.stalled |= takes.is_some();
            }
        }
    }

    fn deliver(&mut self, frame: Vec<u8>) {
        self.stack.io_mut().deliver(frame, RxOffload::default());
    }

    fn recent(&self, back: u8) -> Option<&Vec<u8>> {
        self.recent.iter().rev().nth(usize::from(back) % KEPT)
    }

    fn send_error(&mut self, code: u8, about: u8) {
        let Some(sent) = self.recent(about).filter(|frame| frame.len() > ethernet::HEADER_LEN) else {
            return;
        };
        let mut message = vec![3, code, 0, 0, 0, 0, 5, 0];
        message.extend_from_slice(icmpv4::quote(&sent[ethernet::HEADER_LEN..]));
        self.deliver(frames::packet(PEER, Protocol::ICMP, &message));
    }

    fn echo(&mut self, which: u8, edits: &[(u8, u8)], repair: bool) {
        let Some(mut frame) = self.recent(which).cloned() else { return };
        self.forged = true;
        frames::turn_round(&mut frame);
        for (at, value) in edits {
            if let Some(byte) = frame.get_mut(usize::from(*at)) {
                *byte ^= value;
            }
        }
        if repair {
            frames::repair(&mut frame);
        }
        self.deliver(frame);
    }

    fn send_segment(&mut self, segment: &Segment) {
        let count = self.flows.len();
        let flow = &mut self.flows[usize::from(segment.flow) % count];
        let flags = match segment.flags {
            Flags::Ack => TcpFlags::ACK,
            Flags::Push => TcpFlags::ACK | TcpFlags::PSH,
            Flags::Syn => TcpFlags::SYN,
            Flags::SynAck => TcpFlags::SYN | TcpFlags::ACK,
            Flags::Fin => TcpFlags::ACK | TcpFlags::FIN,
            Flags::Reset => TcpFlags::RST,
            Flags::Any(bits) => TcpFlags::from_bits_retain(bits),
        };
        let is_syn = flags.contains(TcpFlags::SYN);
        let header = TcpHeader {
            src_port: flow.peer_port,
            dst_port: flow.stack_port,
            seq: segment.seq.from(flow.expected),
            ack: segment.ack.from(flow.seen),
            flags,
            window: segment.window,
            urgent: segment.urgent,
        };
        let mut options = [0; 40];
        let options = match &segment.options {
            Options::Any(bytes) => bytes,
            named => {
                let len = named_options(named, self.now, flow.stamp).emit(&mut options);
                &options[..len]
            }
        };
        let first = header.seq.wrapping_add(u32::from(is_syn));
        if is_syn {
            flow.peer_streams.push(first);
        }
        let len = if is_syn { segment.len % 64 } else { segment.len % 9_000 };
        let payload: Vec<u8> = (0..u32::from(len)).map(|n| peers_byte(first.wrapping_add(n))).collect();
        let frame = frames::segment(flow.peer, &header, options, &payload);
        let checksum = if segment.joined.is_some() { RxChecksum::Good } else { RxChecksum::Unknown };
        let rx = RxOffload { checksum, segment_size: segment.joined.unwrap_or(0) };
        self.stack.io_mut().deliver(frame, rx);
    }

    /// Lets the stack work until it has nothing to do, and looks at what it has sent.
    fn settle(&mut self) {
        for _ in 0..POLLS {
            let turn = self.stack.poll(self.now).expect("the device is there");
            for frame in std::mem::take(&mut self.stack.io_mut().sent) {
                self.see(frame);
            }
            if let Turn::Idle { wake_at } | Turn::Blocked { wake_at } = turn {
                assert!(
                    wake_at.is_none_or(|at| at > self.now),
                    "at {:?} the stack asks to be called at {wake_at:?}",
                    self.now
                );
                self.wake_at = wake_at;
                while self.stack.next_event().is_some() {}
                return;
            }
            if self.stalled || self.scarce {
                self.stalled = self.stack.io().takes.is_some();
                return;
            }
        }
        panic!("the stack does not come to rest");
    }

    /// Checks a frame that the stack has sent, and notes what the peer would.
    fn see(&mut self, frame: Frame) {
        let bytes = frame.bytes();
        let (header, offset) = EthernetRepr::parse(bytes).expect("an Ethernet header");
        assert_eq!(header.src, STACK_MAC);
        match header.ethertype {
            EtherType::ARP => {
                ArpRepr::parse(&bytes[offset..]).expect("an ARP packet");
            }
            EtherType::IPV4 => self.see_packet(&frame, &bytes[offset..]),
            other => panic!("a frame of type {other:?}"),
        }
        if self.recent.len() == KEPT {
            self.recent.pop_front();
        }
        self.recent.push_back(frame.bytes().to_vec());
    }

    fn see_packet(&mut self, frame: &Frame, bytes: &[u8]) {
        let packet = Ipv4Packet::parse(bytes).expect("an IPv4 packet");
        let Ipv4Packet { repr, payload, .. } = packet;
        assert_eq!(repr.src, STACK, "packets leave from our address");
        assert_eq!(bytes.len(), packet.header_len + payload.len(), "nothing stands behind the packet");
        if frame.tx.segmentation.is_none() {
            assert!(bytes.len() <= 1_500, "the packet fits the link");
        }
        if repr.fragment.is_some() {
            assert_ne!(repr.protocol, Protocol::TCP, "segments are cut to fit");
            return;
        }
        let pseudo = Sum::pseudo_v4(repr.src, repr.dst, repr.protocol, payload.len());
        match repr.protocol {
            Protocol::TCP => {
                let segment = TcpSegment::parse(payload).expect("a TCP header");
                match frame.tx.checksum {
                    None => tcp::verify(pseudo, payload).expect("the checksum"),
                    Some(checksum) => {
                        assert_eq!(usize::from(checksum.start), frame.bytes().len() - payload.len());
                        assert_eq!(usize::from(checksum.offset), tcp::CHECKSUM_OFFSET);
                    }
                }
                if let Some(cut) = frame.tx.segmentation {
                    assert!(cut.segment_size > 0 && payload.len() > usize::from(cut.segment_size));
                    assert_eq!(usize::from(cut.header_len), frame.bytes().len() - segment.payload.len());
                }
                self.see_segment(repr.dst, &segment);
            }
            Protocol::UDP => {
                let datagram = UdpDatagram::parse(payload).expect("a UDP header");
                if frame.tx.checksum.is_none() {
                    datagram.verify(pseudo).expect("the checksum");
                }
            }
            Protocol::ICMP => {
                Icmpv4Repr::parse(payload).expect("an ICMP message");
            }
            other => panic!("a packet of protocol {other:?}"),
        }
    }

    fn see_segment(&mut self, peer: Ipv4Addr, segment: &TcpSegment<'_>) {
        let TcpSegment { header, options, payload } = *segment;
        let options = TcpOptions::parse(options).expect("options");
        let is_it = |flow: &&mut Flow| {
            (flow.peer, flow.peer_port, flow.stack_port) == (peer, header.dst_port, header.src_port)
        };
        let flow = match self.flows.iter_mut().find(is_it) {
            Some(flow) => flow,
            None if header.flags.contains(TcpFlags::RST) => return,
            None => {
                if self.flows.len() > 16 {
                    self.flows.remove(usize::from(PEERS_FLOWS));
                }
                self.flows.push(Flow::new(peer, header.dst_port, header.src_port));
                self.flows.last_mut().expect("just pushed")
            }
        };
        if header.flags.contains(TcpFlags::RST) {
            return;
        }
        let is_syn = header.flags.contains(TcpFlags::SYN);
        if is_syn {
            flow.stack_streams.push(header.seq.wrapping_add(1));
            flow.stack_streams.dedup();
            flow.seen = header.seq;
        }
        if header.flags.contains(TcpFlags::ACK) {
            flow.expected = header.ack;
        }
        flow.stamp = options.timestamps.map_or(flow.stamp, |stamps| stamps.value);
        let fin = header.flags.contains(TcpFlags::FIN);
        let end = header.seq.wrapping_add(payload.len() as u32 + u32::from(is_syn) + u32::from(fin));
        if (end.wrapping_sub(flow.seen) as i32) > 0 {
            flow.seen = end;
        }
        let known = |first: &u32| {
            let at = header.seq.wrapping_sub(*first);
            payload.iter().zip(0..).all(|(byte, n)| *byte == users_byte(at.wrapping_add(n)))
        };
        assert!(
            payload.is_empty() || flow.stack_streams.iter().any(known),
            "the stack sends its user's bytes: {header:?} with {} bytes",
            payload.len()
        );
    }

    fn call(&mut self, which: usize, call: Call) {
        let which = which % self.sockets.len();
        let id = self.sockets[which].id;
        match call {
            Call::Accept => {
                if let Ok(Some(id)) = self.stack.tcp_accept(id) {
                    self.sockets.push(User::new(id));
                }
            }
            Call::Connect { stranger } => {
                let remote = SocketAddr::from((host(stranger), PEERS_PORT));
                if let Ok(id) = self.stack.tcp_connect(None, remote) {
                    self.sockets.push(User::new(id));
                }
            }
            Call::Send(len) => {
                let user = &mut self.sockets[which];
                let bytes: Vec<u8> =
                    (0..u32::from(len)).map(|n| users_byte(user.sent.wrapping_add(n))).collect();
                user.sent += self.stack.tcp_send(id, &bytes).unwrap_or(0) as u32;
            }
            Call::Receive(len) => self.receive(which, usize::from(len)),
            Call::Peek(len) => {
                let _ = self.stack.tcp_peek(id, &mut vec![0; usize::from(len)]);
            }
            Call::Shutdown => {
                let _ = self.stack.tcp_shutdown(id);
            }
            // The listener and the datagram sockets stay.
            Call::Close | Call::Abort if which < FIXED_SOCKETS => {}
            Call::Close => {
                self.stack.tcp_close(id).expect("a connection that was not closed");
                self.sockets.remove(which);
            }
            Call::Abort => {
                self.stack.tcp_abort(id).expect("a connection that was not closed");
                assert!(self.stack.tcp_state(id).is_err(), "the handle is gone");
                self.sockets.remove(which);
            }
            Call::NoDelay(on) => {
                let _ = self.stack.tcp_set_no_delay(id, on);
            }
            Call::KeepAlive(on) => {
                let _ = self.stack.tcp_set_keepalive(id, on.then_some(KEEP_ALIVE));
            }
            Call::SendTo { stranger, len } => {
                let remote = SocketAddr::from((host(stranger), 9));
                let _ = self.stack.udp_send_to(self.sockets[1].id, remote, &vec![7; usize::from(len)]);
            }
            Call::ReceiveFrom(len) => {
                let mut out = vec![0; usize::from(len)];
                for user in &self.sockets[1..FIXED_SOCKETS] {
                    if let Ok((n, header)) = self.stack.udp_recv_from(user.id, &mut out) {
                        assert_eq!(n, out.len().min(usize::from(header.payload_len)));
                    }
                }
            }
            Call::Ping { stranger, len } => {
                let remote = SocketAddr::from((host(stranger), 0));
                let _ = self.stack.udp_send_to(self.sockets[2].id, remote, &vec![7; usize::from(len)]);
            }
            Call::TakeError => {
                let _ = self.stack.take_error(id);
            }
        }
    }

    fn receive(&mut self, which: usize, len: usize) {
        let user = &mut self.sockets[which];
        let mut out = vec![0; len];
        let Ok(n) = self.stack.tcp_recv(user.id, &mut out) else { return };
        let Ok(Some(SocketAddr::V4(peer))) = self.stack.peer_addr(user.id) else { return };
        let Ok(local) = self.stack.local_addr(user.id) else { return };
        let is_it = |flow: &&Flow| {
            (flow.peer, flow.peer_port, flow.stack_port) == (*peer.ip(), peer.port(), local.port())
        };
        let begun = self.flows.iter().find(is_it).map(|flow| flow.peer_streams.clone());
        if n == 0 || self.forged {
            return;
        }
        let next = user.next.get_or_insert_with(|| begun.unwrap_or_default());
        next.retain(|first| {
            out[..n].iter().zip(0..).all(|(byte, at)| *byte == peers_byte(first.wrapping_add(at)))
        });
        assert!(!next.is_empty(), "the user receives what the peer has sent");
        for first in next {
            *first = first.wrapping_add(n as u32);
        }
    }
}

impl User {
    fn new(id: SocketId) -> Self {
        Self { id, sent: 0, next: None }
    }
}

impl Flow {
    fn new(peer: Ipv4Addr, peer_port: u16, stack_port: u16) -> Self {
        Self {
            peer,
            peer_port,
            stack_port,
            expected: u32::from(peer_port) << 16 | 0xfff0,
            seen: 0,
            stamp: 0,
            peer_streams: Vec::new(),
            stack_streams: Vec::new(),
        }
    }
}

/// What stands in the peer's streams at a sequence number.
fn peers_byte(seq: u32) -> u8 {
    (seq.wrapping_mul(0x9e37_79b1) >> 24) as u8
}

/// What stands in the user's streams, counted from their beginning.
fn users_byte(at: u32) -> u8 {
    (at.wrapping_mul(0x85eb_ca77) >> 24) as u8
}

fn host(stranger: bool) -> Ipv4Addr {
    if stranger { STRANGER } else { PEER }
}

fn named_options(options: &Options, now: Instant, echo: u32) -> TcpOptions {
    let stamps =
        |ahead: i16| Timestamps { value: (now.as_millis() as u32).wrapping_add_signed(ahead.into()), echo };
    match options {
        Options::None | Options::Any(_) => TcpOptions::default(),
        Options::Timestamps(ahead) => {
            TcpOptions { timestamps: Some(stamps(*ahead)), ..TcpOptions::default() }
        }
        Options::Syn { mss, shift, timestamps } => TcpOptions {
            mss: Some(*mss),
            window_scale: Some(*shift),
            timestamps: timestamps.then(|| stamps(0)),
            ..TcpOptions::default()
        },
    }
}

const KEEP_ALIVE: KeepAlive =
    KeepAlive { idle: Duration::from_secs(10), interval: Duration::from_secs(2), probes: 2 };

/// Limits so low that a script reaches them.
fn config(setup: Setup) -> StackConfig {
    let buffer = if setup.large_buffers { 1 << 18 } else { 3_000 };
    StackConfig {
        interface: InterfaceConfig {
            addresses: vec!["10.0.0.1/24".parse().expect("an address")],
            neighbors: vec![(IpAddr::V4(PEER), PEER_MAC)],
            ..InterfaceConfig::default()
        },
        limits: Limits {
            sockets: 16,
            syn_queue: 3,
            syn_cache: 4,
            fast_open_queue: 2,
            fast_open_servers: 2,
            accept_queue: 2,
            out_of_order_ranges: 4,
            in_flight_records: 8,
            neighbors: 4,
            neighbor_queue: 2,
            fragmented_packets: 2,
            fragments: 4,
            fragment_bytes: 4_000,
            groups: 2,
            group_sources: 4,
            routes: 4,
            path_mtus: 2,
            routers: 2,
            prefixes: 2,
            loopback_queue: 4,
            errors_per_second: 20,
            challenge_acks_per_second: 20,
            memory: 1 << 22,
        },
        tcp: TcpConfig {
            timestamps: setup.timestamps,
            window_scaling: setup.window_scaling,
            nagle: setup.nagle,
            keepalive: setup.keepalive.then_some(KEEP_ALIVE),
            syn_retries: 2,
            syn_ack_retries: 2,
            fast_open: true,
            fast_open_without_cookie: setup.timestamps,
            retries: 3,
            send_buffer: buffer,
            receive_buffer: buffer,
            ..TcpConfig::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlane_core::TcpState;

    const PLAIN: Setup = Setup {
        seed: 1,
        connected: true,
        timestamps: true,
        window_scaling: true,
        nagle: true,
        keepalive: false,
        offloads: false,
        large_buffers: true,
        scarce: false,
    };

    #[test]
    fn a_script_begins_with_connections_and_moves_bytes_both_ways() {
        let mut run = Run::new(PLAIN);
        run.connect();
        let states: Vec<_> =
            run.sockets[FIXED_SOCKETS..].iter().map(|user| run.stack.tcp_state(user.id)).collect();
        assert_eq!(states, [Ok(TcpState::Established); 3]);
        let data = Segment {
            flow: 1,
            flags: Flags::Push,
            seq: Distance::None,
            ack: Distance::None,
            window: 20_000,
            options: Options::Timestamps(0),
            len: 1_000,
            joined: None,
            urgent: 0,
        };
        let user = FIXED_SOCKETS + 2;
        for step in [
            Step::Segment(data),
            Step::Call { socket: user as u8, call: Call::Receive(600) },
            Step::Call { socket: user as u8, call: Call::Send(700) },
        ] {
            run.step(&step);
            run.settle();
        }
        assert_eq!(run.sockets[user].next.as_deref().map(<[u32]>::len), Some(1));
        assert_eq!(run.sockets[user].sent, 700);
        let counters = run.stack.counters();
        assert_eq!((counters.tcp_passive_opens, counters.tcp_active_opens), (2, 1));
        assert_eq!(counters.rx_bad_checksum + counters.tcp_out_of_window, 0);
    }
}
