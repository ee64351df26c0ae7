//! Profiles written to files: on `SIGUSR1`, at exit where that is asked for, and for `goheap profile`.
//!
//! The thread that answers for the process (`publish.rs`) sees to each, never a signal's handler and never the thread
//! that exits, which may have been interrupted while it held a lock. It has a thread do the writing that has file
//! descriptors of its own, for a program may count on which number it gets next.

use super::Profile;
use crate::{background, publish};
use core::ffi::{CStr, c_int};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicU32};
use core::time::Duration;
use goheap_allocator::os::{self, UserSignal};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Where profiles go that nobody named.
const PATTERN: &str = "goheap.%p.%n.pb.gz";
/// The knob's variable.
const VARIABLE: &CStr = c"GOHEAP_PROFILE";
/// Bytes of stack for reading debug information.
const STACK: usize = 8 << 20;
/// How long a process that ends waits for its profile.
const PATIENCE: Duration = Duration::from_secs(30);

/// Profiles that signals asked for, and that are not written yet.
static ASKED: AtomicU32 = AtomicU32::new(0);
/// Profiles written to files of a number.
static NUMBER: AtomicU32 = AtomicU32::new(0);
static AT_EXIT: AtomicBool = AtomicBool::new(false);
/// Whether it was said that the program handles the signal itself.
static SAID: AtomicBool = AtomicBool::new(false);
/// Whether the signal was taken.
static TAKEN: AtomicBool = AtomicBool::new(false);

const NOT_ENDING: u32 = 0;
const ENDING: u32 = 1;
const WRITTEN: u32 = 2;
/// How far the profile at exit is.
static END: AtomicU32 = AtomicU32::new(NOT_ENDING);

/// Sets whether profiles are written as the process ends.
pub fn configure(at_exit: bool) {
    AT_EXIT.store(at_exit, Relaxed);
}

/// There is a thread that answers: takes the signal, unless the program has it.
pub fn begin() {
    if super::is_on() {
        TAKEN.store(true, Relaxed);
        complain_of(os::take_user_signal(signalled));
    }
}

extern "C" fn signalled(_: c_int) {
    os::keeping_errno(|| {
        ASKED.fetch_add(1, Relaxed);
        publish::ring();
    });
}

/// Looks whether the program has taken the signal meanwhile: then it keeps it, and is told once.
pub fn watch_signal() {
    if TAKEN.load(Relaxed) && !SAID.load(Relaxed) {
        complain_of(os::user_signal(signalled));
    }
}

/// A program that knows nothing of the heap is told only where profiles were asked for: else what it prints stays
/// what it was.
fn complain_of(signal: UserSignal) {
    let heard = !cfg!(feature = "initial-exec") || os::environment(VARIABLE).is_some();
    if signal == UserSignal::Programs && heard && !SAID.swap(true, Relaxed) {
        background::print_line(format_args!(
            "goheap: the program handles SIGUSR1 itself, so that writes no heap profile; `goheap profile {}` does",
            os::process_id()
        ));
    }
}

/// In the thread that answers: writes what signals and the process's end ask for.
pub fn serve() {
    let ending = END.load(Acquire) == ENDING;
    if ASKED.swap(0, Relaxed) > 0 || ending {
        apart(move || {
            write_numbered(false);
            if ending {
                write_numbered(true);
            }
        });
    }
    if ending {
        // Release: pairs with Acquire in `before_end`.
        END.store(WRITTEN, Release);
        os::wake_shared(&END);
    }
}

/// The process ends: waits until its profiles are written, if they are to be.
pub fn before_end() {
    // Where another heap has the page, it writes, and nobody would answer here.
    let asked = AT_EXIT.load(Relaxed) && super::is_on() && publish::answers();
    if !asked || END.swap(ENDING, Release) != NOT_ENDING {
        return;
    }
    publish::ring();
    let until = os::monotonic_ns().saturating_add(PATIENCE.as_nanos() as u64);
    while END.load(Acquire) != WRITTEN {
        let left = until.saturating_sub(os::monotonic_ns());
        if left == 0 {
            return;
        }
        os::wait_shared(&END, ENDING, Some(Duration::from_nanos(left)));
    }
}

