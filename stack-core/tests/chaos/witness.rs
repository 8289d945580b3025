//! Somebody who sees each frame that the hosts send, and knows what a stack must never send.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use netlane_core::wire::{
    EtherType, EthernetRepr, Fragment, Ipv4Packet, Ipv6Packet, Protocol, Sum, TcpFlags, TcpHeader,
    TcpOptions, TcpSegment, tcp,
};
use netlane_packet_io::{PacketBuf, RxChecksum};
use netlane_sim::{HostId, SimFrame};

/// What was seen of all connections.
#[derive(Debug)]
pub(crate) struct Witness {
    /// The largest packet that each host's link carries.
    mtus: [usize; 2],
    pub(crate) frames: u64,
    flows: HashMap<(SocketAddr, SocketAddr), Flow>,
}

/// One direction of a connection, in sequence numbers that count from its SYN.
#[derive(Debug, Default)]
struct Flow {
    isn: u32,
    /// The sequence numbers of other SYNs between the same ends: those with cookies differ each time.
    other_isns: Vec<u32>,
    options: TcpOptions,
    /// Behind the last number that was sent.
    sent: u32,
    bytes: Vec<u8>,
    fin: Option<u32>,
    /// What it has acknowledged, and allowed the peer to send.
    acked: u32,
    edge: u32,
    stamp: Option<u32>,
}

/// Further than any stream goes: what lies beyond is a number from before the SYN, or from another connection.
const FAR: u32 = 1 << 30;

impl Witness {
    pub(crate) fn new(mtus: [usize; 2]) -> Self {
        Self { mtus, frames: 0, flows: HashMap::new() }
    }

    pub(crate) fn see(&mut self, host: HostId, frame: &SimFrame) {
        self.frames += 1;
        let bytes = frame.bytes();
        let (ethernet, at) = EthernetRepr::parse(bytes).expect("an Ethernet header");
        let is_super = frame.rx_offload().segment_size > 0;
        let mtu = self.mtus[host.number()];
        assert!(is_super || bytes.len() <= at + mtu, "{} bytes over a link of {mtu}", bytes.len());
        let (src, dst, protocol, payload): (IpAddr, IpAddr, _, _) = match ethernet.ethertype {
            EtherType::IPV4 => {
                let packet = Ipv4Packet::parse(&bytes[at..]).expect("a whole packet");
                if let Some(Fragment { .. }) = packet.repr.fragment {
                    return;
                }
                (packet.repr.src.into(), packet.repr.dst.into(), packet.repr.protocol, packet.payload)
            }
            EtherType::IPV6 => {
                let packet = Ipv6Packet::parse(&bytes[at..]).expect("a whole packet");
                let Ok(upper) = packet.upper() else { return };
                (packet.repr.src.into(), packet.repr.dst.into(), upper.protocol, upper.payload)
            }
            _ => return,
        };
        if protocol != Protocol::TCP {
            return;
        }
        if frame.rx_offload().checksum != RxChecksum::Good {
            let pseudo = match (src, dst) {
                (IpAddr::V4(src), IpAddr::V4(dst)) => Sum::pseudo_v4(src, dst, protocol, payload.len()),
                (IpAddr::V6(src), IpAddr::V6(dst)) => Sum::pseudo_v6(src, dst, protocol, payload.len()),
                _ => unreachable!("both are of one family"),
            };
            tcp::verify(pseudo, payload).expect("a good checksum");
        }
        let segment = TcpSegment::parse(payload).expect("a segment");
        let options = TcpOptions::parse(segment.options).expect("options");
        let src = SocketAddr::new(src, segment.header.src_port);
        let dst = SocketAddr::new(dst, segment.header.dst_port);
        self.segment(src, dst, &segment, &options, is_super);
    }

    fn segment(
        &mut self,
        src: SocketAddr,
        dst: SocketAddr,
        segment: &TcpSegment<'_>,
        options: &TcpOptions,
        is_super: bool,
    ) {
        let TcpHeader { seq, flags, .. } = segment.header;
        if flags.contains(TcpFlags::RST) {
            return assert!(segment.payload.is_empty(), "a reset with data");
        }
        if flags.contains(TcpFlags::SYN) {
            let flow = self.flows.entry((src, dst)).or_default();
            // A SYN that is repeated may offer less.
            if flow.isn != seq || flow.sent == 0 {
                let mut other_isns = std::mem::take(&mut flow.other_isns);
                other_isns.push(flow.isn);
                // The window of a SYN counts from the first byte.
                let edge = 1 + u32::from(segment.header.window);
                *flow = Flow { isn: seq, sent: 1, edge, other_isns, ..Flow::default() };
            }
            flow.options = *options;
        }
        let Some(mut flow) = self.flows.remove(&(src, dst)) else {
            panic!("{src} sends to {dst} without a SYN");
        };
        let peer = self.flows.get(&(dst, src));
        flow.check_data(peer, segment, options, is_super);
        if flags.contains(TcpFlags::ACK)
            && let Some(peer) = self.flows.get_mut(&(dst, src))
        {
            peer.settle_isn(segment.header.ack);
            flow.check_ack(peer, segment, options);
        }
        self.flows.insert((src, dst), flow);
    }
}

