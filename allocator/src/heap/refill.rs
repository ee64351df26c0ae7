//! Slots for a thread's cache, and large objects (Go: `mcache.refill`,
//! `mcentral.cacheSpan`, `mcache.allocLarge`).

use super::Heap;
use crate::cache::Cache;
use crate::central::Lists;
use crate::meta::Kind;
use crate::os::{Os, OsError};
use crate::page_heap::Run;
use crate::prefetch;
use crate::size_class::SizeClass;
use crate::span::Span;
use crate::{PAGE, pages_for};
use core::ptr::null_mut;
use core::sync::atomic::Ordering::Relaxed;

/// A span is looked for among this many unswept ones before fresh pages are taken:
/// bounds the time, at a cost in space of 1 % (Go: `spanBudget`).
const BUDGET: usize = 100;

/// What getting a span cost the page heap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refill {
    /// Bytes that the heap grew by.
    pub growth: usize,
    /// Bytes of released pages that are in use now.
    pub released: usize,
}

impl From<Run> for Refill {
    fn from(run: Run) -> Self {
        Self {
            growth: run.growth,
            released: run.released * PAGE,
        }
    }
}

/// A large object.
#[derive(Clone, Copy, Debug)]
pub struct Large {
    /// Where it starts.
    pub at: *mut u8,
    /// Whether it may hold old contents.
    pub dirty: bool,
    /// What it cost the page heap.
    pub cost: Refill,
    /// Whether it is to be sampled: by [`Heap::sample`], when nothing else is left to do.
    pub sampled: bool,
}

/// Slots are asked for word by word in heaps of so many bytes. A smaller one lies near enough; a larger one
/// beyond any cache, where asking for sixty lines at once would wait for them.
const ASKED_FOR: core::ops::Range<u64> = 8 << 20..64 << 20;

/// Asks for the first line of each slot in `free`: where a word has gaps, the next slot is seldom
/// the one that [`Cache::alloc`] asks for ahead.
fn prefetch_slots(base: usize, bytes: usize, free: u64) {
    let mut rest = free;
    while rest != 0 {
        prefetch::for_write(base + rest.trailing_zeros() as usize * bytes);
        rest &= rest - 1;
    }
}

impl<O: Os> Heap<O> {
    /// Sees to it that the cache has a slot of `class`, from the span that it holds; [`Heap::take`] takes it.
    /// `false`: that span has nothing left.
    ///
    /// # Safety
    /// The calling thread owns `cache`, and [`Heap::take`] found nothing in it.
    pub unsafe fn next_word(&self, cache: &Cache, class: SizeClass) -> bool {
        let held = &cache.held[class.index()];
        debug_assert_eq!(held.rest.load(Relaxed), 0, "`take` would have had a slot");
        // SAFETY: a held span's header lives for ever.
        let Some(span) = (unsafe { held.span.load(Relaxed).as_ref() }) else {
            return false;
        };
        let next = held.word.get() + 1;
        next < span.word_count() && self.fill_from(cache, class, span, next, true)
    }

    /// Fills the bin from the span's words from `first` on, if one has a free slot. `shared`: as for
    /// [`Span::take_word`].
    fn fill_from(
        &self,
        cache: &Cache,
        class: SizeClass,
        span: &Span,
        first: usize,
        shared: bool,
    ) -> bool {
        let held = &cache.held[class.index()];
        for word in first..span.word_count() {
            let free = span.take_word(word, shared);
            if free != 0 {
                let free = self.beginning_at_random(cache, span, word, free);
                span.prefetch_word(word + 1);
                let base = span.base() + word * 64 * span.slot_bytes();
                let slots = free.count_ones();
                let gaps = slots as usize * 4 <= span.slots_in(word) * 3;
                if gaps && ASKED_FOR.contains(&self.pages.bytes.in_use.get()) {
                    prefetch_slots(base, span.slot_bytes(), free);
                }
                held.word.set(word);
                held.taken
                    .store(held.taken.load(Relaxed) + u64::from(slots), Relaxed);
                cache.base[class.index()].store(base, Relaxed);
                let bin = held.before_sampled(free, slots);
                cache.free[class.index()].store(bin, Relaxed);
                return true;
            }
        }
        held.word.set(span.word_count());
        false
    }

