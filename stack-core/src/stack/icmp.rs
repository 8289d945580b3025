//! ICMP for IPv4 (RFC 792): echoes answered, errors sent, and errors received handed to their sockets.

use netlane_packet_io::{PacketIo, TxOffload};

use super::Stack;
use super::ingress::Incoming;
use super::link::{Fragmentation, Outgoing};
use crate::address::Address;
use crate::buffers::Buffers;
use crate::socket::{Readiness, SocketError};
use crate::tcp::connection::State;
use crate::tcp::{Decision, Endpoint, FourTuple, SeqNumber};
use crate::wire::icmpv4::{self, Unreachable};
use crate::wire::{Icmpv4Repr, Icmpv6Repr, Malformed, Protocol, Quoted, QuotedTransport, Sum, ecn, icmpv6};

impl<I: PacketIo, B: Buffers> Stack<I, B> {
    pub(super) fn receive_icmp(&mut self, incoming: &Incoming<'_>) {
        let message = match Icmpv4Repr::parse(incoming.payload) {
            Ok(message) => message,
            Err(malformed) => return self.counters.count_malformed(malformed),
        };
        match message {
            // RFC 1122 §3.2.2.6: an echo to a group or to everybody need not be answered.
            Icmpv4Repr::EchoRequest { ident, seq, data } if incoming.unicast => {
                let reply = Icmpv4Repr::EchoReply { ident, seq, data };
                self.send_icmp(Some(incoming.destination), incoming.source, &reply);
            }
            Icmpv4Repr::EchoRequest { .. } => self.counters.rx_other_address += 1,
            Icmpv4Repr::EchoReply { ident, seq, data } => self.receive_echo_reply(incoming, ident, seq, data),
            Icmpv4Repr::DestinationUnreachable {
                reason: Unreachable::FragmentationNeeded { mtu },
                quote,
            } => {
                self.too_large(Quoted::parse_v4(quote), mtu);
            }
            Icmpv4Repr::DestinationUnreachable { reason, quote } => {
                let refused = matches!(reason, Unreachable::Port | Unreachable::Protocol);
                let failure = if refused { Failure::Refused } else { Failure::Unreachable };
                self.undeliverable(Quoted::parse_v4(quote), failure);
            }
            Icmpv4Repr::TimeExceeded { quote, .. } | Icmpv4Repr::ParameterProblem { quote, .. } => {
                self.undeliverable(Quoted::parse_v4(quote), Failure::Passing);
            }
        }
    }

    /// Tells the sender of a datagram that nobody listens on its port.
    pub(super) fn send_port_unreachable(&mut self, incoming: &Incoming<'_>) {
        if incoming.destination.is_v4() {
            self.send_unreachable(incoming, Unreachable::Port);
        } else {
            self.send_unreachable_v6(incoming, icmpv6::Unreachable::Port);
        }
    }

    /// Tells the sender of a packet that it could not be delivered, unless RFC 1122 §3.2.2 forbids: nothing
    /// that came to a group is answered.
    pub(super) fn send_unreachable(&mut self, incoming: &Incoming<'_>, reason: Unreachable) {
        if !incoming.unicast {
            return;
        }
        let quote = icmpv4::quote(incoming.packet);
        let message = Icmpv4Repr::DestinationUnreachable { reason, quote };
        self.send_error(Some(incoming.destination), incoming.source, &message);
    }

    /// Sends an error, within the bounds of what strangers can make us send (RFC 1812 §4.3.2.8, RFC 4443 §2.4 (f)).
    pub(super) fn send_error(
        &mut self,
        source: Option<Address>,
        destination: Address,
        message: &impl IcmpMessage,
    ) {
        if self.errors.allow(self.now) {
            self.send_icmp(source, destination, message);
        } else {
            self.counters.tx_suppressed += 1;
        }
    }

    /// Sends a message, from the address that suits its destination where `source` is `None`.
    pub(super) fn send_icmp<M: IcmpMessage>(
        &mut self,
        source: Option<Address>,
        destination: Address,
        message: &M,
    ) {
        let packet = Outgoing {
            source,
            destination,
            protocol: M::PROTOCOL,
            len: message.len(),
            piece: message.len(),
            fragmentation: Fragmentation::Anywhere,
            hops: None,
            ecn: ecn::NOT_CAPABLE,
        };
        let sent = self.link.send_ip(self.now, &mut self.counters, packet, |slot| {
            message.emit(slot.pseudo, slot.bytes);
            TxOffload::default()
        });
        if sent.is_err() {
            self.counters.tx_suppressed += 1;
        }
    }

    /// A packet of ours did not arrive.
    pub(super) fn undeliverable(&mut self, quoted: Result<Quoted, Malformed>, failure: Failure) {
        let Some(Quoted { src, dst, transport, .. }) = self.named(quoted) else { return };
        match transport {
            QuotedTransport::Tcp { src_port, dst_port, seq } => {
                let tuple = FourTuple {
                    local: Endpoint::new(src.into(), src_port),
                    remote: Endpoint::new(dst.into(), dst_port),
                };
                self.connection_unreachable(&tuple, SeqNumber(seq), failure);
            }
            QuotedTransport::Udp { src_port, dst_port } => {
                let local = Endpoint::new(src.into(), src_port);
                self.datagram_unreachable(local, Endpoint::new(dst.into(), dst_port), failure);
            }
            QuotedTransport::Other(_) => {}
        }
    }

