//! A limit that the program sets to its own address space, or to its data; and memory that it locks.
//!
//! Most of the address space that the heap has reserved is not used yet, but counts against
//! `RLIMIT_AS`, and the tables for all of it count against `RLIMIT_DATA`, too. So these stand in front of libc's, see
//! such a limit come, and have the heap give up what would leave the program no room. The kernel does the rest.
//!
//! `mlockall` takes all that is mapped into memory, and refuses what is more than a limit: the same holds of it.

use crate::errno;
use core::ptr::{null, null_mut};
use libc::{ENOMEM, RLIM_INFINITY, RLIMIT_AS, RLIMIT_DATA, RLIMIT_MEMLOCK};
use libc::{c_int, c_uint, pid_t, rlimit};

/// What libc's function does.
unsafe fn set(process: pid_t, resource: c_uint, new: *const rlimit, old: *mut rlimit) -> c_int {
    // SAFETY: the caller of the C function answers for the pointers.
    unsafe {
        let own = process == 0 || process == libc::getpid();
        let counts_reserved = resource == RLIMIT_AS || resource == RLIMIT_DATA;
        if own && counts_reserved && !new.is_null() && (*new).rlim_cur != RLIM_INFINITY {
            goheap::malloc::give_up_address_space((*new).rlim_cur as usize);
        }
        libc::syscall(libc::SYS_prlimit64, process, resource, new, old) as c_int
    }
}

/// POSIX's `setrlimit`.
///
/// # Safety
/// As POSIX's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn setrlimit(resource: c_uint, new: *const rlimit) -> c_int {
    // SAFETY: the caller's contract.
    unsafe { set(0, resource, new, null_mut()) }
}

/// The same, by the name that it has where files may be large.
///
/// # Safety
/// As POSIX's `setrlimit`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn setrlimit64(resource: c_uint, new: *const rlimit) -> c_int {
    // SAFETY: the caller's contract.
    unsafe { set(0, resource, new, null_mut()) }
}

/// Linux's `prlimit`.
///
/// # Safety
/// As Linux's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prlimit(
    process: pid_t,
    resource: c_uint,
    new: *const rlimit,
    old: *mut rlimit,
) -> c_int {
    // SAFETY: the caller's contract.
    unsafe { set(process, resource, new, old) }
}

/// The same, by the name that it has where files may be large.
///
/// # Safety
/// As Linux's `prlimit`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prlimit64(
    process: pid_t,
    resource: c_uint,
    new: *const rlimit,
    old: *mut rlimit,
) -> c_int {
    // SAFETY: the caller's contract.
    unsafe { set(process, resource, new, old) }
}

/// POSIX's `mlockall`, with Linux's flags.
#[unsafe(no_mangle)]
pub extern "C" fn mlockall(flags: c_int) -> c_int {
    errno::unless_done(|| {
        let done = goheap::malloc::lock_all(flags);
        if done == 0 || errno::get() != ENOMEM {
            return done;
        }
        let mut limit = rlimit {
            rlim_cur: RLIM_INFINITY,
            rlim_max: RLIM_INFINITY,
        };
        // SAFETY: writes one structure, if anything.
        unsafe { set(0, RLIMIT_MEMLOCK, null(), &raw mut limit) };
        if limit.rlim_cur != RLIM_INFINITY {
            goheap::malloc::give_up_address_space(limit.rlim_cur as usize);
        }
        goheap::malloc::lock_all(flags)
    })
}
