//! A program's page, mapped; and asking for a snapshot or for something to be done.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::slice;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::{Duration, Instant};

use goheap_stats::explain::Holdings;
use goheap_stats::map::{Moment, Run, Sheet};
use goheap_stats::shared_page::{BYTES, Command, Identity, Life, Mismatch, PROFILE, VERSION};
use goheap_stats::{SharedPage, Snapshot};
use memmap2::{MmapOptions, MmapRaw};

use super::facts;
use crate::Error;

/// How long a program may take to answer: it may have to collect a large heap on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked at meanwhile whether the program is still there.
const LOOK: Duration = Duration::from_millis(100);

/// Runs that a map is expected to have; if it has more, it is taken again.
const FIRST_RUNS: usize = 1 << 15;

/// What stands on a sheet, or how many runs there were.
type Sheets = Result<(Moment, Vec<Run>), usize>;

/// A program's page. It stays readable when the program is gone and the file removed.
pub struct Page {
    file: File,
    map: MmapRaw,
    path: PathBuf,
    identity: Identity,
}

impl Page {
    /// Opens a page; `Err` says why it is none, to follow "process 1 ".
    pub fn open(path: &Path, identity: Identity) -> Result<Self, String> {
        let refused = |error: std::io::Error| format!("cannot be looked at: {error}");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(path)
            .map_err(refused)?;
        let meta = file.metadata().map_err(refused)?;
        let owner = facts(identity.pid).map(|facts| facts.user);
        if !meta.is_file() || owner.is_some_and(|owner| owner != 0 && owner != meta.uid()) {
            return Err(format!(
                "has a page that it has not made: {}",
                path.display()
            ));
        }
        // Longer while somebody takes a map.
        if meta.len() < BYTES as u64 {
            return Err(mismatch(None));
        }
        let map = MmapRaw::map_raw(&file).map_err(refused)?;
        let page = Self {
            file,
            map,
            path: path.into(),
            identity,
        };
        match page.page().check() {
            Ok(()) => Ok(page),
            Err(Mismatch::NotAPage) => Err("is only just starting; try again".into()),
            Err(Mismatch::Version(version)) => Err(mismatch(Some(version))),
        }
    }

    fn page(&self) -> &SharedPage {
        // SAFETY: mapped as long as `self` is, page-aligned, as long as the file was when it was
        // mapped; all is atomics, for which all bits are values.
        unsafe { &*self.map.as_mut_ptr().cast() }
    }

    /// The newest snapshot that is there; nobody is asked.
    pub fn last(&self) -> Option<Snapshot> {
        self.page().snapshot()
    }

    /// Where the program is in its life.
    pub fn life(&self) -> Life {
        self.page().life()
    }

    /// Whether whoever started the program waits for its last snapshot.
    pub fn is_kept(&self) -> bool {
        self.page().is_kept()
    }

    /// Removes the file; what is mapped stays.
    pub fn remove(&self) {
        // It may be gone already.
        let _ = std::fs::remove_file(&self.path);
    }

    /// Has the program carry out a command, and take a snapshot after it.
    ///
    /// # Errors
    /// The program has ended, does not answer, or does not know the command.
    pub fn ask(&self, command: Command) -> Result<Snapshot, Error> {
        self.ask_within(command, PATIENCE)
    }

    /// What the resident memory of the program's heap holds, and a snapshot of the same moment.
    ///
    /// # Errors
    /// As [`Page::ask`].
    pub fn explain(&self) -> Result<(Snapshot, Holdings), Error> {
        self.locked(|| {
            let snapshot = self.converse(Command::Explain, PATIENCE)?;
            Ok((snapshot, self.page().holdings()))
        })
    }

    /// A map of the program's heap, and a snapshot taken after it.
    ///
    /// # Errors
    /// As [`Page::ask`]; there is too little memory in the page's folder for so large a map.
    pub fn map(&self) -> Result<(Snapshot, Moment, Vec<Run>), Error> {
        let mut runs = FIRST_RUNS;
        loop {
            match self.map_of(runs)? {
                (snapshot, Ok((moment, runs))) => return Ok((snapshot, moment, runs)),
                // It may have more by then.
                (_, Err(there)) => runs = there.saturating_add(there / 8),
            }
        }
    }

