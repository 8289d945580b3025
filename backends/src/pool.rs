//! Packet buffers for backends that have no memory of their own.

use crate::inspect::InspectBuf;
use netlane_packet_io::{PacketBuf, RxOffload, TxChecksum, TxOffload};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

/// Bytes that an empty buffer from a [`Pool`] has in front. Enough for the largest headers that the stack
/// writes: 14 of Ethernet, 4 of an 802.1Q tag, 40 of IPv6 and 60 of TCP.
pub const HEADROOM: usize = 128;

/// The packet buffers of one queue, on one thread.
///
/// Frames are made when they are first needed, up to a limit. The one that came back last leaves first, since it
/// is the likeliest to be in the cache.
#[derive(Debug)]
pub struct Pool {
    shelf: Rc<Shelf>,
}

impl Pool {
    /// A pool of at most `limit` frames, each for `capacity` bytes from the Ethernet header on.
    ///
    /// # Panics
    /// When `capacity` is over 4 GiB.
    #[must_use]
    pub fn new(limit: usize, capacity: usize) -> Self {
        assert!(u32::try_from(HEADROOM + capacity).is_ok(), "frames of {capacity} bytes are too large");
        let shelf = Shelf { free: RefCell::default(), unmade: Cell::new(limit), capacity };
        Self { shelf: Rc::new(shelf) }
    }

    /// An empty buffer with [`HEADROOM`] in front, or `None` when all are in use.
    #[must_use]
    pub fn alloc(&self) -> Option<PooledBuf> {
        let mut frame = match self.shelf.free.borrow_mut().pop() {
            Some(frame) => frame,
            None => self.make()?,
        };
        frame.clear();
        Some(self.adopt(frame))
    }

    /// Makes a frame from elsewhere, contents and all, a buffer of this pool.
    #[must_use]
    pub fn adopt(&self, frame: Frame) -> PooledBuf {
        PooledBuf { frame: Some(frame), shelf: Rc::clone(&self.shelf) }
    }

    /// Puts a free frame from elsewhere into the pool.
    pub fn put(&self, frame: Frame) {
        self.shelf.free.borrow_mut().push(frame);
    }

    /// Takes a free frame out of the pool for good. Makes none.
    #[must_use]
    pub fn take(&self) -> Option<Frame> {
        self.shelf.free.borrow_mut().pop()
    }

    /// How many free frames lie in the pool.
    #[must_use]
    pub fn free(&self) -> usize {
        self.shelf.free.borrow().len()
    }

    /// Whether no free frame lies in the pool and none can be made.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.shelf.unmade.get() == 0 && self.free() == 0
    }

    /// How many of the pool's buffers somebody holds.
    #[must_use]
    pub fn in_use(&self) -> usize {
        Rc::strong_count(&self.shelf) - 1
    }

    #[cold]
    fn make(&self) -> Option<Frame> {
        self.shelf.unmade.set(self.shelf.unmade.get().checked_sub(1)?);
        Some(Frame::new(self.shelf.capacity))
    }
}

/// What a pool shares with its buffers.
#[derive(Debug)]
struct Shelf {
    free: RefCell<Vec<Frame>>,
    /// How many more frames may be made.
    unmade: Cell<usize>,
    capacity: usize,
}

/// A packet buffer of a [`Pool`], to which it returns when it is dropped. Two words; what describes the frame
/// lies with the frame.
pub struct PooledBuf {
    /// Always there, but for the moments in which it leaves.
    frame: Option<Frame>,
    shelf: Rc<Shelf>,
}

const _: () = assert!(size_of::<PooledBuf>() == 2 * size_of::<usize>());

impl PooledBuf {
    /// Bytes by which the frame can grow at its front.
    #[must_use]
    pub fn headroom(&self) -> usize {
        self.body().start as usize
    }

    /// Bytes by which the frame can grow at its end.
    #[must_use]
    pub fn tailroom(&self) -> usize {
        let body = self.body();
        body.space.len() - body.end as usize
    }

