//! Memory for the heap's own structures.
//!
//! Blocks are cut off the end of mappings of 256 KiB and are never given back
//! here: whoever takes blocks of one kind keeps a free list of them. So nothing
//! in this crate depends on the heap that it implements.

use crate::lock::{Lock, Rank};
use crate::os::{Os, OsError};
use core::ptr::{NonNull, with_exposed_provenance_mut};
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
    free: Lock<Free>,
    /// Bytes handed out, by kind.
    used: [AtomicU64; 4],
    /// Bytes mapped for all but tables, handed out or not.
    mapped: AtomicU64,
}

#[derive(Debug)]
struct Free {
    /// What is left of the last mapping.
    current: Stretch,
    /// What is left of what was put by; `None` before anything was.
    put_by: Option<Stretch>,
}

/// Addresses that nobody has yet.
#[derive(Debug)]
struct Stretch {
    at: usize,
    end: usize,
}

impl Stretch {
    const NONE: Self = Self { at: 0, end: 0 };

    fn new(at: NonNull<u8>, bytes: usize) -> Self {
        let at = at.as_ptr().expose_provenance();
        Self {
            at,
            end: at + bytes,
        }
    }

    /// Cuts off the first `bytes`; `None` if there are fewer.
    fn cut(&mut self, bytes: usize) -> Option<NonNull<u8>> {
        if self.end - self.at < bytes {
            return None;
        }
        let at = NonNull::new(with_exposed_provenance_mut(self.at));
        self.at += bytes;
        at
    }
}

impl Meta {
    /// Nothing mapped yet.
    pub const fn new() -> Self {
        Self {
            free: Lock::new(
                Rank::Meta,
                Free {
                    current: Stretch::NONE,
                    put_by: None,
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
        let mut free = self.free.lock();
        let block = loop {
            if let Some(block) = free.current.cut(bytes) {
                break block;
            }
            let step = bytes.max(STEP);
            let put_by = |free: &mut Free| free.put_by.as_mut()?.cut(step);
            let at = os.map(step).or_else(|e| put_by(&mut free).ok_or(e))?;
            self.mapped.fetch_add(step as u64, Relaxed);
            free.current = Stretch::new(at, step);
        };
        self.used[kind as usize].fetch_add(bytes as u64, Relaxed);
        Ok(block)
    }

    /// Puts address space by, the first time, where there is a limit to it. Once the heap has all of the rest, nothing else is
    /// left for the blocks of spans, which each class has its own of: what small objects had, free again, large ones could not take.
    pub fn put_by<O: Os>(&self, os: &O) {
        let mut free = self.free.lock();
        if free.put_by.is_some() {
            return;
        }
        let limit = os.address_space();
        let bytes = limit / SHARE / STEP * STEP;
        // If it is refused, there is none.
        if limit != usize::MAX
            && bytes > 0
            && let Ok(at) = os.map(bytes)
        {
            free.put_by = Some(Stretch::new(at, bytes));
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
        self.free.fork_lock();
    }

    /// Ends [`Meta::fork_lock`].
    ///
    /// # Safety
    /// The calling thread took it.
    pub unsafe fn fork_unlock(&self) {
        // SAFETY: the caller's contract.
        unsafe { self.free.fork_unlock() };
    }
}

impl Default for Meta {
    fn default() -> Self {
        Self::new()
    }
}
