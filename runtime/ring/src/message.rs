//! A bounded ring of fixed-size messages, for many producers and many consumers.

use core::alloc::Layout;
use core::fmt;
use core::marker::PhantomData;
use core::ptr::NonNull;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::sync::{AtomicU64, CacheLine, Ordering};

/// What a [`MessageRing`] carries: plain data that any bytes are a valid value of. Implemented for all such types.
///
/// A message of 56 bytes fills a cache line together with its slot's sequence number.
pub trait Message: Copy + Send + FromBytes + IntoBytes + Immutable {}

impl<T: Copy + Send + FromBytes + IntoBytes + Immutable> Message for T {}

/// A bounded queue of messages in shared memory. Any number of threads and processes push and pop.
///
/// Messages come out in the order in which their producers claimed a slot. Neither side ever waits for the
/// other, but a producer that dies between claiming a slot and filling it stops the ring at that slot: give a
/// ring of its own to each process that may die alone.
///
/// A ring that the other side has scribbled on delivers wrong messages or none, and that is all it does. Such a
/// side can also offer messages without end, so take a bounded number of them at a time.
///
/// ```no_run
/// use std::alloc::{alloc_zeroed, dealloc};
/// use std::ptr::NonNull;
/// use netlane_ring::MessageRing;
///
/// let layout = MessageRing::<u64>::layout(8)?;
/// // SAFETY: the layout is not empty.
/// let memory = NonNull::new(unsafe { alloc_zeroed(layout) }).expect("memory");
/// // SAFETY: the memory has this layout, and lives until both handles are gone.
/// let lane = unsafe { MessageRing::<u64>::create(memory, 8) }?;
/// // SAFETY: as above.
/// let client = unsafe { MessageRing::<u64>::attach(memory, layout.size()) }?;
///
/// client.push(7)?;
/// assert_eq!(lane.pop(), Some(7));
/// assert_eq!(lane.pop(), None);
///
/// // SAFETY: allocated above with the same layout, and not used any more.
/// unsafe { dealloc(memory.as_ptr(), layout) };
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MessageRing<T> {
    header: NonNull<Header>,
    /// The slots, one after the other: a sequence number each, and the words of its message.
    words: NonNull<[AtomicU64]>,
    /// The capacity less one. Read from shared memory once, when the handle was made.
    mask: u64,
    messages: PhantomData<fn(T) -> T>,
}

/// Says that the memory holds a complete ring, of this version of the layout.
const MAGIC: u64 = u64::from_le_bytes(*b"netlane\x01");

/// How often others may overtake an operation before it gives up. Being overtaken so often in a row by honest
/// threads is as good as impossible; a hostile one shall not hold us here.
const ATTEMPTS: usize = 256;

#[repr(C)]
struct Header {
    identity: CacheLine<Identity>,
    /// Messages ever claimed by producers.
    tail: CacheLine<AtomicU64>,
    /// Messages ever claimed by consumers.
    head: CacheLine<AtomicU64>,
}

#[repr(C)]
struct Identity {
    magic: AtomicU64,
    capacity: AtomicU64,
    message_size: AtomicU64,
}

#[cfg(not(loom))]
const _: () = {
    assert!(size_of::<Header>() == 192 && align_of::<Header>() == 64);
    assert!(core::mem::offset_of!(Header, tail) == 64);
    assert!(core::mem::offset_of!(Header, head) == 128);
    assert!(core::mem::offset_of!(Identity, magic) == 0);
    assert!(core::mem::offset_of!(Identity, capacity) == 8);
    assert!(core::mem::offset_of!(Identity, message_size) == 16);
    assert!(size_of::<AtomicU64>() == 8);
};

// SAFETY: all that the handle points to is atomic, and messages are plain data that may change threads.
unsafe impl<T: Message> Send for MessageRing<T> {}
// SAFETY: as above; no operation needs the handle for itself.
unsafe impl<T: Message> Sync for MessageRing<T> {}

impl<T: Message> MessageRing<T> {
    /// Words from one slot to the next.
    const STRIDE: usize = 1 + size_of::<T>().div_ceil(size_of::<u64>());

    /// The memory that a ring of `capacity` messages takes.
    ///
    /// # Errors
    ///
    /// The capacity must be a power of two, at least 2, and the ring must fit into the address space.
    pub fn layout(capacity: usize) -> Result<Layout, BadCapacity> {
        if capacity < 2 || !capacity.is_power_of_two() {
            return Err(BadCapacity);
        }
        let words = capacity.checked_mul(Self::STRIDE).ok_or(BadCapacity)?;
        let words = Layout::array::<AtomicU64>(words).map_err(|_| BadCapacity)?;
        let (ring, _) = Layout::new::<Header>().extend(words).map_err(|_| BadCapacity)?;
        Ok(ring.pad_to_align())
    }

