//! errno, as the whole family treats it: a failure sets `ENOMEM`, a success changes nothing.

use core::ptr::null_mut;
use goheap_allocator::os::set_errno;
use libc::{EINVAL, ENOMEM, c_int, c_void};

/// What the heap returned, which left errno alone; null makes it `ENOMEM`.
#[inline]
pub fn or_no_memory(at: *mut u8) -> *mut c_void {
    if at.is_null() { no_memory() } else { at.cast() }
}

/// Null, and errno says that there is no memory.
#[cold]
pub fn no_memory() -> *mut c_void {
    set_errno(ENOMEM);
    null_mut()
}

/// Null, and errno says that an argument makes no sense.
#[cold]
pub fn invalid() -> *mut c_void {
    set_errno(EINVAL);
    null_mut()
}

/// Of the last failure.
pub fn get() -> c_int {
    // SAFETY: always valid in the calling thread.
    unsafe { *libc::__errno_location() }
}

/// Does what may fail on its way and succeed in the end, which then leaves errno as it was.
pub fn unless_done(what: impl FnOnce() -> c_int) -> c_int {
    let before = get();
    let done = what();
    if done == 0 {
        set_errno(before);
    }
    done
}
