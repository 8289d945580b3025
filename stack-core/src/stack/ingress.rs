//! The way in: from a frame to the protocol that it carries.

use netlane_packet_io::{PacketBuf, PacketIo, RxChecksum, RxOffload};

use super::Stack;
use super::link::Looped;
use crate::address::Address;
use crate::buffers::Buffers;
use crate::counters::Counters;
use crate::wire::ipv6::extensions::Upper;
use crate::wire::{
    EtherType, EthernetRepr, Ipv4Packet, Ipv4Repr, Ipv6Packet, MacAddr, Malformed, NdpRepr, Protocol, Sum,
    ecn,
};

/// An IP packet for us, its header checked and stripped.
#[derive(Clone, Copy)]
pub(super) struct Incoming<'a> {
    pub(super) source: Address,
    pub(super) destination: Address,
    /// It came to one of our addresses, and not to a group or to everybody.
    pub(super) unicast: bool,
    pub(super) payload: &'a [u8],
    /// The whole packet, to be quoted in errors.
    pub(super) packet: &'a [u8],
    pub(super) offload: RxOffload,
    /// The frame that it came in, where it came in one.
    pub(super) frame: &'a [u8],
    /// It has come from ourselves.
    pub(super) looped: bool,
    /// It met congestion on its way (RFC 3168 §5).
    pub(super) ce: bool,
    /// How many stacks of other queues did not know what to do with it.
    pub(super) seen_by: usize,
}

/// Where a packet has come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Over the link, from this station, in a frame for us or for many.
    Link { from: MacAddr, to_all: bool },
    /// From one of our own addresses, without having left us.
    Ourselves,
}

impl Incoming<'_> {
    /// The sum of the pseudo-header for `len` bytes of `protocol`.
    #[inline]
    pub(super) fn pseudo(&self, protocol: Protocol, len: usize) -> Sum {
        Sum::pseudo(self.source, self.destination, protocol, len)
    }
}

impl<I: PacketIo, B: Buffers> Stack<I, B> {
    #[inline]
    pub(super) fn receive_frame(&mut self, frame: &I::Buf) {
        let bytes = frame.bytes();
        self.counters.rx_frames += 1;
        self.counters.rx_bytes += bytes.len() as u64;
        if let Some(recognised) = self.last_flow.recognise(bytes)
            && self.receive_recognised(&recognised, frame.rx_offload())
        {
            return;
        }
        let (ethernet, offset) = match EthernetRepr::parse(bytes) {
            Ok(parsed) => parsed,
            Err(malformed) => return self.counters.count_malformed(malformed),
        };
        if ethernet.dst != self.link.interface.mac && !ethernet.dst.is_multicast() {
            self.counters.rx_other_mac += 1;
            return;
        }
        if ethernet.vlan != self.link.interface.vlan {
            self.counters.rx_other_vlan += 1;
            return;
        }
        let payload = bytes.get(offset..).unwrap_or_default();
        match ethernet.ethertype {
            EtherType::IPV4 => {
                let origin = Origin::Link { from: ethernet.src, to_all: ethernet.dst.is_multicast() };
                self.receive_ipv4(origin, payload, frame.rx_offload(), bytes);
            }
            EtherType::IPV6 => {
                let origin = Origin::Link { from: ethernet.src, to_all: ethernet.dst.is_multicast() };
                self.receive_ipv6(origin, payload, frame.rx_offload());
            }
            EtherType::ARP => self.receive_arp(payload),
            _ => self.counters.rx_unknown_protocol += 1,
        }
    }

    /// Takes the packets that we have sent to ourselves, and returns whether there were any.
    pub(super) fn receive_looped(&mut self) -> bool {
        // What these lead to is for the next turn.
        let waiting = self.link.looped();
        for _ in 0..waiting {
            let Some(Looped { frame, offload }) = self.link.next_looped() else { break };
            let bytes = frame.bytes();
            if let Ok((ethernet, offset)) = EthernetRepr::parse(bytes) {
                let packet = bytes.get(offset..).unwrap_or_default();
                match ethernet.ethertype {
                    EtherType::IPV4 => self.receive_ipv4(Origin::Ourselves, packet, offload, &[]),
                    _ => self.receive_ipv6(Origin::Ourselves, packet, offload),
                }
            }
        }
        waiting > 0
    }

