//! C's malloc family: libc's, each call noted.

use core::ptr::null_mut;
use goheap_ring::Kind;
use libc::{EINVAL, ENOMEM, c_int, c_void, size_t};

use crate::note::note;

// What glibc's own functions are called beside their public names.
unsafe extern "C" {
    fn __libc_malloc(bytes: size_t) -> *mut c_void;
    fn __libc_calloc(count: size_t, bytes: size_t) -> *mut c_void;
    fn __libc_realloc(at: *mut c_void, bytes: size_t) -> *mut c_void;
    fn __libc_memalign(align: size_t, bytes: size_t) -> *mut c_void;
    fn __libc_free(at: *mut c_void);
}

/// Notes that a block was given, unless it was not.
#[inline]
fn given(kind: Kind, at: *mut c_void, bytes: size_t, align: u8) -> *mut c_void {
    if !at.is_null() {
        note(kind, at.addr(), bytes, align);
    }
    at
}

/// C's `malloc`.
#[unsafe(no_mangle)]
pub extern "C" fn malloc(bytes: size_t) -> *mut c_void {
    // SAFETY: any size will do.
    given(Kind::Allocate, unsafe { __libc_malloc(bytes) }, bytes, 0)
}

/// C's `calloc`.
#[unsafe(no_mangle)]
pub extern "C" fn calloc(count: size_t, bytes: size_t) -> *mut c_void {
    // SAFETY: any sizes will do; where it succeeds, their product does not overflow.
    let at = unsafe { __libc_calloc(count, bytes) };
    given(Kind::Zeroed, at, count.wrapping_mul(bytes), 0)
}

/// C's `free`.
///
/// # Safety
/// As C's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(at: *mut c_void) {
    if !at.is_null() {
        note(Kind::Free, at.addr(), 0, 0);
        // SAFETY: the caller's contract.
        unsafe { __libc_free(at) }
    }
}

/// C's `realloc`; glibc's frees for size 0.
///
/// # Safety
/// As C's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(at: *mut c_void, bytes: size_t) -> *mut c_void {
    if at.is_null() {
        return malloc(bytes);
    }
    if bytes == 0 {
        // SAFETY: the caller's contract.
        unsafe { free(at) };
        return null_mut();
    }
    note(Kind::Resize, at.addr(), 0, 0);
    // SAFETY: the caller's contract.
    let new = unsafe { __libc_realloc(at, bytes) };
    note(Kind::Resized, new.addr(), bytes, 0);
    new
}

/// glibc's `reallocarray`.
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
        None => {
            // SAFETY: the thread's own word.
            unsafe { *libc::__errno_location() = ENOMEM };
            null_mut()
        }
    }
}

/// `memalign`, as glibc has it: an alignment that is no power of 2 is rounded up to one.
#[unsafe(no_mangle)]
pub extern "C" fn memalign(align: size_t, bytes: size_t) -> *mut c_void {
    // SAFETY: any sizes will do.
    let at = unsafe { __libc_memalign(align, bytes) };
    let log = align
        .checked_next_power_of_two()
        .map_or(0, usize::trailing_zeros);
    given(Kind::Allocate, at, bytes, log as u8)
}

/// C's `aligned_alloc`.
#[unsafe(no_mangle)]
pub extern "C" fn aligned_alloc(align: size_t, bytes: size_t) -> *mut c_void {
    memalign(align, bytes)
}

/// POSIX's `posix_memalign`.
///
/// # Safety
/// As POSIX's: `into` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(
    into: *mut *mut c_void,
    align: size_t,
    bytes: size_t,
) -> c_int {
    if !align.is_power_of_two() || !align.is_multiple_of(size_of::<*mut c_void>()) {
        return EINVAL;
    }
    let at = memalign(align, bytes);
    if at.is_null() {
        return ENOMEM;
    }
    // SAFETY: the caller's contract.
    unsafe { into.write(at) };
    0
}

fn page() -> size_t {
    // SAFETY: takes and returns numbers.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.unsigned_abs() as size_t
}

/// `valloc`: a multiple of a page.
#[unsafe(no_mangle)]
pub extern "C" fn valloc(bytes: size_t) -> *mut c_void {
    memalign(page(), bytes)
}

/// `pvalloc`: whole pages.
#[unsafe(no_mangle)]
pub extern "C" fn pvalloc(bytes: size_t) -> *mut c_void {
    let page = page();
    memalign(page, bytes.checked_next_multiple_of(page).unwrap_or(bytes))
}

/// C23's `free_sized`.
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
