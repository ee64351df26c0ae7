//! Tells `goheap run`, if the process runs under it, that the process is there and that it ends
//! ([`goheap_stats::roll`]).
//!
//! Both are done in the program's own threads, without a lock: the end perhaps in a signal's handler. The pipe's path is
//! kept from the start, since programs write over their environment.

use core::ffi::CStr;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};
use goheap_allocator::os::{self, Line, ProcessId};
use goheap_stats::roll::{Entry, Event, VARIABLE};
use goheap_stats::shared_page::Identity;

const LONGEST_PATH: usize = 512;

/// The pipe's path, ended by a 0; empty if nobody is to be told. Written once, before others are.
static PATH: [AtomicU8; LONGEST_PATH] = [const { AtomicU8::new(0) }; LONGEST_PATH];

/// The process that has told that it is there; 0 before. In a copy by `fork` it is the parent until that one tells, too, and
/// in a child of `vfork` throughout.
static PROCESS: AtomicU32 = AtomicU32::new(0);
/// What else names that process; asked for once, since many a program's life is shorter than the asking is long.
static NAMESPACE: AtomicU64 = AtomicU64::new(0);
static STARTED: AtomicU64 = AtomicU64::new(0);

/// The process runs its program, or is a copy of another that allocates. What it does not tell the first time, it never does.
#[inline(never)]
pub fn began() {
    let (process, before) = (os::process_id(), PROCESS.load(Relaxed));
    if process == before {
        return;
    }
    PROCESS.store(process, Relaxed);
    if before == 0 {
        find_path();
    }
    if !is_told() {
        return;
    }
    let Some(own) = ProcessId::own() else { return };
    NAMESPACE.store(own.namespace, Relaxed);
    STARTED.store(own.started, Relaxed);
    let mut name = [0; 16];
    let name = os::thread_name(&mut name);
    tell(match before {
        0 => Event::Began(name),
        _ => Event::Forked(name),
    });
}

/// The process ends. May be called more than once, also where nobody is to be told.
pub fn ends() {
    if is_told() && PROCESS.load(Relaxed) == os::process_id() {
        tell(Event::Ended(os::Resident::own().peak));
    }
}

/// Whether there is somebody to be told.
pub fn is_told() -> bool {
    PATH[0].load(Relaxed) != 0
}

/// Looks for the pipe. What the environment of a process with more rights says is somebody else's will.
fn find_path() {
    let path =
        os::environment(VARIABLE).filter(|path| path.len() < LONGEST_PATH && !os::is_privileged());
    for (to, from) in PATH.iter().zip(path.unwrap_or(&[])) {
        to.store(*from, Relaxed);
    }
}

#[inline(never)]
fn tell(event: Event<'_>) {
    let entry = Entry {
        process: Identity {
            namespace: NAMESPACE.load(Relaxed),
            pid: PROCESS.load(Relaxed),
            started: STARTED.load(Relaxed),
        },
        nanos: os::monotonic_ns(),
        event,
    };
    let mut line = Line::new();
    let mut path = [0; LONGEST_PATH];
    for (to, from) in path.iter_mut().zip(&PATH) {
        *to = from.load(Relaxed);
    }
    if let (Ok(()), Ok(path)) = (entry.write(&mut line), CStr::from_bytes_until_nul(&path)) {
        os::tell(path, line.text());
    }
}
