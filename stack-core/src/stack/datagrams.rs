//! UDP: datagrams in to the socket that they are for, and out from the sockets that have some.

use netlane_packet_io::{PacketIo, Segmentation, Transport, TxChecksum, TxOffload};

use super::Stack;
use super::bindings::Suited;
use super::departure::Stalled;
use super::ingress::Incoming;
use super::link::{NotSent, Outgoing};
use super::segments::Sent;
use crate::address::Address;
use crate::buffers::Buffers;
use crate::datagram::DatagramHeader;
use crate::datagram_socket::DatagramSocket;
use crate::socket::{Readiness, SocketError, SocketId};
use crate::tcp::Endpoint;
use crate::wire::dhcp::CLIENT_PORT;
use crate::wire::{Malformed, Protocol, UdpDatagram, UdpRepr, ecn, icmpv4, icmpv6, udp};

/// Datagrams that one socket may send before the others get their turn.
const DATAGRAMS_PER_TURN: usize = 64;
/// Bytes of a sequence number, with which the payload of an echo socket begins.
pub(super) const ECHO_SEQ_LEN: usize = 2;

impl<I: PacketIo, B: Buffers> Stack<I, B> {
    pub(super) fn receive_datagram(&mut self, incoming: &Incoming<'_>) {
        let Some(verify) = self.must_verify(incoming.offload) else { return };
        let datagram = match UdpDatagram::parse(incoming.payload) {
            Ok(datagram) => datagram,
            Err(malformed) => return self.counters.count_malformed(malformed),
        };
        // RFC 8200 §8.1: over IPv6, a datagram without a checksum is dropped.
        if !datagram.has_checksum() && !incoming.destination.is_v4() {
            return self.counters.count_malformed(Malformed::BadChecksum);
        }
        let UdpRepr { src_port, dst_port, .. } = datagram.repr;
        let len = datagram.repr.len();
        let pseudo = incoming.pseudo(Protocol::UDP, len);
        if verify && let Err(malformed) = datagram.verify(pseudo) {
            return self.counters.count_malformed(malformed);
        }
        if dst_port == CLIENT_PORT && self.claims.is_client() {
            return self.receive_dhcp(incoming, src_port, datagram.payload);
        }
        let local = Endpoint::new(incoming.destination, dst_port);
        let remote = Endpoint::new(incoming.source, src_port);
        // What the device has joined is longer than what each had.
        let joined = incoming.offload.segment_size;
        let segment_size = if datagram.payload.len() > usize::from(joined) { joined } else { 0 };
        if !self.deliver(Protocol::UDP, local, remote, [datagram.payload, &[]], segment_size) {
            self.counters.rx_no_socket += 1;
            // RFC 1122 §4.1.3.1, RFC 4443 §3.1.
            self.send_port_unreachable(incoming);
        }
    }

    /// Puts a datagram, or several of `segment_size` bytes each, into the socket on `local` that names it most closely,
    /// or into each one that has joined the group that `local` is, or that hears everybody; `false` if there is none
    /// that wants it.
    pub(super) fn deliver(
        &mut self,
        protocol: Protocol,
        local: Endpoint,
        remote: Endpoint,
        payload: [&[u8]; 2],
        segment_size: u16,
    ) -> bool {
        let header = DatagramHeader {
            payload_len: (payload[0].len() + payload[1].len()) as u16,
            segment_size,
            remote: remote.socket_addr(),
            local: local.address.into(),
        };
        if local.address.is_multicast() || self.link.interface.is_broadcast(local.address) {
            return self.deliver_to_all(protocol, local, remote, &header, payload);
        }
        let Some(id) = self.sockets.datagram(protocol, local, remote) else { return false };
        self.store(id, &header, payload);
        true
    }

    /// Puts a datagram into each socket that has joined the group that `local` is, or that hears everybody.
    fn deliver_to_all(
        &mut self,
        protocol: Protocol,
        local: Endpoint,
        remote: Endpoint,
        header: &DatagramHeader,
        payload: [&[u8]; 2],
    ) -> bool {
        let is_group = local.address.is_multicast();
        let mut delivered = false;
        for n in 0.. {
            let Some(id) = self.sockets.demux.bindings.nth(protocol, local, n) else { break };
            let Some(socket) = self.sockets.table.datagram_mut(id) else { continue };
            if socket.suits(remote) != Suited::Not
                && (!is_group || socket.hears(local.address, remote.address))
            {
                self.store(id, header, payload);
                delivered = true;
            }
        }
        delivered
    }

