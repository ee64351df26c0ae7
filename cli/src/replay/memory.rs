//! The two families of functions that a replay takes memory by.

use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, realloc};
use std::ptr;

/// A heap.
pub trait Memory {
    /// Whether its figures can be asked for.
    const GO: bool;

    /// Memory, or null.
    fn allocate(layout: Layout, zeroed: bool) -> *mut u8;

    /// Memory of that size with the same in it, or null.
    ///
    /// # Safety
    /// `at` was given here with that layout, and nobody uses it hereafter.
    unsafe fn reallocate(at: *mut u8, layout: Layout, size: usize) -> *mut u8;

    /// Takes it back.
    ///
    /// # Safety
    /// As for `reallocate`.
    unsafe fn free(at: *mut u8, layout: Layout);
}

/// This program's own heap, which is goheap.
pub struct Goheap;

impl Memory for Goheap {
    const GO: bool = true;

    fn allocate(layout: Layout, zeroed: bool) -> *mut u8 {
        if layout.size() == 0 {
            return ptr::null_mut();
        }
        // SAFETY: the size is not 0.
        unsafe {
            match zeroed {
                true => alloc_zeroed(layout),
                false => alloc(layout),
            }
        }
    }

    unsafe fn reallocate(at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if size == 0 || Layout::from_size_align(size, layout.align()).is_err() {
            return ptr::null_mut();
        }
        // SAFETY: the caller's contract, and a size that a layout may have.
        unsafe { realloc(at, layout, size) }
    }

    unsafe fn free(at: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract.
        unsafe { dealloc(at, layout) }
    }
}

/// C's malloc family: the system's, or what was loaded before it.
pub struct Malloc;

/// malloc's blocks lie at multiples of this without being asked to.
const ALIGN: usize = 16;

impl Memory for Malloc {
    const GO: bool = false;

    fn allocate(layout: Layout, zeroed: bool) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        if align <= ALIGN {
            // SAFETY: any size will do.
            let at = unsafe {
                match zeroed {
                    true => libc::calloc(1, size),
                    false => libc::malloc(size),
                }
            };
            return at.cast();
        }
        let mut at = ptr::null_mut();
        // SAFETY: room for the address; the alignment is a power of 2 and a pointer's or more.
        if unsafe { libc::posix_memalign(&mut at, align, size) } != 0 {
            return ptr::null_mut();
        }
        if zeroed {
            // SAFETY: a block of that size.
            unsafe { ptr::write_bytes(at.cast::<u8>(), 0, size) };
        }
        at.cast()
    }

    unsafe fn reallocate(at: *mut u8, _layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's contract.
        unsafe { libc::realloc(at.cast(), size) }.cast()
    }

    unsafe fn free(at: *mut u8, _layout: Layout) {
        // SAFETY: the caller's contract.
        unsafe { libc::free(at.cast()) }
    }
}
