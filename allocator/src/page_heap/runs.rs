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

use super::{PageHeap, State, Tables};
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
            state.hold(first, pages);
            drop(state);
            match self.release_held(os, arena, &[(first, pages)]) {
                Ok(bytes) => released += bytes,
                Err((_, e)) => return Err((released, e)),
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
            state.hold(first, pages);
            drop(state);
            match self.release_held(os, arena, &[(first, pages)]) {
                Ok(bytes) => released += bytes,
                Err((_, e)) => return Err((released, e)),
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::Meta;
    use crate::os::Linux;
    use core::cell::Cell;

    thread_local! {
        static NOW: Cell<u32> = const { Cell::new(0) };
    }

    /// A page heap with ages, and a clock that stands still unless told.
    struct Aged {
        pages: PageHeap,
        arena: Arena,
        meta: Meta,
    }

    impl Aged {
        fn new() -> Self {
            let pages = PageHeap::new();
            pages.keep_ages(|| NOW.get());
            Self {
                pages,
                arena: Arena::new(),
                meta: Meta::new(),
            }
        }

        fn take(&self, pages: usize) -> usize {
            let (os, meta, arena) = (&Linux, &self.meta, &self.arena);
            let run = self.pages.alloc(os, meta, arena, None, pages, 1);
            run.expect("there is memory").first
        }

        fn free_at(&self, now: u32, first: usize, pages: usize) {
            NOW.set(now);
            self.pages.free(&[(first, pages)]);
        }

        /// Pages released at that time for having been idle for more than 10 ms.
        fn pass_at(&self, now: u32) -> usize {
            NOW.set(now);
            let released = self.pages.release_aged(&Linux, &self.arena, 10);
            released.expect("the system takes memory back") / PAGE
        }
    }

    #[test]
    fn a_run_goes_back_when_it_has_been_idle_for_longer_than_that() {
        let heap = Aged::new();
        let [a, _b, c] = [heap.take(7), heap.take(1), heap.take(9)];
        heap.free_at(100, a, 7);
        heap.free_at(105, c, 9);
        assert_eq!(heap.pass_at(110), 0);
        assert_eq!(heap.pass_at(111), 7);
        assert_eq!(heap.pass_at(111), 0, "it is back already");
        assert_eq!(heap.pass_at(116), 9);
        assert_eq!(heap.pages.released_ever.get(), (16 * PAGE) as u64);
    }

    #[test]
    fn what_is_freed_beside_an_idle_run_makes_it_young_again() {
        let heap = Aged::new();
        let [a, b] = [heap.take(5), heap.take(5)];
        heap.free_at(100, a, 5);
        heap.free_at(109, b, 5);
        assert_eq!(heap.pass_at(115), 0);
        assert_eq!(heap.pass_at(120), 10);
    }

    #[test]
    fn what_is_left_of_a_run_keeps_its_age() {
        let heap = Aged::new();
        let (a, _end) = (heap.take(20), heap.take(1));
        heap.free_at(100, a, 20);
        assert_eq!(heap.take(8), a);
        assert_eq!(heap.pass_at(111), 12);
    }

    #[test]
    fn a_run_over_several_chunks_is_one() {
        let heap = Aged::new();
        let (a, _end) = (heap.take(3 * CHUNK_PAGES), heap.take(1));
        heap.free_at(100, a, 3 * CHUNK_PAGES);
        assert_eq!(heap.pass_at(200), 3 * CHUNK_PAGES);
        let released = heap.pages.bytes.released.get();
        assert!(released >= (3 * CHUNK_PAGES * PAGE) as u64);
        assert_eq!(heap.take(3 * CHUNK_PAGES), a, "and can be had again");
    }

    #[test]
    fn the_largest_runs_go_first_and_whole() {
        let heap = Aged::new();
        let sizes = [10, 1, 40, 1, 25, 1];
        let at = sizes.map(|pages| heap.take(pages));
        for i in [0, 2, 4] {
            heap.free_at(0, at[i], sizes[i]);
        }
        let release = |pages: usize| {
            let done = heap
                .pages
                .release_largest(&Linux, &heap.arena, pages * PAGE);
            done.expect("the system takes memory back") / PAGE
        };
        assert_eq!(release(1), 40);
        assert_eq!(release(26), 35);
        assert_eq!(release(1), 0);
    }

    #[test]
    fn idle_huge_pages_are_counted_whole() {
        let heap = Aged::new();
        let (a, _end) = (heap.take(4 * CHUNK_PAGES), heap.take(1));
        heap.free_at(0, a, 4 * CHUNK_PAGES);
        let (bytes, huge) = heap.pages.idle_huge();
        if huge == 0 {
            assert_eq!(bytes, 0);
            return;
        }
        let all = 4 * CHUNK_PAGES * PAGE;
        assert_eq!(bytes % huge, 0);
        assert!(bytes <= all && bytes + 2 * huge > all, "{bytes} {huge}");
    }
}
