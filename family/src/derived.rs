//! C's functions that come down to others: arguments are looked at, and errors are as glibc's.

use core::ptr::null_mut;
use libc::{EINVAL, ENOMEM, c_int, c_void, free, memalign, realloc, size_t};

/// Null, and errno says why.
#[cold]
fn refused(why: c_int) -> *mut c_void {
    // SAFETY: the thread's own word.
    unsafe { *libc::__errno_location() = why };
    null_mut()
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
        None => refused(ENOMEM),
    }
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

/// C23's `free_sized`. A heap knows the size itself.
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

/// C11's `aligned_alloc`. An alignment that is no power of two is refused, as by C17 and by glibc
/// from 2.38 on; the size may be any.
#[unsafe(no_mangle)]
pub extern "C" fn aligned_alloc(align: size_t, bytes: size_t) -> *mut c_void {
    if !align.is_power_of_two() {
        return refused(EINVAL);
    }
    // SAFETY: any numbers will do.
    unsafe { memalign(align, bytes) }
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
    // SAFETY: any numbers will do; the thread's own errno; and the caller's contract.
    unsafe {
        let errno = *libc::__errno_location();
        let at = memalign(align, bytes);
        if at.is_null() {
            *libc::__errno_location() = errno;
            return ENOMEM;
        }
        place.write(at);
    }
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
    // SAFETY: any numbers will do.
    unsafe { memalign(physical_page(), bytes) }
}

/// `valloc` of whole pages.
#[unsafe(no_mangle)]
pub extern "C" fn pvalloc(bytes: size_t) -> *mut c_void {
    match bytes.checked_next_multiple_of(physical_page()) {
        Some(whole) => valloc(whole),
        None => refused(ENOMEM),
    }
}