    /// Makes an empty ring in `memory`, whatever was there before.
    ///
    /// # Safety
    ///
    /// - `memory` must be valid for reads and writes of [`layout(capacity)`](Self::layout), and aligned to it, for
    ///   as long as the handle lives. A file behind it must not shrink: seal the memfd.
    /// - Nobody else may use the memory until this returns, nor hold a handle of a ring that it held before.
    /// - From then on, this process may reach it through handles of this type of ring only, and through atomics.
    ///
    /// # Errors
    ///
    /// As [`layout`](Self::layout).
    pub unsafe fn create(memory: NonNull<u8>, capacity: usize) -> Result<Self, BadCapacity> {
        // SAFETY: the caller keeps the same promises.
        unsafe { Self::create_at(memory, capacity, 0) }
    }

    /// [`create`](Self::create), with counters that start at `position`.
    ///
    /// # Safety
    ///
    /// As [`create`](Self::create).
    unsafe fn create_at(memory: NonNull<u8>, capacity: usize, position: u64) -> Result<Self, BadCapacity> {
        Self::layout(capacity)?;
        // SAFETY: the caller promises memory of this layout.
        let ring = unsafe { Self::over(memory, capacity) };
        // SAFETY: the header lies at the front of memory that the caller lets us write to.
        unsafe { ring.header.write(Header::new(capacity, size_of::<T>(), position)) };
        let first = ring.words.cast::<AtomicU64>();
        for index in 0..ring.words.len() {
            // SAFETY: the layout has room for this word, as for all of them.
            let word = unsafe { first.add(index) };
            // SAFETY: the caller lets us write to it.
            unsafe { word.write(AtomicU64::new(0)) };
        }
        for nth in 0..capacity as u64 {
            let position = position.wrapping_add(nth);
            ring.slot(position).0.store(position, Ordering::Relaxed);
        }
        ring.header().identity.magic.store(MAGIC, Ordering::Release);
        Ok(ring)
    }

    /// Joins the ring that somebody else has made at `memory`. The `len` bytes from there may hold more than it.
    ///
    /// # Safety
    ///
    /// - `memory` must be valid for reads and writes of `len` bytes for as long as the handle lives. A file behind it
    ///   must not shrink: seal the memfd.
    /// - This process may reach the memory through handles of this type of ring only, and through atomics. What
    ///   other processes do to it is of no concern.
    ///
    /// # Errors
    ///
    /// An [`AttachError`] says in which way this is not a ring of such messages.
    pub unsafe fn attach(memory: NonNull<u8>, len: usize) -> Result<Self, AttachError> {
        if !memory.cast::<Header>().is_aligned() {
            return Err(AttachError::Misaligned);
        }
        if len < size_of::<Header>() {
            return Err(AttachError::TooShort);
        }
        // SAFETY: aligned and long enough as just seen, valid as the caller promises, and any bytes are a header.
        let header: &Header = unsafe { memory.cast().as_ref() };
        let Identity { magic, capacity, message_size } = &*header.identity;
        if magic.load(Ordering::Acquire) != MAGIC {
            return Err(AttachError::NoRing);
        }
        if message_size.load(Ordering::Relaxed) != size_of::<T>() as u64 {
            return Err(AttachError::MessageSize);
        }
        let capacity =
            usize::try_from(capacity.load(Ordering::Relaxed)).map_err(|_| AttachError::Capacity)?;
        let layout = Self::layout(capacity).map_err(|BadCapacity| AttachError::Capacity)?;
        if len < layout.size() {
            return Err(AttachError::TooShort);
        }
        // SAFETY: the memory is valid, aligned, and long enough as just seen.
        Ok(unsafe { Self::over(memory, capacity) })
    }

