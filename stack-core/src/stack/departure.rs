//! The way of a [`Plan`] into frames: one, for the device to cut where it can, else as many as it has segments. Then what
//! they have in common is worked out once for all of them.

use netlane_packet_io::{PacketIo, Segmentation, Transport, TxChecksum, TxOffload};

use super::link::{Fragmentation, Link, NotSent, Outgoing, Slot};
use crate::buffers::Buffers;
use crate::tcp::connection::Connection;
use crate::tcp::output::Plan;
use crate::tcp::{Context, FourTuple};
use crate::wire::{Protocol, Sum, TcpFlags, TcpHeader, ecn, tcp};

/// The most payload of a plan that we cut ourselves.
const LONGEST_CUT_HERE: u32 = 1 << 16;

/// What a connection has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Departed {
    pub(super) frames: usize,
    /// There may be more to send.
    pub(super) more: bool,
}

/// The device takes no more frames now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stalled;

/// A frame's part of a plan.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// Where its payload begins in the plan's.
    start: u32,
    len: u32,
    last: bool,
}

/// Sends what a connection has to say, where that is one usual segment and the way is known. Returns whether that is so.
#[inline]
pub(super) fn send_express<I: PacketIo, B: Buffers>(
    connection: &mut Connection<B>,
    link: &mut Link<I>,
    cx: &mut Context<'_, B>,
) -> bool {
    let Some(segment) = connection.express(cx) else { return false };
    let FourTuple { local, remote } = connection.tuple;
    let len = tcp::STAMPED_LEN + segment.len as usize;
    let ends = (local.address, remote.address);
    let offload = link.io.caps().tx_checksum;
    let (buffers, send) = (&cx.buffers, connection.state.send_buffer());
    let sent = link.send_express(cx.now, cx.counters, ends, len, |slot| {
        let Slot { bytes, pseudo, offset: segment_at, .. } = slot;
        let Some((head, payload)) = bytes.split_first_chunk_mut() else { return TxOffload::default() };
        let header = TcpHeader {
            src_port: local.port,
            dst_port: remote.port,
            seq: segment.seq.0,
            ack: segment.ack.0,
            flags: segment.flags,
            window: segment.window,
            urgent: 0,
        };
        let sum = header.emit_stamped(segment.stamps, head);
        let data = send.filter(|_| segment.len > 0).map(|send| (send, segment.offset as usize));
        if !offload {
            fill_summed(*buffers, data, head, payload, pseudo.add(sum));
            return TxOffload::default();
        }
        fill_for_device(*buffers, data, head, payload, pseudo);
        TxOffload { checksum: Some(checksum_at(segment_at)), segmentation: None }
    });
    if sent {
        cx.counters.tcp_segments_sent += 1;
        connection.sent_express(cx, &segment);
    }
    sent
}

/// Sends what a connection plans next, if anything.
#[inline]
pub(super) fn send_next_plan<I: PacketIo, B: Buffers>(
    connection: &mut Connection<B>,
    link: &mut Link<I>,
    cx: &mut Context<'_, B>,
) -> Result<Departed, Stalled> {
    let remote = connection.tuple.remote.address;
    let cut_by_device = link.longest_payload(remote);
    let longest = if cut_by_device > 0 { cut_by_device } else { LONGEST_CUT_HERE };
    let Some(mut plan) = connection.plan(cx, longest) else { return Ok(Departed { frames: 0, more: false }) };
    let step = if cut_by_device > 0 { plan.len } else { u32::from(plan.mss).max(1) };
    let (mut frames, mut start) = (0, 0);
    let failure = loop {
        let len = step.min(plan.len - start);
        let piece = Piece { start, len, last: start + len == plan.len };
        match send_piece(connection, link, cx, &plan, piece) {
            Err(NotSent::Busy) => break Some(NotSent::Busy),
            // The path carries less than it did when the size of segments was agreed on: once more, in smaller ones.
            Err(NotSent::TooLarge) if connection.follow_path_mtu(link.path_mtu(cx.now, remote)) => {
                break Some(NotSent::TooLarge);
            }
            // To the connection, what cannot be sent is lost on its way: timers repeat it or give up.
            Ok(()) | Err(NotSent::NoRoute | NotSent::TooLarge) => frames += 1,
        }
        start += len;
        if piece.last {
            break None;
        }
    };
    let mut more = true;
    if frames > 0 {
        if failure.is_some() {
            plan.shorten(start);
        }
        cx.counters.tcp_segments_sent += frames as u64;
        cx.counters.tcp_super_segments_sent += u64::from(step > u32::from(plan.mss) && plan.mss > 0);
        more = connection.sent(cx, &plan);
    }
    match failure {
        Some(NotSent::Busy) => Err(Stalled),
        Some(_) => Ok(Departed { frames, more: true }),
        None => Ok(Departed { frames, more }),
    }
}

