//! The page in which a running program shows its counters to whoever may look.
//!
//! The program makes a file of one page in `/dev/shm` and maps it; an observer maps the same
//! file. Nothing is written until somebody asks, so that a program which nobody watches
//! pays nothing. Asking goes like this:
//!
//! ```text
//! observer                                        program
//! lock the file (flock), one asks at a time       a thread sleeps on `request`
//! write command and arguments; request += 1 ────▶ carry the command out
//! sleep on `answered`                             write a snapshot
//! read result and snapshot                  ◀──── answered = request
//! ```
//! A snapshot is written into the one of two places that does not hold the last one; then
//! `published` is counted up, and its lowest bit says where the newest is. A reader that finds
//! `published` unchanged after reading has read one snapshot. A program that is killed while it
//! writes leaves the one before whole.
//!
//! Both sides are this file: what each word means is written once. All words are atomics of fixed
//! width, so the layout is the same for every program of a machine; [`VERSION`] changes with it.
//! Who maps the file, sleeps and wakes is the heap's and the observer's business.

use core::ffi::CStr;
use core::fmt;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, fence};

use crate::audit::CLASSES;
use crate::explain::{HELD_WORDS, Holdings};
use crate::snapshot::{Snapshot, WORDS};

/// The folder that the files are in.
pub const FOLDER: &CStr = c"/dev/shm";
/// What is behind the page's name in that of the file in which the program leaves a profile that was asked for.
pub const PROFILE: &str = "-profile";
/// The file's size in bytes.
pub const BYTES: usize = 4096;
/// The layout's version: two programs that differ in it do not understand each other.
pub const VERSION: u32 = 4;

const MAGIC: u64 = u64::from_le_bytes(*b"goheap:)");
/// An argument of [`Command::Set`] that leaves the setting as it is.
const KEEP: i64 = i64::MIN;

/// Which process a page is of. A PID is used again, a PID with a start time is not; a PID means
/// something in its own namespace only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The inode of the PID namespace.
    pub namespace: u64,
    /// The process.
    pub pid: u32,
    /// When it started, in the kernel's ticks since it booted (`/proc/PID/stat`, field 22).
    pub started: u64,
}

impl Identity {
    /// Writes the file's name, without the folder.
    ///
    /// # Errors
    /// What `to` refuses.
    pub fn write_name(&self, to: &mut impl fmt::Write) -> fmt::Result {
        let Self {
            namespace,
            pid,
            started,
        } = self;
        write!(to, "goheap-{namespace}-{pid}-{started}")
    }

    /// The process that a file of this name is of; `None` for a file that is no such page.
    pub fn from_name(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix("goheap-")?.split('-');
        let identity = Self {
            namespace: parts.next()?.parse().ok()?,
            pid: parts.next()?.parse().ok()?,
            started: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(identity)
    }
}

/// What an observer asks for. Each is answered by a fresh snapshot as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// A snapshot, and nothing else.
    Look,
    /// A whole cycle.
    Gc,
    /// A whole cycle, and all idle memory back to the system.
    FreeOsMemory,
    /// What the resident memory of the heap holds, byte by byte; see [`SharedPage::holdings`].
    Explain,
    /// A map of the heap's address space, a [`Sheet`](crate::map::Sheet) behind the page, in so many bytes of the
    /// file: whoever asks has lengthened it, so that the program need not.
    Map {
        /// Bytes of the sheet; a multiple of 8.
        bytes: u64,
    },
    /// The heap profile, into a file beside the page whose name ends in [`PROFILE`]; it is for who asks to remove
    /// it. Without one, it could not be written.
    Profile {
        /// That of the moment at which the heap was at its largest, not of now.
        peak: bool,
    },
    /// Other settings; `None` leaves one as it is.
    Set {
        /// GOGC in percent; negative: off.
        gc_percent: Option<i32>,
        /// GOMEMLIMIT in bytes; [`i64::MAX`]: none.
        memory_limit: Option<i64>,
    },
}

/// Where the program is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// The page was made for a program that has not begun.
    Prepared,
    /// A thread of the program answers.
    Running,
    /// The program is ending; its thread is to leave a last snapshot.
    Ending,
    /// The last snapshot is there.
    Ended,
}

/// What keeps two programs from understanding each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// Nothing is written there yet, or it is no such page.
    NotAPage,
    /// The page's version is this.
    Version(u32),
}

