//! Threads start as the C library has them start, but where rpmalloc is measured.
//!
//! rpmalloc's crate defines `pthread_create` for whatever it is linked into: each thread of the program gets a heap of
//! rpmalloc's as it starts and gives it back as it ends, both under one lock that whoever waits for it spins at.
//! Where threads come and go that is more than half of what any contestant takes. So the linker sends calls of
//! `pthread_create` here (`--wrap`, in `build.rs`).

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use libc::{c_int, c_void, pthread_attr_t, pthread_t};

use crate::contestant::Contestant;

type Start = extern "C" fn(*mut c_void) -> *mut c_void;
type Create =
    unsafe extern "C" fn(*mut pthread_t, *const pthread_attr_t, Start, *mut c_void) -> c_int;

unsafe extern "C" {
    /// rpmalloc's.
    fn __real_pthread_create(
        thread: *mut pthread_t,
        attributes: *const pthread_attr_t,
        start: Start,
        argument: *mut c_void,
    ) -> c_int;
}

static BY_RPMALLOC: AtomicBool = AtomicBool::new(false);

/// Threads that start from now on are `contestant`'s.
pub(crate) fn belongs_to(contestant: Contestant) {
    BY_RPMALLOC.store(contestant == Contestant::RpMalloc, Relaxed);
}

#[unsafe(no_mangle)]
unsafe extern "C" fn __wrap_pthread_create(
    thread: *mut pthread_t,
    attributes: *const pthread_attr_t,
    start: Start,
    argument: *mut c_void,
) -> c_int {
    let create = if BY_RPMALLOC.load(Relaxed) {
        Some(__real_pthread_create as Create)
    } else {
        // SAFETY: the name ends in zero, and what the C library has of that name has this signature.
        unsafe {
            let next = libc::dlsym(libc::RTLD_NEXT, c"pthread_create".as_ptr());
            std::mem::transmute::<*mut c_void, Option<Create>>(next)
        }
    };
    // SAFETY: the caller's contract.
    create.map_or(libc::EAGAIN, |create| unsafe {
        create(thread, attributes, start, argument)
    })
}
