//! Buffers on the heap of the thread that runs the stack.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use super::{BufferRequest, Buffers, Pressure};
use crate::SocketId;
use crate::wire::Sum;
use crate::wire::checksum::copy_and_sum;

/// Buffers on the heap, for users on the same thread as the stack.
///
/// A buffer holds memory only while bytes wait in it, and takes as much as they need. What is given back is
/// kept for the next buffer, so that nothing is allocated in steady state.
#[derive(Debug)]
pub struct HeapBuffers {
    /// Rings that wait to be used again, by the power of two of their capacity over [`SMALLEST`].
    #[expect(clippy::vec_box, reason = "a ring moves between here and its buffer as one pointer")]
    spare: [Vec<Box<Ring>>; CLASSES],
    /// Bytes of the rings that wait there.
    spared: usize,
    /// Bytes of the rings in use.
    used: usize,
    /// The most bytes that shall be in use.
    budget: usize,
}

/// A buffer of [`HeapBuffers`].
#[derive(Debug)]
pub struct HeapBuffer {
    ring: Option<Box<Ring>>,
    limit: u32,
    /// The class of the last ring, which the next begins with.
    class: u8,
}

/// Capacity of the smallest ring, in bytes.
const SMALLEST: usize = 512;
/// The most bytes of one buffer: the greatest window that TCP can offer (RFC 7323 §2.3).
const LARGEST: usize = 1 << 30;
/// Classes of rings.
const CLASSES: usize = (LARGEST.ilog2() - SMALLEST.ilog2()) as usize + 1;
/// Bytes that a user may queue in any case.
const FLOOR: usize = 4_096;
/// Rings of one class that are kept for the next buffer; what comes beyond goes back to the allocator.
const SPARES_PER_CLASS: usize = 1_024;

/// Bytes in a circle. Those from `head` on, `len` of them, count; others may stand beyond them already.
#[derive(Debug)]
struct Ring {
    head: usize,
    len: usize,
    /// How far from `head` on bytes have been stored, those beyond `len` included.
    reach: usize,
    class: u8,
    /// Its length is a power of two.
    bytes: Box<[u8]>,
}