/// The page itself. All zeroes is a page that nobody has begun.
#[repr(C)]
#[derive(Debug)]
pub struct SharedPage {
    magic: AtomicU64,
    version: AtomicU32,
    life: AtomicU32,
    /// Not 0: who started the program takes the last snapshot, and the file away.
    kept: AtomicU32,
    /// Counts what was asked; the program's thread sleeps on it.
    request: AtomicU32,
    /// The request that was answered last; observers sleep on it.
    answered: AtomicU32,
    command: AtomicU32,
    /// How the last command went: 0, or 1 if it could not be carried out.
    result: AtomicU32,
    class_sizes: [AtomicU32; CLASSES],
    gc_percent: AtomicI64,
    memory_limit: AtomicI64,
    /// Bytes behind the page, for [`Command::Map`].
    behind: AtomicU64,
    /// Which of several heaps in one process the page is of.
    owner: AtomicU64,
    /// Counts snapshots.
    published: AtomicU64,
    snapshots: [[AtomicU64; WORDS]; 2],
    /// What the last [`Command::Explain`] found.
    holdings: [AtomicU64; HELD_WORDS],
}

const _: () = assert!(size_of::<SharedPage>() <= BYTES);

impl SharedPage {
    /// Begins the page for a program to come, which finds it under its name when it starts: whoever
    /// started that program is sure to get its last snapshot, and removes the file.
    pub fn prepare(&self) {
        self.kept.store(1, Relaxed);
        self.version.store(VERSION, Relaxed);
        // Release: pairs with Acquire in `check`.
        self.magic.store(MAGIC, Release);
    }

    /// The heap called `owner` takes the page over: from nobody, from who prepared it, from the
    /// program that this process ran before `exec`, or from another heap in this process.
    pub fn begin(&self, owner: u64, class_size: impl Fn(usize) -> u32) {
        self.owner.store(owner, Relaxed);
        self.version.store(VERSION, Relaxed);
        for (class, size) in self.class_sizes.iter().enumerate() {
            size.store(class_size(class), Relaxed);
        }
        self.published.store(0, Relaxed);
        self.life.store(Life::Running as u32, Release);
        self.magic.store(MAGIC, Release);
    }

