//! A vector that grows chunk by chunk: nothing that it holds moves, growth takes no pause, and what is allocated but not
//! used is a chunk at most.

use alloc::vec::Vec;
use core::ops::{Index, IndexMut};

/// Values by their index.
#[derive(Debug)]
pub(crate) struct Chunked<T> {
    /// All but the last are full. The first grows as a vector does; the others have their size from the beginning.
    chunks: Vec<Vec<T>>,
}

/// Values of a chunk.
const CHUNK: usize = 1 << CHUNK_SHIFT;
const CHUNK_SHIFT: u32 = 8;

impl<T> Chunked<T> {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new() }
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.len())
    }

    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        self.chunks.get(index >> CHUNK_SHIFT)?.get(index % CHUNK)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.chunks.get_mut(index >> CHUNK_SHIFT)?.get_mut(index % CHUNK)
    }

    /// Appends a value.
    pub(crate) fn push(&mut self, value: T) {
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK => last.push(value),
            last => {
                let mut chunk = last.map_or_else(Vec::new, |_| Vec::with_capacity(CHUNK));
                chunk.push(value);
                self.chunks.push(chunk);
            }
        }
    }

    /// All values, in the order of their indices.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }
}

impl<T> Index<usize> for Chunked<T> {
    type Output = T;

    #[inline]
    fn index(&self, index: usize) -> &T {
        &self.chunks[index >> CHUNK_SHIFT][index % CHUNK]
    }
}

impl<T> IndexMut<usize> for Chunked<T> {
    #[inline]
    fn index_mut(&mut self, index: usize) -> &mut T {
        &mut self.chunks[index >> CHUNK_SHIFT][index % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_all_chunks_are_found_and_nothing_beyond_them() {
        let mut values = Chunked::new();
        assert_eq!((values.len(), values.get(0)), (0, None));
        for n in 0..3 * CHUNK + 5 {
            values.push(n);
            assert_eq!(values.len(), n + 1);
        }
        *values.get_mut(CHUNK).unwrap() += 1;
        values[2 * CHUNK] += 1;
        for n in 0..3 * CHUNK + 5 {
            let changed = usize::from(n == CHUNK || n == 2 * CHUNK);
            assert_eq!((values.get(n), values[n]), (Some(&(n + changed)), n + changed));
        }
        assert_eq!(values.get(3 * CHUNK + 5), None);
        assert_eq!(values.iter().count(), 3 * CHUNK + 5);
    }

    #[test]
    fn no_more_than_a_chunk_is_allocated_ahead_and_nothing_moves() {
        let mut values = Chunked::new();
        (0..=CHUNK).for_each(|n| values.push(n));
        let first = core::ptr::from_ref(&values[0]);
        (0..10 * CHUNK).for_each(|n| values.push(n));
        assert_eq!(core::ptr::from_ref(&values[0]), first);
        let capacity: usize = values.chunks.iter().map(Vec::capacity).sum();
        assert!(capacity <= values.len() + CHUNK);
    }
}