    fn store(&mut self, id: SocketId, header: &DatagramHeader, payload: [&[u8]; 2]) {
        let Some(socket) = self.sockets.table.datagram_mut(id) else { return };
        if header.segment_size > 0 && !socket.takes_joined {
            return self.store_each(id, header, payload[0]);
        }
        match socket.store(&mut self.sockets.buffers, header, payload) {
            Ok(()) => self.sockets.notify(id, Readiness::READABLE),
            Err(_) => self.counters.rx_socket_full += 1,
        }
    }

    /// Stores datagrams that have arrived joined as what they are.
    fn store_each(&mut self, id: SocketId, header: &DatagramHeader, payload: &[u8]) {
        for piece in payload.chunks(usize::from(header.segment_size)) {
            let header = DatagramHeader { payload_len: piece.len() as u16, segment_size: 0, ..*header };
            self.store(id, &header, [piece, &[]]);
        }
    }

    /// Sends the datagrams that a socket has queued.
    pub(super) fn send_datagrams(&mut self, id: SocketId) -> Result<Sent, Stalled> {
        for sent in 0..DATAGRAMS_PER_TURN {
            let Some(socket) = self.sockets.table.datagram_mut(id) else { return Ok(Sent::Everything) };
            let Some(record) = socket.next_record(&mut self.sockets.buffers) else {
                self.sockets.datagrams_sent(id, sent > 0);
                return Ok(Sent::Everything);
            };
            let outcome = if socket.is_echo() {
                self.send_echo_request(id, &record)
            } else {
                self.send_datagram(id, &record)
            };
            if outcome.is_ok() && record.remote.ip().is_multicast() {
                self.loop_back(id, &record);
            }
            let Some(socket) = self.sockets.table.datagram_mut(id) else { return Ok(Sent::Everything) };
            match outcome {
                Err(NotSent::Busy) => return Err(Stalled),
                Err(NotSent::NoRoute) => socket.error = Some(SocketError::Unreachable),
                Err(NotSent::TooLarge) => socket.error = Some(SocketError::TooLarge),
                Ok(()) => {}
            }
            socket.release(&mut self.sockets.buffers, &record);
            if outcome.is_err() {
                self.sockets.notify(id, Readiness::ERROR);
            }
        }
        Ok(Sent::Share)
    }

    /// A datagram to a group reaches our own members as well (RFC 1112 §6.1).
    #[cold]
    fn loop_back(&mut self, id: SocketId, record: &DatagramHeader) {
        let group = Address::from(record.remote.ip());
        let Some(socket) = self.sockets.table.datagram_mut(id) else { return };
        let looped = socket.sending_to(group).looped;
        let groups = if group.is_v4() { &self.groups } else { &self.ipv6.groups };
        if socket.is_echo() || !looped || !groups.contains(group.into()) {
            return;
        }
        let chosen = [record.local.into(), socket.local.address].into_iter().find(|own| own.is_host());
        let Some(source) = chosen.or_else(|| self.link.interface.source_for(group)) else { return };
        let remote = Endpoint::new(source, socket.local.port);
        let mut payload = alloc::vec![0; usize::from(record.payload_len)];
        self.sockets.buffers.copy_queued(&socket.send, DatagramHeader::LEN, &mut payload);
        let local = Endpoint::new(group, record.remote.port());
        self.deliver(Protocol::UDP, local, remote, [&payload, &[]], record.segment_size);
    }

    /// Sends the datagram of a record, or the several ones that it is cut into. Where the device takes no more before all
    /// have left, the rest follows.
    fn send_datagram(&mut self, id: SocketId, record: &DatagramHeader) -> Result<(), NotSent> {
        loop {
            let Some(socket) = self.sockets.table.datagram_mut(id) else { return Ok(()) };
            let from = socket.sent.min(record.payload_len);
            let at_once = self.link.datagrams_at_once(self.now, record);
            let len = at_once.min(record.payload_len - from);
            self.send_piece(id, record, from, len)?;
            let Some(socket) = self.sockets.table.datagram_mut(id) else { return Ok(()) };
            socket.sent = from + len;
            if socket.sent >= record.payload_len {
                return Ok(());
            }
        }
    }