impl HeapBuffers {
    /// Buffers that hold nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { spare: [const { Vec::new() }; CLASSES], spared: 0, used: 0, budget: usize::MAX }
    }

    /// Bytes of memory that the buffers take.
    #[must_use]
    pub const fn used(&self) -> usize {
        self.used
    }

    /// Appends as many of `bytes` as fit, and returns how many those were.
    #[inline]
    pub fn write(&mut self, buffer: &mut HeapBuffer, bytes: &[u8]) -> usize {
        let mut bytes = bytes;
        if self.pressure() == Pressure::Exhausted {
            let floor = FLOOR.saturating_sub(self.unread(buffer));
            bytes = &bytes[..bytes.len().min(floor)];
        }
        let stored = self.store(buffer, 0, bytes);
        self.commit(buffer, stored);
        stored
    }

    /// Appends all the pieces one after the other, or nothing where they don't fit together.
    pub(crate) fn write_whole(&mut self, buffer: &mut HeapBuffer, pieces: [&[u8]; 2]) -> bool {
        let total = pieces[0].len() + pieces[1].len();
        let exhausted = self.pressure() == Pressure::Exhausted && self.unread(buffer) > 0;
        if exhausted || self.room(buffer) < total {
            return false;
        }
        self.place(buffer, 0, pieces[0]);
        self.place(buffer, pieces[0].len(), pieces[1]);
        self.commit(buffer, total);
        true
    }

    /// Copies the unread bytes from `offset` on to `out`, and returns how many there were.
    #[inline]
    pub fn peek(&self, buffer: &HeapBuffer, offset: usize, out: &mut [u8]) -> usize {
        let n = out.len().min(self.unread(buffer).saturating_sub(offset));
        self.copy_queued(buffer, offset, &mut out[..n]);
        n
    }

    /// Moves unread bytes to `out`, and returns how many there were.
    #[inline]
    pub fn read(&mut self, buffer: &mut HeapBuffer, out: &mut [u8]) -> usize {
        let n = self.peek(buffer, 0, out);
        self.release(buffer, n);
        n
    }

    /// Stores what fits of `bytes` at `offset` beyond the unread ones, and returns how many those were.
    #[inline]
    fn place(&mut self, buffer: &mut HeapBuffer, offset: usize, bytes: &[u8]) -> usize {
        let n = bytes.len().min(self.room(buffer).saturating_sub(offset));
        if n == 0 {
            return 0;
        }
        let needed = self.unread(buffer) + offset + n;
        if buffer.ring.as_ref().is_none_or(|ring| ring.bytes.len() < needed) {
            self.reserve(buffer, needed);
        }
        if let Some(ring) = &mut buffer.ring {
            ring.copy_from(ring.len + offset, &bytes[..n]);
            ring.reach = ring.reach.max(needed);
        }
        n
    }

    /// Gives a `buffer` without a ring one of at least `needed` bytes, or one that has a smaller ring a larger one.
    #[inline]
    fn reserve(&mut self, buffer: &mut HeapBuffer, needed: usize) {
        let size = SMALLEST << buffer.class;
        if needed <= size
            && buffer.ring.is_none()
            && self.pressure() == Pressure::None
            && let Some(ring) = self.spare[usize::from(buffer.class)].pop()
        {
            (self.used, self.spared) = (self.used + size, self.spared - size);
            buffer.ring = Some(ring);
        } else {
            self.grow(buffer, needed);
        }
    }

    #[cold]
    fn grow(&mut self, buffer: &mut HeapBuffer, needed: usize) {
        // Where memory is scarce, no ring is larger than it must be.
        let usual = if self.pressure() == Pressure::None { buffer.class } else { 0 };
        let class = class_of(needed).max(usual);
        let spare = self.spare[usize::from(class)].pop();
        self.spared -= spare.as_ref().map_or(0, |ring| ring.bytes.len());
        let mut ring = spare.unwrap_or_else(|| Box::new(Ring::new(class)));
        self.used += ring.bytes.len();
        if let Some(old) = buffer.ring.take() {
            old.copy_all(&mut ring);
            self.give_back(old);
        }
        buffer.ring = Some(ring);
        buffer.class = class;
    }

    #[inline]
    fn give_back(&mut self, mut ring: Box<Ring>) {
        (ring.head, ring.len, ring.reach) = (0, 0, 0);
        let size = ring.bytes.len();
        self.used -= size;
        let spare = &mut self.spare[usize::from(ring.class)];
        if spare.len() < SPARES_PER_CLASS && self.used + self.spared + size <= self.budget {
            self.spared += size;
            spare.push(ring);
        }
    }
}

impl Default for HeapBuffers {
    fn default() -> Self {
        Self::new()
    }
}

impl Buffers for HeapBuffers {
    type Send = HeapBuffer;
    type Receive = HeapBuffer;

    /// From three quarters of it on, peers are allowed to send little; beyond it no connection is opened, nobody may queue
    /// more than a little, and bytes that arrive ahead of others are dropped. What peers were allowed to send before is
    /// still taken, so that a little more may be in use for a while.
    fn set_budget(&mut self, bytes: usize) {
        self.budget = bytes;
    }

    fn open(&mut self, request: BufferRequest) -> Option<(HeapBuffer, HeapBuffer)> {
        if self.pressure() == Pressure::Exhausted {
            return None;
        }
        Some((HeapBuffer::new(request.send_limit), HeapBuffer::new(request.receive_limit)))
    }

    fn close(&mut self, _: SocketId, send: HeapBuffer, receive: HeapBuffer) {
        for ring in [send.ring, receive.ring].into_iter().flatten() {
            self.give_back(ring);
        }
    }

    #[inline]
    fn queued(&self, send: &HeapBuffer) -> usize {
        self.unread(send)
    }