impl Flow {
    /// The shift of the windows that `self` announces, as agreed on with `peer`.
    fn shift(&self, peer: &Self) -> u32 {
        match (self.options.window_scale, peer.options.window_scale) {
            (Some(ours), Some(_)) => u32::from(ours.min(14)),
            _ => 0,
        }
    }

    /// The peer acknowledges something: until there is data, that is one of the SYNs.
    fn settle_isn(&mut self, ack: u32) {
        let answered = ack.wrapping_sub(1);
        if self.sent == 1 && self.isn != answered && self.other_isns.contains(&answered) {
            self.other_isns.push(std::mem::replace(&mut self.isn, answered));
        }
    }

    fn check_data(
        &mut self,
        peer: Option<&Self>,
        segment: &TcpSegment<'_>,
        options: &TcpOptions,
        is_super: bool,
    ) {
        let flags = segment.header.flags;
        let seq = segment.header.seq.wrapping_sub(self.isn);
        let first = seq + u32::from(flags.contains(TcpFlags::SYN));
        let end = first.wrapping_add(segment.payload.len() as u32);
        // Keep-alives begin just before what is expected.
        if end > FAR || (segment.payload.is_empty() && !flags.contains(TcpFlags::FIN)) {
            return;
        }
        let at = (first - 1) as usize;
        // What had no way to go counts as sent and lost: there are gaps.
        if let Some(known) = self.bytes.get(at..) {
            let known = known.len().min(segment.payload.len());
            assert!(
                self.bytes[at..][..known] == segment.payload[..known],
                "bytes {first} to {end} differ from those that were sent before"
            );
            self.bytes.extend_from_slice(&segment.payload[known..]);
        }
        self.sent = self.sent.max(end);
        if let Some(fin) = self.fin {
            assert!(end <= fin, "bytes up to {end} behind the FIN at {fin}");
        }
        if flags.contains(TcpFlags::FIN) {
            match self.fin {
                Some(fin) => assert_eq!(end, fin, "a FIN in another place"),
                None => assert_eq!(end, self.sent, "a FIN before the last byte"),
            }
            self.fin = Some(end);
            self.sent = end + 1;
        }
        let Some(peer) = peer.filter(|_| !flags.contains(TcpFlags::SYN)) else { return };
        // RFC 9293 §3.8.6: nothing beyond the window, but a byte or a FIN to probe it.
        let probe = u32::from(segment.payload.len() <= 1);
        assert!(end <= peer.edge.max(1) + probe, "bytes up to {end} where {} is the window's end", peer.edge);
        if !is_super {
            let mss = usize::from(peer.options.mss.expect("an MSS"));
            assert!(
                segment.payload.len() + options.len() <= mss,
                "{} bytes and {} of options, {mss} are allowed",
                segment.payload.len(),
                options.len()
            );
        }
    }

    fn check_ack(&mut self, peer: &Self, segment: &TcpSegment<'_>, options: &TcpOptions) {
        let header = &segment.header;
        let acked = header.ack.wrapping_sub(peer.isn);
        if acked > FAR {
            return;
        }
        assert!(acked <= peer.sent, "{acked} is acknowledged where {} was sent", peer.sent);
        assert!(acked >= self.acked, "{acked} is acknowledged after {}", self.acked);
        self.acked = acked;
        let shift = if header.flags.contains(TcpFlags::SYN) { 0 } else { self.shift(peer) };
        let edge = acked + (u32::from(header.window) << shift);
        // RFC 9293 §3.8.6: a window is not taken back, but by what its scale cannot say.
        assert!(edge + (1 << shift) > self.edge, "the window ends at {edge} and did at {}", self.edge);
        self.edge = self.edge.max(edge);
        if header.flags.contains(TcpFlags::SYN) {
            return;
        }
        for block in options.sack.as_slice() {
            assert!(self.options.sack_permitted && peer.options.sack_permitted, "SACK was not agreed on");
            let (left, right) = (block.left.wrapping_sub(peer.isn), block.right.wrapping_sub(peer.isn));
            assert!(left < right && right <= peer.sent, "SACK {left} to {right} of {}", peer.sent);
        }
        let agreed = self.options.timestamps.is_some() && peer.options.timestamps.is_some();
        assert_eq!(options.timestamps.is_some(), agreed, "timestamps as agreed on");
        if let Some(stamps) = options.timestamps {
            let before = self.stamp.unwrap_or(stamps.value);
            assert!(stamps.value.wrapping_sub(before) < 1 << 31, "timestamps go back");
            self.stamp = Some(stamps.value);
        }
    }
}
