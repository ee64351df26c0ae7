//! A program that this one runs for its user: signals go to it, and it ends as that one ends.

use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::ptr::null;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicI32, AtomicU64};
use std::thread::sleep;
use std::time::Duration;

use libc::{SIG_DFL, SIG_IGN, SIGHUP, SIGINT, SIGQUIT, SIGTERM, c_int, c_void, siginfo_t};

use crate::Error;
use crate::output::say;

/// What goheap itself fails with, beside a program's own exit codes; env(1) has the same.
pub const FAILED: u8 = 125;

/// Says what went wrong, and by the exit code whose fault it was.
pub fn or_failed(ended: Result<ExitCode, Error>) -> Result<ExitCode, Error> {
    ended.or_else(|error| {
        say(&error);
        Ok(match error {
            Error::Program { code, .. } => code.into(),
            _ => FAILED.into(),
        })
    })
}

/// The process that signals are handed to; 0 before there is one.
static PROCESS: AtomicI32 = AtomicI32::new(0);
/// A bit for each signal that came before that.
static WAITING: AtomicU64 = AtomicU64::new(0);

/// The program, running.
pub struct Started {
    child: Child,
    /// Readable once the program has ended; none on kernels before 5.3.
    end: Option<OwnedFd>,
}

impl Started {
    /// Starts it. From now on, what the terminal sends to both is left to the program, and
    /// what others send here to end this process is handed to it.
    pub fn by(mut command: Command) -> Result<Self, Error> {
        for signal in [SIGINT, SIGQUIT, SIGTERM, SIGHUP] {
            hand_on(signal);
        }
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command
            .spawn()
            .map_err(Error::system(format!("start {name}")))?;
        PROCESS.store(child.id() as i32, SeqCst);
        hand_on_waiting();
        // SAFETY: two numbers; a descriptor that the kernel returns is this process's alone.
        let end = unsafe {
            let end = libc::syscall(libc::SYS_pidfd_open, child.id(), 0);
            (end >= 0).then(|| OwnedFd::from_raw_fd(end as c_int))
        };
        Ok(Self { child, end })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, once it has; waits for that for so long.
    pub fn ended_within(&mut self, time: Duration) -> Result<Option<ExitStatus>, Error> {
        match &self.end {
            Some(end) => {
                let mut wanted = libc::pollfd {
                    fd: end.as_raw_fd(),
                    events: libc::POLLIN,
                    revents: 0,
                };
                let ms = c_int::try_from(time.as_millis()).unwrap_or(c_int::MAX);
                // SAFETY: one structure, as said. Cut short by a signal, it is only early.
                unsafe { libc::poll(&mut wanted, 1, ms) };
            }
            None => sleep(time.min(Duration::from_millis(10))),
        }
        self.ended()
    }

    /// How it ended; waits for that.
    pub fn wait(&mut self) -> Result<ExitStatus, Error> {
        loop {
            if let Some(status) = self.ended_within(Duration::from_secs(1))? {
                return Ok(status);
            }
        }
    }

    /// How it ended, once it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, Error> {
        let status = self
            .child
            .try_wait()
            .map_err(Error::system("wait for the program"))?;
        if status.is_some() {
            PROCESS.store(0, SeqCst);
        }
        Ok(status)
    }

    /// Ends where goheap itself failed at something while the program ran: a program that failed, too, is
    /// to be seen to have.
    pub fn pass_on_failed(self, status: ExitStatus) -> Result<ExitCode, Error> {
        match status.success() {
            true => Ok(FAILED.into()),
            false => self.pass_on(status),
        }
    }

    /// Ends as the program did: by its exit code, or by the signal that ended it.
    pub fn pass_on(self, status: ExitStatus) -> Result<ExitCode, Error> {
        if let Some(signal) = status.signal() {
            // Its own core would overwrite the program's.
            let none = libc::rlimit {
                rlim_cur: 0,
                rlim_max: 0,
            };
            // SAFETY: a limit.
            unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) };
            end_by(signal);
            // Signals that do not end a process by default do not end one.
            return Ok(ExitCode::from(128_u8.saturating_add(signal as u8)));
        }
        Ok(ExitCode::from(status.code().unwrap_or(1) as u8))
    }
}

/// Ends this process by a signal, if by default it ends one.
pub fn end_by(signal: c_int) {
    goheap::before_end();
    // SAFETY: a signal's number and its default; this process has nothing to lose.
    unsafe {
        libc::signal(signal, SIG_DFL);
        libc::raise(signal);
    }
}

/// Has a signal handed on, unless it is ignored: it is to stay so in the program. Handlers
/// are not inherited through exec.
fn hand_on(signal: c_int) {
    let mut before = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: plain structures, looked at only once they are written; the handler does nothing but
    // touch atomics and send signals.
    unsafe {
        let known = libc::sigaction(signal, null(), before.as_mut_ptr()) == 0;
        if !known || before.assume_init().sa_sigaction == SIG_IGN {
            return;
        }
        let mut action: libc::sigaction = std::mem::zeroed();
        let handler: extern "C" fn(c_int, *const siginfo_t, *mut c_void) = handed_on;
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
        libc::sigaction(signal, &action, std::ptr::null_mut());
    }
}

/// What the kernel sends, for a key or a terminal that went away, goes to the whole foreground: the
/// program has it already.
extern "C" fn handed_on(signal: c_int, info: *const siginfo_t, _context: *mut c_void) {
    // SAFETY: the kernel hands out a structure.
    if unsafe { (*info).si_code } <= 0 {
        WAITING.fetch_or(1 << signal, SeqCst);
        hand_on_waiting();
    }
}

/// Hands the signals that wait to the process, if it is known. SeqCst: either who has a signal wait sees the process,
/// or who makes it known sees the signal.
fn hand_on_waiting() {
    let process = PROCESS.load(SeqCst);
    if process <= 0 {
        return;
    }
    let waiting = WAITING.swap(0, SeqCst);
    for signal in (0..64).filter(|signal| waiting >> signal & 1 != 0) {
        // SAFETY: two numbers; the process has not been waited for.
        unsafe { libc::kill(process, signal) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;

    #[test]
    fn what_comes_before_the_process_is_known_reaches_it() {
        let mut command = Command::new("sleep");
        command.arg("20");
        // In the child, of which its parent does not know the number yet.
        let send = || {
            // SAFETY: two numbers.
            unsafe { libc::kill(libc::getppid(), SIGTERM) };
            Ok(())
        };
        // SAFETY: the closure makes two system calls.
        unsafe { command.pre_exec(send) };
        let mut started = Started::by(command).expect("it starts");
        let status = started.wait().expect("it ends");
        assert_eq!(status.signal(), Some(SIGTERM), "{status}");
    }
}
