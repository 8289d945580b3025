//! The way out: from a transport's bytes to frames that the device takes.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use netlane_packet_io::{Batch, Caps, LinkDown, PacketBuf, PacketIo, RxChecksum, RxOffload, TxOffload};

use super::fragmentation::IpHeader;
use super::header_template::HeaderTemplate;
use crate::address::Address;
use crate::counters::Counters;
use crate::datagram::DatagramHeader;
use crate::interface::{Interface, Path};
use crate::neighbor::NeighborCache;
use crate::path_mtu::{self, PathMtus};
use crate::time::{Duration, Instant};
use crate::wire::{
    ArpOperation, ArpRepr, EtherType, EthernetRepr, Ipv4Repr, Ipv6Repr, MacAddr, Protocol, Sum, arp,
    ethernet, ipv4, ipv6, tcp, udp,
};

/// Bytes that a neighbour's address takes at the front of each frame.
const MAC_LEN: usize = 6;

/// The device, and what is needed to address frames to the neighbours behind it.
pub(crate) struct Link<I: PacketIo> {
    pub(crate) io: I,
    /// Frames that the device has not taken yet.
    tx: Batch<I::Buf>,
    pub(crate) interface: Interface,
    pub(crate) neighbors: NeighborCache<I::Buf>,
    pub(crate) paths: PathMtus,
    pub(super) last_hop: LastHop,
    ident: u16,
    /// The largest payloads of TCP segments over IPv4 and IPv6 that the device cuts; zero where it cuts none.
    longest_payload: (u32, u32),
    /// Packets to our own addresses.
    looped: VecDeque<Looped<I::Buf>>,
    most_looped: usize,
    /// Where the transport's bytes of a packet stand that is cut.
    pub(super) uncut: Vec<u8>,
    pub(super) rng: fastrand::Rng,
}

/// A frame on its way from us to us.
pub(crate) struct Looped<F> {
    pub(crate) frame: F,
    /// As it would have arrived. What is on its way inside us needs no checksum.
    pub(crate) offload: RxOffload,
}

/// An IP packet to send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing {
    /// Our address; the one on the path to `destination` where `None`.
    pub(crate) source: Option<Address>,
    pub(crate) destination: Address,
    pub(crate) protocol: Protocol,
    /// Bytes of transport header and payload.
    pub(crate) len: usize,
    /// Those of each piece, where the device cuts the packet into several; otherwise `len`.
    pub(crate) piece: usize,
    pub(crate) fragmentation: Fragmentation,
    /// How many routers it may pass, where its sender has chosen that.
    pub(crate) hops: Option<u8>,
    /// The congestion notification field, of [`ecn`](crate::wire::ecn).
    pub(crate) ecn: u8,
}

/// Who may cut a packet that is larger than its path carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fragmentation {
    /// Nobody: it is refused.
    Never,
    /// We, as far as we know the path.
    Source,
    /// We and, over IPv4, routers too.
    Anywhere,
}

/// Where the transport's bytes of a packet go.
pub(crate) struct Slot<'a> {
    /// [`Outgoing::len`] bytes, their contents undefined.
    pub(crate) bytes: &'a mut [u8],
    /// The sum of the pseudo-header.
    pub(crate) pseudo: Sum,
    /// Where `bytes` begin in the frame.
    pub(crate) offset: u16,
    /// The device may be asked to fill in the checksum.
    pub(crate) may_offload: bool,
}

/// Why a packet was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotSent {
    /// No buffer, or the device takes no more now: later it will.
    Busy,
    /// No route leads there.
    NoRoute,
    /// It is larger than the path carries, and was not to be cut.
    TooLarge,
}

impl<I: PacketIo> Link<I> {
    /// `seed` decides how packets are called, which nobody should guess.
    pub(crate) fn new(
        io: I,
        interface: Interface,
        neighbors: NeighborCache<I::Buf>,
        paths: PathMtus,
        most_looped: usize,
        seed: u64,
    ) -> Self {
        let longest_payload = longest_payload(io.caps());
        let mut rng = fastrand::Rng::with_seed(seed);
        Self {
            io,
            tx: Batch::new(),
            interface,
            neighbors,
            longest_payload,
            paths,
            last_hop: LastHop::NONE,
            ident: rng.u16(..),
            rng,
            looped: VecDeque::new(),
            most_looped,
            uncut: Vec::new(),
        }
    }

