//! The memory that two sides share: atomic words, and bytes that are not atomic.
//!
//! Under `--cfg loom` both are loom's, which takes each access for a step of its model. Loom's types are larger
//! than the memory they stand for, so the layouts hold only without it.

use core::cell::UnsafeCell;
use core::ops::Deref;

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// A value on cache lines of its own.
///
/// 64 bytes, on every target: the layout of shared memory must not depend on who compiled its reader.
///
/// The padding behind the value lies within the cell too. The other side may write to it, so no reference may
/// claim that it stays as it is.
#[repr(transparent)]
#[derive(Debug, Default)]
pub(crate) struct CacheLine<T>(UnsafeCell<Aligned<T>>);

#[repr(C, align(64))]
#[derive(Debug, Default)]
struct Aligned<T>(T);

// SAFETY: the cell gives out shared references to its value only.
unsafe impl<T: Sync> Sync for CacheLine<T> {}

impl<T> CacheLine<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(UnsafeCell::new(Aligned(value)))
    }
}

impl<T> Deref for CacheLine<T> {
    type Target = T;

    fn deref(&self) -> &T {
        let value = self.0.get().cast::<T>();
        // SAFETY: the value lies at the front of the cell, and nobody has an exclusive reference to it.
        unsafe { &*value }
    }
}

/// A byte of shared memory.
#[cfg(not(loom))]
pub(crate) type Byte = u8;
/// A byte of shared memory, whose every access loom checks for a race.
#[cfg(loom)]
pub(crate) type Byte = loom::cell::UnsafeCell<u8>;

/// Copies `from` to shared memory.
///
/// # Safety
///
/// `to` must be valid for writes of as many bytes as `from` has, and the two must not overlap.
#[cfg(not(loom))]
pub(crate) unsafe fn copy_in(from: &[u8], to: *mut Byte) {
    // SAFETY: the caller promises just this.
    unsafe { core::ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) }
}

/// Copies from shared memory, filling `to`.
///
/// # Safety
///
/// `from` must be valid for reads of as many bytes as `to` has, and the two must not overlap.
#[cfg(not(loom))]
pub(crate) unsafe fn copy_out(from: *const Byte, to: &mut [u8]) {
    // SAFETY: the caller promises just this.
    unsafe { core::ptr::copy_nonoverlapping(from, to.as_mut_ptr(), to.len()) }
}

#[cfg(loom)]
pub(crate) unsafe fn copy_in(from: &[u8], to: *mut Byte) {
    // SAFETY: the caller promises that as many cells lie there.
    let cells = unsafe { core::slice::from_raw_parts(to, from.len()) };
    for (cell, byte) in cells.iter().zip(from) {
        // SAFETY: loom calls the closure with a valid pointer, after it has checked for races.
        cell.with_mut(|place| unsafe { *place = *byte });
    }
}

#[cfg(loom)]
pub(crate) unsafe fn copy_out(from: *const Byte, to: &mut [u8]) {
    // SAFETY: the caller promises that as many cells lie there.
    let cells = unsafe { core::slice::from_raw_parts(from, to.len()) };
    for (byte, cell) in to.iter_mut().zip(cells) {
        // SAFETY: loom calls the closure with a valid pointer, after it has checked for races.
        *byte = cell.with(|place| unsafe { *place });
    }
}
