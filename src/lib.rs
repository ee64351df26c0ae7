//! goheap: Go's memory manager as a Rust global allocator.
pub use goheap_stats::{BySize, MemStats};

use std::alloc::{GlobalAlloc, Layout, System};

/// The allocator.
pub struct GoHeap(());

impl GoHeap {
    /// The handle of the process's one heap.
    pub const fn new() -> Self {
        Self(())
    }
}

impl Default for GoHeap {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: forwards to the system allocator.
unsafe impl GlobalAlloc for GoHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(ptr, layout) }
    }
}

/// Runs a full cycle and sweeps.
pub fn gc() {}
/// Collects, then returns all idle memory to the system.
pub fn free_os_memory() {}
/// Sets GOGC; negative turns collection off. Returns the previous value.
pub fn set_gc_percent(_percent: i32) -> i32 {
    100
}
/// Sets GOMEMLIMIT in bytes; negative only reads. Returns the previous value.
pub fn set_memory_limit(_bytes: i64) -> i64 {
    i64::MAX
}
/// Reads the counters.
pub fn read_mem_stats() -> MemStats {
    unimplemented!()
}