    #[inline]
    fn copy_queued(&self, send: &HeapBuffer, offset: usize, out: &mut [u8]) {
        if let Some(ring) = &send.ring {
            ring.copy_to(offset, out);
        }
    }

    #[inline]
    fn copy_queued_summed(&self, send: &HeapBuffer, offset: usize, out: &mut [u8]) -> Sum {
        send.ring.as_ref().map_or(Sum::ZERO, |ring| ring.copy_summed_to(offset, out))
    }

    #[inline]
    fn release(&mut self, buffer: &mut HeapBuffer, n: usize) {
        let Some(ring) = &mut buffer.ring else { return };
        ring.head = ring.wrap(ring.head + n);
        ring.len = ring.len.saturating_sub(n);
        ring.reach = ring.reach.saturating_sub(n);
        if ring.reach == 0
            && let Some(empty) = buffer.ring.take()
        {
            self.give_back(empty);
        }
    }

    #[inline]
    fn unread(&self, receive: &HeapBuffer) -> usize {
        receive.ring.as_ref().map_or(0, |ring| ring.len)
    }

    #[inline]
    fn room(&self, receive: &HeapBuffer) -> usize {
        receive.limit as usize - self.unread(receive).min(receive.limit as usize)
    }

    #[inline]
    fn store(&mut self, receive: &mut HeapBuffer, offset: usize, bytes: &[u8]) -> usize {
        if offset > 0 && self.pressure() == Pressure::Exhausted {
            return 0;
        }
        self.place(receive, offset, bytes)
    }

    #[inline]
    fn pressure(&self) -> Pressure {
        if self.used <= self.budget / 4 * 3 {
            Pressure::None
        } else if self.used < self.budget {
            Pressure::High
        } else {
            Pressure::Exhausted
        }
    }

    #[inline]
    fn commit(&mut self, receive: &mut HeapBuffer, n: usize) {
        if let Some(ring) = &mut receive.ring {
            ring.len += n;
        }
    }
}

impl HeapBuffer {
    fn new(limit: usize) -> Self {
        Self { ring: None, limit: limit.min(LARGEST) as u32, class: 0 }
    }

    /// How many bytes may wait from now on.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit.min(LARGEST) as u32;
    }
}

impl Ring {
    fn new(class: u8) -> Self {
        Self { head: 0, len: 0, reach: 0, class, bytes: vec![0; SMALLEST << class].into_boxed_slice() }
    }

    #[inline]
    fn wrap(&self, index: usize) -> usize {
        index & (self.bytes.len() - 1)
    }

    /// The stretch of `n` bytes at `offset` from the head, as the part up to the end of the memory and the
    /// length of the part that goes on at its start.
    #[inline]
    fn split(&self, offset: usize, n: usize) -> (usize, usize) {
        let at = self.wrap(self.head + offset);
        (at, n.min(self.bytes.len() - at))
    }

    #[inline]
    fn copy_to(&self, offset: usize, out: &mut [u8]) {
        let (at, first) = self.split(offset, out.len());
        let (front, back) = out.split_at_mut(first);
        front.copy_from_slice(&self.bytes[at..at + first]);
        back.copy_from_slice(&self.bytes[..back.len()]);
    }

    #[inline]
    fn copy_summed_to(&self, offset: usize, out: &mut [u8]) -> Sum {
        let (at, first) = self.split(offset, out.len());
        let (front, back) = out.split_at_mut(first);
        let sum = copy_and_sum(&self.bytes[at..at + first], front);
        if back.is_empty() {
            return sum;
        }
        let rest = copy_and_sum(&self.bytes[..back.len()], back);
        sum.add(if first % 2 == 0 { rest } else { rest.at_odd_offset() })
    }

    #[inline]
    fn copy_from(&mut self, offset: usize, bytes: &[u8]) {
        let (at, first) = self.split(offset, bytes.len());
        let (front, back) = bytes.split_at(first);
        self.bytes[at..at + first].copy_from_slice(front);
        self.bytes[..back.len()].copy_from_slice(back);
    }