    #[inline]
    fn receive_ipv4(&mut self, origin: Origin, bytes: &[u8], offload: RxOffload, frame: &[u8]) {
        let packet = match Ipv4Packet::parse(bytes) {
            Ok(packet) => packet,
            Err(malformed) => return self.counters.count_malformed(malformed),
        };
        let Ipv4Packet { repr, header_len, payload } = packet;
        let (source, destination) = (Address::v4(repr.src), Address::v4(repr.dst));
        let mut incoming = Incoming {
            source,
            destination,
            unicast: true,
            payload,
            packet: bytes.get(..header_len + payload.len()).unwrap_or(bytes),
            offload,
            frame,
            looped: origin == Origin::Ourselves,
            ce: repr.ecn() == ecn::EXPERIENCED,
            seen_by: 0,
        };
        let to_all = matches!(origin, Origin::Link { to_all: true, .. });
        if repr.protocol == Protocol::TCP && repr.fragment.is_none() && !to_all {
            // It asks for itself where the segment goes to, unless a connection tells.
            return self.receive_segment(&incoming);
        }
        let interface = &self.link.interface;
        let unicast = interface.owns(destination);
        if !unicast && !interface.is_broadcast(destination) && !self.hears(repr) {
            self.counters.rx_other_address += 1;
            return;
        }
        // RFC 1122 §3.2.1.3 for the source; §3.3.6: what was sent to everybody on the link is for an address
        // that means everybody. A source of our own is a land attack.
        if origin != Origin::Ourselves
            && (!interface.is_plausible_source(source) || destination.is_loopback() || (unicast && to_all))
        {
            self.counters.rx_bad_source += 1;
            return;
        }
        if let Some(fragment) = repr.fragment {
            return self.receive_fragment(&packet, bytes, fragment);
        }
        incoming.unicast = unicast;
        self.receive_packet(repr.protocol, &incoming);
    }

    /// Whether a packet to a group is for us: one that we have joined, or IGMP, which is about groups.
    fn hears(&self, packet: Ipv4Repr) -> bool {
        packet.dst.is_multicast()
            && (packet.protocol == Protocol::IGMP || self.groups.contains(packet.dst.into()))
    }

    #[inline]
    fn receive_ipv6(&mut self, origin: Origin, bytes: &[u8], offload: RxOffload) {
        let packet = match Ipv6Packet::parse(bytes) {
            Ok(packet) => packet,
            Err(malformed) => return self.counters.count_malformed(malformed),
        };
        let interface = &self.link.interface;
        let (source, destination) = (Address::v6(packet.repr.src), Address::v6(packet.repr.dst));
        let unicast = interface.owns(destination);
        if !unicast && !self.ipv6.groups.contains(packet.repr.dst.into()) {
            self.counters.rx_other_address += 1;
            return;
        }
        // Who has no address yet may ask the neighbours for one (RFC 4862 §5.4.2), and say nothing else.
        let plausible = interface.is_plausible_source(source)
            || (packet.repr.src.is_unspecified() && packet.repr.next_header == Protocol::ICMPV6);
        let sender = match origin {
            Origin::Link { to_all, .. } if !plausible || destination.is_loopback() || (unicast && to_all) => {
                self.counters.rx_bad_source += 1;
                return;
            }
            Origin::Link { from, .. } => from,
            Origin::Ourselves => interface.mac,
        };
        let upper = match packet.upper() {
            Ok(upper) => upper,
            Err(refusal) => return self.refuse(&packet, refusal),
        };
        match upper.fragment {
            Some(fragment) => self.receive_fragment_v6(&packet, sender, &upper, fragment),
            None => self.receive_upper(&packet, sender, &upper, offload, origin == Origin::Ourselves),
        }
    }

