//! A lock of one word, with a rank.
//!
//! Locks are taken in ascending order of rank; that is what keeps the heap
//! free of deadlocks, and debug builds check it at each acquisition
//! (Go: `lockrank.go`; jemalloc: `witness.h`). Release builds carry no rank.
//! The word is free (0), held (1), or held with sleepers (2).

use crate::os::Futex;
use crate::sync::Ordering::{Acquire, Relaxed, Release};
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};

/// The order in which locks may be taken: only ascending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// One cache that threads without their own share.
    Shared,
    /// Beginning and ending a cycle, and everything the pacer knows.
    Cycle,
    /// The list of all caches.
    Caches,
    /// One thread's death log.
    Log,
    /// One size class; several at once only in ascending order of class.
    Class(u8),
    /// The pool of guarded objects: with nothing taken inside.
    Guarded,
    /// The list of the program's modules: read with nothing taken inside.
    Modules,
    /// Walking a stack: with nothing taken inside.
    Walker,
    /// What is kept of sampled objects.
    Samples,
    /// The page heap.
    Pages,
    /// The heap's own memory.
    Meta,
    /// The background scavenger's state: held for a step only, with nothing taken inside.
    Engine,
}

impl Rank {
    #[cfg(debug_assertions)]
    fn bit(self) -> u32 {
        match self {
            Rank::Shared => 0,
            Rank::Cycle => 1,
            Rank::Caches => 2,
            Rank::Log => 3,
            Rank::Class(c) => 4 + u32::from(c),
            Rank::Guarded => 121,
            Rank::Modules => 122,
            Rank::Walker => 123,
            Rank::Samples => 124,
            Rank::Pages => 125,
            Rank::Meta => 126,
            Rank::Engine => 127,
        }
    }
}

#[cfg(debug_assertions)]
mod order {
    use super::Rank;
    use crate::os::thread_words::{read, write};

    /// Bytes at which the thread's block has a bit for each lock that it holds.
    const LOW: usize = 16;
    const HIGH: usize = 24;

    fn held() -> u128 {
        u128::from(read::<LOW>() as u64) | u128::from(read::<HIGH>() as u64) << 64
    }

    fn set_held(held: u128) {
        write::<LOW>(held as u64 as usize);
        write::<HIGH>((held >> 64) as u64 as usize);
    }

    pub fn taking(rank: Rank) {
        if held() >> rank.bit() != 0 {
            crate::os::stderr_line(b"goheap: a lock was taken out of order\n");
            std::process::abort();
        }
        set_held(held() | 1 << rank.bit());
    }

    pub fn releasing(rank: Rank) {
        set_held(held() & !(1 << rank.bit()));
    }
}

/// Something that only the holder of the lock may touch.
#[derive(Debug)]
pub struct Lock<T> {
    word: Futex,
    #[cfg(debug_assertions)]
    rank: Rank,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached only through a guard, and there is one guard at a time.
unsafe impl<T: Send> Sync for Lock<T> {}
// SAFETY: the lock owns its value.
unsafe impl<T: Send> Send for Lock<T> {}

impl<T> Lock<T> {
    /// A free lock around `value`.
    pub const fn new(rank: Rank, value: T) -> Self {
        #[cfg(not(debug_assertions))]
        let _ = rank;
        Self {
            word: Futex::new(0),
            #[cfg(debug_assertions)]
            rank,
            value: UnsafeCell::new(value),
        }
    }

    /// Waits for the lock: spins a moment, then sleeps.
    #[inline]
    pub fn lock(&self) -> Guard<'_, T> {
        self.acquire();
        Guard { lock: self }
    }

    /// Takes the lock without a guard.
    #[inline]
    pub fn acquire(&self) {
        #[cfg(debug_assertions)]
        order::taking(self.rank);
        self.take();
    }

    #[inline]
    fn take(&self) {
        // Acquire: pairs with Release in `give`.
        if self
            .word
            .0
            .compare_exchange(0, 1, Acquire, Relaxed)
            .is_err()
        {
            self.acquire_contended();
        }
    }

    #[cold]
    fn acquire_contended(&self) {
        for _ in 0..Futex::LOOKS {
            core::hint::spin_loop();
            if self.word.0.load(Relaxed) == 0
                && self.word.0.compare_exchange(0, 1, Acquire, Relaxed).is_ok()
            {
                return;
            }
        }
        // Held with sleepers from here on, so whoever releases knows to wake one.
        while self.word.0.swap(2, Acquire) != 0 {
            self.word.wait(2, None);
        }
    }

    /// Takes the lock for the span of a `fork`, which takes all there are: ranks are not looked at,
    /// since many locks share one.
    pub fn fork_lock(&self) {
        self.take();
    }

    /// Ends [`Lock::fork_lock`].
    ///
    /// # Safety
    /// The calling thread took it (in the child: its copy did).
    pub unsafe fn fork_unlock(&self) {
        self.give();
    }

    /// What the lock guards, for who took it by [`Lock::acquire`].
    ///
    /// # Safety
    /// The calling thread holds the lock, and has no other reference to the value.
    #[expect(clippy::mut_from_ref, reason = "as a guard would give it")]
    pub unsafe fn held(&self) -> &mut T {
        // SAFETY: the caller's contract.
        unsafe { &mut *self.value.get() }
    }

    /// Gives the lock back.
    ///
    /// # Safety
    /// The calling thread holds it, by `acquire`, and no guard of it is alive.
    #[inline]
    pub unsafe fn release(&self) {
        #[cfg(debug_assertions)]
        order::releasing(self.rank);
        self.give();
    }

    #[inline]
    fn give(&self) {
        // Release: pairs with Acquire in `take`.
        if self.word.0.swap(0, Release) == 2 {
            self.word.wake(1);
        }
    }
}

/// The lock is held while this lives.
#[derive(Debug)]
pub struct Guard<'a, T> {
    lock: &'a Lock<T>,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard stands for the held lock.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard stands for the held lock, and is borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: the guard held the lock and ends here.
        unsafe { self.lock.release() };
    }
}
