//! A thread's death log: how an entry gets from its owner, who waits for nobody, to whoever drains it.
//!
//! The owner alone writes entries, from the end on, and then how much room is left. Who holds the log's lock reads
//! them. The owner starts it anew holding that lock, too.

use crate::sync::AtomicUsize;
use crate::sync::Ordering::{Acquire, Relaxed, Release};

/// The words of a log, wherever they lie.
#[derive(Clone, Copy)]
pub(crate) struct DeathLog<'a, const N: usize> {
    /// Entries that there is room for; at most `N`.
    pub room: &'a AtomicUsize,
    /// Filled from the end.
    pub entries: &'a [AtomicUsize; N],
}

impl<'a, const N: usize> DeathLog<'a, N> {
    /// Writes a death down. `false`: the log is full, and must be flushed first.
    ///
    /// # Safety
    /// The calling thread owns the log.
    #[inline(always)]
    pub unsafe fn push(self, address: usize) -> bool {
        let room = self.room.load(Relaxed);
        if room == 0 {
            return false;
        }
        // SAFETY: there is no more room than entries.
        unsafe { self.entries.get_unchecked(room - 1) }.store(address, Relaxed);
        // Release: pairs with Acquire in `since`; the entry is there before the room says so.
        self.room.store(room - 1, Release);
        true
    }

    /// The entries written down so far, the last one first, without the first `upto`. Callers hold the log's lock.
    // In line, it costs an instruction more for each of them.
    #[inline(never)]
    pub fn since(self, upto: usize) -> &'a [AtomicUsize] {
        // Acquire: pairs with Release in `push`.
        let room = self.room.load(Acquire);
        self.entries.get(room..N - upto).unwrap_or(&[])
    }

    /// Starts the log anew. Only the owner may, holding the log's lock.
    pub fn restart(self) {
        self.room.store(N, Relaxed);
    }
}
