//! Memory for tests that notices when somebody writes past its ends.

use core::alloc::Layout;
use core::ptr::NonNull;
use core::slice;

use std::alloc::{alloc, dealloc};

/// Memory between two strips of known bytes, which are checked when it is dropped.
pub(crate) struct Guarded {
    start: NonNull<u8>,
    whole: Layout,
    len: usize,
}

const STRIP: usize = 256;
const MARK: u8 = 0xa5;

// SAFETY: the memory belongs to no thread; what is done to it is the business of those who take pointers to it.
unsafe impl Send for Guarded {}
// SAFETY: as above.
unsafe impl Sync for Guarded {}

impl Guarded {
    /// Memory of this layout, filled with garbage.
    pub(crate) fn new(layout: Layout) -> Self {
        assert!(layout.align() <= STRIP);
        let whole = Layout::from_size_align(layout.size() + 2 * STRIP, STRIP).expect("a small layout");
        // SAFETY: the layout is not empty.
        let start = NonNull::new(unsafe { alloc(whole) }).expect("memory");
        // SAFETY: all of the allocation is ours to write to.
        unsafe { start.write_bytes(MARK, whole.size()) };
        Self { start, whole, len: layout.size() }
    }

    /// The memory between the strips.
    pub(crate) fn memory(&self) -> NonNull<u8> {
        // SAFETY: the allocation is longer than a strip.
        unsafe { self.start.add(STRIP) }
    }

    fn strip(&self, offset: usize) -> &[u8] {
        // SAFETY: both strips lie within the allocation.
        let strip = unsafe { self.start.add(offset) };
        // SAFETY: the strip was written to once, and whoever writes to it now is what the tests look for.
        unsafe { slice::from_raw_parts(strip.as_ptr(), STRIP) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let intact = [0, STRIP + self.len].map(|at| self.strip(at).iter().all(|&byte| byte == MARK));
        // SAFETY: allocated with the same layout.
        unsafe { dealloc(self.start.as_ptr(), self.whole) };
        if !std::thread::panicking() {
            assert_eq!(intact, [true, true], "somebody wrote outside of the memory");
        }
    }
}
