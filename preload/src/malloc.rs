//! Allocate, grow, free.

use crate::errno::{no_memory, or_no_memory};
use core::ptr::{NonNull, null_mut};
use goheap::malloc::{self, ALIGN};
use libc::{c_void, size_t};

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

/// glibc's `reallocarray`: `realloc` of a product, refused if that overflows.
///
/// # Safety
/// As C's `realloc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn reallocarray(
    at: *mut c_void,
    count: size_t,
    bytes: size_t,
) -> *mut c_void {
    match count.checked_mul(bytes) {
        // SAFETY: the caller's contract.
        Some(all) => unsafe { realloc(at, all) },
        None => no_memory(),
    }
}

/// C23's `free_sized`. The heap knows the size itself.
///
/// # Safety
/// As C's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free_sized(at: *mut c_void, _bytes: size_t) {
    // SAFETY: the caller's contract.
    unsafe { free(at) }
}

/// C23's `free_aligned_sized`.
///
/// # Safety
/// As C's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free_aligned_sized(at: *mut c_void, _align: size_t, _bytes: size_t) {
    // SAFETY: the caller's contract.
    unsafe { free(at) }
}

/// `free` by the name that programs from before glibc 2.26 may call it by.
///
/// # Safety
/// As C's `free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfree(at: *mut c_void) {
    // SAFETY: the caller's contract.
    unsafe { free(at) }
}
