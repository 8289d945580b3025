//! A network card made of heap memory.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use netlane_packet_io::{Batch, Caps, LinkDown, PacketBuf, PacketIo, RxOffload, TxOffload};

/// What a [`SimDevice`] is like.
#[derive(Clone, Debug)]
pub struct DeviceConfig {
    /// The largest IP packet, in bytes.
    pub mtu: usize,
    /// The device fills in transport checksums.
    pub checksum_offload: bool,
    /// The device cuts super-frames into segments; needs `checksum_offload`.
    pub segmentation_offload: bool,
    /// The device takes super-frames as they are, as a TAP does, and tells how they are made up.
    pub super_frames: bool,
    /// Frames that exist at the same time. A frame comes back when whoever holds it lets it go.
    pub frames: usize,
    /// Frames that wait in the device to go onto the link.
    pub queue: usize,
}

impl Default for DeviceConfig {
    fn default() -> Self {
        Self {
            mtu: 1_500,
            checksum_offload: false,
            segmentation_offload: false,
            super_frames: false,
            frames: 4_096,
            queue: 1_024,
        }
    }
}

/// A network card made of heap memory. Whoever simulates the link [takes](Self::take_sent) what the stack has sent,
/// and [delivers](Self::deliver) what arrives.
#[derive(Debug)]
pub struct SimDevice {
    caps: Caps,
    pool: Rc<Pool>,
    queue_limit: usize,
    received: VecDeque<SimFrame>,
    sent: VecDeque<SimFrame>,
    takes_super_frames: bool,
    down: bool,
}

/// A frame of a [`SimDevice`].
#[derive(Debug)]
pub struct SimFrame {
    storage: Box<[u8]>,
    start: usize,
    end: usize,
    rx_offload: RxOffload,
    tx_offload: TxOffload,
    /// Where the storage goes back to; `None` for frames that no device has made.
    pool: Option<Rc<Pool>>,
}

#[derive(Debug)]
struct Pool {
    free: RefCell<Vec<Box<[u8]>>>,
    /// How many more may be handed out.
    left: Cell<usize>,
    frame_len: usize,
}

/// Bytes in front of a new frame.
const HEADROOM: usize = 64;
/// The largest super-frame: an IP packet of 65,535 bytes and its Ethernet header.
const LARGEST_SUPER_FRAME: usize = 65_535 + 14;

impl SimDevice {
    /// A card with the Ethernet address `mac`.
    #[must_use]
    pub fn new(mac: [u8; 6], config: &DeviceConfig) -> Self {
        let plain = Caps::plain(mac, config.mtu);
        let caps = Caps {
            tx_checksum: config.checksum_offload,
            tso_v4: config.segmentation_offload,
            tso_v6: config.segmentation_offload,
            uso: config.segmentation_offload,
            max_frame: if config.segmentation_offload { LARGEST_SUPER_FRAME } else { plain.max_frame },
            ..plain
        };
        let frame_len = HEADROOM + caps.max_frame;
        Self {
            caps,
            pool: Rc::new(Pool { free: RefCell::default(), left: Cell::new(config.frames), frame_len }),
            queue_limit: config.queue,
            received: VecDeque::new(),
            sent: VecDeque::new(),
            takes_super_frames: config.super_frames,
            down: false,
        }
    }

    /// The next frame that the stack has sent.
    pub fn take_sent(&mut self) -> Option<SimFrame> {
        self.sent.pop_front()
    }

    /// A frame has arrived for the stack.
    pub fn deliver(&mut self, frame: SimFrame) {
        if !self.down {
            self.received.push_back(frame);
        }
    }

    /// Frames that the stack may still allocate.
    #[must_use]
    pub fn frames_left(&self) -> usize {
        self.pool.left.get()
    }

    /// Pulls the card out: from now on every call tells that the link is down.
    pub fn pull_out(&mut self) {
        self.down = true;
        self.received.clear();
    }

    pub(crate) fn takes_super_frames(&self) -> bool {
        self.takes_super_frames
    }
}

impl PacketIo for SimDevice {
    type Buf = SimFrame;

    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn rx_burst(&mut self, out: &mut Batch<SimFrame>) -> Result<(), LinkDown> {
        if self.down {
            return Err(LinkDown);
        }
        let n = out.remaining_capacity().min(self.received.len());
        out.extend(self.received.drain(..n));
        Ok(())
    }

    fn alloc(&mut self) -> Option<SimFrame> {
        SimFrame::of_pool(&self.pool)
    }

    fn tx_burst(&mut self, batch: &mut Batch<SimFrame>) -> Result<(), LinkDown> {
        if self.down {
            return Err(LinkDown);
        }
        let n = batch.len().min(self.queue_limit.saturating_sub(self.sent.len()));
        self.sent.extend(batch.drain(..n));
        Ok(())
    }
}

impl SimFrame {
    /// A frame that belongs to no device's pool.
    #[must_use]
    pub fn loose(bytes: &[u8]) -> Self {
        Self {
            storage: bytes.into(),
            start: 0,
            end: bytes.len(),
            rx_offload: RxOffload::default(),
            tx_offload: TxOffload::default(),
            pool: None,
        }
    }

    fn of_pool(pool: &Rc<Pool>) -> Option<Self> {
        pool.left.set(pool.left.get().checked_sub(1)?);
        let storage =
            pool.free.borrow_mut().pop().unwrap_or_else(|| vec![0; pool.frame_len].into_boxed_slice());
        Some(Self {
            storage,
            start: HEADROOM,
            end: HEADROOM,
            rx_offload: RxOffload::default(),
            tx_offload: TxOffload::default(),
            pool: Some(Rc::clone(pool)),
        })
    }

    pub(crate) fn tx_offload(&self) -> TxOffload {
        self.tx_offload
    }

    /// What the receiving device finds out about the frame.
    pub(crate) fn set_rx_offload(&mut self, offload: RxOffload) {
        self.rx_offload = offload;
    }
}

/// A copy on the link: it belongs to no device's pool.
impl Clone for SimFrame {
    fn clone(&self) -> Self {
        let mut copy = Self::loose(self.bytes());
        copy.rx_offload = self.rx_offload;
        copy
    }
}

impl Drop for SimFrame {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            pool.free.borrow_mut().push(core::mem::take(&mut self.storage));
            pool.left.set(pool.left.get() + 1);
        }
    }
}

impl PacketBuf for SimFrame {
    fn bytes(&self) -> &[u8] {
        &self.storage[self.start..self.end]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.start..self.end]
    }

    fn prepend(&mut self, n: usize) -> Option<&mut [u8]> {
        self.start = self.start.checked_sub(n)?;
        Some(&mut self.storage[self.start..self.start + n])
    }

    fn append(&mut self, n: usize) -> Option<&mut [u8]> {
        if n > self.storage.len() - self.end {
            return None;
        }
        self.end += n;
        Some(&mut self.storage[self.end - n..self.end])
    }

    fn trim_front(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
    }

    fn rx_offload(&self) -> RxOffload {
        self.rx_offload
    }

    fn set_tx_offload(&mut self, offload: TxOffload) {
        self.tx_offload = offload;
    }
}
