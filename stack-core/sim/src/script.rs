//! One stack against a peer that the test plays itself.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netlane_core::wire::{
    EtherType, EthernetRepr, Ipv4Repr, Ipv6Repr, MacAddr, Protocol, TcpFlags, TcpHeader, TcpOptions,
    TcpSegment, ethernet, ipv4, ipv6, tcp,
};
use netlane_core::{Duration, HeapBuffers, Instant, RecvError, SocketId, Stack, StackConfig, Turn};
use netlane_packet_io::PacketBuf;

use crate::device::{DeviceConfig, SimDevice, SimFrame};
use crate::offload::onto_wire;
use crate::packet::{IpPacket, pseudo};
use crate::seed::pattern;
use crate::segment::{Seg, ack, options_from, syn, syn_ack};
use crate::trace::{Trace, segment_line};
use crate::world::SimStack;

/// A stack and a test that plays its only peer, segment by segment.
///
/// The stack is at [`STACK`](Self::STACK), the peer at [`PEER`](Self::PEER); each knows the other's Ethernet
/// address. Time passes only where the test says so. What the stack sends has to be
/// [expected](Self::expect), one segment after the other. When an expectation fails, all that went over the
/// link is shown.
pub struct Script {
    stack: SimStack,
    now: Instant,
    wake_at: Option<Instant>,
    /// The stack's end of the connection, and the peer's.
    ends: (SocketAddr, SocketAddr),
    peer_isn: u32,
    /// The stack's first sequence number, for each port of the peer.
    stack_isns: HashMap<u16, u32>,
    window: u16,
    sees_reports: bool,
    sent: VecDeque<Sent>,
    trace: Trace,
    /// Bytes of the stream that the stack's user has queued, and read.
    queued: u64,
    read: u64,
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Script").field("now", &self.now).field("trace", &self.trace).finish_non_exhaustive()
    }
}

/// How a [`Script`] begins.
#[derive(Debug)]
pub struct ScriptBuilder {
    config: StackConfig,
    device: DeviceConfig,
    ends: (SocketAddr, SocketAddr),
    peer_isn: u32,
    window: u16,
    sees_reports: bool,
}

#[derive(Debug)]
struct Sent {
    at: Instant,
    bytes: Vec<u8>,
}

/// Timers go off up to a tick of the stack's timer wheel late.
const TICK: Duration = Duration::from_nanos(1 << 17);
/// More turns than any single event needs.
const TURNS: usize = 10_000;

