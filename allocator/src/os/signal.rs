//! `SIGUSR1`, where the program leaves it alone; and stacks for signals.

use core::ffi::c_int;
use core::mem::zeroed;
use core::ptr::null;

/// Who `SIGUSR1` goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserSignal {
    /// The handler that was asked about.
    Ours,
    /// A handler of the program's.
    Programs,
    /// Nobody: it ends the process.
    Nobody,
    /// Nobody: it is ignored.
    Ignored,
}

/// Whether the calling thread runs on the stack that it has for signals alone, which is mostly small. Costs a system call.
pub fn is_on_signal_stack() -> bool {
    // SAFETY: asks; the structure is plain data, written by the kernel.
    unsafe {
        let mut now: libc::stack_t = zeroed();
        let none = null::<libc::stack_t>();
        libc::syscall(libc::SYS_sigaltstack, none, &raw mut now) == 0
            && now.ss_flags & libc::SS_ONSTACK != 0
    }
}

/// Who `SIGUSR1` goes to. Costs a system call.
pub fn user_signal(handler: extern "C" fn(c_int)) -> UserSignal {
    // SAFETY: asks; the structure is plain data.
    let now = unsafe {
        let mut now: libc::sigaction = zeroed();
        if libc::sigaction(libc::SIGUSR1, null(), &mut now) != 0 {
            return UserSignal::Ignored;
        }
        now.sa_sigaction
    };
    match now {
        libc::SIG_DFL => UserSignal::Nobody,
        libc::SIG_IGN => UserSignal::Ignored,
        now if now == handler as *const () as usize => UserSignal::Ours,
        _ => UserSignal::Programs,
    }
}

/// Has `SIGUSR1` call `handler`, if it goes to nobody. Returns who it goes to now. Interrupted system calls that
/// can are begun again.
pub fn take_user_signal(handler: extern "C" fn(c_int)) -> UserSignal {
    let now = user_signal(handler);
    if now != UserSignal::Nobody {
        return now;
    }
    // SAFETY: the handler is a function for good; the structure is plain data.
    let refused = unsafe {
        let mut ours: libc::sigaction = zeroed();
        ours.sa_sigaction = handler as *const () as usize;
        ours.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
        libc::sigaction(libc::SIGUSR1, &ours, core::ptr::null_mut()) != 0
    };
    if refused { now } else { UserSignal::Ours }
}
