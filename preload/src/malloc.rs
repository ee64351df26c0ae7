//! Allocate, grow, free. What else there is in the family comes down to these (`goheap_family`).

use crate::errno::{invalid, no_memory, or_no_memory};
use core::ptr::{NonNull, null_mut};
use goheap::malloc::{self, ALIGN};
use libc::{c_void, size_t};

/// Larger alignments than this, in bytes, have no room in the heap's address space.
const LARGEST_ALIGN: usize = 1 << 40;

/// A block of `bytes`, whatever its alignment must be; null and `ENOMEM` if there is no memory.
///
/// `extern "C"`, so that the fast paths know that it does not unwind, and jump to it.
#[cold]
#[inline(never)]
pub extern "C" fn allocate(bytes: size_t, align: size_t, zeroed: bool) -> *mut c_void {
    if isize::try_from(bytes).is_err() {
        return no_memory();
    }
    or_no_memory(malloc::allocate(bytes, align, zeroed))
}

/// C's `malloc`.
#[unsafe(no_mangle)]
pub extern "C" fn malloc(bytes: size_t) -> *mut c_void {
    match malloc::from_cache(bytes) {
        Some(at) => at.as_ptr().cast(),
        None => allocate(bytes, ALIGN, false),
    }
}

/// C's `free`. What is no block of this heap is reported and ends the process, within 1,024 frees.
///
/// # Safety
/// As C's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(at: *mut c_void) {
    if let Some(at) = NonNull::new(at.cast()) {
        // SAFETY: the caller's contract.
        unsafe { malloc::free(at) }
    }
}

/// C's `calloc`; a product that overflows is refused.
#[unsafe(no_mangle)]
pub extern "C" fn calloc(count: size_t, bytes: size_t) -> *mut c_void {
    let Some(all) = count.checked_mul(bytes) else {
        return no_memory();
    };
    match malloc::zeroed_from_cache(all) {
        Some(at) => at.as_ptr().cast(),
        None => allocate(all, ALIGN, true),
    }
}

/// C's `realloc`, which, as glibc's, frees for size 0 and returns null then.
///
/// # Safety
/// As C's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(at: *mut c_void, bytes: size_t) -> *mut c_void {
    let Some(block) = NonNull::new(at.cast()) else {
        return malloc(bytes);
    };
    if bytes == 0 {
        // SAFETY: the caller's contract.
        unsafe { free(at) };
        return null_mut();
    }
    if isize::try_from(bytes).is_err() {
        return no_memory();
    }
    // SAFETY: the caller's contract.
    or_no_memory(unsafe { malloc::reallocate(block, bytes) })
}

/// glibc's `memalign`: an alignment that is no power of two stands for the next one.
#[unsafe(no_mangle)]
pub extern "C" fn memalign(align: size_t, bytes: size_t) -> *mut c_void {
    match align.checked_next_power_of_two() {
        Some(align) if align <= LARGEST_ALIGN => allocate(bytes, align, false),
        Some(_) => no_memory(),
        None => invalid(),
    }
}

/// `malloc` by the name that glibc exports as well: what it returns may go to `free`.
#[unsafe(no_mangle)]
pub extern "C" fn __libc_malloc(bytes: size_t) -> *mut c_void {
    malloc(bytes)
}

/// `calloc` by glibc's other name.
#[unsafe(no_mangle)]
pub extern "C" fn __libc_calloc(count: size_t, bytes: size_t) -> *mut c_void {
    calloc(count, bytes)
}

/// `realloc` by glibc's other name.
///
/// # Safety
/// As C's `realloc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __libc_realloc(at: *mut c_void, bytes: size_t) -> *mut c_void {
    // SAFETY: the caller's contract.
    unsafe { realloc(at, bytes) }
}

/// `free` by glibc's other name.
///
/// # Safety
/// As C's `free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __libc_free(at: *mut c_void) {
    // SAFETY: the caller's contract.
    unsafe { free(at) }
}

/// `memalign` by glibc's other name.
#[unsafe(no_mangle)]
pub extern "C" fn __libc_memalign(align: size_t, bytes: size_t) -> *mut c_void {
    memalign(align, bytes)
}

/// `valloc` by glibc's other name.
#[unsafe(no_mangle)]
pub extern "C" fn __libc_valloc(bytes: size_t) -> *mut c_void {
    goheap_family::valloc(bytes)
}

/// `pvalloc` by glibc's other name.
#[unsafe(no_mangle)]
pub extern "C" fn __libc_pvalloc(bytes: size_t) -> *mut c_void {
    goheap_family::pvalloc(bytes)
}
