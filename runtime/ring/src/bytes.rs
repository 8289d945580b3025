//! A ring of bytes from one producer to one consumer.

use core::cell::Cell;
use core::fmt;
use core::ptr::NonNull;

use crate::sync::{AtomicU64, Byte, CacheLine, Ordering, copy_in, copy_out};

/// The part of a byte ring that both of its ends read: how many bytes were ever committed and released.
///
/// It may lie apart from the ring's data. All-zero bytes are the counters of an empty ring.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Counters {
    /// Bytes ever committed. Written by the producer only.
    tail: CacheLine<AtomicU64>,
    /// Bytes ever released. Written by the consumer only.
    head: CacheLine<AtomicU64>,
}

#[cfg(not(loom))]
const _: () = {
    assert!(size_of::<Counters>() == 128 && align_of::<Counters>() == 64);
    assert!(core::mem::offset_of!(Counters, tail) == 0);
    assert!(core::mem::offset_of!(Counters, head) == 64);
    assert!(size_of::<Byte>() == 1);
};

impl Counters {
    /// The counters of an empty ring.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Empties the ring for its next use. Call it while the ring has no ends: one that is there goes on where it
    /// was, and the next one to be attached would contradict it.
    pub fn reset(&self) {
        self.start_at(0);
    }

    fn start_at(&self, position: u64) {
        self.tail.store(position, Ordering::Relaxed);
        self.head.store(position, Ordering::Release);
    }
}

/// The end of a byte ring that bytes go into.
///
/// It trusts the shared counters in nothing: its own it remembers, and the consumer's it believes only where the
/// step from the last one is possible.
#[derive(Debug)]
pub struct Producer {
    ring: Ring,
    /// Bytes ever committed.
    tail: u64,
    /// Bytes released when last looked: never more than `tail`, never more than a capacity behind it.
    head: Cell<u64>,
}

// SAFETY: the ring's memory may be used from any thread, and this is its only producer, as whoever attached it
// has promised.
unsafe impl Send for Producer {}

impl Producer {
    /// Becomes the producer of the ring with these counters and the `capacity` bytes of data at `data`, and goes
    /// on where the last one stopped. Bytes that were written and not committed are forgotten.
    ///
    /// # Safety
    ///
    /// - `counters` must be valid and aligned, and `data` be valid for reads and writes of `capacity` bytes, for as
    ///   long as the producer lives. A file behind them must not shrink: seal the memfd.
    /// - The ring must have at most this producer and one [`Consumer`] at a time, and this process may reach its
    ///   data through them only.
    /// - A consumer in this same process must have been attached with the same `data` and `capacity`.
    ///
    /// # Errors
    ///
    /// See [`AttachError`].
    pub unsafe fn attach(
        counters: NonNull<Counters>,
        data: NonNull<u8>,
        capacity: usize,
    ) -> Result<Self, AttachError> {
        let ring = Ring::new(counters, data, capacity)?;
        let tail = ring.counters().tail.load(Ordering::Relaxed);
        let head = ring.counters().head.load(Ordering::Acquire);
        if tail.wrapping_sub(head) > ring.capacity() {
            return Err(AttachError::Counters);
        }
        Ok(Self { ring, tail, head: Cell::new(head) })
    }

