//! A run as text: one line per frame, with sequence numbers that count from each connection's start.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use netlane_core::Instant;
use netlane_core::wire::{
    ArpOperation, ArpRepr, EtherType, EthernetRepr, Icmpv4Repr, Protocol, TcpFlags, TcpOptions, TcpSegment,
    UdpDatagram,
};

use crate::packet::IpPacket;
use crate::segment::options_from;

/// Lines that are kept; older ones make room.
const KEPT: usize = 400;

/// What went over the links lately, one line per frame.
#[derive(Debug, Default)]
pub struct Trace {
    lines: VecDeque<String>,
    dropped: usize,
    /// The first sequence number of each direction of each connection.
    origins: HashMap<(SocketAddr, SocketAddr), u32>,
    /// The number of each connection, by its ends, the lesser first.
    connections: HashMap<(SocketAddr, SocketAddr), usize>,
}

impl Trace {
    /// The lines, oldest first.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// Forgets what was recorded, but not where connections began.
    pub fn clear(&mut self) {
        self.lines.clear();
        self.dropped = 0;
    }

    /// Records a frame that `from` sent at `now`, with a `note` on what became of it.
    pub(crate) fn record(&mut self, now: Instant, from: &str, frame: &[u8], note: &str) {
        if self.lines.len() == KEPT {
            self.lines.pop_front();
            self.dropped += 1;
        }
        let micros = now.as_micros();
        let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
        let what = self.describe(frame).unwrap_or_else(|| format!("{} bytes, malformed", frame.len()));
        let space = if note.is_empty() { "" } else { " " };
        self.lines.push_back(format!("{seconds}.{micros:06} {from} > {what}{space}{note}"));
    }

    fn describe(&mut self, frame: &[u8]) -> Option<String> {
        let (ethernet, offset) = EthernetRepr::parse(frame).ok()?;
        let bytes = &frame[offset..];
        match ethernet.ethertype {
            EtherType::ARP => ArpRepr::parse(bytes).ok().map(|arp| match arp.operation {
                ArpOperation::Request => format!("arp who has {} tell {}", arp.target_ip, arp.sender_ip),
                ArpOperation::Reply => format!("arp {} is at {}", arp.sender_ip, arp.sender_mac),
            }),
            EtherType::IPV4 | EtherType::IPV6 => self.describe_packet(&IpPacket::parse(frame)?),
            EtherType(number) => Some(format!("ethernet type {number:#06x}")),
        }
    }

    fn describe_packet(&mut self, packet: &IpPacket<'_>) -> Option<String> {
        match packet.protocol {
            Protocol::TCP => self.describe_segment((packet.src, packet.dst), packet.payload),
            Protocol::UDP => UdpDatagram::parse(packet.payload).ok().map(|udp| {
                format!("udp {} > {} len {}", udp.repr.src_port, udp.repr.dst_port, udp.repr.payload_len)
            }),
            Protocol::ICMP => Icmpv4Repr::parse(packet.payload).ok().map(|icmp| match icmp {
                Icmpv4Repr::EchoRequest { seq, .. } => format!("icmp echo request {seq}"),
                Icmpv4Repr::EchoReply { seq, .. } => format!("icmp echo reply {seq}"),
                Icmpv4Repr::DestinationUnreachable { reason, .. } => {
                    format!("icmp unreachable: {reason:?}")
                }
                other => format!("icmp {other:?}"),
            }),
            Protocol::ICMPV6 => Some(match packet.payload.first()? {
                1 => "icmp6 unreachable".into(),
                2 => "icmp6 packet too big".into(),
                128 => "icmp6 echo request".into(),
                129 => "icmp6 echo reply".into(),
                133 => "icmp6 router solicitation".into(),
                134 => "icmp6 router advertisement".into(),
                135 => "icmp6 neighbor solicitation".into(),
                136 => "icmp6 neighbor advertisement".into(),
                143 => "icmp6 listener report".into(),
                kind => format!("icmp6 type {kind}"),
            }),
            Protocol(number) => Some(format!("ip protocol {number}")),
        }
    }

    fn describe_segment(&mut self, ends: (IpAddr, IpAddr), bytes: &[u8]) -> Option<String> {
        let TcpSegment { header, options, payload } = TcpSegment::parse(bytes).ok()?;
        let options = TcpOptions::parse(options).ok()?;
        let src = SocketAddr::new(ends.0, header.src_port);
        let dst = SocketAddr::new(ends.1, header.dst_port);
        if header.flags.contains(TcpFlags::SYN) {
            self.origins.insert((src, dst), header.seq);
        }
        let relative = |number: u32, origin: Option<&u32>| number.wrapping_sub(*origin.unwrap_or(&0));
        let seq = relative(header.seq, self.origins.get(&(src, dst)));
        let ack = relative(header.ack, self.origins.get(&(dst, src)));
        let options = options_from(self.origins.get(&(dst, src)).copied().unwrap_or(0), &options);
        let line = segment_line(header.flags, seq, ack, header.window, &options, payload.len());
        Some(match self.number_of(src, dst) {
            0 => line,
            number => format!("#{number} {line}"),
        })
    }

    /// Which connection two ends have, in the order in which they were seen, from 0 on.
    fn number_of(&mut self, src: SocketAddr, dst: SocketAddr) -> usize {
        let ends = (src.min(dst), src.max(dst));
        let next = self.connections.len();
        *self.connections.entry(ends).or_insert(next)
    }
}

impl std::fmt::Display for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.dropped > 0 {
            writeln!(f, "({} older frames not shown)", self.dropped)?;
        }
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// A segment in a line: `S.` for SYN and ACK, as tcpdump has it.
pub(crate) fn segment_line(
    flags: TcpFlags,
    seq: u32,
    ack: u32,
    window: u16,
    options: &TcpOptions,
    len: usize,
) -> String {
    let letters = [
        (TcpFlags::SYN, 'S'),
        (TcpFlags::FIN, 'F'),
        (TcpFlags::RST, 'R'),
        (TcpFlags::PSH, 'P'),
        (TcpFlags::ACK, '.'),
    ];
    let mut line: String =
        letters.into_iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, letter)| letter).collect();
    // Writing to a String never fails.
    let _ = write!(line, " {seq}:{}({len})", seq.wrapping_add(len as u32));
    if flags.contains(TcpFlags::ACK) {
        let _ = write!(line, " ack {ack}");
    }
    let _ = write!(line, " win {window}");
    if let Some(mss) = options.mss {
        let _ = write!(line, " mss {mss}");
    }
    if let Some(scale) = options.window_scale {
        let _ = write!(line, " wscale {scale}");
    }
    if options.sack_permitted {
        line.push_str(" sackOK");
    }
    for block in options.sack.as_slice() {
        let _ = write!(line, " sack {}:{}", block.left, block.right);
    }
    if let Some(stamps) = options.timestamps {
        let _ = write!(line, " ts {} {}", stamps.value, stamps.echo);
    }
    line
}