    /// The most messages that wait at a time.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.mask as usize + 1
    }

    /// Queues a message.
    ///
    /// # Errors
    ///
    /// [`Full`] gives the message back: try again when a consumer has taken one. The ring is also full while a consumer
    /// is still copying the message out of the slot that comes next, even if others have emptied the rest; so a
    /// free list must expect it too.
    pub fn push(&self, message: T) -> Result<(), Full<T>> {
        let Some(position) = self.claim(&self.header().tail, FREE) else {
            return Err(Full(message));
        };
        let (sequence, words) = self.slot(position);
        for (word, bytes) in words.iter().zip(message.as_bytes().chunks(size_of::<u64>())) {
            let mut padded = [0; size_of::<u64>()];
            padded[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_ne_bytes(padded), Ordering::Relaxed);
        }
        sequence.store(position.wrapping_add(FILLED), Ordering::Release);
        Ok(())
    }

    /// Takes the oldest message, if there is one.
    ///
    /// `None` is also the answer while the producer of the oldest message is still writing it.
    #[must_use]
    pub fn pop(&self) -> Option<T> {
        let position = self.claim(&self.header().head, FILLED)?;
        let (sequence, words) = self.slot(position);
        let mut message = T::new_zeroed();
        for (word, bytes) in words.iter().zip(message.as_mut_bytes().chunks_mut(size_of::<u64>())) {
            let padded = word.load(Ordering::Relaxed).to_ne_bytes();
            bytes.copy_from_slice(&padded[..bytes.len()]);
        }
        let next_lap = position.wrapping_add(self.mask).wrapping_add(1);
        sequence.store(next_lap.wrapping_add(FREE), Ordering::Release);
        Some(message)
    }

    /// Whether [`pop`](Self::pop) would find nothing. This is what to ask between announcing to park and parking.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ready(&self.header().head, FILLED).is_none()
    }

    /// A handle of the ring of `capacity` messages at `memory`.
    ///
    /// # Safety
    ///
    /// `memory` must be valid for [`layout(capacity)`](Self::layout), and aligned to it, while the handle lives.
    unsafe fn over(memory: NonNull<u8>, capacity: usize) -> Self {
        // SAFETY: the slots follow the header without a gap, since its size is a multiple of a cache line's.
        let first = unsafe { memory.add(size_of::<Header>()) };
        Self {
            header: memory.cast(),
            words: NonNull::slice_from_raw_parts(first.cast(), capacity * Self::STRIDE),
            mask: capacity as u64 - 1,
            messages: PhantomData,
        }
    }

    fn header(&self) -> &Header {
        // SAFETY: the memory is valid as whoever made the handle has promised; a header is atomics and cells.
        unsafe { self.header.as_ref() }
    }

    /// The slot of the message at `position`: its sequence number, and the words of its message.
    fn slot(&self, position: u64) -> (&AtomicU64, &[AtomicU64]) {
        // SAFETY: the memory is valid as whoever made the handle has promised; the words are atomics.
        let words = unsafe { self.words.as_ref() };
        let slot = &words[(position & self.mask) as usize * Self::STRIDE..][..Self::STRIDE];
        (&slot[0], &slot[1..])
    }

    /// Takes the position at which `counter` stands, if its slot has reached `stage`.
    fn claim(&self, counter: &AtomicU64, stage: u64) -> Option<u64> {
        for _ in 0..ATTEMPTS {
            let position = self.ready(counter, stage)?;
            // Relaxed: the slot's sequence number orders the accesses to the message.
            let next = position.wrapping_add(1);
            if counter.compare_exchange_weak(position, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return Some(position);
            }
        }
        None
    }

    /// The position at which `counter` stands, if its slot has reached `stage`.
    fn ready(&self, counter: &AtomicU64, stage: u64) -> Option<u64> {
        let mut position = counter.load(Ordering::Relaxed);
        for _ in 0..ATTEMPTS {
            let sequence = self.slot(position).0.load(Ordering::Acquire);
            match sequence.wrapping_sub(position.wrapping_add(stage)) as i64 {
                0 => return Some(position),
                ..0 => return None,
                1.. => {}
            }
            // Somebody claimed this position before us and is done with it. Whoever is done has moved the counter,
            // and by its sequence number we see that; otherwise the ring is broken.
            let moved = counter.load(Ordering::Relaxed);
            if moved == position {
                return None;
            }
            position = moved;
        }
        None
    }
}

/// A slot's sequence number, less the position it is for, while it waits for its producer.
const FREE: u64 = 0;
/// A slot's sequence number, less the position it is for, while it waits for its consumer.
const FILLED: u64 = 1;

impl Header {
    fn new(capacity: usize, message_size: usize, position: u64) -> Self {
        let identity = Identity {
            magic: AtomicU64::new(0),
            capacity: AtomicU64::new(capacity as u64),
            message_size: AtomicU64::new(message_size as u64),
        };
        Self {
            identity: CacheLine::new(identity),
            tail: CacheLine::new(AtomicU64::new(position)),
            head: CacheLine::new(AtomicU64::new(position)),
        }
    }
}

impl<T> fmt::Debug for MessageRing<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageRing")
            .field("header", &self.header)
            .field("mask", &self.mask)
            .finish_non_exhaustive()
    }
}

/// The ring has no free slot. Gives the message back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full<T>(pub T);

impl<T> fmt::Display for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the message ring is full")
    }
}

impl<T: fmt::Debug> core::error::Error for Full<T> {}

/// The capacity of a message ring must be a power of two, at least 2, and fit into the address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadCapacity;

impl fmt::Display for BadCapacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the capacity of a message ring must be a power of two, at least 2, and fit into memory")
    }
}

impl core::error::Error for BadCapacity {}

/// Why memory cannot be joined as a message ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachError {
    /// The address is not a multiple of the layout's alignment. Map the ring elsewhere.
    Misaligned,
    /// The memory ends before the ring does. Map more of it.
    TooShort,
    /// No ring is here, or it is not complete yet, or it is of another version.
    NoRing,
    /// The ring carries messages of another size.
    MessageSize,
    /// The ring states a capacity that no ring has.
    Capacity,
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Misaligned => "the memory of the message ring is not aligned to a cache line",
            Self::TooShort => "the memory is too short for the message ring in it",
            Self::NoRing => "the memory holds no message ring of this version",
            Self::MessageSize => "the message ring carries messages of another size",
            Self::Capacity => "the message ring states an impossible capacity",
        })
    }
}

impl core::error::Error for AttachError {}

#[cfg(all(test, not(loom)))]
mod tests;
