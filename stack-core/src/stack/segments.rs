//! TCP segments: in to the connection or listener that they are for, and out from the connections that have
//! something to say. Here, and only here, a [`Decision`] is carried out.

use netlane_packet_io::{PacketIo, RxOffload, TxOffload};

use super::Stack;
use super::departure::{Stalled, send_express, send_next_plan};
use super::ingress::Incoming;
use super::last_flow::Recognised;
use super::link::{Fragmentation, NotSent, Outgoing};
use super::socket_table::Kind;
use crate::buffers::Buffers;
use crate::socket::{Readiness, SocketError, SocketId};
use crate::tcp::handshake::Offer;
use crate::tcp::prediction::{Plain, Predicted};
use crate::tcp::{Answer, Context, Decision, Endpoint, FourTuple, Next, Segment, SeqNumber};
use crate::wire::{Malformed, Protocol, Sum, TcpFlags, TcpHeader, TcpOptions, TcpSegment, ecn, tcp};

/// Frames that one connection may send before the others get their turn.
const FRAMES_PER_TURN: usize = 64;

/// What the connection `id` needs of the stack, borrowed field by field: the table stays free for the
/// connection itself.
macro_rules! context {
    ($stack:ident, $id:expr) => {
        Context {
            socket: $id,
            now: $stack.now,
            config: &$stack.tcp,
            limits: &$stack.limits,
            buffers: &mut $stack.sockets.buffers,
            counters: &mut $stack.counters,
            challenges: &mut $stack.challenges,
        }
    };
}
pub(super) use context;

impl<I: PacketIo, B: Buffers> Stack<I, B> {
    /// Takes a segment, and finds out which connection it is part of.
    #[inline]
    pub(super) fn receive_segment(&mut self, incoming: &Incoming<'_>) {
        let Some(verify) = self.must_verify(incoming.offload) else { return };
        let pseudo = verify.then(|| incoming.pseudo(Protocol::TCP, incoming.payload.len()));
        let mut options = TcpOptions::default();
        let (ports, segment) =
            match parse(incoming.payload, pseudo, incoming.offload, incoming.ce, &mut options) {
                Ok(parsed) => parsed,
                Err(malformed) => {
                    if self.admits(incoming) {
                        self.counters.count_malformed(malformed);
                    }
                    return;
                }
            };
        let tuple = FourTuple {
            local: Endpoint::new(incoming.destination, ports.destination),
            remote: Endpoint::new(incoming.source, ports.source),
        };
        let Some(id) = self.sockets.connection_between(&tuple) else {
            self.count_segment(&segment);
            // A connection's ends were looked at when it began: only where there is none, there is more to ask.
            if self.admits(incoming) {
                self.receive_unconnected(incoming, &tuple, &segment);
            }
            return;
        };
        self.last_flow.note(incoming.frame, id, incoming.source, incoming.destination);
        self.give_segment(id, &segment);
    }

    /// Takes a segment of the connection that the one before was part of. Returns whether that is so: the
    /// connection may have ended meanwhile.
    #[inline]
    pub(super) fn receive_recognised(&mut self, recognised: &Recognised<'_>, offload: RxOffload) -> bool {
        let Recognised { socket, segment, pseudo, ce } = *recognised;
        let Some(verify) = self.must_verify(offload) else { return true };
        let mut pseudo = verify.then_some(pseudo);
        if let Some(mut plain) = Plain::read(segment)
            && pseudo.is_none_or(|pseudo| tcp::verify(pseudo, segment).is_ok())
        {
            // It is not verified twice.
            pseudo = None;
            plain.joined = joined(offload, plain.len());
            if self.take_predicted(socket, &plain) {
                return true;
            }
        }
        if self.sockets.table.get(socket).is_none() {
            return false;
        }
        let mut options = TcpOptions::default();
        match parse(segment, pseudo, offload, ce, &mut options) {
            Ok((_, segment)) => self.give_segment(socket, &segment),
            Err(malformed) => self.counters.count_malformed(malformed),
        }
        true
    }

    /// Takes a segment that its connection expects next. Returns whether it is one.
    #[inline]
    fn take_predicted(&mut self, id: SocketId, plain: &Plain<'_>) -> bool {
        let Some(socket) = self.sockets.table.get_mut(id) else { return false };
        let Kind::Connection(connection) = &mut socket.kind else { return false };
        let Some(Predicted { owes, ready }) = connection.on_plain(&mut context!(self, id), plain) else {
            return false;
        };
        self.counters.tcp_segments_received += 1;
        self.counters.tcp_super_segments_received += u64::from(plain.joined > 1);
        self.sockets.agenda.settle(id, socket, owes, ready);
        true
    }

