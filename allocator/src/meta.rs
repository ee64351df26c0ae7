//! Memory for the heap's own structures.
//!
//! Blocks are cut off the end of mappings of 256 KiB and are never given back
//! here: whoever takes blocks of one kind keeps a free list of them. So nothing
//! in this crate depends on the heap that it implements.

use crate::lock::{Lock, Rank};
use crate::os::{Os, OsError};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

const STEP: usize = 256 << 10;
/// Where the process's address space is limited, this part of it is put by for when the system refuses more.
const SHARE: usize = 64;

/// What a block is for; MemStats tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Spans with their allocation words and death bytes (MSpanSys).
    Spans,
    /// Thread caches with their death logs (MCacheSys).
    Caches,
    /// Page bitmaps, summaries, page → span tables (GCSys).
    Tables,
    /// Sites and records of the heap profile (BuckHashSys).
    Profile,
}

/// The heap's own memory.
#[derive(Debug)]
pub struct Meta {
    current: Lock<Free>,
    /// Bytes handed out, by kind.
    used: [AtomicU64; 4],
    /// Bytes mapped for all but tables, handed out or not.
    mapped: AtomicU64,
}

#[derive(Debug)]
struct Free {
    at: usize,
    end: usize,
    /// What was put by, none of it handed out yet.
    by: usize,
    by_end: usize,
}

impl Free {
    /// The first `bytes` of what was put by.
    fn take_put_by(&mut self, bytes: usize) -> Option<NonNull<u8>> {
        if self.by_end - self.by < bytes {
            return None;
        }
        let at = NonNull::new(self.by as *mut u8);
        self.by += bytes;
        at
    }
}

impl Meta {
    /// Nothing mapped yet.
    pub const fn new() -> Self {
        Self {
            current: Lock::new(
                Rank::Meta,
                Free {
                    at: 0,
                    end: 0,
                    by: 0,
                    by_end: 0,
                },
            ),
            used: [const { AtomicU64::new(0) }; 4],
            mapped: AtomicU64::new(0),
        }
    }

    /// A zeroed block of `bytes` at a multiple of 64.
    ///
    /// # Errors
    /// The OS's refusal.
    pub fn take<O: Os>(&self, os: &O, kind: Kind, bytes: usize) -> Result<NonNull<u8>, OsError> {
        let bytes = bytes.next_multiple_of(64);
        let mut free = self.current.lock();
        if free.end - free.at < bytes {
            let step = bytes.max(STEP);
            let at = match os.map(step) {
                Ok(at) => at,
                Err(e) => free.take_put_by(step).ok_or(e)?,
            };
            self.mapped.fetch_add(step as u64, Relaxed);
            let at = at.as_ptr() as usize;
            (free.at, free.end) = (at, at + step);
        }
        let at = free.at;
        free.at += bytes;
        self.used[kind as usize].fetch_add(bytes as u64, Relaxed);
        // A mapping never lies at address zero, nor does what is cut from it.
        NonNull::new(at as *mut u8).ok_or(OsError {
            operation: "metadata",
            address: 0,
            bytes,
            errno: 0,
        })
    }

    /// Puts address space by, the first time, where there is a limit to it. Once the heap has all of the rest, nothing else is
    /// left for the blocks of spans, which each class has its own of: what small objects had, free again, large ones could not take.
    pub fn put_by<O: Os>(&self, os: &O) {
        let mut free = self.current.lock();
        if free.by_end != 0 {
            return;
        }
        let limit = os.address_space();
        let bytes = limit / SHARE / STEP * STEP;
        // If it is refused, there is none.
        if limit != usize::MAX
            && bytes > 0
            && let Ok(at) = os.map(bytes)
        {
            free.by = at.as_ptr() as usize;
            free.by_end = free.by + bytes;
        }
    }

    /// A table's address range, of which only what is touched takes memory: count it with [`Meta::grew`].
    ///
    /// # Errors
    /// The OS's refusal.
    pub fn table<O: Os, T>(&self, os: &O, entries: usize) -> Result<NonNull<T>, OsError> {
        os.map(entries.max(1) * size_of::<T>()).map(NonNull::cast)
    }

    /// Counts `bytes` more of the tables as in use.
    pub fn grew(&self, bytes: usize) {
        self.used[Kind::Tables as usize].fetch_add(bytes as u64, Relaxed);
    }

    /// Bytes in use for `kind`.
    pub fn used(&self, kind: Kind) -> u64 {
        self.used[kind as usize].load(Relaxed)
    }

    /// Bytes mapped and not handed out yet.
    pub fn spare(&self) -> u64 {
        let taken = self.used(Kind::Spans) + self.used(Kind::Caches) + self.used(Kind::Profile);
        self.mapped.load(Relaxed).saturating_sub(taken)
    }

    /// Bytes of all kinds, spare ones included: what the heap costs beside itself.
    pub fn total(&self) -> u64 {
        self.mapped.load(Relaxed) + self.used(Kind::Tables)
    }

    /// The lock, for the span of a `fork`.
    pub fn fork_lock(&self) {
        self.current.fork_lock();
    }

    /// Ends [`Meta::fork_lock`].
    ///
    /// # Safety
    /// The calling thread took it.
    pub unsafe fn fork_unlock(&self) {
        // SAFETY: the caller's contract.
        unsafe { self.current.fork_unlock() };
    }
}

impl Default for Meta {
    fn default() -> Self {
        Self::new()
    }
}
