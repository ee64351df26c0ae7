//! A program that this one runs for its user: signals go to it, and it ends as that one ends.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering::Relaxed;

use libc::{SIG_DFL, SIG_IGN, SIGHUP, SIGINT, SIGQUIT, SIGTERM, c_int, sighandler_t};

use crate::Error;

/// The process that signals are handed to; 0 before there is one.
static PROCESS: AtomicI32 = AtomicI32::new(0);

/// The program, running.
pub struct Started {
    child: Child,
}

impl Started {
    /// Starts it. From now on, what the terminal sends to both is left to the program, and
    /// what is sent here to end this process is handed to it.
    pub fn by(mut command: Command) -> Result<Self, Error> {
        for signal in [SIGINT, SIGQUIT] {
            on(signal, ignored);
        }
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command
            .spawn()
            .map_err(Error::system(format!("start {name}")))?;
        PROCESS.store(child.id() as i32, Relaxed);
        for signal in [SIGTERM, SIGHUP] {
            on(signal, handed_on);
        }
        Ok(Self { child })
    }

    /// How it ended, once it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>, Error> {
        let status = self
            .child
            .try_wait()
            .map_err(Error::system("wait for the program"))?;
        if status.is_some() {
            PROCESS.store(0, Relaxed);
        }
        Ok(status)
    }

    /// Ends as the program did: by its exit code, or by the signal that ended it.
    pub fn pass_on(self, status: ExitStatus) -> Result<ExitCode, Error> {
        if let Some(signal) = status.signal() {
            let none = libc::rlimit {
                rlim_cur: 0,
                rlim_max: 0,
            };
            // SAFETY: a limit, a signal's number and its default; this process has nothing to lose. Its
            // own core would overwrite the program's.
            unsafe {
                libc::setrlimit(libc::RLIMIT_CORE, &none);
                libc::signal(signal, SIG_DFL);
                libc::raise(signal);
            }
            // Signals that do not end a process by default do not end one.
            return Ok(ExitCode::from(128_u8.saturating_add(signal as u8)));
        }
        Ok(ExitCode::from(status.code().unwrap_or(1) as u8))
    }
}

/// Installs a handler, unless the signal is ignored: it is to stay so in the program. Handlers
/// are not inherited through exec.
fn on(signal: c_int, handler: extern "C" fn(c_int)) {
    // SAFETY: the handlers do nothing but load an atomic and send a signal.
    unsafe {
        if libc::signal(signal, handler as *const () as sighandler_t) == SIG_IGN {
            libc::signal(signal, SIG_IGN);
        }
    }
}

extern "C" fn ignored(_signal: c_int) {}

extern "C" fn handed_on(signal: c_int) {
    let process = PROCESS.load(Relaxed);
    if process > 0 {
        // SAFETY: two numbers; the process has not been waited for.
        unsafe { libc::kill(process, signal) };
    }
}