impl Script {
    /// The stack's end of the connection.
    pub const STACK: SocketAddr = SocketAddr::new(IpAddr::V4(STACK_IP), 8_000);
    /// The peer's end.
    pub const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(PEER_IP), 9_000);
    /// The stack's end in scripts over IPv6.
    pub const STACK_V6: SocketAddr = SocketAddr::new(IpAddr::V6(STACK_IPV6), 8_000);
    /// The peer's end in scripts over IPv6.
    pub const PEER_V6: SocketAddr = SocketAddr::new(IpAddr::V6(PEER_IPV6), 9_000);
    /// The stack's Ethernet address.
    pub const STACK_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    /// The peer's Ethernet address.
    pub const PEER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

    /// A script with the stack as it is by default, but without window scaling, timestamps and SACK, and with a receive
    /// buffer of 65,535 bytes. The peer offers a window of 65,535 bytes.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().start()
    }

    /// A script that begins otherwise.
    #[must_use]
    pub fn builder() -> ScriptBuilder {
        let mut config = StackConfig::default();
        config.interface.addresses = vec!["10.0.0.1/24".parse().expect("an address and its prefix")];
        config.interface.neighbors = vec![(Self::PEER.ip(), Self::PEER_MAC)];
        config.tcp.timestamps = false;
        config.tcp.window_scaling = false;
        config.tcp.sack = false;
        config.tcp.receive_buffer = 65_535;
        config.tcp.send_buffer_start = usize::MAX;
        config.tcp.receive_buffer_start = usize::MAX;
        ScriptBuilder {
            config,
            device: DeviceConfig::default(),
            ends: (Self::STACK, Self::PEER),
            peer_isn: 1_000_000,
            window: 65_535,
            sees_reports: false,
        }
    }

    /// The stack.
    pub fn stack(&mut self) -> &mut SimStack {
        &mut self.stack
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// What has gone over the link.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Listens on [`STACK`](Self::STACK).
    ///
    /// # Panics
    /// If the stack refuses.
    pub fn listen(&mut self) -> SocketId {
        self.settle();
        self.stack.tcp_listen(self.ends.0, 16).expect("the port is free")
    }

    /// Listens, and completes a handshake that the peer begins with `syn`. Returns the accepted connection.
    ///
    /// # Panics
    /// If the stack does not play its part.
    pub fn accept(&mut self, syn: Seg) -> SocketId {
        let listener = self.listen();
        // Where the SYN has timestamps, the rest of the handshake has them too.
        let options = TcpOptions { timestamps: syn.options.timestamps, ..TcpOptions::default() };
        self.inject(syn);
        self.expect_flags(TcpFlags::SYN | TcpFlags::ACK);
        self.inject(Seg { options, ..ack(1) });
        self.settle();
        let accepted = self.stack.tcp_accept(listener).expect("it is a listener");
        accepted.expect("the handshake is complete")
    }

    /// Listens, and completes a handshake with a peer that announces an MSS of 1,460 bytes and nothing else.
    /// Returns the accepted connection.
    ///
    /// # Panics
    /// If the stack does not play its part.
    pub fn accepted(&mut self) -> SocketId {
        self.accept(syn().mss(1_460))
    }

    /// Begins to connect to [`PEER`](Self::PEER).
    ///
    /// # Panics
    /// If the stack refuses.
    pub fn connect(&mut self) -> SocketId {
        self.settle();
        self.stack.tcp_connect(Some(self.ends.0), self.ends.1).expect("nothing hinders it")
    }

    /// Connects to the peer, which answers with an MSS of 1,460 bytes and no other option.
    ///
    /// # Panics
    /// If the stack does not play its part.
    pub fn connected(&mut self) -> SocketId {
        let socket = self.connect();
        self.expect_flags(TcpFlags::SYN);
        self.inject(syn_ack().mss(1_460));
        self.expect(ack(1));
        socket
    }

    /// Queues the next `len` bytes of the stream that tests send.
    ///
    /// # Panics
    /// If the stack does not take all of them.
    pub fn send(&mut self, socket: SocketId, len: usize) {
        let taken = self.stack.tcp_send(socket, &pattern(self.queued, len));
        assert_eq!(taken, Ok(len), "the stack takes {len} bytes");
        self.queued += len as u64;
    }

    /// Reads up to `most` bytes and returns how many there were; they have to be the next ones of the stream that
    /// tests send.
    ///
    /// # Panics
    /// If they are not.
    pub fn read_up_to(&mut self, socket: SocketId, most: usize) -> usize {
        let mut out = vec![0; most];
        match self.stack.tcp_recv(socket, &mut out) {
            Ok(read) => {
                assert!(out[..read] == pattern(self.read, read), "the bytes from {} on are wrong", self.read);
                self.read += read as u64;
                read
            }
            Err(RecvError::WouldBlock) => 0,
            Err(error) => panic!("receiving: {error}"),
        }
    }

    /// Reads all that has arrived.
    ///
    /// # Panics
    /// If those are not the next bytes of the stream that tests send.
    pub fn read(&mut self, socket: SocketId) -> usize {
        self.read_up_to(socket, 1 << 20)
    }

    /// The peer's segment arrives.
    pub fn inject(&mut self, segment: Seg) {
        let frame = self.frame(&segment);
        self.inject_frame(&frame);
    }

    /// Any frame arrives.
    pub fn inject_frame(&mut self, frame: &[u8]) {
        self.settle();
        self.trace.record(self.now, "peer", frame, "");
        self.stack.io_mut().deliver(SimFrame::loose(frame));
        self.settle();
    }

    /// The frame that carries a segment of the peer, to be changed before it is [injected](Self::inject_frame).
    #[must_use]
    pub fn frame(&self, segment: &Seg) -> Vec<u8> {
        let port = segment.port.unwrap_or(Self::PEER.port());
        let acked = self.stack_isns.get(&port).copied().unwrap_or(0);
        let header = TcpHeader {
            src_port: port,
            dst_port: Self::STACK.port(),
            seq: self.peer_isn.wrapping_add(segment.seq),
            ack: if segment.flags.contains(TcpFlags::ACK) { acked.wrapping_add(segment.ack) } else { 0 },
            flags: segment.flags,
            window: segment.window.unwrap_or(self.window),
            urgent: 0,
        };
        let len = tcp::HEADER_LEN + segment.options.len() + segment.payload.len();
        let options = options_from(acked.wrapping_neg(), &segment.options);
        let (stack, peer) = (self.ends.0.ip(), self.ends.1.ip());
        packet((peer, stack), Protocol::TCP, len, |bytes| {
            let header_len = header.emit(&options, bytes);
            bytes[header_len..].copy_from_slice(&segment.payload);
            tcp::fill_checksum(bytes, pseudo(peer, stack, Protocol::TCP, len));
        })
    }

    /// The stack sends `expected` now, before anything else.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub fn expect(&mut self, expected: Seg) {
        self.settle();
        let Some(sent) = self.sent.pop_front() else {
            self.fail(&format!("expected {expected}\n but nothing was sent"));
        };
        self.compare(&sent, &expected);
    }

    /// The stack is silent for `span`, and then sends `expected`.
    ///
    /// # Panics
    /// If it does not, or earlier, or later.
    #[track_caller]
    pub fn expect_after(&mut self, span: Duration, expected: Seg) {
        let due = self.now + span;
        self.settle();
        if self.sent.is_empty() {
            self.advance(due + TICK, true);
        }
        let Some(sent) = self.sent.pop_front() else {
            self.fail(&format!("expected {expected}\n but nothing was sent for {span:?}"));
        };
        if sent.at < due || sent.at > due + TICK {
            let (at, due) = (sent.at.as_micros(), due.as_micros());
            self.fail(&format!("expected {expected}\n at {due} µs, but something was sent at {at} µs"));
        }
        self.compare(&sent, &expected);
    }

    /// The stack sends nothing now.
    ///
    /// # Panics
    /// If it does.
    #[track_caller]
    pub fn expect_nothing(&mut self) {
        self.settle();
        if !self.sent.is_empty() {
            self.fail("something was sent that is not expected");
        }
    }

    /// The stack sends nothing for `span`.
    ///
    /// # Panics
    /// If it does.
    #[track_caller]
    pub fn expect_silence(&mut self, span: Duration) {
        self.expect_nothing();
        self.advance(self.now + span, false);
        self.expect_nothing();
    }

    /// Lets `span` pass, whatever the stack sends meanwhile: that is for [`expect`](Self::expect) to see.
    pub fn run_for(&mut self, span: Duration) {
        self.settle();
        self.advance(self.now + span, false);
    }

    /// Forgets what the stack has sent so far, and returns how many frames those were.
    pub fn skip(&mut self) -> usize {
        self.settle();
        self.sent.drain(..).count()
    }

    /// The next frame that the stack has sent, as it is.
    pub fn next_frame(&mut self) -> Option<Vec<u8>> {
        self.settle();
        self.sent.pop_front().map(|sent| sent.bytes)
    }

    /// All frames that the stack has sent so far, as they are.
    pub fn frames(&mut self) -> Vec<Vec<u8>> {
        self.settle();
        self.sent.drain(..).map(|sent| sent.bytes).collect()
    }

    /// The first sequence number of the stack, as it is on the wire.
    ///
    /// # Panics
    /// If it has sent no SYN.
    #[must_use]
    pub fn stack_isn(&self) -> u32 {
        self.stack_isns[&Self::PEER.port()]
    }

    /// The first sequence number of the peer, as it is on the wire.
    #[must_use]
    pub fn peer_isn(&self) -> u32 {
        self.peer_isn
    }

    /// Changes the window that the peer's segments announce where they say nothing else.
    pub fn set_window(&mut self, window: u16) {
        self.window = window;
    }

    #[track_caller]
    fn expect_flags(&mut self, flags: TcpFlags) {
        self.settle();
        match self.sent.pop_front().and_then(|sent| Heard::parse(&sent.bytes)) {
            Some(heard) if heard.header.flags == flags => {}
            Some(heard) => self.fail(&format!("expected {flags:?}, but {:?} was sent", heard.header.flags)),
            None => self.fail(&format!("expected {flags:?}, but no segment was sent")),
        }
    }

    #[track_caller]
    fn compare(&self, sent: &Sent, expected: &Seg) {
        let Some(heard) = Heard::parse(&sent.bytes) else {
            self.fail(&format!("expected {expected}\n but what was sent is no segment"));
        };
        let port = heard.header.dst_port;
        let isn = self.stack_isns.get(&port).copied().unwrap_or(0);
        let seq = heard.header.seq.wrapping_sub(isn);
        let has_ack = heard.header.flags.contains(TcpFlags::ACK);
        let acked = if has_ack { heard.header.ack.wrapping_sub(self.peer_isn) } else { 0 };
        // When data is pushed is the sender's business, unless the script cares.
        let ignored = if expected.flags.contains(TcpFlags::PSH) { TcpFlags::empty() } else { TcpFlags::PSH };
        let options = options_from(self.peer_isn, &heard.options);
        let matches = heard.header.flags - ignored == expected.flags
            && (seq, acked) == (expected.seq, expected.ack)
            && expected.window.is_none_or(|window| window == heard.header.window)
            && expected.port.is_none_or(|expected| expected == port)
            && (!expected.check_options || expected.options == options)
            && heard.payload.len() == expected.payload.len();
        if !matches {
            let header = heard.header;
            let len = heard.payload.len();
            let line = segment_line(header.flags, seq, acked, header.window, &options, len);
            self.fail(&format!("expected {expected}\n but sent {line}"));
        }
        if heard.payload != expected.payload {
            self.fail(&format!("expected {expected}\n but other bytes were sent"));
        }
    }

    #[track_caller]
    fn fail(&self, what: &str) -> ! {
        panic!("{what}\nat {} µs, after\n{}", self.now.as_micros(), self.trace);
    }

    /// Gives the stack turns until it is idle.
    fn settle(&mut self) {
        for _ in 0..TURNS {
            let turn = self.stack.poll(self.now).expect("the card is in its slot");
            while let Some(frame) = self.stack.io_mut().take_sent() {
                for frame in onto_wire(frame, false) {
                    self.note(frame.bytes());
                }
            }
            self.wake_at = match turn {
                Turn::Idle { wake_at } | Turn::Blocked { wake_at } => wake_at,
                Turn::Busy => continue,
            };
            return;
        }
        self.fail("the stack never comes to rest");
    }

    fn note(&mut self, bytes: &[u8]) {
        self.trace.record(self.now, "stack", bytes, "");
        if let Some(heard) = Heard::parse(bytes)
            && heard.header.flags.contains(TcpFlags::SYN)
        {
            self.stack_isns.insert(heard.header.dst_port, heard.header.seq);
        }
        if !is_listener_report(bytes) || self.sees_reports {
            self.sent.push_back(Sent { at: self.now, bytes: bytes.to_vec() });
        }
    }

    /// Lets time pass up to `until`, or only up to the next frame.
    fn advance(&mut self, until: Instant, stop_at_frame: bool) {
        while let Some(wake_at) = self.wake_at.filter(|wake_at| *wake_at <= until) {
            self.now = wake_at.max(self.now + Duration::from_nanos(1));
            self.settle();
            if stop_at_frame && !self.sent.is_empty() {
                return;
            }
        }
        self.now = until;
        self.settle();
    }
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

