//! ICMP for IPv6 (RFC 4443): echoes answered, errors sent, and errors received handed to their sockets.

use core::net::IpAddr;

use netlane_packet_io::PacketIo;

use super::Stack;
use super::icmp::Failure;
use super::ingress::Incoming;
use crate::buffers::Buffers;
use crate::multicast::memberships::Dialect;
use crate::wire::icmpv6::{self, ParameterProblem, Unreachable};
use crate::wire::ipv6::extensions::Refusal;
use crate::wire::mld::MldQuery;
use crate::wire::{Icmpv6Repr, Ipv6Packet, Ipv6Repr, MacAddr, NdpRepr, Quoted};

impl<I: PacketIo, B: Buffers> Stack<I, B> {
    /// Takes a message in a packet with the header `ip`, which the station `sender` has sent.
    pub(super) fn receive_icmpv6(&mut self, ip: &Ipv6Repr, sender: MacAddr, incoming: &Incoming<'_>) {
        let message = match Icmpv6Repr::parse(ip, incoming.payload) {
            Ok(message) => message,
            Err(malformed) => return self.counters.count_malformed(malformed),
        };
        if self.concerns_all_queues(&message) {
            self.pass_notice(incoming, sender);
        }
        match message {
            Icmpv6Repr::Ndp(message) => self.receive_ndp(ip, sender, &message),
            // Nobody to answer.
            _ if ip.src.is_unspecified() => self.counters.rx_bad_source += 1,
            Icmpv6Repr::EchoRequest { ident, seq, data } => {
                let reply = Icmpv6Repr::EchoReply { ident, seq, data };
                // RFC 4443 §4.2: what was asked of a group is answered from an address of ours.
                let source = incoming.unicast.then_some(incoming.destination);
                self.send_icmp(source, incoming.source, &reply);
            }
            Icmpv6Repr::EchoReply { ident, seq, data } => self.receive_echo_reply(incoming, ident, seq, data),
            Icmpv6Repr::DestinationUnreachable { reason, quote } => {
                let failure =
                    if reason == Unreachable::Port { Failure::Refused } else { Failure::Unreachable };
                self.undeliverable(Quoted::parse_v6(quote), failure);
            }
            Icmpv6Repr::PacketTooBig { mtu, quote } => {
                self.too_large(Quoted::parse_v6(quote), u16::try_from(mtu).unwrap_or(u16::MAX));
            }
            // RFC 4443 §3.4: who does not know the port's protocol says so by a parameter problem.
            Icmpv6Repr::ParameterProblem { problem: ParameterProblem::NextHeader, quote, .. } => {
                self.undeliverable(Quoted::parse_v6(quote), Failure::Refused);
            }
            Icmpv6Repr::TimeExceeded { quote, .. } | Icmpv6Repr::ParameterProblem { quote, .. } => {
                self.undeliverable(Quoted::parse_v6(quote), Failure::Passing);
            }
            Icmpv6Repr::MldQuery(MldQuery { max_response, group, sources, old }) => {
                let dialect = if old { Dialect::Old } else { Dialect::Current };
                let sources = sources.iter().map(|source| IpAddr::from(*source));
                self.ipv6.groups.asked(self.now, dialect, group.into(), sources, max_response);
                self.ipv6.settle();
            }
            // RFC 2710 §5: a report goes to the group that it is about.
            Icmpv6Repr::MldReport(group) if ip.dst == group => {
                self.ipv6.groups.heard_report(self.now, group.into());
                self.ipv6.settle();
            }
            Icmpv6Repr::MldReport(_) => self.counters.rx_other_address += 1,
        }
    }

    /// Whether every stack of the interface has to hear a message.
    fn concerns_all_queues(&self, message: &Icmpv6Repr<'_>) -> bool {
        match message {
            Icmpv6Repr::MldQuery(_)
            | Icmpv6Repr::MldReport(_)
            | Icmpv6Repr::Ndp(NdpRepr::RouterAdvertisement(_) | NdpRepr::Redirect { .. }) => true,
            Icmpv6Repr::Ndp(
                NdpRepr::NeighborSolicitation { target, .. } | NdpRepr::NeighborAdvertisement { target, .. },
            ) => self.ipv6.detection.is_tentative(*target) || self.ipv6.routers.is_router(*target),
            _ => false,
        }
    }

    /// Tells the sender of a packet that it could not be delivered, unless it came to a group (RFC 4443 §2.4 (e)).
    pub(super) fn send_unreachable_v6(&mut self, incoming: &Incoming<'_>, reason: Unreachable) {
        if incoming.unicast {
            let quote = icmpv6::quote(incoming.packet);
            let message = Icmpv6Repr::DestinationUnreachable { reason, quote };
            self.send_error(Some(incoming.destination), incoming.source, &message);
        }
    }

    /// Drops a packet that cannot be accepted, and tells its sender where that is wanted.
    #[cold]
    pub(super) fn refuse(&mut self, packet: &Ipv6Packet<'_>, refusal: Refusal) {
        self.counters.count_malformed(refusal.malformed());
        let Refusal::Told { problem, pointer, groups } = refusal else { return };
        let Ipv6Repr { src, dst, .. } = packet.repr;
        // RFC 4443 §2.4 (e): not to nobody, and about a packet to a group only where its option wants that.
        if src.is_unspecified() || (dst.is_multicast() && !groups) {
            return;
        }
        let quote = icmpv6::quote(packet.bytes);
        let message = Icmpv6Repr::ParameterProblem { problem, pointer: pointer.into(), quote };
        let source = (!dst.is_multicast()).then_some(dst.into());
        self.send_error(source, src.into(), &message);
    }
}
