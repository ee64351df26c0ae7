//! A child that judges the heap it was forked with.

use crate::What;

/// Seconds after which a child that hangs is ended by a signal.
const ALARM: u32 = 60;

/// Forks; the child ends with whether `sound` says that all is well.
pub(crate) fn judge(sound: impl FnOnce() -> bool) -> Result<(), What> {
    // SAFETY: the child uses the heap, which is to work there, and nothing that another thread may
    // have left locked: no output, no unwinding, no exit handlers.
    let process = unsafe { libc::fork() };
    if process == 0 {
        // SAFETY: ends the child alone, now or when it hangs.
        unsafe {
            libc::alarm(ALARM);
            libc::_exit(i32::from(!sound()));
        }
    }
    let mut status = 0;
    // SAFETY: the child was just forked, and nobody else waits for it.
    let waited = unsafe { libc::waitpid(process, &mut status, 0) };
    match (waited == process, status) {
        (true, 0) => Ok(()),
        _ => Err(What::Fork(status)),
    }
}
