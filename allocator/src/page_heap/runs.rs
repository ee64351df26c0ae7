//! Runs of idle pages by age and by size: what Go up to 1.12 gave back.
//!
//! A run here is a maximal stretch of idle pages that are not released, over as many
//! chunks as it goes. It is as old as the page of it that was freed last, as in Go, where
//! a span that is freed next to an idle one makes one of both, with a new time. (Up to Go
//! 1.11 released neighbours belong to a run, too, and make it younger.)
//!
//! Ages cost four bytes a page and a store for each page freed, and so are kept only from
//! [`PageHeap::keep_ages`] on. They are milliseconds in 32 bits: a run that has been idle
//! for 49 days waits once more.
//!
//! Called by the background thread, and at growth, where a policy asks for it. Source: Go
//! 1.4 `mheap.c`, `scavengelist`; Go 1.12 `mheap.go`, `scavengeLargest`, `scavengeAll`.

use super::{PageHeap, State, Tables, parts};
use crate::arena::Arena;
use crate::os::{Os, OsError};
use crate::{CHUNK_PAGES, PAGE};

impl Tables {
    /// Notes that these pages became idle at `now`.
    pub(super) fn stamp(&mut self, first: usize, pages: usize, now: u32) {
        let Some(stamps) = self.stamps else { return };
        debug_assert!(first + pages <= self.count * CHUNK_PAGES);
        // SAFETY: the table has an entry for each page of each chunk, and is borrowed with `self`.
        unsafe { core::slice::from_raw_parts_mut(stamps.as_ptr().add(first), pages) }.fill(now);
    }

    /// For how long all of these pages have been idle, in milliseconds; 0 if nobody knows.
    fn idle_for(&self, first: usize, pages: usize, now: u32) -> u32 {
        let Some(stamps) = self.stamps else { return 0 };
        debug_assert!(first + pages <= self.count * CHUNK_PAGES);
        // SAFETY: as in `stamp`.
        let of_run = unsafe { core::slice::from_raw_parts(stamps.as_ptr().add(first), pages) };
        let ages = of_run.iter().map(|&s| now.wrapping_sub(s));
        ages.min().unwrap_or(0)
    }

    /// The pages of `page`'s word, from `page` on, that are in use or released, from bit 0 on.
    fn kept(&mut self, page: usize) -> u64 {
        let chunk = self.chunk(page / CHUNK_PAGES);
        let within = page % CHUNK_PAGES;
        (chunk.used.word(within) | chunk.released.word(within)) >> (page % 64)
    }

    /// Nothing of the chunk is idle: it is full, or was never grown.
    fn is_closed(&self, page: usize) -> bool {
        self.summaries.chunk(page / CHUNK_PAGES).max == 0
    }

    /// The first run at or above page `from`, below page `end`: its first page and its length.
    fn run_from(&mut self, from: usize, end: usize) -> Option<(usize, usize)> {
        let mut page = from;
        while page < end {
            let left = 64 - page % 64;
            if self.is_closed(page) {
                page = (page / CHUNK_PAGES + 1) * CHUNK_PAGES;
                continue;
            }
            let skip = (self.kept(page).trailing_ones() as usize).min(left);
            page += skip;
            if skip < left {
                break;
            }
        }
        let first = page;
        while page < end && !self.is_closed(page) {
            let left = 64 - page % 64;
            let more = (self.kept(page).trailing_zeros() as usize).min(left);
            page += more;
            if more < left {
                break;
            }
        }
        let pages = page.min(end).saturating_sub(first);
        (pages > 0).then_some((first, pages))
    }
}

impl State {
    /// The part of a run that consists of whole physical pages.
    fn whole_pages(&self, (first, pages): (usize, usize)) -> Option<(usize, usize)> {
        let align = (self.physical / PAGE).max(1);
        let start = first.next_multiple_of(align);
        let end = (first + pages) / align * align;
        (start < end).then(|| (start, end - start))
    }

    /// Pages from this one on were never part of the heap.
    fn end(&self) -> usize {
        self.growing.first
    }
}