    /// The most bytes that wait in the ring at a time.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.ring.capacity() as usize
    }

    /// Committed bytes that the consumer has not released.
    #[must_use]
    pub fn len(&self) -> usize {
        let head = self.ring.counters().head.load(Ordering::Acquire);
        // A consumer only moves on, and never beyond what was committed.
        if self.tail.wrapping_sub(head) <= self.tail.wrapping_sub(self.head.get()) {
            self.head.set(head);
        }
        self.known_len()
    }

    /// Whether the consumer has released all that was committed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that can be stored beyond the committed ones. Only [`commit`](Self::commit) makes it less.
    #[must_use]
    pub fn room(&self) -> usize {
        self.capacity() - self.len()
    }

    /// Stores bytes at `offset` beyond the committed ones, and returns how many fit, counted from their front.
    /// The consumer does not see them yet.
    pub fn write_at(&mut self, offset: usize, bytes: &[u8]) -> usize {
        let known_room = self.capacity() - self.known_len();
        let room = if known_room >= offset.saturating_add(bytes.len()) { known_room } else { self.room() };
        let n = bytes.len().min(room.saturating_sub(offset));
        // SAFETY: `n` bytes fit into the ring, and the consumer keeps away from what was not committed.
        unsafe { self.ring.copy_in(self.tail.wrapping_add(offset as u64), &bytes[..n]) };
        n
    }

    /// Gives the first `n` stored bytes to the consumer. They must have been stored: what exceeds the room of the
    /// ring is the caller's mistake, and is not committed.
    pub fn commit(&mut self, n: usize) {
        let room = self.capacity() - self.known_len();
        debug_assert!(n <= room, "{n} bytes committed where at most {room} can have been stored");
        self.tail = self.tail.wrapping_add(n.min(room) as u64);
        self.ring.counters().tail.store(self.tail, Ordering::Release);
    }

    /// Stores bytes, gives them to the consumer, and returns how many fit, counted from their front.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        let n = self.write_at(0, bytes);
        self.commit(n);
        n
    }

    /// [`len`](Self::len), as of when last looked: never less than it is now.
    fn known_len(&self) -> usize {
        self.tail.wrapping_sub(self.head.get()) as usize
    }
}

/// The end of a byte ring that bytes come out of.
///
/// It trusts the shared counters in nothing: its own it remembers, and the producer's it believes only where the
/// step from the last one is possible.
#[derive(Debug)]
pub struct Consumer {
    ring: Ring,
    /// Bytes ever released.
    head: u64,
    /// Bytes committed when last looked: never less than `head`, never more than a capacity ahead of it.
    tail: Cell<u64>,
}

// SAFETY: the ring's memory may be used from any thread, and this is its only consumer, as whoever attached it
// has promised.
unsafe impl Send for Consumer {}

impl Consumer {
    /// Becomes the consumer of the ring with these counters and the `capacity` bytes of data at `data`, and goes
    /// on where the last one stopped.
    ///
    /// # Safety
    ///
    /// - `counters` must be valid and aligned, and `data` be valid for reads and writes of `capacity` bytes, for as
    ///   long as the consumer lives. A file behind them must not shrink: seal the memfd.
    /// - The ring must have at most this consumer and one [`Producer`] at a time, and this process may reach its
    ///   data through them only.
    /// - A producer in this same process must have been attached with the same `data` and `capacity`.
    ///
    /// # Errors
    ///
    /// See [`AttachError`].
    pub unsafe fn attach(
        counters: NonNull<Counters>,
        data: NonNull<u8>,
        capacity: usize,
    ) -> Result<Self, AttachError> {
        let ring = Ring::new(counters, data, capacity)?;
        let head = ring.counters().head.load(Ordering::Relaxed);
        let tail = ring.counters().tail.load(Ordering::Acquire);
        if tail.wrapping_sub(head) > ring.capacity() {
            return Err(AttachError::Counters);
        }
        Ok(Self { ring, head, tail: Cell::new(tail) })
    }

