//! Address space is given up when a program limits its own (`RLIMIT_AS`).
//!
//! The first reservation is as large as the system granted at the start. Against a limit set later all of
//! it counts, though nothing uses it: the program could map no file and start no thread. So
//! what the heap has not grown into goes, but for the share that a start under that
//! limit would have reserved; beyond that the heap makes further reservations, until the system refuses one.

use super::{PageHeap, Tables};
use crate::arena::{Arena, ROOM, SHARE};
use crate::bits::ChunkBits;
use crate::os::Os;
use crate::{CHUNK_PAGES, PAGE};
use core::ptr::NonNull;
use goheap_scavenger::ChunkDensity;

impl PageHeap {
    /// Gives up the address space that is of no use where the process may have `limit` bytes of it.
    pub fn shrink<O: Os>(&self, os: &O, arena: &Arena, limit: usize) {
        let mut state = self.state.lock();
        let keep = limit / SHARE / PAGE / CHUNK_PAGES * CHUNK_PAGES;
        // Later reservations are small.
        if !arena.is_one() || state.growing.pages <= keep {
            return;
        }
        let end = state.growing.first + keep;
        let chunks = (end + limit / PAGE * ROOM).div_ceil(CHUNK_PAGES);
        let Some(tables) = &mut state.tables else {
            return;
        };
        let chunks = chunks.min(tables.count);
        // SAFETY: no page from `end` on was ever used, so no chunk from `chunks` on was, either.
        unsafe {
            tables.shrink(os, chunks);
            arena.shrink(os, end, chunks * CHUNK_PAGES);
        }
        state.growing.pages = keep;
    }
}

impl Tables {
    /// Makes the tables of chunks as short as that. The summaries, which are small, stay.
    ///
    /// # Safety
    /// Chunks from there on were never used.
    unsafe fn shrink<O: Os>(&mut self, os: &O, chunks: usize) {
        let page = os.physical_page();
        // SAFETY: both tables were mapped for `count` chunks.
        unsafe {
            cut::<O, ChunkBits>(os, page, self.chunks, self.count, chunks);
            cut::<O, ChunkDensity>(os, page, self.density, self.count, chunks);
        }
        self.count = chunks;
    }
}

/// Gives the end of a table back, in whole physical pages.
///
/// # Safety
/// The table was mapped for `from` entries, of which nobody uses those from `to` on.
pub(crate) unsafe fn cut<O: Os, T>(os: &O, page: usize, table: NonNull<T>, from: usize, to: usize) {
    let all = (from * size_of::<T>()).next_multiple_of(page);
    let rest = (to * size_of::<T>()).next_multiple_of(page);
    if rest < all {
        // SAFETY: within the table, and not used.
        unsafe { os.unreserve(table.cast::<u8>().add(rest), all - rest) };
    }
}
