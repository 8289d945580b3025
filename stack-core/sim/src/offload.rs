//! What a card does to frames on their way out: fills in checksums, and cuts super-frames into segments and datagrams.

use netlane_core::wire::{
    Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr, TcpFlags, TcpHeader, TcpOptions, TcpSegment, UdpDatagram,
    UdpRepr, checksum, tcp, udp,
};
use netlane_packet_io::{IpVersion, PacketBuf, RxChecksum, RxOffload, Segmentation, Transport, TxChecksum};

use crate::device::SimFrame;
use crate::packet::IpPacket;

/// The frames that go onto the link for one that the stack has sent. A super-frame remains whole where the receiver
/// `takes_super_frames`.
pub(crate) fn onto_wire(mut frame: SimFrame, takes_super_frames: bool) -> Vec<SimFrame> {
    let offload = frame.tx_offload();
    match (offload.segmentation, offload.checksum) {
        (Some(segmentation), _) if takes_super_frames => {
            frame.set_rx_offload(RxOffload {
                checksum: RxChecksum::Good,
                segment_size: segmentation.segment_size,
            });
            vec![frame]
        }
        (Some(segmentation), _) => cut(frame.bytes(), segmentation),
        (None, Some(place)) => {
            fill_checksum(frame.bytes_mut(), place);
            vec![frame]
        }
        (None, None) => vec![frame],
    }
}

/// The sum of the pseudo-header stands in the checksum's place already.
fn fill_checksum(frame: &mut [u8], place: TxChecksum) {
    let start = usize::from(place.start);
    let at = start + usize::from(place.offset);
    // RFC 768: UDP sends a checksum of zero as its complement. For TCP both mean the same.
    let sum = match checksum::sum(&frame[start..]).finish() {
        0 => 0xffff,
        sum => sum,
    };
    frame[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

fn cut(frame: &[u8], segmentation: Segmentation) -> Vec<SimFrame> {
    let packet = IpPacket::parse(frame).expect("the stack sends whole packets");
    assert_eq!(
        packet.src.is_ipv4(),
        segmentation.ip == IpVersion::V4,
        "the version of IP is what the stack says"
    );
    match segmentation.transport {
        Transport::Tcp => cut_segments(frame, &packet, segmentation),
        Transport::Udp => cut_datagrams(frame, &packet, segmentation),
    }
}

fn cut_datagrams(frame: &[u8], packet: &IpPacket<'_>, segmentation: Segmentation) -> Vec<SimFrame> {
    let datagram = UdpDatagram::parse(packet.payload).expect("the stack cuts UDP");
    let headers_len = packet.payload_at + udp::HEADER_LEN;
    assert_eq!(headers_len, usize::from(segmentation.header_len), "the headers end where the stack says");
    let piece = |(n, payload): (usize, &[u8])| {
        let mut out = frame[..headers_len].to_vec();
        out.extend_from_slice(payload);
        let repr = UdpRepr { payload_len: payload.len() as u16, ..datagram.repr };
        emit_ip(&frame[packet.at..], n, repr.len(), &mut out[packet.at..]);
        let bytes = &mut out[packet.payload_at..];
        repr.emit(bytes);
        udp::fill_checksum(bytes, packet.pseudo(repr.len()));
        SimFrame::loose(&out)
    };
    datagram.payload.chunks(usize::from(segmentation.segment_size)).enumerate().map(piece).collect()
}

fn cut_segments(frame: &[u8], packet: &IpPacket<'_>, segmentation: Segmentation) -> Vec<SimFrame> {
    let segment = TcpSegment::parse(packet.payload).expect("the stack cuts TCP");
    let options = TcpOptions::parse(segment.options).expect("the stack's own options");
    let tcp_len = segment.header_len();
    let headers_len = packet.payload_at + tcp_len;
    assert_eq!(headers_len, usize::from(segmentation.header_len), "the headers end where the stack says");
    let size = usize::from(segmentation.segment_size);
    let count = segment.payload.len().div_ceil(size);
    let piece = |(n, payload): (usize, &[u8])| {
        let mut out = frame[..headers_len].to_vec();
        out.extend_from_slice(payload);
        emit_ip(&frame[packet.at..], n, tcp_len + payload.len(), &mut out[packet.at..]);
        let mut flags = segment.header.flags;
        if n + 1 < count {
            flags.remove(TcpFlags::FIN | TcpFlags::PSH);
        }
        let seq = segment.header.seq.wrapping_add((n * size) as u32);
        let bytes = &mut out[packet.payload_at..];
        TcpHeader { seq, flags, ..segment.header }.emit(&options, bytes);
        tcp::fill_checksum(bytes, packet.pseudo(tcp_len + payload.len()));
        SimFrame::loose(&out)
    };
    segment.payload.chunks(size).enumerate().map(piece).collect()
}

/// Writes the header of the piece number `n` of `packet`, which carries `len` bytes.
fn emit_ip(packet: &[u8], n: usize, len: usize, out: &mut [u8]) {
    let payload_len = len as u16;
    if let Ok(Ipv4Packet { repr, .. }) = Ipv4Packet::parse(packet) {
        Ipv4Repr { ident: repr.ident.wrapping_add(n as u16), payload_len, ..repr }.emit(out);
    } else if let Ok(Ipv6Packet { repr, .. }) = Ipv6Packet::parse(packet) {
        Ipv6Repr { payload_len, ..repr }.emit(out);
    }
}
