//! An object as the workloads have it: written to as any program does, and freed by its holder.

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;

/// An object and what its free has to know.
#[derive(Clone, Copy, Debug)]
pub struct Object {
    /// Where it lies.
    pub pointer: *mut u8,
    size: usize,
}

// SAFETY: plain memory with one holder at a time, passed on through a channel.
unsafe impl Send for Object {}

impl Object {
    /// No object.
    pub const NONE: Self = Self {
        pointer: std::ptr::null_mut(),
        size: 0,
    };

    /// One of at least 8 bytes.
    #[inline]
    pub fn new<A: GlobalAlloc>(heap: &A, size: usize) -> Self {
        // SAFETY: no size here is zero or large, and all are at least the word that is written;
        // without memory the benchmark is over.
        unsafe {
            let pointer = heap.alloc(layout(size));
            if pointer.is_null() {
                std::process::abort();
            }
            pointer.cast::<u64>().write(size as u64);
            // Else the compiler may take allocation, write and free away together.
            black_box(pointer);
            Self { pointer, size }
        }
    }

    /// Writes to each of its physical pages.
    pub fn touch(self) {
        for at in (0..self.size).step_by(4096) {
            // SAFETY: the object is that long, and this its holder.
            unsafe { self.pointer.add(at).write_volatile(1) };
        }
    }

    /// Frees it; nothing happens to [`Object::NONE`].
    #[inline]
    pub fn free<A: GlobalAlloc>(self, heap: &A) {
        if !self.pointer.is_null() {
            // SAFETY: allocated by this heap with this layout; each is freed once.
            unsafe { heap.dealloc(self.pointer, layout(self.size)) };
        }
    }
}

/// At a multiple of 8.
#[inline]
pub fn layout(size: usize) -> Layout {
    // SAFETY: the alignment is a power of two, and no size here is anywhere near isize::MAX.
    unsafe { Layout::from_size_align_unchecked(size, 8) }
}