    /// Gives the cache another span of `class`, with a slot for [`Heap::take`]. In order: a swept span with
    /// room, an unswept one (sweeping it), fresh pages (first sweeping for as many).
    ///
    /// # Errors
    /// The OS's refusal to let the heap grow.
    ///
    /// # Safety
    /// The calling thread owns `cache`, and its bin is empty.
    pub unsafe fn take_span(&self, cache: &Cache, class: SizeClass) -> Result<Refill, OsError> {
        let mut cost = Refill::default();
        let mut lists = self.central.class(class).lock();
        self.put_back(&mut lists, cache, class);
        let (span, taken) = match self.find_span(&mut lists) {
            Some(found) => found,
            None => {
                if !self.progress.is_done() {
                    drop(lists);
                    self.reclaim(class.pages());
                    lists = self.central.class(class).lock();
                }
                let run = self.pages.alloc(
                    &self.os,
                    &self.meta,
                    &self.arena,
                    Some(&cache.pages),
                    class.pages(),
                    1,
                )?;
                cost = run.into();
                (self.open_span(&mut lists, class, run)?, 0)
            }
        };
        span.file(taken);
        lists.lend(span);
        lists.prefetch_partial();
        let held = &cache.held[class.index()];
        held.span
            .store(core::ptr::from_ref(span).cast_mut(), Relaxed);
        held.epoch.set(lists.epoch);
        let first = self.first_word(cache, span);
        let filled = self.fill_from(cache, class, span, first, false)
            || (first > 0 && self.fill_from(cache, class, span, 0, false));
        drop(lists);
        self.live()
            .add(span.pages() * PAGE - taken * span.slot_bytes());
        debug_assert!(filled, "a span was taken for its free slots");
        Ok(cost)
    }

    /// A span with free slots, in no list from now on, and how many of its slots are taken.
    fn find_span(&self, lists: &mut Lists) -> Option<(&'static Span, usize)> {
        if let Some(span) = lists.pop_partial() {
            return Some((span, span.filed()));
        }
        if let Some(span) = lists.pop_unswept_partial() {
            let swept = self.sweep_unlisted(lists, span, false);
            return Some((span, swept.taken));
        }
        for _ in 0..BUDGET {
            let span = lists.pop_unswept_full()?;
            let swept = self.sweep_unlisted(lists, span, false);
            if swept.taken < span.slots() {
                return Some((span, swept.taken));
            }
            lists.file(span, swept.taken);
        }
        None
    }

