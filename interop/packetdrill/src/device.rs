//! A network card whose other end is packetdrill, which knows IP packets and no Ethernet.

use std::collections::VecDeque;

use netlane_core::packet_io::{Batch, Caps, LinkDown, PacketBuf, PacketIo, RxOffload, TxOffload};

/// The stack's own Ethernet address.
pub(crate) const OUR_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 1];
/// The Ethernet address of the gateway behind which every peer of a script lives.
pub(crate) const GATEWAY_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 2];

/// Bytes of an Ethernet header without a tag.
const ETHERNET: usize = 14;
/// Bytes in front of a new frame, for the headers that the stack writes.
const HEADROOM: usize = 128;

/// The card: IP packets go in and come out, and the stack sees them in Ethernet frames.
pub(crate) struct RawIp {
    caps: Caps,
    arrived: VecDeque<Frame>,
    sent: VecDeque<Vec<u8>>,
}

impl RawIp {
    pub(crate) fn new(mtu: usize) -> Self {
        Self { caps: Caps::plain(OUR_MAC, mtu), arrived: VecDeque::new(), sent: VecDeque::new() }
    }

    /// An IP packet arrives. What is neither IPv4 nor IPv6 is lost.
    pub(crate) fn deliver(&mut self, packet: &[u8]) {
        let ethertype: [u8; 2] = match packet.first().map(|first| first >> 4) {
            Some(4) => [0x08, 0x00],
            Some(6) => [0x86, 0xdd],
            _ => return,
        };
        let bytes = [&OUR_MAC[..], &GATEWAY_MAC, &ethertype, packet].concat();
        self.arrived.push_back(Frame { bytes, start: 0 });
    }

    /// The next IP packet that the stack has sent. Frames that carry something else are nobody's concern.
    pub(crate) fn take_sent(&mut self) -> Option<Vec<u8>> {
        loop {
            let frame = self.sent.pop_front()?;
            if matches!(frame.get(12..ETHERNET), Some([0x08, 0x00] | [0x86, 0xdd])) {
                return Some(frame[ETHERNET..].to_vec());
            }
        }
    }
}

impl PacketIo for RawIp {
    type Buf = Frame;

    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn rx_burst(&mut self, out: &mut Batch<Frame>) -> Result<(), LinkDown> {
        let n = out.remaining_capacity().min(self.arrived.len());
        out.extend(self.arrived.drain(..n));
        Ok(())
    }

    fn alloc(&mut self) -> Option<Frame> {
        Some(Frame { bytes: vec![0; HEADROOM], start: HEADROOM })
    }

    fn tx_burst(&mut self, batch: &mut Batch<Frame>) -> Result<(), LinkDown> {
        self.sent.extend(batch.drain(..).map(|frame| frame.bytes().to_vec()));
        Ok(())
    }
}

/// A frame that grows as it needs to.
pub(crate) struct Frame {
    bytes: Vec<u8>,
    start: usize,
}

impl PacketBuf for Frame {
    fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }

    fn prepend(&mut self, n: usize) -> Option<&mut [u8]> {
        self.start = self.start.checked_sub(n)?;
        Some(&mut self.bytes[self.start..self.start + n])
    }

    fn append(&mut self, n: usize) -> Option<&mut [u8]> {
        let old = self.bytes.len();
        self.bytes.resize(old + n, 0);
        Some(&mut self.bytes[old..])
    }

    fn trim_front(&mut self, n: usize) {
        self.start = (self.start + n).min(self.bytes.len());
    }

    fn rx_offload(&self) -> RxOffload {
        RxOffload::default()
    }

    /// The card offers none, so that the stack asks for none.
    fn set_tx_offload(&mut self, offload: TxOffload) {
        debug_assert_eq!(offload, TxOffload::default());
    }
}
