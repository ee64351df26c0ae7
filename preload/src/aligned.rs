//! Allocate at a multiple of something.

use crate::errno::{invalid, no_memory};
use crate::malloc::allocate;
use goheap_allocator::os::keeping_errno;
use libc::{EINVAL, ENOMEM, c_int, c_void, size_t};

/// Larger alignments than this, in bytes, have no room in the heap's address space.
const LARGEST: usize = 1 << 40;

fn at_multiple(align: size_t, bytes: size_t) -> *mut c_void {
    if align > LARGEST {
        return no_memory();
    }
    allocate(bytes, align, false)
}

/// C11's `aligned_alloc`. An alignment that is no power of two is refused, as by C17 and by glibc
/// from 2.38 on; the size may be any.
#[unsafe(no_mangle)]
pub extern "C" fn aligned_alloc(align: size_t, bytes: size_t) -> *mut c_void {
    if !align.is_power_of_two() {
        return invalid();
    }
    at_multiple(align, bytes)
}

/// glibc's `memalign`: an alignment that is no power of two stands for the next one.
#[unsafe(no_mangle)]
pub extern "C" fn memalign(align: size_t, bytes: size_t) -> *mut c_void {
    match align.checked_next_power_of_two() {
        Some(align) => at_multiple(align, bytes),
        None => invalid(),
    }
}

/// POSIX's `posix_memalign`: the error is what it returns, errno is left alone, and so is `*place`
/// unless it succeeds.
///
/// # Safety
/// `place` can be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(
    place: *mut *mut c_void,
    align: size_t,
    bytes: size_t,
) -> c_int {
    if !align.is_power_of_two() || !align.is_multiple_of(size_of::<*mut c_void>()) {
        return EINVAL;
    }
    let at = keeping_errno(|| at_multiple(align, bytes));
    if at.is_null() {
        return ENOMEM;
    }
    // SAFETY: the caller's contract.
    unsafe { place.write(at) };
    0
}

fn physical_page() -> usize {
    // SAFETY: a query without side effects.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(bytes).unwrap_or(4096)
}

/// BSD's `valloc`: at the start of a page.
#[unsafe(no_mangle)]
pub extern "C" fn valloc(bytes: size_t) -> *mut c_void {
    at_multiple(physical_page(), bytes)
}

/// `valloc` of whole pages.
#[unsafe(no_mangle)]
pub extern "C" fn pvalloc(bytes: size_t) -> *mut c_void {
    match bytes.checked_next_multiple_of(physical_page()) {
        Some(whole) => at_multiple(physical_page(), whole),
        None => no_memory(),
    }
}