    /// Sends `len` bytes of a record's payload: one datagram, or several that the device cuts.
    fn send_piece(
        &mut self,
        id: SocketId,
        record: &DatagramHeader,
        from: u16,
        len: u16,
    ) -> Result<(), NotSent> {
        let Some(socket) = self.sockets.table.datagram_mut(id) else { return Ok(()) };
        let src_port = socket.local.port;
        let repr = UdpRepr { src_port, dst_port: record.remote.port(), payload_len: len };
        let segment_size = record.segment_len();
        let several = len > segment_size;
        let mut packet = addressed(socket, record, repr.len())?;
        if several {
            packet.piece = udp::HEADER_LEN + usize::from(segment_size);
        }
        let buffers = &self.sockets.buffers;
        let offload = self.link.io.caps().tx_checksum;
        let payload_at = DatagramHeader::LEN + usize::from(from);
        self.link.send_ip(self.now, &mut self.counters, packet, |slot| {
            repr.emit(slot.bytes);
            buffers.copy_queued(&socket.send, payload_at, &mut slot.bytes[udp::HEADER_LEN..]);
            if !(offload && slot.may_offload) {
                udp::fill_checksum(slot.bytes, slot.pseudo);
                return TxOffload::default();
            }
            udp::fill_partial_checksum(slot.bytes, slot.pseudo);
            let checksum = TxChecksum { start: slot.offset, offset: udp::CHECKSUM_OFFSET as u16 };
            let segmentation = several.then(|| Segmentation {
                transport: Transport::Udp,
                ip: packet.destination.version(),
                header_len: slot.offset + udp::HEADER_LEN as u16,
                segment_size,
            });
            TxOffload { checksum: Some(checksum), segmentation }
        })
    }

    /// The sequence number with which the record's payload begins goes into the message's header, the rest
    /// behind it.
    fn send_echo_request(&mut self, id: SocketId, record: &DatagramHeader) -> Result<(), NotSent> {
        let Some(socket) = self.sockets.table.datagram_mut(id) else { return Ok(()) };
        let buffers = &self.sockets.buffers;
        let mut seq = [0; ECHO_SEQ_LEN];
        let seq_len = ECHO_SEQ_LEN.min(usize::from(record.payload_len));
        buffers.copy_queued(&socket.send, DatagramHeader::LEN, &mut seq[..seq_len]);
        let data_len = usize::from(record.payload_len) - seq_len;
        // The headers of both families are alike.
        let packet = addressed(socket, record, icmpv4::HEADER_LEN + data_len)?;
        self.link.send_ip(self.now, &mut self.counters, packet, |slot| {
            let data = &mut slot.bytes[icmpv4::HEADER_LEN..];
            buffers.copy_queued(&socket.send, DatagramHeader::LEN + seq_len, data);
            let (ident, seq) = (socket.local.port, u16::from_be_bytes(seq));
            if socket.protocol == Protocol::ICMP {
                icmpv4::emit_echo_request(ident, seq, slot.bytes);
            } else {
                icmpv6::emit_echo_request(ident, seq, slot.bytes, slot.pseudo);
            }
            TxOffload::default()
        })
    }

    /// An echo reply came: for the socket with its identifier.
    pub(super) fn receive_echo_reply(&mut self, incoming: &Incoming<'_>, ident: u16, seq: u16, data: &[u8]) {
        let local = Endpoint::new(incoming.destination, ident);
        let remote = Endpoint::new(incoming.source, 0);
        let protocol = echo_protocol(incoming.destination);
        if !self.deliver(protocol, local, remote, [&seq.to_be_bytes(), data], 0) {
            self.counters.rx_no_socket += 1;
        }
    }
}

/// The protocol of echoes to and from `address`.
pub(super) const fn echo_protocol(address: Address) -> Protocol {
    if address.is_v4() { Protocol::ICMP } else { Protocol::ICMPV6 }
}

/// The packet for a record with `len` bytes of transport header and payload.
fn addressed<B: Buffers>(
    socket: &DatagramSocket<B>,
    record: &DatagramHeader,
    len: usize,
) -> Result<Outgoing, NotSent> {
    let destination = Address::from(record.remote.ip());
    // An echo socket speaks one of the protocols, and thus to one of the families.
    if socket.is_echo() && socket.protocol != echo_protocol(destination) {
        return Err(NotSent::NoRoute);
    }
    // The address that the record names, else the one that the socket is bound to, else the route's.
    let source = [record.local.into(), socket.local.address].into_iter().find(|own| own.is_host());
    if source.is_some_and(|own| own.is_v4() != destination.is_v4()) {
        return Err(NotSent::NoRoute);
    }
    // RFC 1112 §6.1, RFC 3493 §5.2: to the hosts of the link, unless the user wants to reach further.
    let hops = destination.is_multicast().then(|| socket.sending_to(destination).hops);
    let fragmentation = socket.fragmentation;
    Ok(Outgoing {
        source,
        destination,
        protocol: socket.protocol,
        len,
        piece: len,
        fragmentation,
        hops,
        ecn: ecn::NOT_CAPABLE,
    })
}