/// Writes a profile for who asked for it from outside, to a file that nobody else can read. What goes wrong shows
/// by its absence.
pub fn hand_over(path: &CStr, peak: bool) {
    let path = PathBuf::from(OsStr::from_bytes(path.to_bytes()));
    apart(move || {
        // One that nobody fetched.
        let _ = fs::remove_file(&path);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        let written = file.and_then(|file| of(peak).write_pprof(file));
        if written.is_err() {
            let _ = fs::remove_file(&path);
        }
    });
}

fn of(peak: bool) -> Profile {
    if peak {
        Profile::peak()
    } else {
        Profile::now()
    }
}

/// Does something in a thread with file descriptors of its own, and waits for it.
fn apart(what: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new()
        .name("goheap-profile".into())
        .stack_size(STACK);
    let started = thread.spawn(move || {
        os::own_descriptors();
        what();
    });
    // Where the system refuses a thread there is no profile; one that panics has said so.
    if let Ok(thread) = started {
        let _ = thread.join();
    }
}

fn write_numbered(peak: bool) {
    let pattern = os::environment(VARIABLE).filter(|pattern| !pattern.is_empty());
    let pattern = pattern.unwrap_or(PATTERN.as_bytes());
    let process = os::process_id();
    let path_of = |number, peak| expand(pattern, process, number, peak);
    let number = match peak {
        // The one of the same number is written already.
        true => NUMBER.load(Relaxed).saturating_sub(1),
        false => loop {
            let number = NUMBER.fetch_add(1, Relaxed);
            let counts = path_of(number, false) != path_of(number + 1, false);
            let is_there = |peak| path_of(number, peak).symlink_metadata().is_ok();
            if !counts || !is_there(false) && !is_there(true) {
                break number;
            }
        },
    };
    let path = path_of(number, peak);
    if let Err(error) = write_whole(&path, &of(peak)) {
        background::print_line(format_args!(
            "goheap: cannot write the heap profile to {}: {error}",
            path.display()
        ));
    }
}

/// Writes the file beside its place, and puts it there when it is whole. A link leads to the place; a device is written
/// to as it is, and anything else that is no file stays untouched.
fn write_whole(path: &Path, profile: &Profile) -> io::Result<()> {
    if let Ok(there) = fs::metadata(path) {
        if there.file_type().is_char_device() {
            let device = OpenOptions::new().write(true).open(path)?;
            return profile.write_pprof(device);
        }
        if !there.is_file() {
            return Err(io::Error::other("it is there, and no file"));
        }
    }
    let place = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut part = OsString::from(&place);
    part.push(".part");
    let written = File::create(&part)
        .and_then(|file| profile.write_pprof(file))
        .and_then(|()| fs::rename(&part, &place));
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    written
}

/// A profile's path: `%p` is the process, `%n` counts its profiles, `%%` is a percent sign. The peak's has `.peak`
/// before its ending.
fn expand(pattern: &[u8], process: u32, number: u32, peak: bool) -> PathBuf {
    let mut path = Vec::new();
    let mut rest = pattern.iter();
    while let Some(&byte) = rest.next() {
        let (before, escaped) = (rest.clone(), rest.next());
        match (byte, escaped) {
            (b'%', Some(b'p')) => path.extend(process.to_string().bytes()),
            (b'%', Some(b'n')) => path.extend(number.to_string().bytes()),
            (b'%', Some(b'%')) => path.push(b'%'),
            _ => {
                path.push(byte);
                rest = before;
            }
        }
    }
    if peak {
        let ending: &[u8] = b".pb.gz";
        let ends = path.ends_with(ending);
        path.truncate(path.len() - if ends { ending.len() } else { 0 });
        path.extend(b".peak");
        path.extend(if ends { ending } else { b"" });
    }
    PathBuf::from(OsString::from_vec(path))
}

/// In the child of a `fork`, of which nothing was asked yet.
pub fn after_fork_in_child() {
    ASKED.store(0, Relaxed);
    NUMBER.store(0, Relaxed);
    END.store(NOT_ENDING, Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_has_the_process_and_counts() {
        let path = |pattern: &str, peak| {
            let path = expand(pattern.as_bytes(), 17, 3, peak);
            path.into_os_string().into_string().expect("text")
        };
        assert_eq!(path(PATTERN, false), "goheap.17.3.pb.gz");
        assert_eq!(path(PATTERN, true), "goheap.17.3.peak.pb.gz");
        assert_eq!(path("/a/%%p/%x%", false), "/a/%p/%x%");
        assert_eq!(path("heap", true), "heap.peak");
    }
}
