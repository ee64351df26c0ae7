//! Namespaces, which the kernel lets only a process of one thread enter or make: one that has no more than that of its own is to be
//! one. So these stand in front of libc's, and where such a call is refused ask once more without the heap's threads.

use crate::errno;
use libc::{EINVAL, EUSERS, c_int};

fn granted(call: impl Fn() -> c_int) -> c_int {
    errno::unless_done(|| match call() {
        -1 if matches!(errno::get(), EINVAL | EUSERS) => goheap::alone(call).unwrap_or(-1),
        done => done,
    })
}

/// Linux's `unshare`.
#[unsafe(no_mangle)]
pub extern "C" fn unshare(flags: c_int) -> c_int {
    // SAFETY: numbers.
    granted(|| unsafe { libc::syscall(libc::SYS_unshare, flags) as c_int })
}

/// Linux's `setns`.
#[unsafe(no_mangle)]
pub extern "C" fn setns(file: c_int, kind: c_int) -> c_int {
    // SAFETY: numbers.
    granted(|| unsafe { libc::syscall(libc::SYS_setns, file, kind) as c_int })
}