    /// Takes what a whole IPv6 packet carries.
    #[inline]
    pub(super) fn receive_upper(
        &mut self,
        packet: &Ipv6Packet<'_>,
        sender: MacAddr,
        upper: &Upper<'_>,
        offload: RxOffload,
        looped: bool,
    ) {
        let destination = Address::v6(packet.repr.dst);
        let incoming = Incoming {
            source: packet.repr.src.into(),
            destination,
            unicast: !destination.is_multicast(),
            payload: upper.payload,
            packet: packet.bytes,
            offload,
            frame: &[],
            looped,
            ce: packet.repr.ecn() == ecn::EXPERIENCED,
            seen_by: 0,
        };
        match upper.protocol {
            // RFC 6980 §5: nobody honest cuts them, and who does wants to pass filters.
            Protocol::ICMPV6 if upper.fragmented && NdpRepr::is_one(upper.payload) => {
                self.counters.rx_fragmented_ndp += 1;
            }
            Protocol::ICMPV6 => self.receive_icmpv6(&packet.repr, sender, &incoming),
            Protocol::TCP | Protocol::UDP => self.receive_packet(upper.protocol, &incoming),
            _ => self.refuse(packet, upper.unknown_protocol()),
        }
    }

    /// Takes a whole packet to one of our addresses or to a group.
    #[inline]
    pub(super) fn receive_packet(&mut self, protocol: Protocol, incoming: &Incoming<'_>) {
        match protocol {
            Protocol::TCP if incoming.unicast => self.receive_segment(incoming),
            Protocol::UDP => self.receive_datagram(incoming),
            Protocol::ICMP => self.receive_icmp(incoming),
            Protocol::IGMP if incoming.destination.is_v4() => self.receive_igmp(incoming),
            // RFC 9293 §3.9.2.3 (MUST-57): TCP to a group or to everybody is dropped silently.
            Protocol::TCP => self.counters.rx_other_address += 1,
            _ => {
                self.counters.rx_unknown_protocol += 1;
                self.send_unreachable(incoming, crate::wire::icmpv4::Unreachable::Protocol);
            }
        }
    }

    /// Whether a segment of no connection goes to one of our addresses, and comes from where one can come from.
    /// Else it is counted.
    pub(super) fn admits(&mut self, incoming: &Incoming<'_>) -> bool {
        let interface = &self.link.interface;
        let ours = interface.owns(incoming.destination);
        let plausible = incoming.looped
            || (interface.is_plausible_source(incoming.source) && !incoming.destination.is_loopback());
        self.counters.rx_other_address += u64::from(!ours);
        self.counters.rx_bad_source += u64::from(ours && !plausible);
        ours && plausible
    }

    /// Whether the transport's checksum has to be verified here. A frame whose checksum the device found
    /// wrong is counted, and is `None`.
    #[inline]
    pub(super) fn must_verify(&mut self, offload: RxOffload) -> Option<bool> {
        match offload.checksum {
            RxChecksum::Good => Some(false),
            RxChecksum::Unknown => Some(true),
            RxChecksum::Bad => {
                self.counters.rx_bad_checksum += 1;
                None
            }
        }
    }
}

impl Counters {
    /// Counts a packet that was dropped because it made no sense.
    pub(super) fn count_malformed(&mut self, malformed: Malformed) {
        *match malformed {
            Malformed::Truncated => &mut self.rx_truncated,
            Malformed::BadVersion | Malformed::BadHeaderLength | Malformed::BadTotalLength => {
                &mut self.rx_malformed
            }
            Malformed::BadChecksum => &mut self.rx_bad_checksum,
            Malformed::BadOption => &mut self.rx_bad_options,
            Malformed::BadAddress | Malformed::FromAfar => &mut self.rx_bad_source,
            Malformed::Unsupported => &mut self.rx_unknown_protocol,
        } += 1;
    }
}
