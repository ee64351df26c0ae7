//! Which pages are idle, and where a run of them is (Go: `mheap.go`,
//! `mpagealloc.go`).
//!
//! Three structures say the same thing at three distances: a bit a page (in
//! [`ChunkBits`]), a [`Summary`] a chunk and a radix tree over these, and a
//! density a chunk for the scavenger (and, for old policies, a time a page, in
//! `runs.rs`). Each change goes through `State::take`
//! or `State::give`, which keep the three in step. Runs are handed out lowest
//! address first. One lock guards it all; a thread's [`PageCache`] keeps most
//! small requests away from it.

mod cache;
mod extend;
mod look;
mod runs;
mod scavenge;
pub(crate) mod shrink;
mod tables;

pub use cache::PageCache;
pub(crate) use tables::Tables;
use tables::parts;

use crate::arena::{Arena, Extent};
use crate::bits::{ChunkBits, Found, PageBits, Summary};
use crate::counters::{Counter, PageCounters};
use crate::lock::{Lock, Rank};
use crate::meta::Meta;
use crate::os::{Advice, Os, OsError};
use crate::{CHUNK, CHUNK_PAGES, PAGE};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::Relaxed};
use goheap_scavenger::ChunkDensity;

/// Pages left out at the very start of the heap. Go pads its first chunk by a random 0 to 511 pages
/// (`markRandomPaddingPages`), which count as idle and released for ever; here it is the mean of
/// that, so that figures repeat.
pub(crate) const PADDING: usize = 256;

/// Pages behind these that hold the stacks of the background threads. As many as the stacks of Go's
/// first goroutines take out of its heap: the counters have them apart from it (`StackSys`).
pub(crate) const STACK_PAGES: usize = 32;
/// How many stacks these are.
const STACKS: usize = 2;

/// A run of pages taken from the heap, and what taking it meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Number of its first page.
    pub first: usize,
    /// How many pages.
    pub pages: usize,
    /// How many of them were released, and will be backed again when touched.
    pub released: usize,
    /// By how many bytes the heap grew for it.
    pub growth: usize,
    /// Whether something may have been written there: `false` means it reads as zero.
    pub dirty: bool,
}

/// Everything about idle pages.
#[derive(Debug)]
pub struct PageHeap {
    pub(crate) state: Lock<State>,
    /// Bytes in use, retained and released.
    pub bytes: PageCounters,
    /// Bytes released by the background scavenger and at allocation since last asked.
    pub released_in_background: Counter,
    /// The same, at allocation or by force.
    pub released_at_once: Counter,
    /// Bytes released since the start, by whomever.
    pub released_ever: Counter,
    /// Pages below this one were handed out before and may be dirty (Go: `zeroedBase`).
    touched: AtomicUsize,
    /// Where the stacks lie; null before the heap has any page.
    stacks: AtomicPtr<u8>,
    advice_free: AtomicBool,
    no_huge_pages: AtomicBool,
}

/// What the lock guards.
#[derive(Debug)]
pub struct State {
    pub(crate) tables: Option<Tables>,
    /// The reservation that grows: its next page, and its end.
    growing: Extent,
    pub(crate) scavenge: scavenge::Cursors,
    physical: usize,
    huge: usize,
    /// Milliseconds, if it is to be known since when pages are idle.
    clock: Option<fn() -> u32>,
}

impl State {
    /// Marks idle pages as used; returns how many of them were released.
    fn take(&mut self, first: usize, pages: usize) -> usize {
        let generation = self.scavenge.generation;
        let Some(t) = &mut self.tables else { return 0 };
        let mut released = 0;
        for (c, from, count) in parts(first, pages) {
            let summary = t.summaries.chunk(c);
            let chunk = t.chunk(c);
            let seen = chunk.is_seen_afar(from, summary);
            released += chunk.take(from, count);
            let d = t.density(c);
            *d = d.alloc(count as u32, generation);
            if seen {
                t.summarise_chunk(c);
            }
        }
        released
    }

    /// Marks used pages as idle and retained: runs by their first page and how many.
    fn give(&mut self, runs: &[(usize, usize)]) {
        let generation = self.scavenge.generation;
        let Some(t) = &mut self.tables else { return };
        // What is above a chunk's summary waits for the next run, if that is in the same one.
        let mut changed: Option<(usize, Summary)> = None;
        for &(first, pages) in runs {
            if let Some(clock) = self.clock {
                t.stamp(first, pages, clock());
            }
            for (c, from, count) in parts(first, pages) {
                let before = match changed {
                    Some((same, summary)) if same == c => summary,
                    _ => {
                        t.summarised(changed);
                        t.summaries.chunk(c)
                    }
                };
                let chunk = t.chunk(c);
                debug_assert_eq!(chunk.used.count(from, count), count);
                chunk.used.clear(from, count);
                changed = Some((c, chunk.with_freed(from, before)));
                let d = t.density(c);
                *d = d.free(count as u32, generation);
            }
            self.scavenge.freed(first + pages - 1);
        }
        t.summarised(changed);
    }

