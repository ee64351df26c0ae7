//! The ends of a process that pass over what `atexit` has registered: shells and forked children take
//! these. The process's page goes, as it does in an orderly exit.

use libc::c_int;

/// POSIX: ends the process at once.
#[unsafe(no_mangle)]
pub extern "C" fn _exit(status: c_int) -> ! {
    goheap::before_end();
    loop {
        // SAFETY: a number; does not return.
        unsafe { libc::syscall(libc::SYS_exit_group, status) };
    }
}

/// C: the same.
#[unsafe(no_mangle)]
pub extern "C" fn _Exit(status: c_int) -> ! {
    _exit(status)
}