    /// Drops bytes from the end so that at most `len` remain.
    pub fn truncate(&mut self, len: usize) {
        let body = self.body_mut();
        // The frame is no longer than its `u32`s say, so the smaller of the two fits.
        body.end = body.start + (len.min(body.len()) as u32);
    }

    /// Takes the frame away from its pool, so that it may cross to another thread.
    #[must_use]
    pub fn into_frame(mut self) -> Frame {
        self.frame.take().expect("a buffer has a frame until it is dropped")
    }

    fn body(&self) -> &Body {
        &self.frame.as_ref().expect("a buffer has a frame until it is dropped").0
    }

    fn body_mut(&mut self) -> &mut Body {
        &mut self.frame.as_mut().expect("a buffer has a frame until it is dropped").0
    }
}

impl PacketBuf for PooledBuf {
    fn bytes(&self) -> &[u8] {
        let body = self.body();
        &body.space[body.start as usize..body.end as usize]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        let body = self.body_mut();
        &mut body.space[body.start as usize..body.end as usize]
    }

    fn prepend(&mut self, n: usize) -> Option<&mut [u8]> {
        let body = self.body_mut();
        let old = body.start as usize;
        let new = old.checked_sub(n)?;
        body.start = new as u32;
        Some(&mut body.space[new..old])
    }

    fn append(&mut self, n: usize) -> Option<&mut [u8]> {
        let body = self.body_mut();
        let old = body.end as usize;
        let new = old.checked_add(n)?;
        let grown = body.space.get_mut(old..new)?;
        body.end = new as u32;
        Some(grown)
    }

    fn trim_front(&mut self, n: usize) {
        let body = self.body_mut();
        body.start += n.min(body.len()) as u32;
    }

    fn rx_offload(&self) -> RxOffload {
        self.body().rx
    }

    fn set_tx_offload(&mut self, offload: TxOffload) {
        self.body_mut().tx = offload;
    }
}

impl InspectBuf for PooledBuf {
    fn tx_offload(&self) -> TxOffload {
        self.body().tx
    }

    fn rx_unfilled(&self) -> Option<TxChecksum> {
        self.body().rx_unfilled
    }

    fn mark_received(&mut self, rx: RxOffload, unfilled: Option<TxChecksum>) {
        let body = self.body_mut();
        body.rx = rx;
        body.rx_unfilled = unfilled;
        body.tx = TxOffload::default();
    }
}

impl Drop for PooledBuf {
    fn drop(&mut self) {
        if let Some(frame) = self.frame.take() {
            self.shelf.free.borrow_mut().push(frame);
        }
    }
}

impl fmt::Debug for PooledBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.frame.fmt(f)
    }
}

/// A frame between two pools, possibly on its way to another thread.
pub struct Frame(Box<Body>);

impl Frame {
    fn new(capacity: usize) -> Self {
        let space = vec![0; HEADROOM + capacity].into_boxed_slice();
        Self(Box::new(Body {
            space,
            start: 0,
            end: 0,
            rx: RxOffload::default(),
            rx_unfilled: None,
            tx: TxOffload::default(),
        }))
    }

    fn clear(&mut self) {
        let Body { space: _, start, end, rx, rx_unfilled, tx } = &mut *self.0;
        (*start, *end) = (HEADROOM as u32, HEADROOM as u32);
        (*rx, *rx_unfilled, *tx) = (RxOffload::default(), None, TxOffload::default());
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Body { space, start, end, rx, rx_unfilled, tx } = &*self.0;
        f.debug_struct("Frame")
            .field("bytes", &&space[*start as usize..*end as usize])
            .field("rx", rx)
            .field("rx_unfilled", rx_unfilled)
            .field("tx", tx)
            .finish()
    }
}

/// A frame and what is known of it; the frame is `space[start..end]`.
struct Body {
    space: Box<[u8]>,
    start: u32,
    end: u32,
    rx: RxOffload,
    rx_unfilled: Option<TxChecksum>,
    tx: TxOffload,
}

impl Body {
    fn len(&self) -> usize {
        (self.end - self.start) as usize
    }
}
