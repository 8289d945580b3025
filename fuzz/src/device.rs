//! A device of memory: what it is given to deliver it delivers, and what the stack sends it keeps.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use netlane_core::packet_io::{Batch, Caps, LinkDown, PacketBuf, PacketIo, RxOffload, TxOffload};

/// Bytes that may be put before a frame.
const HEADROOM: usize = 64;

/// The stack's device.
pub struct Device {
    caps: Caps,
    /// Frames that the stack has not taken yet.
    pub arriving: VecDeque<Frame>,
    /// Frames that the stack has sent.
    pub sent: Vec<Frame>,
    /// How many more frames it takes before it refuses them; `None` for any number.
    pub takes: Option<usize>,
    /// Buffers that are free.
    free: Rc<Cell<usize>>,
}

/// A frame, or an empty buffer for one.
pub struct Frame {
    bytes: Vec<u8>,
    start: usize,
    most: usize,
    rx: RxOffload,
    /// What the stack asks of the device.
    pub tx: TxOffload,
    /// The pool that it goes back to, if it came from one.
    pool: Option<Rc<Cell<usize>>>,
}

impl Device {
    /// A device that segments and fills checksums in where `offloads`, with a pool of `buffers`.
    pub fn new(mac: [u8; 6], offloads: bool, buffers: usize) -> Self {
        let plain = Caps::plain(mac, 1_500);
        let caps = if offloads {
            Caps { tx_checksum: true, tso_v4: true, max_frame: 65_549, ..plain }
        } else {
            plain
        };
        Self {
            caps,
            arriving: VecDeque::new(),
            sent: Vec::new(),
            takes: None,
            free: Rc::new(Cell::new(buffers)),
        }
    }

    /// Lets a frame arrive.
    pub fn deliver(&mut self, bytes: Vec<u8>, rx: RxOffload) {
        let most = bytes.len();
        self.arriving.push_back(Frame { bytes, start: 0, most, rx, tx: TxOffload::default(), pool: None });
    }
}

impl PacketIo for Device {
    type Buf = Frame;

    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn rx_burst(&mut self, out: &mut Batch<Frame>) -> Result<(), LinkDown> {
        let n = self.arriving.len().min(out.remaining_capacity());
        out.extend(self.arriving.drain(..n));
        Ok(())
    }

    fn alloc(&mut self) -> Option<Frame> {
        self.free.set(self.free.get().checked_sub(1)?);
        Some(Frame {
            bytes: vec![0; HEADROOM],
            start: HEADROOM,
            most: HEADROOM + self.caps.max_frame,
            rx: RxOffload::default(),
            tx: TxOffload::default(),
            pool: Some(Rc::clone(&self.free)),
        })
    }

    fn tx_burst(&mut self, batch: &mut Batch<Frame>) -> Result<(), LinkDown> {
        let n = self.takes.map_or(batch.len(), |takes| takes.min(batch.len()));
        self.takes = self.takes.map(|takes| takes - n);
        self.sent.extend(batch.drain(..n));
        Ok(())
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            pool.set(pool.get() + 1);
        }
    }
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
        Some(&mut self.bytes[self.start..][..n])
    }

    fn append(&mut self, n: usize) -> Option<&mut [u8]> {
        let end = self.bytes.len();
        if end + n > self.most {
            return None;
        }
        // Undefined contents, and never by chance what the stack would have written.
        self.bytes.resize(end + n, 0xa5);
        Some(&mut self.bytes[end..])
    }

    fn trim_front(&mut self, n: usize) {
        self.start = (self.start + n).min(self.bytes.len());
    }

    fn rx_offload(&self) -> RxOffload {
        self.rx
    }

    fn set_tx_offload(&mut self, offload: TxOffload) {
        self.tx = offload;
    }
}