impl ScriptBuilder {
    /// Changes the stack's configuration.
    #[must_use]
    pub fn stack(mut self, change: impl FnOnce(&mut StackConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Changes the network card.
    #[must_use]
    pub fn device(mut self, change: impl FnOnce(&mut DeviceConfig)) -> Self {
        change(&mut self.device);
        self
    }

    /// Over IPv6, between [`STACK_V6`](Script::STACK_V6) and [`PEER_V6`](Script::PEER_V6). The stack uses its address
    /// at once, without asking who else has it; which groups it listens to, it tells nobody that cares.
    #[must_use]
    pub fn over_ipv6(mut self) -> Self {
        self.config.interface.addresses = vec!["fd00::1/64".parse().expect("an address and its prefix")];
        self.config.interface.neighbors = vec![(Script::PEER_V6.ip(), Script::PEER_MAC)];
        self.config.interface.ipv6.duplicate_address_detection = false;
        Self { ends: (Script::STACK_V6, Script::PEER_V6), ..self }
    }

    /// Has reports of multicast groups expected like everything else that the stack sends.
    #[must_use]
    pub fn with_listener_reports(self) -> Self {
        Self { sees_reports: true, ..self }
    }

    /// The sequence number of the peer's SYN.
    #[must_use]
    pub fn peer_isn(self, peer_isn: u32) -> Self {
        Self { peer_isn, ..self }
    }

    /// The window that the peer's segments announce where they say nothing else.
    #[must_use]
    pub fn window(self, window: u16) -> Self {
        Self { window, ..self }
    }

    /// Begins.
    #[must_use]
    pub fn start(self) -> Script {
        let device = SimDevice::new(Script::STACK_MAC.0, &self.device);
        Script {
            stack: Stack::new(device, HeapBuffers::new(), self.config, 1),
            now: Instant::ZERO,
            wake_at: None,
            ends: self.ends,
            peer_isn: self.peer_isn,
            stack_isns: HashMap::new(),
            window: self.window,
            sees_reports: self.sees_reports,
            sent: VecDeque::new(),
            trace: Trace::default(),
            queued: 0,
            read: 0,
        }
    }
}

const STACK_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const PEER_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const STACK_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const PEER_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);

/// A segment that the stack has sent.
struct Heard {
    header: TcpHeader,
    options: TcpOptions,
    payload: Vec<u8>,
}

impl Heard {
    /// Reads a frame with a segment; one with a wrong checksum is none.
    fn parse(frame: &[u8]) -> Option<Self> {
        let packet = IpPacket::parse(frame)?;
        if packet.protocol != Protocol::TCP {
            return None;
        }
        tcp::verify(packet.pseudo(packet.payload.len()), packet.payload).ok()?;
        let segment = TcpSegment::parse(packet.payload).ok()?;
        let options = TcpOptions::parse(segment.options).ok()?;
        Some(Self { header: segment.header, options, payload: segment.payload.to_vec() })
    }
}

/// Whether a frame carries a report of MLDv2.
fn is_listener_report(frame: &[u8]) -> bool {
    const REPORT: u8 = 143;
    IpPacket::parse(frame)
        .is_some_and(|packet| packet.protocol == Protocol::ICMPV6 && packet.payload.first() == Some(&REPORT))
}

/// A frame from the peer to the stack with `len` bytes above IP, which `fill` writes.
fn packet(ends: (IpAddr, IpAddr), protocol: Protocol, len: usize, fill: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut header = [0; ethernet::HEADER_LEN + ipv6::HEADER_LEN];
    let (ethertype, ip_len) = match ends {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let repr = Ipv4Repr {
                src,
                dst,
                protocol,
                ttl: 64,
                tos: 0,
                ident: 0,
                dont_fragment: true,
                fragment: None,
                payload_len: len as u16,
            };
            repr.emit(&mut header[ethernet::HEADER_LEN..]);
            (EtherType::IPV4, ipv4::HEADER_LEN)
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let repr = Ipv6Repr {
                src,
                dst,
                next_header: protocol,
                hop_limit: 64,
                traffic_class: 0,
                flow_label: 0,
                payload_len: len as u16,
            };
            repr.emit(&mut header[ethernet::HEADER_LEN..]);
            (EtherType::IPV6, ipv6::HEADER_LEN)
        }
        (src, dst) => panic!("{src} and {dst} are of different families"),
    };
    EthernetRepr { dst: Script::STACK_MAC, src: Script::PEER_MAC, ethertype, vlan: None }.emit(&mut header);
    let header_len = ethernet::HEADER_LEN + ip_len;
    let mut frame = header[..header_len].to_vec();
    frame.resize(header_len + len, 0);
    fill(&mut frame[header_len..]);
    frame
}
