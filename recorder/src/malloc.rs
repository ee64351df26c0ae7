//! The calls that C's malloc family comes down to: the next malloc's, each noted.

use goheap_ring::Kind;
use libc::{c_void, size_t};

use crate::next::{CALLOC, FREE, MALLOC, MEMALIGN, REALLOC};
use crate::note::note;

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
    given(Kind::Allocate, unsafe { MALLOC.get()(bytes) }, bytes, 0)
}

/// C's `calloc`.
#[unsafe(no_mangle)]
pub extern "C" fn calloc(count: size_t, bytes: size_t) -> *mut c_void {
    // SAFETY: any sizes will do; where it succeeds, their product does not overflow.
    let at = unsafe { CALLOC.get()(count, bytes) };
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
        unsafe { FREE.get()(at) }
    }
}

/// C's `realloc`. For size 0 it frees, and what it returns is up to it: null as glibc's, or a block without room
/// as jemalloc's.
///
/// # Safety
/// As C's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(at: *mut c_void, bytes: size_t) -> *mut c_void {
    if at.is_null() {
        return malloc(bytes);
    }
    if bytes == 0 {
        note(Kind::Free, at.addr(), 0, 0);
        // SAFETY: the caller's contract.
        return given(Kind::Allocate, unsafe { REALLOC.get()(at, 0) }, 0, 0);
    }
    note(Kind::Resize, at.addr(), 0, 0);
    // SAFETY: the caller's contract.
    let new = unsafe { REALLOC.get()(at, bytes) };
    note(Kind::Resized, new.addr(), bytes, 0);
    new
}

/// `memalign`, as glibc has it: an alignment that is no power of 2 is rounded up to one.
#[unsafe(no_mangle)]
pub extern "C" fn memalign(align: size_t, bytes: size_t) -> *mut c_void {
    // SAFETY: any sizes will do.
    let at = unsafe { MEMALIGN.get()(align, bytes) };
    let log = align
        .checked_next_power_of_two()
        .map_or(0, usize::trailing_zeros);
    given(Kind::Allocate, at, bytes, log as u8)
}