    /// Gives a segment to its connection.
    #[inline]
    fn give_segment(&mut self, id: SocketId, segment: &Segment<'_>) {
        self.count_segment(segment);
        if segment.flags.contains(TcpFlags::SYN) && self.receive_syn(id, segment) {
            return;
        }
        let Some(mut connection) = self.sockets.table.connection_mut(id) else { return };
        if connection.acknowledges_before(segment) {
            // Where the device takes no more, the marks of both blur.
            let _ = self.send_segments(id);
            let Some(again) = self.sockets.table.connection_mut(id) else { return };
            connection = again;
        }
        let decision = connection.on_segment(&mut context!(self, id), segment);
        if let Next::Reopen { snd_nxt } = decision.next {
            let tuple = connection.tuple;
            return self.reopen(id, &tuple, segment, snd_nxt);
        }
        self.carry_out(id, decision);
    }

    #[inline]
    fn count_segment(&mut self, segment: &Segment<'_>) {
        self.counters.tcp_segments_received += 1;
        self.counters.tcp_super_segments_received += u64::from(segment.joined > 1);
    }

    /// What we offer in a SYN between these ends.
    pub(super) fn offer(&self, tuple: &FourTuple) -> Offer {
        let remote = tuple.remote.address;
        let headers = remote.header_len() + tcp::HEADER_LEN;
        let mtu = self.link.interface.mtu_towards(remote);
        let largest = u16::try_from(mtu.saturating_sub(headers)).unwrap_or(u16::MAX);
        let mss = self.tcp.mss.map_or(largest, |mss| mss.min(largest));
        Offer::ours(&self.tcp, mss, self.secret.timestamp_offset(tuple))
    }

    /// Carries out what was decided for a connection.
    #[inline]
    pub(super) fn carry_out(&mut self, id: SocketId, decision: Decision) {
        let Decision { next, answer, ready } = decision;
        if let Answer::Reset { seq, ack } = answer
            && let Some(connection) = self.sockets.table.connection_mut(id)
        {
            let tuple = connection.tuple;
            self.answer_with_reset(&tuple, seq, ack);
        }
        match next {
            Next::Stay | Next::SynReceived | Next::Synchronized | Next::Reopen { .. } => {}
            Next::Confirmed => self.confirm(id),
            Next::TimeWait => self.sockets.notify(id, Readiness::CLOSED),
            Next::Closed(error) => return self.end(id, error, ready),
        }
        self.sockets.settle(id, answer == Answer::Output, ready);
    }

    /// A connection is over: it is forgotten, or stays until its user has been told.
    pub(super) fn end(&mut self, id: SocketId, error: Option<SocketError>, ready: Readiness) {
        let Some(connection) = self.sockets.table.connection_mut(id) else { return };
        if connection.detached {
            return self.sockets.remove(id);
        }
        connection.close(error);
        self.sockets.unname(id);
        self.last_flow.forget(id);
        let mut ready = ready | Readiness::CLOSED;
        ready.set(Readiness::ERROR, error.is_some());
        self.sockets.notify(id, ready);
    }

    #[inline]
    pub(super) fn run_timers(&mut self) {
        self.run_handshake_timers();
        while let Some(id) = self.sockets.next_due(self.now) {
            let Some(connection) = self.sockets.table.connection_mut(id) else { continue };
            let decision = connection.on_timer(&mut context!(self, id));
            self.carry_out(id, decision);
        }
    }

    /// Sends what the sockets have to say, each in its turn, until nothing is left or the device takes no
    /// more.
    #[inline]
    pub(super) fn send_owed(&mut self) -> Result<(), Stalled> {
        self.send_syn_acks()?;
        for _ in 0..self.sockets.owing() {
            let Some(id) = self.sockets.next_owing() else { break };
            let Some(socket) = self.sockets.table.get_mut(id) else { continue };
            socket.takes_its_turn();
            let outcome = match socket.kind {
                Kind::Connection(_) => self.send_segments(id),
                Kind::Datagram(_) => self.send_datagrams(id),
                Kind::Listener(_) => Ok(Sent::Everything),
            };
            match outcome {
                Ok(Sent::Everything) => {}
                Ok(Sent::Share) => self.sockets.owe(id),
                Err(Stalled) => {
                    self.sockets.owe(id);
                    return Err(Stalled);
                }
            }
        }
        Ok(())
    }