impl PageHeap {
    /// From now on, when a run became idle is known: `clock` tells the time in milliseconds.
    /// To be called before the first allocation.
    pub fn keep_ages(&self, clock: fn() -> u32) {
        self.state.lock().clock = Some(clock);
    }

    /// Releases every run that has been idle for more than `idle_ms`. Returns the bytes released.
    ///
    /// # Errors
    /// The OS's refusal, with what was released before it.
    pub fn release_aged<O: Os>(
        &self,
        os: &O,
        arena: &Arena,
        idle_ms: u32,
    ) -> Result<usize, (usize, OsError)> {
        let (mut at, mut released) = (0, 0);
        loop {
            let mut state = self.state.lock();
            let (end, now) = (state.end(), state.clock.map_or(0, |clock| clock()));
            let Some((first, pages)) = state.tables.as_mut().and_then(|t| t.run_from(at, end))
            else {
                return Ok(released);
            };
            at = first + pages;
            let tables = state.tables.as_ref();
            let old = tables.is_some_and(|t| t.idle_for(first, pages, now) > idle_ms);
            let Some((first, pages)) = state.whole_pages((first, pages)).filter(|_| old) else {
                continue;
            };
            match self.release_run(os, arena, state, first, pages) {
                Ok(()) => released += pages * PAGE,
                Err(e) => return Err((released, e)),
            }
        }
    }

    /// Releases whole runs, the largest first, until `bytes` are gone. Returns the bytes released.
    ///
    /// # Errors
    /// The OS's refusal, with what was released before it.
    pub fn release_largest<O: Os>(
        &self,
        os: &O,
        arena: &Arena,
        bytes: usize,
    ) -> Result<usize, (usize, OsError)> {
        let mut released = 0;
        while released < bytes {
            let mut state = self.state.lock();
            let (end, mut at, mut largest) = (state.end(), 0, (0, 0));
            while let Some(run) = state.tables.as_mut().and_then(|t| t.run_from(at, end)) {
                at = run.0 + run.1;
                if run.1 >= largest.1 {
                    largest = run;
                }
            }
            let Some((first, pages)) = state.whole_pages(largest) else {
                break;
            };
            match self.release_run(os, arena, state, first, pages) {
                Ok(()) => released += pages * PAGE,
                Err(e) => return Err((released, e)),
            }
        }
        Ok(released)
    }

    /// Bytes idle and retained in whole huge pages, and the size of one; none where there are none.
    pub fn idle_huge(&self) -> (usize, usize) {
        let mut state = self.state.lock();
        let (huge, end) = (state.huge / PAGE, state.end());
        let mut bytes = 0;
        if huge > 0 {
            let mut at = 0;
            while let Some((first, pages)) = state.tables.as_mut().and_then(|t| t.run_from(at, end))
            {
                at = first + pages;
                let from = first.next_multiple_of(huge);
                bytes += at.saturating_sub(from) / huge * huge * PAGE;
            }
        }
        (bytes, state.huge)
    }

    /// Marks a retained run as used, has the OS take what backs it, and marks it as idle and
    /// released. The lock is free meanwhile.
    pub(super) fn release_run<O: Os>(
        &self,
        os: &O,
        arena: &Arena,
        mut state: crate::lock::Guard<'_, State>,
        first: usize,
        pages: usize,
    ) -> Result<(), OsError> {
        if let Some(t) = &mut state.tables {
            for (c, from, count) in parts(first, pages) {
                t.chunk(c).used.set(from, count);
            }
            t.summarise(first, pages);
        }
        drop(state);

        // SAFETY: idle pages of grown chunks, marked as used above: nobody holds or gets them.
        let done = core::ptr::NonNull::new(arena.address_of(first) as *mut u8)
            .map_or(Ok(()), |at| unsafe {
                os.release(at, pages * PAGE, self.advice())
            });

        let mut state = self.state.lock();
        if let Some(t) = &mut state.tables {
            for (c, from, count) in parts(first, pages) {
                t.chunk(c).used.clear(from, count);
                if done.is_ok() {
                    t.chunk(c).released.set(from, count);
                }
            }
            t.summarise(first, pages);
        }
        if done.is_ok() {
            self.bytes.released.add(pages * PAGE);
        }
        done
    }
}
