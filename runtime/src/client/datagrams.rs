//! Datagrams to and from anybody.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use netlane_core::{DatagramHeader, MOST_SEGMENTS, Readiness};
use netlane_ring::bytes::Consumer;

use super::part::Part;
use super::socket::{Inner, Socket, SocketKind};
use super::{LaneGone, RecvError, SendError};

/// The most payload bytes of a datagram over IPv4 (RFC 791 §3.1, RFC 768).
const LARGEST: usize = 65_507;

impl Socket {
    /// Queues a datagram to `remote`. The stack chooses the address that it leaves from, where the socket has none.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn try_send_to(&self, payload: &[u8], remote: SocketAddr) -> Result<(), SendError> {
        self.try_send_segments_to(payload, 0, remote)
    }

    /// Queues datagrams to `remote` with `segment_size` bytes each of `payload`, the last with what is left; one with all
    /// of it where that is 0. The device cuts them out of one frame where it can.
    ///
    /// # Errors
    /// [`SendError`]; none of them is queued then. More than [`MOST_SEGMENTS`] are [`SendError::TooLarge`].
    pub fn try_send_segments_to(
        &self,
        payload: &[u8],
        segment_size: u16,
        remote: SocketAddr,
    ) -> Result<(), SendError> {
        let part = self.queue(payload, segment_size, remote)?;
        part.written();
        Ok(())
    }

    /// Queues datagrams, and tells the lanes when all are there. Returns how many are, at least one; with the first that
    /// is not, it ends.
    ///
    /// # Errors
    /// [`SendError`] of the first.
    pub fn try_send_many<'a>(
        &self,
        datagrams: impl IntoIterator<Item = (&'a [u8], SocketAddr)>,
    ) -> Result<usize, SendError> {
        let mut written: Vec<&Part> = Vec::with_capacity(self.inner.parts.len());
        let (mut count, mut failed) = (0, None);
        for (payload, remote) in datagrams {
            match self.queue(payload, 0, remote) {
                Ok(part) => {
                    count += 1;
                    if !written.iter().any(|known| known.slot() == part.slot()) {
                        written.push(part);
                    }
                }
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        written.into_iter().for_each(Part::written);
        match failed {
            Some(error) if count == 0 => Err(error),
            _ => Ok(count),
        }
    }

    /// Writes a record that the lane does not know of yet, to the part that sends it.
    fn queue(&self, payload: &[u8], segment_size: u16, remote: SocketAddr) -> Result<&Part, SendError> {
        if !self.takes_datagrams() {
            return Err(SendError::WrongKind);
        }
        let part = self.inner.part_for(remote);
        if part.is_gone() {
            return Err(SendError::LaneGone(LaneGone));
        }
        if self.inner.is_closed() {
            return Err(SendError::Closed);
        }
        if let Some(error) = part.control().take_error() {
            return Err(SendError::Failed(error));
        }
        let local = match remote {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let mut writer = part.writer();
        let len = DatagramHeader::LEN + payload.len();
        let too_many = segment_size > 0 && payload.len().div_ceil(usize::from(segment_size)) > MOST_SEGMENTS;
        if payload.len() > LARGEST || too_many || len > writer.capacity() {
            return Err(SendError::TooLarge);
        }
        if writer.room() < len {
            return Err(SendError::WouldBlock);
        }
        let mut header = [0; DatagramHeader::LEN];
        DatagramHeader { payload_len: payload.len() as u16, segment_size, remote, local }.emit(&mut header);
        writer.write_at(0, &header);
        writer.write_at(DatagramHeader::LEN, payload);
        writer.commit(len);
        Ok(part)
    }

    /// Takes a datagram that has arrived: its payload to `out`, cut off where that is too short. Returns the bytes
    /// written there, and the header, which has the payload's whole length.
    ///
    /// # Errors
    /// [`RecvError`].
    pub fn try_recv_from(&self, out: &mut [u8]) -> Result<(usize, DatagramHeader), RecvError> {
        self.receive(|reader| {
            let (copied, header) = copy_record(reader, out)?;
            reader.release(DatagramHeader::LEN + usize::from(header.payload_len));
            Some((copied, header))
        })
    }

    /// Copies a datagram that has arrived, as [`try_recv_from`](Self::try_recv_from), and leaves it where it is.
    ///
    /// # Errors
    /// [`RecvError`].
    pub fn try_peek_from(&self, out: &mut [u8]) -> Result<(usize, DatagramHeader), RecvError> {
        self.receive(|reader| copy_record(reader, out))
    }

    fn receive<T>(&self, mut take: impl FnMut(&mut Consumer) -> Option<T>) -> Result<T, RecvError> {
        if !self.takes_datagrams() {
            return Err(RecvError::WrongKind);
        }
        if let Some(taken) = self.inner.in_turn().find_map(|part| take(&mut part.reader())) {
            return Ok(taken);
        }
        if self.inner.is_gone() {
            return Err(RecvError::LaneGone(LaneGone));
        }
        if let Some(error) = self.inner.take_error() {
            return Err(RecvError::Failed(error));
        }
        Err(if self.inner.is_closed() { RecvError::Closed } else { RecvError::WouldBlock })
    }

    fn takes_datagrams(&self) -> bool {
        matches!(self.kind(), SocketKind::Udp | SocketKind::Echo)
    }
}

/// Copies the payload of the oldest datagram, if there is one.
fn copy_record(reader: &Consumer, out: &mut [u8]) -> Option<(usize, DatagramHeader)> {
    let mut header = [0; DatagramHeader::LEN];
    if reader.peek_at(0, &mut header) < header.len() {
        return None;
    }
    let header = DatagramHeader::parse(&header)?;
    let len = out.len().min(usize::from(header.payload_len));
    let copied = reader.peek_at(DatagramHeader::LEN, &mut out[..len]);
    Some((copied, header))
}

impl Inner {
    /// The part that sends to `remote`: always the same one, so that datagrams to one peer stay in their order.
    fn part_for(&self, remote: SocketAddr) -> &Part {
        let address = match remote.ip() {
            IpAddr::V4(v4) => v4.to_bits(),
            IpAddr::V6(v6) => v6.to_bits() as u32,
        };
        let mixed = (address ^ u32::from(remote.port())).wrapping_mul(0x9e37_79b1) >> 16;
        &self.parts[mixed as usize % self.parts.len()]
    }

    pub(super) fn datagram_readiness(&self) -> Readiness {
        let mut ready = Readiness::empty();
        for part in &self.parts {
            if !part.reader().is_empty() {
                ready |= Readiness::READABLE;
            }
        }
        let has_room = |part: &Part| {
            let writer = part.writer();
            writer.room() >= writer.capacity().min(DatagramHeader::LEN + LARGEST)
        };
        if self.parts.iter().all(has_room) {
            ready |= Readiness::WRITABLE;
        }
        ready
    }
}
