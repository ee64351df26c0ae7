//! An allocation word, and in which order it and the death bytes of its slots are touched.
//!
//! Slots pass by it between caches that take them or give them back unused, and sweeps that free those whose
//! objects died. None of them waits for another. That is sound because a slot's death byte is written before the
//! word says whose the slot is, and read after it was asked.

use crate::sync::AtomicU64;
use crate::sync::Ordering::{Acquire, Relaxed, Release};

/// A bit for each of 64 slots: set if it is not to be had.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Word(pub(crate) AtomicU64);

impl Word {
    /// Says which slots are taken of a span that nobody else knows yet.
    #[inline(always)]
    pub(crate) fn open(&self, taken: u64) {
        self.0.store(taken, Relaxed);
    }

    /// Takes all free slots: a bit for each. `clear` is to clear their death bytes. Only whoever holds the span
    /// may. `shared` says that a sweep may free slots meanwhile; without, callers hold the class's lock.
    #[inline(always)]
    pub(crate) fn take(&self, shared: bool, mut clear: impl FnMut(u64)) -> u64 {
        // Acquire, here and below: pairs with Release in `sweep`, which is done with the death bytes
        // of the slots that it freed, and with Release in `give_back`.
        let mut taken = self.0.load(Acquire);
        while taken != u64::MAX {
            clear(!taken);
            // Release: pairs with Acquire in `taken`; who sees the slots taken sees their death bytes clear.
            if !shared {
                self.0.store(u64::MAX, Release);
                break;
            }
            match self.0.compare_exchange(taken, u64::MAX, Release, Acquire) {
                Ok(_) => break,
                // A sweep freed more meanwhile.
                Err(fewer) => taken = fewer,
            }
        }
        !taken
    }

    /// Takes all slots of a span that is in no list yet; their death bytes are clear.
    pub(crate) fn take_unlisted(&self) {
        // Release: as in `take`.
        self.0.store(u64::MAX, Release);
    }

    /// Gives `slots` back, unused; `mark` is to mark their death bytes.
    #[inline(always)]
    pub(crate) fn give_back(&self, slots: u64, mark: impl FnOnce()) {
        mark();
        self.clear(slots);
    }

    /// Makes slots free whose death bytes say so.
    #[inline(always)]
    pub(crate) fn clear(&self, slots: u64) {
        // Release: pairs with Acquire in `take`.
        self.0.fetch_and(!slots, Release);
    }

    /// Slots that are allocated or wait in a cache. Each has a death byte of its own time, not one that an
    /// earlier sweep left, to who reads it afterwards.
    #[inline(always)]
    pub(crate) fn taken(&self) -> u64 {
        // Acquire: pairs with Release in `take`.
        self.0.load(Acquire)
    }

    /// Frees the taken slots of those that `condemned` finds: which were taken, and which of these were freed.
    /// `shared` says that a cache may take slots meanwhile.
    #[inline(always)]
    pub(crate) fn sweep(&self, shared: bool, condemned: impl FnOnce() -> u64) -> (u64, u64) {
        let taken = self.taken();
        let freed = condemned() & taken;
        match (freed, shared) {
            (0, _) => {}
            (_, true) => self.clear(freed),
            // Relaxed: whoever takes slots next has held the class's lock since.
            (_, false) => self.0.store(taken & !freed, Relaxed),
        }
        (taken, freed)
    }

    /// The bits as they are, for who only counts.
    #[inline(always)]
    pub(crate) fn glance(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
