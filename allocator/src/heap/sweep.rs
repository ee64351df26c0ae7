//! Sweeping: condemned slots become free, and empty spans go back to the page
//! heap (Go: `mgcsweep.go`, `mheap.reclaim`).
//!
//! Whoever meets an unswept span may sweep it: the background sweeper and the
//! thread that owes for its allocations ([`Heap::sweep_some`]), a cache that looks
//! for a span, and the heap before it grows ([`Heap::reclaim`]).

use super::Heap;
use crate::central::Lists;
use crate::os::Os;
use crate::size_class::SizeClass;
use crate::span::{Span, State, Swept, Tag};
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

/// Spans swept, and given back, under one acquisition of the locks that it takes, where Go sweeps one.
/// Eight would save more, but a sweep so far ahead had cycles come earlier than Go's.
const BATCH: usize = 2;

/// Pages that are reclaimed at a time (Go: `pagesPerReclaimerChunk`, a whole chunk; but Go looks only
/// for spans that are dead as a whole, by their mark bits, where this sweeps each with a death, and the
/// allocation that does so should not last).
const STEP: usize = 64;

impl<O: Os> Heap<O> {
    /// Makes every span unswept, and deaths with the tag `condemned` free.
    pub fn start_sweep(&self, condemned: Tag) {
        let epoch = self.progress.begin();
        for class in SizeClass::all() {
            let mut lists = self.central.class(class).lock();
            let spans = lists.start_sweep(epoch, condemned);
            if spans > 0 {
                self.progress.add(spans);
            }
        }
        self.progress.begun(epoch);
    }

    /// Sweeps a span that is in no list. Callers hold its class's lock and then
    /// [file](Lists::file), [lend](Lists::lend) or [close](Heap::close_span) it.
    /// `shared` says that a cache allocates from it meanwhile.
    pub(super) fn sweep_unlisted(
        &self,
        lists: &mut Lists,
        span: &'static Span,
        shared: bool,
    ) -> Swept {
        let swept = self.sweep_slots(lists, span, shared);
        self.progress.saw(1, span.pages());
        swept
    }

    fn sweep_slots(&self, lists: &Lists, span: &Span, shared: bool) -> Swept {
        self.check_poison(span, lists.condemned);
        if !span.records.load(Relaxed).is_null() {
            self.forget_condemned(lists, span);
        }
        let swept = span.sweep(lists.condemned, lists.epoch, shared);
        self.count_freed(span, swept.freed);
        swept
    }

    /// Counts objects freed in `span`. Callers hold its class's lock.
    fn count_freed(&self, span: &Span, objects: usize) {
        let counts = self.central.counts(span.class());
        counts.free(objects, objects * span.slot_bytes());
    }

    /// Gives a span's pages back; it is in no list and has no object.
    pub(super) fn close_span(&self, lists: &mut Lists, span: &'static Span) {
        let pages = self.retire(lists, span);
        self.pages.free(&[pages]);
    }

    /// Takes a span off its pages: which is the first, and how many.
    fn retire(&self, lists: &mut Lists, span: &'static Span) -> (usize, usize) {
        let (first, pages) = (span.first_page(), span.pages());
        self.arena.set_spans(first, pages, None);
        let spans = &self.central.counts(span.class()).spans;
        spans.set(spans.get() - 1);
        lists.spare.push(span, State::Spare);
        (first, pages)
    }

    /// Sweeps a few spans of one class. Returns the pages that they gave back, or `None` if there is no
    /// span left to take. Others may still be at work on theirs then.
    pub fn sweep_some(&self) -> Option<usize> {
        loop {
            let c = self.progress.class()?;
            let mut lists = self.central.class(SizeClass::from_index(c)).lock();
            if let Some(pages) = self.sweep_some_in(&mut lists) {
                return Some(pages);
            }
            // Under the lock: the class may have unswept spans again once it is given back, if another sweep begins.
            self.progress.leave_class(c);
        }
    }

    /// The same of `class`, which the calling thread is about to allocate from: its spans are in this processor's
    /// cache, or will be. Two threads that sweep each other's instead take twice as long.
    pub fn sweep_some_of(&self, class: SizeClass) -> Option<usize> {
        self.sweep_some_in(&mut self.central.class(class).lock())
    }