    /// The packet that an error is about, if it names a socket. Else it is counted.
    fn named(&mut self, quoted: Result<Quoted, Malformed>) -> Option<Quoted> {
        match quoted {
            Ok(quoted) => Some(quoted),
            Err(Malformed::Unsupported) => None,
            Err(malformed) => {
                self.counters.count_malformed(malformed);
                None
            }
        }
    }

    /// A router could not pass a packet of ours on in one piece (RFC 1191 §3, RFC 8201 §4). Who did not see the packet
    /// cannot tell its ports, nor which bytes of a stream are on their way (RFC 5927 §7.2).
    pub(super) fn too_large(&mut self, quoted: Result<Quoted, Malformed>, mtu: u16) {
        let Some(Quoted { src, dst, len, transport }) = self.named(quoted) else { return };
        match transport {
            QuotedTransport::Tcp { src_port, dst_port, seq } => {
                let tuple = FourTuple {
                    local: Endpoint::new(src.into(), src_port),
                    remote: Endpoint::new(dst.into(), dst_port),
                };
                self.segment_too_large(&tuple, SeqNumber(seq), mtu, len);
            }
            QuotedTransport::Udp { src_port, dst_port } => {
                let remote = Endpoint::new(dst.into(), dst_port);
                if self.sockets.datagram(Protocol::UDP, Endpoint::new(src.into(), src_port), remote).is_some()
                {
                    self.learn_path_mtu(remote.address, mtu, len);
                }
            }
            // Of other protocols we send what may be cut on its way, or fits every path of IPv6.
            QuotedTransport::Other(_) => {}
        }
    }

    fn segment_too_large(&mut self, tuple: &FourTuple, seq: SeqNumber, mtu: u16, sent: u16) {
        let Some(id) = self.sockets.connection_between(tuple) else { return };
        let Some(connection) = self.sockets.table.connection_mut(id) else { return };
        if !connection.is_in_flight(seq) {
            self.counters.rx_icmp_doubted += 1;
            return;
        }
        self.learn_path_mtu(tuple.remote.address, mtu, sent);
        let mtu = self.link.path_mtu(self.now, tuple.remote.address);
        let Some(connection) = self.sockets.table.connection_mut(id) else { return };
        if connection.follow_path_mtu(mtu) {
            // RFC 1191 §6.4: nothing was lost to congestion, and what was too large is sent again at once.
            connection.resend();
            self.sockets.owe(id);
        }
    }

    fn learn_path_mtu(&mut self, destination: Address, mtu: u16, sent: u16) {
        if self.link.paths.learn(self.now, destination, mtu, sent).is_some() {
            self.counters.path_mtus_learnt += 1;
            self.link.forget_last_hop();
        }
    }

    /// An attempt to connect fails. RFC 5927 §5.2: what could be forged ends no established connection; RFC 1122 §4.2.3.9,
    /// RFC 5461 §3.2: it is kept as the reason why the peer does not answer, should that end the connection.
    fn connection_unreachable(&mut self, tuple: &FourTuple, seq: SeqNumber, failure: Failure) {
        let Some(id) = self.sockets.connection_between(tuple) else { return };
        let Some(connection) = self.sockets.table.connection_mut(id) else { return };
        if !connection.is_in_flight(seq) {
            self.counters.rx_icmp_doubted += 1;
        } else if failure != Failure::Passing && matches!(connection.state, State::SynSent(_)) {
            self.carry_out(id, Decision::closed(Some(failure.error())));
        } else {
            connection.error = Some(failure.error());
        }
    }

    /// RFC 1122 §4.1.3.3: a socket that has chosen its peer is told.
    fn datagram_unreachable(&mut self, local: Endpoint, remote: Endpoint, failure: Failure) {
        let Some(id) = self.sockets.datagram(Protocol::UDP, local, remote) else { return };
        let Some(socket) = self.sockets.table.datagram_mut(id) else { return };
        if socket.peer == Some(remote) {
            socket.error = Some(failure.error());
            self.sockets.notify(id, Readiness::ERROR);
        }
    }
}

/// What became of a packet of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nobody is there to take it: the host says so.
    Refused,
    /// There is no way to the host, or it may not be taken.
    Unreachable,
    /// It was dropped on its way, and another one may arrive (RFC 9293 §3.9.2.2: MUST-56).
    Passing,
}

impl Failure {
    const fn error(self) -> SocketError {
        match self {
            Self::Refused => SocketError::Refused,
            Self::Unreachable | Self::Passing => SocketError::Unreachable,
        }
    }
}

/// A message of either version, to be sent.
pub(super) trait IcmpMessage {
    /// What carries it.
    const PROTOCOL: Protocol;

    /// Bytes that [`emit`](Self::emit) writes.
    fn len(&self) -> usize;

    /// Writes the message. `pseudo` is the sum of the pseudo-header, where the checksum covers it.
    fn emit(&self, pseudo: Sum, out: &mut [u8]);
}

impl IcmpMessage for Icmpv4Repr<'_> {
    const PROTOCOL: Protocol = Protocol::ICMP;

    fn len(&self) -> usize {
        Icmpv4Repr::len(self)
    }

    fn emit(&self, _: Sum, out: &mut [u8]) {
        Icmpv4Repr::emit(self, out);
    }
}

impl IcmpMessage for Icmpv6Repr<'_> {
    const PROTOCOL: Protocol = Protocol::ICMPV6;

    fn len(&self) -> usize {
        Icmpv6Repr::len(self)
    }

    fn emit(&self, pseudo: Sum, out: &mut [u8]) {
        Icmpv6Repr::emit(self, pseudo, out);
    }
}
