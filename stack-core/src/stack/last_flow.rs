//! The connection that the last segment was part of. Segments come in bursts, so the next one is likely to be part
//! of the same: then its headers stand in the frame as they stood in the last, and need neither be taken apart nor
//! looked up again.

use crate::address::Address;
use crate::socket::SocketId;
use crate::wire::{Protocol, Sum, checksum, ecn, ethernet, ipv4};

/// What the frames of the last connection have in common.
#[derive(Debug)]
pub(super) struct LastFlow {
    /// The headers of the last frame, up to the ports; all zeroes, which no frame has, where there was none.
    headers: [u8; COMMON],
    /// The sum of the pseudo-header, but for the length.
    pseudo: Sum,
    socket: Option<SocketId>,
}

/// A frame that is part of the last connection.
#[derive(Clone, Copy)]
pub(super) struct Recognised<'a> {
    pub(super) socket: SocketId,
    /// The segment, its headers included.
    pub(super) segment: &'a [u8],
    pub(super) pseudo: Sum,
    /// The packet met congestion on its way.
    pub(super) ce: bool,
}

/// Bytes from the Ethernet header to the ports.
const COMMON: usize = PORTS + 4;
const IP: usize = ethernet::HEADER_LEN;
const PORTS: usize = IP + ipv4::HEADER_LEN;

impl LastFlow {
    pub(super) const NONE: Self = Self { headers: [0; COMMON], pseudo: Sum::ZERO, socket: None };

    /// Notes a frame that is part of the connection `socket` and has passed all checks: over IPv4, without options
    /// and without a VLAN tag. Others are not noted.
    #[inline]
    pub(super) fn note(&mut self, frame: &[u8], socket: SocketId, source: Address, destination: Address) {
        let Some(headers) = frame.first_chunk() else { return };
        let plain = headers[12..=IP] == PLAIN && source.is_v4();
        if plain {
            self.headers = *headers;
            self.pseudo = Sum::pseudo(source, destination, Protocol::TCP, 0);
            self.socket = Some(socket);
        }
    }

    /// The ends of the connection `socket` no longer stand for it.
    pub(super) fn forget(&mut self, socket: SocketId) {
        if self.socket == Some(socket) {
            *self = Self::NONE;
        }
    }

    /// The frame's segment, if it is part of the last connection and its IP header is right.
    #[inline]
    pub(super) fn recognise<'a>(&self, frame: &'a [u8]) -> Option<Recognised<'a>> {
        let headers = frame.first_chunk::<COMMON>()?;
        // All but the total length, the identification and the checksum: eth and service, flags to protocol, ends.
        let same = word::<16>(headers, 0) == word::<16>(&self.headers, 0)
            && word::<4>(headers, 20) == word::<4>(&self.headers, 20)
            && word::<8>(headers, 26) == word::<8>(&self.headers, 26)
            && word::<4>(headers, PORTS) == word::<4>(&self.headers, PORTS);
        if !same {
            return None;
        }
        let ip: &[u8; ipv4::HEADER_LEN] = headers[IP..].first_chunk()?;
        let total_len = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
        let segment = frame.get(PORTS..IP + total_len).filter(|_| checksum::sum(ip).finish() == 0)?;
        let ce = ip[1] & ecn::MASK == ecn::EXPERIENCED;
        Some(Recognised { socket: self.socket?, segment, pseudo: self.pseudo.add_len(segment.len()), ce })
    }
}

/// The end of the Ethernet header and the begin of the IP header: IPv4, whose header has 20 bytes.
const PLAIN: [u8; 3] = [0x08, 0x00, 0x45];

#[inline]
fn word<const N: usize>(headers: &[u8; COMMON], at: usize) -> [u8; N] {
    let mut word = [0; N];
    word.copy_from_slice(&headers[at..at + N]);
    word
}