    /// The lowest run of `pages` idle pages at a multiple of `align` pages.
    fn find(&mut self, pages: usize, align: usize) -> Option<usize> {
        let t = self.tables.as_mut()?;
        let wide = pages.checked_add(align - 1)?;
        let first = match t.summaries.find(wide)? {
            Found::At(page) => page,
            Found::Inside(c) => c * CHUNK_PAGES + t.chunk(c).find(wide)?,
        };
        Some(first)
    }
}

impl PageHeap {
    /// No pages yet.
    pub const fn new() -> Self {
        Self {
            state: Lock::new(
                Rank::Pages,
                State {
                    tables: None,
                    growing: Extent { first: 0, pages: 0 },
                    scavenge: scavenge::Cursors::new(),
                    physical: 4096,
                    huge: 0,
                    clock: None,
                },
            ),
            bytes: PageCounters::new(),
            released_in_background: Counter::new(),
            released_at_once: Counter::new(),
            released_ever: Counter::new(),
            touched: AtomicUsize::new(0),
            stacks: AtomicPtr::new(core::ptr::null_mut()),
            advice_free: AtomicBool::new(false),
            no_huge_pages: AtomicBool::new(false),
        }
    }

    /// The page heap's lock, for the span of a `fork`.
    pub fn fork_lock(&self) {
        self.state.fork_lock();
    }

    /// Ends [`PageHeap::fork_lock`].
    ///
    /// # Safety
    /// The calling thread took it.
    pub unsafe fn fork_unlock(&self) {
        // SAFETY: the caller's contract.
        unsafe { self.state.fork_unlock() };
    }

    /// How pages are handed back from now on, whether huge pages are kept out of new memory, and
    /// whether scavenging spares dense chunks.
    pub fn configure(&self, advice: Advice, no_huge_pages: bool, spares_dense: bool) {
        self.advice_free.store(advice == Advice::Free, Relaxed);
        self.no_huge_pages.store(no_huge_pages, Relaxed);
        self.state.lock().scavenge.spares_dense = spares_dense;
    }

    /// Pages from this one on were never handed out.
    pub fn touched(&self) -> usize {
        self.touched.load(Relaxed)
    }

    /// The stack of background thread `number`, if there is one for it: its lowest address, and bytes.
    pub fn stack(&self, number: usize) -> Option<(NonNull<u8>, usize)> {
        let bytes = STACK_PAGES / STACKS * PAGE;
        let first = NonNull::new(self.stacks.load(Relaxed)).filter(|_| number < STACKS)?;
        // SAFETY: the stacks lie there one after the other.
        Some((unsafe { first.add(number * bytes) }, bytes))
    }

    fn advice(&self) -> Advice {
        if self.advice_free.load(Relaxed) {
            Advice::Free
        } else {
            Advice::DontNeed
        }
    }

    /// A run of `pages` pages at a multiple of `align` pages (a power of two), for a span.
    /// Looks into `cache` first if the run is small (Go: `mheap.allocSpan`).
    ///
    /// # Errors
    /// The OS's refusal to let the heap grow.
    pub fn alloc<O: Os>(
        &self,
        os: &O,
        meta: &Meta,
        arena: &Arena,
        cache: Option<&PageCache>,
        pages: usize,
        align: usize,
    ) -> Result<Run, OsError> {
        let small = align == 1 && pages < PageCache::PAGES / 4;
        if let Some(cache) = cache.filter(|_| small) {
            if cache.is_empty() {
                self.fill(&mut self.state.lock(), cache);
            }
            if let Some((first, released)) = cache.alloc(pages) {
                return Ok(self.hand_out(first, pages, released, 0));
            }
        }
        let mut state = self.state.lock();
        let mut growth = 0;
        let found = match state.find(pages, align) {
            Some(first) => first,
            None => {
                growth = self.grow(os, meta, arena, &mut state, pages.saturating_add(align - 1))?;
                let full = OsError {
                    operation: "growth",
                    address: 0,
                    bytes: pages * PAGE,
                    errno: 0,
                };
                state.find(pages, align).ok_or(full)?
            }
        };
        let first = if align == 1 {
            found
        } else {
            arena.aligned_from(found, align)
        };
        let released = state.take(first, pages);
        drop(state);
        Ok(self.hand_out(first, pages, released, growth))
    }