/// Sends a frame's part of a plan.
#[inline]
fn send_piece<I: PacketIo, B: Buffers>(
    connection: &Connection<B>,
    link: &mut Link<I>,
    cx: &mut Context<'_, B>,
    plan: &Plan,
    piece: Piece,
) -> Result<(), NotSent> {
    let FourTuple { local, remote } = connection.tuple;
    let header_len = tcp::HEADER_LEN + plan.options.len();
    let packet = Outgoing {
        source: Some(local.address),
        destination: remote.address,
        protocol: Protocol::TCP,
        len: header_len + piece.len as usize,
        piece: header_len + piece.len.min(u32::from(plan.mss)) as usize,
        fragmentation: Fragmentation::Never,
        hops: None,
        ecn: if plan.ect { ecn::CAPABLE } else { ecn::NOT_CAPABLE },
    };
    let offload = link.io.caps().tx_checksum;
    let buffers = &cx.buffers;
    let send = connection.state.send_buffer();
    let offset = (plan.offset + piece.start) as usize;
    link.send_ip(cx.now, cx.counters, packet, |slot| {
        let Slot { bytes, pseudo, offset: segment_at, may_offload } = slot;
        let (header_len, sum) = header(&connection.tuple, plan, piece).emit_summed(&plan.options, bytes);
        let (head, payload) = bytes.split_at_mut(header_len);
        let data = send.map(|send| (send, offset));
        if !(offload && may_offload) {
            fill_summed(*buffers, data, head, payload, pseudo.add(sum));
            return TxOffload::default();
        }
        fill_for_device(*buffers, data, head, payload, pseudo);
        let segmentation = (piece.len > u32::from(plan.mss)).then(|| Segmentation {
            transport: Transport::Tcp,
            ip: remote.address.version(),
            header_len: segment_at + header_len as u16,
            segment_size: plan.mss,
        });
        TxOffload { checksum: Some(checksum_at(segment_at)), segmentation }
    })
}

/// Writes the data of a segment, from its place in the send buffer, and the checksum of it and of what has the sum `head_sum`.
#[inline]
fn fill_summed<B: Buffers>(
    buffers: &B,
    data: Option<(&B::Send, usize)>,
    head: &mut [u8],
    payload: &mut [u8],
    head_sum: Sum,
) {
    let data = data.map_or(Sum::ZERO, |(send, offset)| buffers.copy_queued_summed(send, offset, payload));
    tcp::write_checksum(head, head_sum.add(data).finish());
}

/// Writes the data of a segment, and what a device has to find that fills in the checksum.
#[inline]
fn fill_for_device<B: Buffers>(
    buffers: &B,
    data: Option<(&B::Send, usize)>,
    head: &mut [u8],
    payload: &mut [u8],
    pseudo: Sum,
) {
    if let Some((send, offset)) = data {
        buffers.copy_queued(send, offset, payload);
    }
    tcp::write_checksum(head, pseudo.partial());
}

/// Where a device fills in the checksum of a segment that begins at `segment_at` of its frame.
#[inline]
const fn checksum_at(segment_at: u16) -> TxChecksum {
    TxChecksum { start: segment_at, offset: tcp::CHECKSUM_OFFSET as u16 }
}

#[inline]
fn header(tuple: &FourTuple, plan: &Plan, piece: Piece) -> TcpHeader {
    // What ends the plan stands in its last segment.
    let mut others = if piece.last { TcpFlags::empty() } else { TcpFlags::FIN | TcpFlags::PSH };
    // RFC 3168 §6.1.2: the first new segment tells that the window was reduced.
    others.set(TcpFlags::CWR, piece.start > 0);
    TcpHeader {
        src_port: tuple.local.port,
        dst_port: tuple.remote.port,
        seq: (plan.seq + piece.start).0,
        ack: plan.ack.0,
        flags: plan.flags - others,
        window: plan.window,
        urgent: 0,
    }
}