    fn map_of(&self, runs: usize) -> Result<(Snapshot, Sheets), Error> {
        let bytes = Sheet::bytes(runs);
        let longer = || -> io::Result<()> {
            let size = libc::off_t::try_from(BYTES + bytes).map_err(io::Error::other)?;
            // SAFETY: the descriptor is open; the kernel gives the memory now, so that neither side lacks it later.
            match unsafe { libc::posix_fallocate(self.file.as_raw_fd(), 0, size) } {
                0 => Ok(()),
                error => Err(io::Error::from_raw_os_error(error)),
            }
        };
        self.locked(|| {
            let done = longer()
                .map_err(|error| {
                    format!(
                        "has a heap of {runs} runs, and no memory is there for its map: {error}"
                    )
                })
                .and_then(|()| {
                    let snapshot = self.converse(
                        Command::Map {
                            bytes: bytes as u64,
                        },
                        PATIENCE,
                    )?;
                    let behind = MmapOptions::new()
                        .offset(BYTES as u64)
                        .len(bytes)
                        .map_raw(&self.file)
                        .map_err(|error| format!("has a map that cannot be read: {error}"))?;
                    // SAFETY: mapped, so long, page-aligned; all is atomics, for which all bits are values.
                    let words = unsafe {
                        slice::from_raw_parts(
                            behind.as_mut_ptr().cast::<AtomicU64>(),
                            bytes / size_of::<u64>(),
                        )
                    };
                    Ok((snapshot, Sheet::new(words).read()))
                });
            // The program is done with it, or gone: it was answered, or the next who asks waits for that.
            if done.is_ok() {
                let _ = self.file.set_len(BYTES as u64);
            }
            done
        })
    }

    /// The program's heap profile, as gzipped profile.proto; of its largest moment if `peak` says so.
    ///
    /// # Errors
    /// As [`Page::ask`]; or the program has none, or cannot write it.
    pub fn profile(&self, peak: bool) -> Result<Vec<u8>, Error> {
        let mut left = self.path.clone().into_os_string();
        left.push(PROFILE);
        self.locked(|| {
            self.converse(Command::Profile { peak }, PATIENCE)?;
            fetch(Path::new(&left)).map_err(|error| {
                format!("left no heap profile ({error}): it samples nothing (GOHEAP_PROFILE_RATE=0), or the page's folder is full")
            })
        })
    }

    /// As [`Page::ask`], if the program answers within that time.
    ///
    /// # Errors
    /// As [`Page::ask`].
    pub fn ask_within(&self, command: Command, patience: Duration) -> Result<Snapshot, Error> {
        self.locked(|| Ok(self.converse(command, patience)?))
    }

    fn locked<T>(&self, converse: impl FnOnce() -> Result<T, String>) -> Result<T, Error> {
        let refuse = |reason| Error::Process {
            pid: self.identity.pid,
            reason,
        };
        // One at a time; the system lets go of the lock of who dies.
        self.file
            .lock()
            .map_err(Error::system("lock the program's page"))?;
        let answer = converse();
        // Closing the file would do it, too.
        let _ = self.file.unlock();
        answer.map_err(refuse)
    }

    fn converse(&self, command: Command, patience: Duration) -> Result<Snapshot, &'static str> {
        let page = self.page();
        let request = page.ask(command);
        wake(page.request());
        let asked = Instant::now();
        loop {
            let answered = page.answered().load(Relaxed);
            if page.has_answered(request) {
                break;
            }
            sleep(page.answered(), answered, LOOK.min(patience));
            if page.has_answered(request) {
                break;
            }
            self.may_still_answer(asked.elapsed(), patience)?;
        }
        if !page.was_carried_out() {
            return Err(
                "cannot do this: its goheap is of another version, or the system refuses it the memory",
            );
        }
        let mut snapshot = page.snapshot().ok_or("has answered nothing")?;
        if let Some(facts) = facts(self.identity.pid) {
            snapshot.rss = facts.rss;
            snapshot.peak_rss = facts.peak_rss;
        }
        Ok(snapshot)
    }

    fn may_still_answer(&self, waited: Duration, patience: Duration) -> Result<(), &'static str> {
        let alive = facts(self.identity.pid).filter(|f| f.started == self.identity.started);
        match alive {
            None => Err("has ended"),
            Some(facts) if facts.state == 'T' && waited > LOOK * 5 => {
                Err("is stopped, so it cannot answer; let it go on (SIGCONT) and try again")
            }
            Some(_) if waited > patience => Err("does not answer"),
            Some(_) => Ok(()),
        }
    }
}

/// Reads and removes what a program left for this one.
fn fetch(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)?
        .read_to_end(&mut bytes)?;
    // The program removes it before it writes the next.
    let _ = std::fs::remove_file(path);
    Ok(bytes)
}

fn mismatch(version: Option<u32>) -> String {
    let theirs = version.map_or("another".into(), |version| version.to_string());
    format!("shows itself in a layout of version {theirs}; this program knows version {VERSION}")
}

/// Sleeps while the word holds `value`, for less than a second.
fn sleep(word: &AtomicU32, value: u32, time: Duration) {
    let time = libc::timespec {
        tv_sec: 0,
        tv_nsec: time.subsec_nanos().into(),
    };
    // SAFETY: the word and the time outlive the call.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT,
            value,
            &time,
        )
    };
}

fn wake(word: &AtomicU32) {
    // SAFETY: the kernel only uses the word's address.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
}