    fn sweep_some_in(&self, lists: &mut Lists) -> Option<usize> {
        let unswept = |lists: &mut Lists| {
            lists
                .pop_unswept_full()
                .or_else(|| lists.pop_unswept_partial())
        };
        if let Some(pages) = self.sweep_batch(lists, unswept) {
            return Some(pages);
        }
        let span = lists.pop_unswept_cached()?;
        self.sweep_unlisted(lists, span, true);
        lists.lend(span);
        Some(0)
    }

    /// Sweeps up to [`BATCH`] of the spans that `next` takes out of the lists, and counts and hands
    /// back once for all. Returns the pages given back, `None` if there was no span.
    fn sweep_batch(
        &self,
        lists: &mut Lists,
        mut next: impl FnMut(&mut Lists) -> Option<&'static Span>,
    ) -> Option<usize> {
        let mut empty = [(0, 0); BATCH];
        let (mut spans, mut pages, mut empties, mut given) = (0, 0, 0, 0);
        while spans < BATCH
            && let Some(span) = next(lists)
        {
            let swept = self.sweep_slots(lists, span, false);
            spans += 1;
            pages += span.pages();
            if swept.taken == 0 {
                empty[empties] = self.retire(lists, span);
                given += empty[empties].1;
                empties += 1;
            } else {
                lists.file(span, swept.taken);
            }
        }
        if spans == 0 {
            return None;
        }
        self.pages.free(&empty[..empties]);
        if given > 0 {
            self.progress.give_credit(given);
        }
        self.progress.saw(spans, pages);
        Some(given)
    }

    /// Before pages are taken, sweeps until as many are found free: else a heap that could
    /// live in what is dead would grow (Go: `mheap.reclaim`).
    pub(super) fn reclaim(&self, pages: usize) {
        let p = &self.progress;
        let mut left = pages;
        while left > 0 && !p.is_done() {
            let credit = p.take_credit(left);
            if credit > 0 {
                left -= credit;
                continue;
            }
            let Some(from) = p.reclaim_from(STEP, self.pages.touched()) else {
                return;
            };
            self.reclaim_chunk(from);
        }
    }

    /// Sweeps the spans that start in the chunk from page `from` on and have deaths.
    fn reclaim_chunk(&self, from: usize) {
        for page in from..(from + STEP).min(self.pages.touched()) {
            // SAFETY: an entry of the table is a header, which lives for ever, or null.
            let Some(span) = (unsafe { self.arena.span_at(page).as_ref() }) else {
                continue;
            };
            if span.first_page() != page || span.swept() == self.progress.epoch() {
                continue;
            }
            let mut lists = self.central.class(span.class()).lock();
            let here = core::ptr::eq(self.arena.span_at(page), span) && span.first_page() == page;
            let listed = matches!(span.state(), State::Full | State::Partial);
            if here && listed && lists.is_unswept(span) && span.has_deaths(lists.condemned) {
                lists.unlink(span);
                let mut this = Some(span);
                self.sweep_batch(&mut lists, |_| this.take());
            }
        }
    }

    /// Frees the objects of a log at once: what `GOHEAP_RECLAIM=eager` asks for.
    pub(super) fn free_at_once(&self, entries: &[AtomicUsize]) {
        for entry in entries {
            let address = entry.load(Relaxed);
            // SAFETY: an entry of the table is a header, which lives for ever, or null.
            let Some(span) = (unsafe { self.arena.span_of(address).as_ref() }) else {
                super::report_and_abort(address, crate::span::Misuse::Foreign)
            };
            let mut lists = self.central.class(span.class()).lock();
            // SAFETY: the span was found by the address.
            match unsafe { span.free_now(address) } {
                Err(m) => super::report_and_abort(address, m),
                Ok(true) => {
                    if !span.records.load(Relaxed).is_null() {
                        self.forget_freed(&lists, span, address);
                    }
                    self.freed_at_once(&mut lists, span);
                }
                Ok(false) => {}
            }
        }
    }

    fn freed_at_once(&self, lists: &mut Lists, span: &'static Span) {
        self.count_freed(span, 1);
        // A cached span counts whole until it is put back, and then what is free in it does not.
        if span.state() != State::Cached {
            self.live().sub(span.slot_bytes());
            let taken = span.taken();
            lists.unlink(span);
            if lists.is_unswept(span) {
                self.sweep_unlisted(lists, span, false);
            }
            if taken == 0 {
                self.close_span(lists, span)
            } else {
                lists.file(span, taken)
            }
        }
    }
}