    /// The most bytes that wait in the ring at a time.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.ring.capacity() as usize
    }

    /// Bytes that wait. Only [`release`](Self::release) makes it less.
    #[must_use]
    pub fn len(&self) -> usize {
        let tail = self.ring.counters().tail.load(Ordering::Acquire);
        // A producer only moves on, and never a capacity beyond what was released.
        let len = tail.wrapping_sub(self.head);
        if len >= self.known_len() as u64 && len <= self.ring.capacity() {
            self.tail.set(tail);
        }
        self.known_len()
    }

    /// Whether no bytes wait.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies the waiting bytes from `offset` on to `out`, and returns how many there were. They keep waiting.
    pub fn peek_at(&self, offset: usize, out: &mut [u8]) -> usize {
        let known = self.known_len();
        let len = if known >= offset.saturating_add(out.len()) { known } else { self.len() };
        let n = out.len().min(len.saturating_sub(offset));
        // SAFETY: `n` bytes fit into the ring, and the producer keeps away from what was not released.
        unsafe { self.ring.copy_out(self.head.wrapping_add(offset as u64), &mut out[..n]) };
        n
    }

    /// Gives the oldest `n` waiting bytes' room back to the producer. What exceeds the waiting bytes is the
    /// caller's mistake, and is not released.
    pub fn release(&mut self, n: usize) {
        let len = if self.known_len() >= n { self.known_len() } else { self.len() };
        debug_assert!(n <= len, "{n} bytes released where {len} wait");
        self.head = self.head.wrapping_add(n.min(len) as u64);
        self.ring.counters().head.store(self.head, Ordering::Release);
    }

    /// Moves waiting bytes to `out`, and returns how many there were.
    pub fn read(&mut self, out: &mut [u8]) -> usize {
        let n = self.peek_at(0, out);
        self.release(n);
        n
    }

    /// [`len`](Self::len), as of when last looked: never more than it is now.
    fn known_len(&self) -> usize {
        self.tail.get().wrapping_sub(self.head) as usize
    }
}

/// Why a byte ring cannot be joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachError {
    /// The capacity is not a power of two.
    Capacity,
    /// The counters say that more bytes wait than the ring holds. The other side has broken it.
    Counters,
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Capacity => "the capacity of a byte ring must be a power of two",
            Self::Counters => "the counters of the byte ring contradict each other",
        })
    }
}

impl core::error::Error for AttachError {}

/// Where a ring lies.
#[derive(Debug)]
struct Ring {
    counters: NonNull<Counters>,
    data: NonNull<Byte>,
    /// The capacity less one.
    mask: usize,
}

impl Ring {
    fn new(counters: NonNull<Counters>, data: NonNull<u8>, capacity: usize) -> Result<Self, AttachError> {
        if !capacity.is_power_of_two() {
            return Err(AttachError::Capacity);
        }
        Ok(Self { counters, data: data.cast(), mask: capacity - 1 })
    }

    fn capacity(&self) -> u64 {
        self.mask as u64 + 1
    }

    fn counters(&self) -> &Counters {
        // SAFETY: valid as whoever attached this end has promised; counters are nothing but atomics.
        unsafe { self.counters.as_ref() }
    }

    /// Copies bytes to where the byte at `position` of the stream has its place, and on around the ring's end.
    ///
    /// # Safety
    ///
    /// The bytes must fit into the ring, and the other end must not use these places.
    unsafe fn copy_in(&self, position: u64, bytes: &[u8]) {
        let start = position as usize & self.mask;
        let (front, wrapped) = bytes.split_at(bytes.len().min(self.mask + 1 - start));
        // SAFETY: `start` lies within the data.
        let place = unsafe { self.data.add(start) };
        // SAFETY: the front ends where the data does, or before.
        unsafe { copy_in(front, place.as_ptr()) };
        // SAFETY: the rest ends before `start`, since all of it fits into the ring.
        unsafe { copy_in(wrapped, self.data.as_ptr()) };
    }

    /// Copies from where the byte at `position` of the stream has its place, and on around the ring's end.
    ///
    /// # Safety
    ///
    /// `out` must fit into the ring, and the other end must not write to these places.
    unsafe fn copy_out(&self, position: u64, out: &mut [u8]) {
        let start = position as usize & self.mask;
        let (front, wrapped) = out.split_at_mut(out.len().min(self.mask + 1 - start));
        // SAFETY: `start` lies within the data.
        let place = unsafe { self.data.add(start) };
        // SAFETY: the front ends where the data does, or before.
        unsafe { copy_out(place.as_ptr(), front) };
        // SAFETY: the rest ends before `start`, since all of it fits into the ring.
        unsafe { copy_out(self.data.as_ptr(), wrapped) };
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