    /// A span in no list for pages just taken.
    fn open_span(
        &self,
        lists: &mut Lists,
        class: SizeClass,
        run: Run,
    ) -> Result<&'static Span, OsError> {
        let span = match lists.spare.pop() {
            Some(span) => span,
            None => match self
                .meta
                .take(&self.os, Kind::Spans, Span::block_bytes(class))
            {
                Ok(block) => {
                    let block = block.as_ptr().cast::<Span>();
                    lists.blocks += 1;
                    // SAFETY: fresh metadata: zeroed, 64-byte-aligned, long enough, never unmapped.
                    unsafe {
                        Span::format(block, class);
                        &*block
                    }
                }
                Err(e) => {
                    self.pages.free(&[(run.first, run.pages)]);
                    return Err(e);
                }
            },
        };
        span.open(
            self.arena.address_of(run.first),
            run.first,
            run.pages,
            run.dirty,
            lists.epoch,
        );
        self.arena.set_spans(run.first, run.pages, Some(span));
        let spans = &self.central.counts(class).spans;
        spans.set(spans.get() + 1);
        Ok(span)
    }

    /// Returns the span that the cache holds of `class` to the lists, sweeping it if this
    /// sweep has not seen it (Go: `mcentral.uncacheSpan`).
    fn put_back(&self, lists: &mut Lists, cache: &Cache, class: SizeClass) {
        let held = &cache.held[class.index()];
        // SAFETY: a held span's header lives for ever.
        let Some(span) = (unsafe { held.span.load(Relaxed).as_ref() }) else {
            return;
        };
        let bin = &cache.free[class.index()];
        let unused = cache.waiting(class);
        if unused != 0 {
            held.distance.give_back(bin.load(Relaxed).count_ones());
            held.rest.store(0, Relaxed);
            bin.store(0, Relaxed);
            held.taken.store(
                held.taken.load(Relaxed) - u64::from(unused.count_ones()),
                Relaxed,
            );
            span.return_word(held.word.get(), unused);
        }
        held.span.store(null_mut(), Relaxed);
        lists.unlink(span);
        span.leave(lists.epoch);
        let stale = held.epoch.get() != lists.epoch;
        let taken = if lists.is_unswept(span) {
            self.sweep_unlisted(lists, span, false).taken
        } else {
            span.taken()
        };
        if !stale {
            let used = taken.saturating_sub(span.filed());
            self.central.counts(class).tell(used * span.slot_bytes());
            if taken < span.slots() {
                // Taking the span counted all its slots; those left over were not used.
                self.live().sub((span.slots() - taken) * span.slot_bytes());
            }
        }
        if taken == 0 {
            self.close_span(lists, span);
        } else {
            lists.file(span, taken);
        }
    }

    /// Returns every span the cache holds, so that others may use what is left in them. Its shared block is
    /// filled no longer.
    ///
    /// # Safety
    /// The calling thread owns `cache`.
    pub unsafe fn return_spans(&self, cache: &Cache) {
        // SAFETY: the caller's contract.
        unsafe { self.leave_shared(cache) };
        for class in SizeClass::all().skip(1) {
            if !cache.held[class.index()].span.load(Relaxed).is_null() {
                self.put_back(&mut self.central.class(class).lock(), cache, class);
            }
        }
    }

    /// Returns the cache's spans if a sweep has started since it last did (Go: `mcache.prepareForSweep`).
    ///
    /// # Safety
    /// The calling thread owns `cache`.
    pub unsafe fn return_stale_spans(&self, cache: &Cache) {
        let epoch = self.progress.epoch();
        if cache.epoch.replace(epoch) != epoch {
            // SAFETY: the caller's contract.
            unsafe { self.return_spans(cache) };
        }
    }

    /// An object in a span of its own, at a multiple of `align` (a power of two).
    ///
    /// # Errors
    /// The OS's refusal to let the heap grow.
    pub fn alloc_large(&self, bytes: usize, align: usize) -> Result<Large, OsError> {
        let too_large = OsError {
            operation: "allocation",
            address: 0,
            bytes,
            errno: 0,
        };
        let pages = pages_for(bytes.max(1)).ok_or(too_large)?;
        self.reclaim(pages);
        let run = self.pages.alloc(
            &self.os,
            &self.meta,
            &self.arena,
            None,
            pages,
            align.div_ceil(PAGE).max(1),
        )?;
        let mut lists = self.central.class(SizeClass::LARGE).lock();
        let span = self.open_span(&mut lists, SizeClass::LARGE, run)?;
        span.take_unlisted();
        lists.file(span, 1);
        self.large.objects.set(self.large.objects.get() + 1);
        self.central.counts(SizeClass::LARGE).tell(pages * PAGE);
        let sampled = self.large_is_sampled(pages * PAGE);
        drop(lists);
        self.live().add(pages * PAGE);
        let at = core::ptr::with_exposed_provenance_mut(span.base());
        Ok(Large {
            at,
            dirty: run.dirty,
            cost: run.into(),
            sampled,
        })
    }
}