    /// Copies everything, what stands beyond `len` included, to the start of a larger ring.
    fn copy_all(&self, larger: &mut Self) {
        self.copy_to(0, &mut larger.bytes[..self.bytes.len()]);
        (larger.len, larger.reach) = (self.len, self.reach);
    }
}

fn class_of(needed: usize) -> u8 {
    (needed.next_power_of_two().max(SMALLEST) / SMALLEST).ilog2() as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::VecDeque;
    use proptest::prelude::*;

    fn buffer(limit: usize) -> HeapBuffer {
        HeapBuffer::new(limit)
    }

    #[test]
    fn bytes_ahead_of_a_gap_survive_growth_and_appear_when_it_is_filled() {
        let mut buffers = HeapBuffers::new();
        let mut receive = buffer(1 << 20);
        assert_eq!(buffers.store(&mut receive, 400, &[2; 100]), 100);
        assert_eq!(buffers.store(&mut receive, 500, &[3; 5_000]), 5_000);
        assert_eq!(buffers.unread(&receive), 0);
        assert_eq!(buffers.store(&mut receive, 0, &[1; 400]), 400);
        buffers.commit(&mut receive, 5_500);
        let mut out = vec![0; 6_000];
        assert_eq!(buffers.read(&mut receive, &mut out), 5_500);
        assert!(out[..400].iter().all(|&b| b == 1));
        assert!(out[400..500].iter().all(|&b| b == 2));
        assert!(out[500..5_500].iter().all(|&b| b == 3));
    }

    #[test]
    fn a_full_buffer_takes_what_fits() {
        let mut buffers = HeapBuffers::new();
        let mut send = buffer(1_000);
        assert_eq!(buffers.write(&mut send, &[7; 600]), 600);
        assert_eq!(buffers.write(&mut send, &[7; 600]), 400);
        assert_eq!(buffers.write(&mut send, &[7; 600]), 0);
        assert!(!buffers.write_whole(&mut send, [&[1], &[2]]));
    }

    #[test]
    fn a_record_is_stored_whole_or_not_at_all_however_scarce_memory_is() {
        let mut buffers = HeapBuffers::new();
        let (mut hog, mut records) = (buffer(10_000), buffer(10_000));
        buffers.write(&mut hog, &[7; 4_000]);
        buffers.set_budget(4_000);
        assert_eq!(buffers.pressure(), Pressure::Exhausted);
        // One record is always taken, so that no socket is cut off.
        assert!(buffers.write_whole(&mut records, [&[1; 10], &[2; 90]]));
        assert!(!buffers.write_whole(&mut records, [&[1; 10], &[2; 90]]));
        let mut out = [0; 200];
        assert_eq!(buffers.read(&mut records, &mut out), 100);
        assert_eq!((&out[..10], &out[10..100]), (&[1; 10][..], &[2; 90][..]));
    }

    proptest! {
        #[test]
        fn behaves_as_a_queue(steps in prop::collection::vec((any::<bool>(), 0usize..3_000), 1..200)) {
            let mut buffers = HeapBuffers::new();
            let mut buffer = buffer(5_000);
            let mut model = VecDeque::new();
            let mut next = 0u8;
            for (write, n) in steps {
                if write {
                    let bytes: Vec<u8> = (0..n).map(|_| { next = next.wrapping_add(1); next }).collect();
                    let written = buffers.write(&mut buffer, &bytes);
                    prop_assert_eq!(written, n.min(5_000 - model.len()));
                    model.extend(&bytes[..written]);
                } else {
                    let mut out = vec![0; n];
                    let read = buffers.read(&mut buffer, &mut out);
                    let expected: Vec<u8> = model.drain(..n.min(model.len())).collect();
                    prop_assert_eq!(&out[..read], &expected[..]);
                }
            }
        }
    }
}