    fn hand_out(&self, first: usize, pages: usize, released: usize, growth: usize) -> Run {
        // Released by MADV_DONTNEED, or never touched: it reads as zero.
        let mut touched = self.touched.load(Relaxed);
        if touched < first + pages {
            touched = self.touched.fetch_max(first + pages, Relaxed);
        }
        let zero = first >= touched || (released == pages && self.advice() == Advice::DontNeed);
        if released > 0 {
            self.bytes.released.sub(released * PAGE);
        }
        self.bytes.in_use.add(pages * PAGE);
        Run {
            first,
            pages,
            released,
            growth,
            dirty: !zero,
        }
    }

    /// Takes spans' pages back, each by its first and how many; they are idle and retained then.
    pub fn free(&self, spans: &[(usize, usize)]) {
        if spans.is_empty() {
            return;
        }
        let pages: usize = spans.iter().map(|&(_, pages)| pages).sum();
        self.bytes.in_use.sub(pages * PAGE);
        self.state.lock().give(spans);
    }

    /// Grows by whole chunks, at least `pages` in a row (Go: `mheap.grow`). New memory
    /// counts as released: nothing backs it until it is touched.
    fn grow<O: Os>(
        &self,
        os: &O,
        meta: &Meta,
        arena: &Arena,
        state: &mut State,
        pages: usize,
    ) -> Result<usize, OsError> {
        let too_much = OsError {
            operation: "growth",
            address: 0,
            bytes: usize::MAX,
            errno: 0,
        };
        // Not once there are tables: the first growth may have been refused after them.
        let apart = if self.stacks.load(Relaxed).is_null() {
            PADDING + STACK_PAGES
        } else {
            0
        };
        let ask = pages
            .checked_add(apart)
            .and_then(|p| p.checked_next_multiple_of(CHUNK_PAGES))
            .ok_or(too_much)?;
        let mut growth = 0;
        if state.tables.is_none() {
            let least = ask.checked_mul(PAGE).ok_or(too_much)?;
            let aged = state.clock.is_some();
            let make = |chunks| Tables::make(os, meta, chunks, aged);
            let (extent, tables) = arena.start(os, meta, least, make)?;
            state.physical = os.physical_page();
            state.huge = os.huge_page();
            state.growing = extent;
            state.tables = Some(tables);
        }
        if state.growing.pages < ask {
            meta.put_by(os);
            let next = arena.extend(os, ask)?;
            let rest = state.growing;
            if rest.pages > 0
                && self
                    .commit(os, meta, arena, state, rest.first, rest.pages)
                    .is_ok()
            {
                growth += rest.pages * PAGE;
            }
            state.growing = next;
        }
        let first = state.growing.first;
        self.commit(os, meta, arena, state, first, ask)?;
        state.growing.first += ask;
        state.growing.pages -= ask;
        if apart > 0 {
            state.take(first, apart);
            self.touched.store(first + apart, Relaxed);
            let stacks = arena.address_of(first + PADDING);
            self.stacks
                .store(core::ptr::with_exposed_provenance_mut(stacks), Relaxed);
            self.bytes.grown.sub(STACK_PAGES * PAGE);
            self.bytes.released.sub(STACK_PAGES * PAGE);
            self.bytes.stacks.set((STACK_PAGES * PAGE) as u64);
        }
        Ok(growth + ask * PAGE)
    }

    fn commit<O: Os>(
        &self,
        os: &O,
        meta: &Meta,
        arena: &Arena,
        state: &mut State,
        first: usize,
        pages: usize,
    ) -> Result<(), OsError> {
        let Some(at) = NonNull::new(arena.address_of(first) as *mut u8) else {
            return Ok(());
        };
        // SAFETY: these pages lie in a reservation of the arena, and have not been handed out.
        unsafe {
            os.commit(at, pages * PAGE)?;
            if self.no_huge_pages.load(Relaxed) {
                os.no_huge_pages(at, pages * PAGE);
            }
        }
        let Some(t) = &mut state.tables else {
            return Ok(());
        };
        for (c, from, count) in parts(first, pages) {
            let chunk = t.chunk(c);
            chunk.used = PageBits::EMPTY;
            chunk.released.set(from, count);
        }
        t.summarise(first, pages);
        meta.grew(
            pages / CHUNK_PAGES
                * (size_of::<ChunkBits>()
                    + size_of::<ChunkDensity>()
                    + size_of::<Summary>() * 2
                    + CHUNK_PAGES * size_of::<usize>()
                    + t.stamps.map_or(0, |_| CHUNK_PAGES * size_of::<u32>())),
        );
        self.bytes.grown.add(pages * PAGE);
        self.bytes.released.add(pages * PAGE);
        debug_assert_eq!(pages * PAGE % CHUNK, 0);
        Ok(())
    }
}

impl Default for PageHeap {
    fn default() -> Self {
        Self::new()
    }
}