    /// Sends an IP packet whose transport bytes `fill` writes, returning what the device shall do with
    /// them.
    #[inline]
    pub(crate) fn send_ip(
        &mut self,
        now: Instant,
        counters: &mut Counters,
        packet: Outgoing,
        fill: impl FnOnce(Slot<'_>) -> TxOffload,
    ) -> Result<(), NotSent> {
        let hop = match packet.source {
            Some(source) if self.last_hop.serves(packet.destination, now) => Hop { source, awaits: None },
            source => self.find_hop(now, counters, packet.destination, source)?,
        };
        let header = self.header(hop.source, &packet);
        if packet.piece + header.len() > self.last_hop.mtu {
            return match packet.fragmentation {
                Fragmentation::Source | Fragmentation::Anywhere => {
                    self.send_cut(counters, &hop, &packet, header, fill)
                }
                Fragmentation::Never => {
                    counters.tx_too_large += 1;
                    Err(NotSent::TooLarge)
                }
            };
        }
        let pseudo = Sum::pseudo(hop.source, packet.destination, packet.protocol, packet.len);
        self.send_packet(counters, &hop, &header, packet.len, |bytes, offset| {
            fill(Slot { bytes, pseudo, offset, may_offload: true })
        })
    }

    /// Sends a TCP segment of `len` bytes, headers included, which `fill` writes, where the way to its destination is
    /// known, and the device has room. Returns whether that is so; if not, nothing has happened.
    #[inline]
    pub(super) fn send_express(
        &mut self,
        now: Instant,
        counters: &mut Counters,
        (source, destination): (Address, Address),
        len: usize,
        fill: impl FnOnce(Slot<'_>) -> TxOffload,
    ) -> bool {
        if !self.last_hop.serves(destination, now) || self.tx.is_full() {
            return false;
        }
        let Some(template) = self.last_hop.template.as_ref().filter(|template| template.source == source)
        else {
            return self.make_template(source);
        };
        if template.ip_len() + len > self.last_hop.mtu {
            return false;
        }
        let Some(mut frame) = self.io.alloc() else { return false };
        let Some(bytes) = frame.append(template.len() + len) else { return false };
        let (headers, bytes) = bytes.split_at_mut(template.len());
        self.ident = self.ident.wrapping_add(1);
        template.emit(len, self.ident, headers);
        let (pseudo, offset) = (template.pseudo(len), template.len() as u16);
        let offload = fill(Slot { bytes, pseudo, offset, may_offload: true });
        if offload.checksum.is_some() {
            frame.set_tx_offload(offload);
        }
        self.push(counters, frame);
        true
    }

    /// Works out what segments from `source` to the last destination have in common, for those that follow. One of our
    /// own addresses has none, and neither has a path so narrow that routers may cut. Nothing was sent.
    #[cold]
    fn make_template(&mut self, source: Address) -> bool {
        let LastHop { destination, mtu, is_ours, ethernet, .. } = &self.last_hop;
        if !is_ours && *mtu > usize::from(path_mtu::LEAST_V4) {
            let hop_limit = if destination.is_v4() { DEFAULT_TTL } else { self.interface.hop_limit };
            let ethernet = &ethernet[..self.ethernet_len()];
            self.last_hop.template = Some(HeaderTemplate::new(ethernet, source, *destination, hop_limit));
        }
        false
    }

    /// Sends a packet in one piece: `fill` writes the `len` bytes behind its headers, and is told where they begin
    /// in the frame.
    #[inline]
    pub(super) fn send_packet(
        &mut self,
        counters: &mut Counters,
        hop: &Hop,
        header: &IpHeader,
        len: usize,
        fill: impl FnOnce(&mut [u8], u16) -> TxOffload,
    ) -> Result<(), NotSent> {
        self.make_room(counters)?;
        let ethernet_len = self.ethernet_len();
        let offset = ethernet_len + header.len();
        let Some(mut frame) = self.io.alloc() else {
            counters.tx_deferred += 1;
            return Err(NotSent::Busy);
        };
        let Some(bytes) = frame.append(offset + len) else {
            counters.tx_too_large += 1;
            return Err(NotSent::TooLarge);
        };
        bytes[..ethernet_len].copy_from_slice(&self.last_hop.ethernet[..ethernet_len]);
        let (headers, bytes) = bytes.split_at_mut(offset);
        header.emit(&mut headers[ethernet_len..]);
        let offload = fill(bytes, offset as u16);
        if self.last_hop.is_ours {
            counters.looped_packets += 1;
            let segment_size = offload.segmentation.map_or(0, |segmentation| segmentation.segment_size);
            let offload = RxOffload { checksum: RxChecksum::Good, segment_size };
            self.looped.push_back(Looped { frame, offload });
            return Ok(());
        }
        if offload.checksum.is_some() {
            frame.set_tx_offload(offload);
        }
        match hop.awaits {
            None => self.push(counters, frame),
            Some(neighbor) => self.await_neighbor(counters, neighbor, frame),
        }
        Ok(())
    }

    /// Sends an IPv6 packet to a station that is known, in front of whose transport bytes there may be extension
    /// headers: `fill` writes all that follows the header.
    pub(crate) fn send_v6_to(
        &mut self,
        counters: &mut Counters,
        to: MacAddr,
        repr: &Ipv6Repr,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<(), NotSent> {
        self.make_room(counters)?;
        let ethernet = self.ethernet(to, EtherType::IPV6);
        let offset = ethernet.header_len();
        let mut frame = self.io.alloc().ok_or(NotSent::Busy)?;
        let len = offset + ipv6::HEADER_LEN + usize::from(repr.payload_len);
        let bytes = frame.append(len).ok_or(NotSent::TooLarge)?;
        ethernet.emit(bytes);
        let (header, payload) = bytes[offset..].split_at_mut(ipv6::HEADER_LEN);
        repr.emit(header);
        fill(payload);
        self.push(counters, frame);
        Ok(())
    }

    /// Sends `len` bytes of IGMP, which `fill` writes, to a group (RFC 3376 §4).
    pub(crate) fn send_igmp(
        &mut self,
        counters: &mut Counters,
        to: Ipv4Addr,
        len: usize,
        fill: impl FnOnce(&mut [u8]),
    ) -> Result<(), NotSent> {
        self.make_room(counters)?;
        let ethernet = self.ethernet(MacAddr::multicast_for_v4(to), EtherType::IPV4);
        let offset = ethernet.header_len();
        let mut frame = self.io.alloc().ok_or(NotSent::Busy)?;
        let bytes = frame.append(offset + ipv4::ROUTER_ALERT_HEADER_LEN + len).ok_or(NotSent::TooLarge)?;
        ethernet.emit(bytes);
        let (header, message) = bytes[offset..].split_at_mut(ipv4::ROUTER_ALERT_HEADER_LEN);
        // RFC 3376 §4.2.13: who has no address yet reports all the same.
        let source = self.interface.source_for(to.into()).and_then(Address::as_v4);
        let repr = Ipv4Repr {
            src: source.unwrap_or(Ipv4Addr::UNSPECIFIED),
            dst: to,
            protocol: Protocol::IGMP,
            ttl: 1,
            // RFC 3376 §4: the precedence of control between networks.
            tos: 0xc0,
            ident: 0,
            dont_fragment: true,
            fragment: None,
            payload_len: len as u16,
        };
        ipv4::emit_with_router_alert(&repr, header);
        fill(message);
        self.push(counters, frame);
        Ok(())
    }

    /// The largest packet to `destination`, in bytes, as far as is known.
    pub(crate) fn path_mtu(&self, now: Instant, destination: Address) -> usize {
        let known = self.paths.get(now, destination).map_or(usize::MAX, usize::from);
        known.min(self.interface.mtu_towards(destination))
    }

    /// A packet from us to us that has not arrived yet.
    pub(crate) fn next_looped(&mut self) -> Option<Looped<I::Buf>> {
        self.looped.pop_front()
    }

    /// How many packets from us to us have not arrived yet.
    pub(crate) fn looped(&self) -> usize {
        self.looped.len()
    }

    /// Asks who has `target`, or tells that we have our address.
    pub(crate) fn send_arp(
        &mut self,
        counters: &mut Counters,
        to: MacAddr,
        operation: ArpOperation,
        target: (MacAddr, Ipv4Addr),
        sender_ip: Ipv4Addr,
    ) -> Result<(), NotSent> {
        self.make_room(counters)?;
        let ethernet = self.ethernet(to, EtherType::ARP);
        let header_len = ethernet.header_len();
        let mut frame = self.io.alloc().ok_or(NotSent::Busy)?;
        let bytes = frame.append(header_len + arp::PACKET_LEN).ok_or(NotSent::TooLarge)?;
        ethernet.emit(bytes);
        let (target_mac, target_ip) = target;
        let repr = ArpRepr { operation, sender_mac: self.interface.mac, sender_ip, target_mac, target_ip };
        repr.emit(&mut bytes[header_len..]);
        self.push(counters, frame);
        Ok(())
    }

    /// Addresses a frame that waited for its neighbour, and sends it.
    pub(crate) fn send_resolved(&mut self, counters: &mut Counters, mac: MacAddr, mut frame: I::Buf) {
        if self.make_room(counters).is_err() {
            counters.tx_suppressed += 1;
            return;
        }
        frame.bytes_mut()[..MAC_LEN].copy_from_slice(&mac.0);
        self.push(counters, frame);
    }

    /// What was known of neighbours may no longer hold.
    pub(crate) fn forget_last_hop(&mut self) {
        self.last_hop.until = Instant::ZERO;
    }

    /// Whether frames wait for the device to take them.
    pub(crate) fn is_backlogged(&self) -> bool {
        !self.tx.is_empty()
    }

    /// Offers the waiting frames to the device.
    pub(crate) fn flush(&mut self) -> Result<(), LinkDown> {
        if self.tx.is_empty() { Ok(()) } else { self.io.tx_burst(&mut self.tx) }
    }

    /// The largest payload of a TCP segment to `destination` that the device cuts; zero where it cuts none.
    #[inline]
    pub(crate) fn longest_payload(&self, destination: Address) -> u32 {
        if destination.is_v4() { self.longest_payload.0 } else { self.longest_payload.1 }
    }

    /// How many bytes of a record's payload leave at once: those of as many datagrams as the device cuts out of one frame,
    /// or of one.
    #[inline]
    pub(crate) fn datagrams_at_once(&self, now: Instant, record: &DatagramHeader) -> u16 {
        let segment_len = record.segment_len();
        if segment_len >= record.payload_len {
            return record.payload_len;
        }
        let caps = self.io.caps();
        let destination = Address::from(record.remote.ip());
        let ip = if destination.is_v4() { ipv4::HEADER_LEN } else { ipv6::HEADER_LEN };
        let headers = ip + udp::HEADER_LEN;
        // Where each of them is cut into fragments, they leave one by one.
        let fits = headers + usize::from(segment_len) <= self.path_mtu(now, destination);
        if !(caps.uso && caps.tx_checksum && fits) {
            return segment_len;
        }
        let longest = caps.max_frame.saturating_sub(self.ethernet_len()).min(usize::from(u16::MAX));
        let count = longest.saturating_sub(headers) / usize::from(segment_len);
        (count.max(1) * usize::from(segment_len)) as u16
    }

    /// The IP header of a packet from `source`, whole.
    #[inline]
    fn header(&mut self, source: Address, packet: &Outgoing) -> IpHeader {
        let payload_len = packet.len as u16;
        if let (Some(src), Some(dst)) = (source.as_v4(), packet.destination.as_v4()) {
            self.ident = self.ident.wrapping_add(1);
            return IpHeader::V4(Ipv4Repr {
                src,
                dst,
                protocol: packet.protocol,
                ttl: packet.hops.unwrap_or(DEFAULT_TTL),
                tos: packet.ecn,
                ident: self.ident,
                // On a path that carries less than is believed of one, routers may do what they must.
                dont_fragment: packet.fragmentation != Fragmentation::Anywhere
                    && self.last_hop.mtu > usize::from(path_mtu::LEAST_V4),
                fragment: None,
                payload_len,
            });
        }
        IpHeader::V6(Ipv6Repr {
            src: source.to_v6(),
            dst: packet.destination.to_v6(),
            next_header: packet.protocol,
            hop_limit: packet.hops.unwrap_or(self.interface.hop_limit),
            traffic_class: packet.ecn,
            flow_label: 0,
            payload_len,
        })
    }

    #[inline]
    fn ethernet_len(&self) -> usize {
        if self.interface.vlan.is_some() { ETHERNET_ROOM } else { ethernet::HEADER_LEN }
    }

    fn ethernet(&self, dst: MacAddr, ethertype: EtherType) -> EthernetRepr {
        EthernetRepr { dst, src: self.interface.mac, ethertype, vlan: self.interface.vlan }
    }

    #[inline]
    fn push(&mut self, counters: &mut Counters, frame: I::Buf) {
        counters.tx_frames += 1;
        counters.tx_bytes += frame.bytes().len() as u64;
        self.tx.push(frame);
    }

    /// Makes sure that one more frame can be pushed.
    fn make_room(&mut self, counters: &mut Counters) -> Result<(), NotSent> {
        if self.looped.len() >= self.most_looped && self.last_hop.is_ours {
            counters.tx_deferred += 1;
            return Err(NotSent::Busy);
        }
        if self.tx.is_full() {
            // A link that is down is found out at the end of the turn.
            let _ = self.io.tx_burst(&mut self.tx);
        }
        if self.tx.is_full() {
            counters.tx_deferred += 1;
            return Err(NotSent::Busy);
        }
        Ok(())
    }

    /// Finds the neighbour that a packet goes to, and our address on the way there. The Ethernet header of the
    /// way stands in `last_hop` afterwards.
    #[cold]
    fn find_hop(
        &mut self,
        now: Instant,
        counters: &mut Counters,
        to: Address,
        source: Option<Address>,
    ) -> Result<Hop, NotSent> {
        self.last_hop.template = None;
        self.last_hop.mtu = self.path_mtu(now, to);
        self.last_hop.is_ours = self.interface.owns(to);
        let multicast = self.interface.multicast_mac(to);
        // Groups and the broadcast address are on the link, whatever the routes say.
        let path = match (self.interface.path(to), multicast) {
            (Some(path), _) => path,
            (None, Some(_)) => {
                let own = source.or_else(|| self.interface.source_for(to));
                Path { source: own.ok_or(NotSent::NoRoute)?, next_hop: to }
            }
            (None, None) => {
                counters.tx_no_route += 1;
                return Err(NotSent::NoRoute);
            }
        };
        let source = source.unwrap_or(path.source);
        // RFC 1122 §3.2.1.3 (g), RFC 4291 §2.5.3: these never leave the host.
        if (source.is_loopback() || to.is_loopback()) && !self.last_hop.is_ours {
            counters.tx_no_route += 1;
            return Err(NotSent::NoRoute);
        }
        let mac = multicast.or_else(|| self.last_hop.is_ours.then_some(self.interface.mac));
        let mac = mac.or_else(|| self.neighbors.lookup(path.next_hop));
        let ethertype = if to.is_v4() { EtherType::IPV4 } else { EtherType::IPV6 };
        let ethernet = self.ethernet(mac.unwrap_or(MacAddr::ZERO), ethertype);
        ethernet.emit(&mut self.last_hop.ethernet);
        self.last_hop.destination = to;
        self.last_hop.until = if mac.is_some() { now + LAST_HOP_LIFETIME } else { Instant::ZERO };
        Ok(Hop { source, awaits: mac.is_none().then_some(path.next_hop) })
    }

    fn await_neighbor(&mut self, counters: &mut Counters, next: Address, frame: I::Buf) {
        if self.neighbors.enqueue(next, frame).is_some() {
            counters.tx_neighbor_queue_full += 1;
        }
    }
}

/// The largest payloads of TCP segments over IPv4 and IPv6 that a device cuts; zero where it cuts none.
fn longest_payload(caps: &Caps) -> (u32, u32) {
    // An IP packet says its length in 16 bits.
    let most = caps.max_frame.min(usize::from(u16::MAX) + ethernet::HEADER_LEN);
    let behind = |ip: usize, cuts: bool| {
        let headers = ETHERNET_ROOM + ip + tcp::HEADER_LEN + tcp::MAX_OPTIONS_LEN;
        if cuts && caps.tx_checksum { most.saturating_sub(headers) as u32 } else { 0 }
    };
    (behind(ipv4::HEADER_LEN, caps.tso_v4), behind(ipv6::HEADER_LEN, caps.tso_v6))
}

/// The Ethernet header of the last packet, which serves for the next one to the same destination.
pub(super) struct LastHop {
    destination: Address,
    /// As many of these bytes as a header takes.
    ethernet: [u8; ETHERNET_ROOM],
    /// What segments there from one of our addresses have in common, once there was one.
    template: Option<HeaderTemplate>,
    /// The largest packet, in bytes.
    pub(super) mtu: usize,
    /// The destination is one of our own addresses.
    is_ours: bool,
    /// When route and neighbour have to be looked up again.
    until: Instant,
}

impl LastHop {
    const NONE: Self = Self {
        destination: Address::ANY_V4,
        ethernet: [0; ETHERNET_ROOM],
        template: None,
        mtu: 0,
        is_ours: false,
        until: Instant::ZERO,
    };

    #[inline]
    fn serves(&self, destination: Address, now: Instant) -> bool {
        now < self.until && self.destination == destination
    }
}

/// How many routers a packet over IPv4 may pass (RFC 1122 §3.2.1.7).
const DEFAULT_TTL: u8 = 64;

/// How long a [`LastHop`] may serve before the neighbour cache is asked again: it has to see that the
/// neighbour is in use, and gets old.
const LAST_HOP_LIFETIME: Duration = Duration::from_secs(1);

/// The first step of a packet's way.
pub(super) struct Hop {
    /// Our address.
    pub(super) source: Address,
    /// The neighbour that is being asked for its Ethernet address.
    awaits: Option<Address>,
}

/// Bytes of the largest Ethernet header.
const ETHERNET_ROOM: usize = ethernet::HEADER_LEN + ethernet::TAG_LEN;