    /// Whether this is a page that this program can read.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), Mismatch> {
        // Acquire: pairs with Release in `begin` and `prepare`.
        match (self.magic.load(Acquire), self.version.load(Relaxed)) {
            (MAGIC, VERSION) => Ok(()),
            (MAGIC, other) => Err(Mismatch::Version(other)),
            _ => Err(Mismatch::NotAPage),
        }
    }

    /// Where the program is in its life.
    pub fn life(&self) -> Life {
        match self.life.load(Acquire) {
            0 => Life::Prepared,
            1 => Life::Running,
            2 => Life::Ending,
            _ => Life::Ended,
        }
    }

    /// Whether whoever started the program waits for its last snapshot.
    pub fn is_kept(&self) -> bool {
        self.kept.load(Relaxed) != 0
    }

    /// Whether the page is that heap's.
    pub fn is_owned_by(&self, owner: u64) -> bool {
        self.owner.load(Relaxed) == owner
    }

    /// The program ends; returns what its thread is to be woken by.
    pub fn end(&self) -> &AtomicU32 {
        self.life.store(Life::Ending as u32, Relaxed);
        self.request.fetch_add(1, AcqRel);
        &self.request
    }

    /// Asks for a command, on behalf of whoever holds the lock on the file. Returns the request's
    /// number; the program's thread is then to be woken on [`SharedPage::request`].
    pub fn ask(&self, command: Command) -> u32 {
        if let Command::Set {
            gc_percent,
            memory_limit,
        } = command
        {
            self.gc_percent
                .store(gc_percent.map_or(KEEP, i64::from), Relaxed);
            self.memory_limit
                .store(memory_limit.unwrap_or(KEEP), Relaxed);
        }
        if let Command::Map { bytes } = command {
            self.behind.store(bytes, Relaxed);
        }
        let code = match command {
            Command::Look => 0,
            Command::Gc => 1,
            Command::FreeOsMemory => 2,
            Command::Set { .. } => 3,
            Command::Explain => 4,
            Command::Profile { peak: false } => 6,
            Command::Profile { peak: true } => 7,
            Command::Map { .. } => 5,
        };
        self.command.store(code, Relaxed);
        // Release: pairs with Acquire in `asked`.
        self.request.fetch_add(1, AcqRel).wrapping_add(1)
    }

    /// In the program: has its thread come by, as if somebody had asked for a snapshot.
    pub fn ring(&self) {
        self.request.fetch_add(1, AcqRel);
    }

    /// What the program's thread sleeps on.
    pub fn request(&self) -> &AtomicU32 {
        &self.request
    }

    /// What observers sleep on.
    pub fn answered(&self) -> &AtomicU32 {
        &self.answered
    }

    /// Whether request number `request` was answered.
    pub fn has_answered(&self, request: u32) -> bool {
        // Acquire: pairs with Release in `answer`.
        self.answered.load(Acquire).wrapping_sub(request) < u32::MAX / 2
    }

    /// Whether the program could carry the last command out: it did not understand it, or the system refused it.
    pub fn was_carried_out(&self) -> bool {
        self.result.load(Relaxed) == 0
    }

    /// In the program: the newest request, if it waits for an answer. Its command is handed out once;
    /// `None` as the command is one of another version, or nonsense.
    pub fn asked(&self) -> Option<(u32, Option<Command>)> {
        // Acquire: pairs with Release in `ask`.
        let request = self.request.load(Acquire);
        if request == self.answered.load(Relaxed) {
            return None;
        }
        let command = match self.command.swap(0, AcqRel) {
            0 => Some(Command::Look),
            1 => Some(Command::Gc),
            2 => Some(Command::FreeOsMemory),
            3 => self.settings(),
            4 => Some(Command::Explain),
            6 => Some(Command::Profile { peak: false }),
            7 => Some(Command::Profile { peak: true }),
            5 => Some(Command::Map {
                bytes: self.behind.load(Relaxed),
            }),
            _ => None,
        };
        Some((request, command))
    }

    fn settings(&self) -> Option<Command> {
        let percent = self.gc_percent.load(Relaxed);
        let limit = self.memory_limit.load(Relaxed);
        let gc_percent = (percent != KEEP).then(|| i32::try_from(percent));
        let memory_limit = (limit != KEEP).then_some(limit);
        if memory_limit.is_some_and(|limit| limit < 0) {
            return None;
        }
        Some(Command::Set {
            gc_percent: gc_percent.transpose().ok()?,
            memory_limit,
        })
    }

    /// In the program: request number `request` is carried out; `done` says whether it could be.
    pub fn answer(&self, request: u32, done: bool) {
        self.result.store(u32::from(!done), Relaxed);
        // Release: pairs with Acquire in `has_answered`.
        self.answered.store(request, Release);
    }

    /// In the program: shows a snapshot. One thread at a time does.
    pub fn publish(&self, snapshot: &Snapshot, last: bool) {
        let next = self.published.load(Relaxed).wrapping_add(1);
        // Readers of the place written to now must find `published` changed: it was, before.
        fence(Release);
        for (word, value) in self.place(next).iter().zip(snapshot.words()) {
            word.store(value, Relaxed);
        }
        // Release: pairs with Acquire in `snapshot`.
        self.published.store(next, Release);
        if last {
            self.life.store(Life::Ended as u32, Release);
        }
    }

    /// In the program: shows what was found, before the request is answered.
    pub fn show_holdings(&self, holdings: &Holdings) {
        for (word, value) in self.holdings.iter().zip(holdings.words()) {
            word.store(value, Relaxed);
        }
    }

    /// What the last [`Command::Explain`] found, for whoever holds the lock on the file and saw it answered.
    pub fn holdings(&self) -> Holdings {
        Holdings::from_words(&core::array::from_fn(|i| self.holdings[i].load(Relaxed)))
    }

    /// The newest snapshot; `None` if there is none yet.
    pub fn snapshot(&self) -> Option<Snapshot> {
        // A writer has to overtake a reader each time, so a few attempts are plenty.
        for _ in 0..1000 {
            // Acquire: pairs with Release in `publish`.
            let published = self.published.load(Acquire);
            if published == 0 {
                return None;
            }
            let mut words = [0; WORDS];
            for (value, word) in words.iter_mut().zip(self.place(published)) {
                *value = word.load(Relaxed);
            }
            fence(Acquire);
            if self.published.load(Relaxed) == published {
                return Some(Snapshot::from_words(&words, |class| {
                    self.class_sizes[class].load(Relaxed)
                }));
            }
        }
        None
    }

    fn place(&self, number: u64) -> &[AtomicU64; WORDS] {
        &self.snapshots[usize::from(number % 2 == 1)]
    }
}

#[cfg(test)]
mod tests;