    /// Sends the segments that a connection has ready.
    #[inline]
    fn send_segments(&mut self, id: SocketId) -> Result<Sent, Stalled> {
        let Some(socket) = self.sockets.table.get_mut(id) else { return Ok(Sent::Everything) };
        let Kind::Connection(connection) = &mut socket.kind else { return Ok(Sent::Everything) };
        let mut frames = 0;
        let express = send_express(connection, &mut self.link, &mut context!(self, id));
        let mut outcome = Ok(if express { Sent::Everything } else { Sent::Share });
        while !express && frames < FRAMES_PER_TURN {
            let mut cx = context!(self, id);
            match send_next_plan(connection, &mut self.link, &mut cx) {
                Ok(departed) if departed.more => frames += departed.frames.max(1),
                Ok(_) => {
                    outcome = Ok(Sent::Everything);
                    break;
                }
                Err(stalled) => {
                    outcome = Err(stalled);
                    break;
                }
            }
        }
        self.sockets.agenda.arm(id, socket);
        outcome
    }

    /// Resets the sender of a segment, within the bounds of what strangers can make us send.
    pub(super) fn answer_with_reset(&mut self, tuple: &FourTuple, seq: SeqNumber, ack: Option<SeqNumber>) {
        if self.errors.allow(self.now) {
            self.send_reset(tuple, seq, ack, &TcpOptions::default());
        } else {
            self.counters.tx_suppressed += 1;
        }
    }

    /// Sends a reset between these ends.
    pub(super) fn send_reset(
        &mut self,
        tuple: &FourTuple,
        seq: SeqNumber,
        ack: Option<SeqNumber>,
        options: &TcpOptions,
    ) {
        let header = TcpHeader {
            src_port: tuple.local.port,
            dst_port: tuple.remote.port,
            seq: seq.0,
            ack: ack.map_or(0, |ack| ack.0),
            flags: if ack.is_some() { TcpFlags::RST | TcpFlags::ACK } else { TcpFlags::RST },
            window: 0,
            urgent: 0,
        };
        match self.send_lone(tuple, &header, options) {
            Ok(()) => self.counters.tcp_resets_sent += 1,
            Err(_) => self.counters.tx_suppressed += 1,
        }
    }

    /// Sends a segment without payload that no connection plans.
    pub(super) fn send_lone(
        &mut self,
        tuple: &FourTuple,
        header: &TcpHeader,
        options: &TcpOptions,
    ) -> Result<(), NotSent> {
        let len = tcp::HEADER_LEN + options.len();
        let packet = Outgoing {
            source: Some(tuple.local.address),
            destination: tuple.remote.address,
            protocol: Protocol::TCP,
            len,
            piece: len,
            fragmentation: Fragmentation::Never,
            hops: None,
            ecn: ecn::NOT_CAPABLE,
        };
        self.link.send_ip(self.now, &mut self.counters, packet, |slot| {
            header.emit(options, slot.bytes);
            tcp::fill_checksum(slot.bytes, slot.pseudo);
            TxOffload::default()
        })
    }
}

/// How far a socket got with what it has to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// Nothing is left.
    Everything,
    /// As much as is one socket's share of a turn.
    Share,
}

/// Reads a segment, its options to `options`, and verifies its checksum where the sum of the pseudo-header is given.
#[inline(always)]
fn parse<'a>(
    bytes: &'a [u8],
    pseudo: Option<Sum>,
    offload: RxOffload,
    ce: bool,
    options: &'a mut TcpOptions,
) -> Result<(Ports, Segment<'a>), Malformed> {
    let TcpSegment { header, options: unread, payload } = TcpSegment::parse(bytes)?;
    if let Some(pseudo) = pseudo {
        tcp::verify(pseudo, bytes)?;
    }
    options.read(unread)?;
    let segment = Segment {
        seq: SeqNumber(header.seq),
        ack: SeqNumber(header.ack),
        flags: header.flags,
        window: header.window,
        options,
        payload,
        joined: joined(offload, payload.len()),
        ce,
    };
    Ok((Ports { source: header.src_port, destination: header.dst_port }, segment))
}

/// How many segments on the wire the device has joined into one of `len` bytes.
#[inline]
fn joined(offload: RxOffload, len: usize) -> u32 {
    match usize::from(offload.segment_size) {
        0 => 1,
        size => len.div_ceil(size).max(1) as u32,
    }
}

/// Where a segment comes from and goes to.
struct Ports {
    source: u16,
    destination: u16,
}
