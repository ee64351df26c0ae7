//! Bitmaps, summaries, densities, cursors, the page table, and bytes by state.

use super::spans::Spans;
use super::{Findings, Others};
use crate::bits::summary::{FAN, width};
use crate::bits::{Summaries, Summary};
use crate::heap::Heap;
use crate::os::Os;
use crate::page_heap::{PADDING, STACK_PAGES};
use crate::{CHUNK_PAGES, PAGE};
use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;

/// Pages by what they are found to be.
#[derive(Default)]
struct Found {
    in_spans: u64,
    retained: u64,
    released: u64,
}

impl<O: Os> Heap<O> {
    /// # Safety
    /// Every lock of the heap is held, and nothing refers to what they guard; if the others rest,
    /// so do their caches.
    pub(super) unsafe fn check_pages(&self, others: Others, spans: &Spans, f: &mut Findings) {
        // SAFETY: the caller's contract.
        let state = unsafe { self.pages.state.held() };
        let (forced, align) = (state.scavenge.forced, state.align());
        let Some(t) = &mut state.tables else {
            f.equal("pages in spans before any was grown", 0, spans.pages);
            return;
        };
        check_levels(&t.summaries, f);
        let apart = self.pages_apart();
        let mut found = Found::default();
        for c in 0..t.summaries.grown {
            let (chunk, density, summary) = (*t.chunk(c), *t.density(c), t.summaries.chunk(c));
            let untouched = [0, 64, 128, 192, 256, 320, 384, 448]
                .iter()
                .all(|&p| chunk.used.word(p) | chunk.released.word(p) == 0);
            if untouched && summary == Summary::NONE && density.pack() == 0 {
                // Between two reservations.
                continue;
            }
            f.require(
                summary == chunk.summary(),
                format_args!(
                    "chunk {c}: summarised as {summary:?}, its bitmap says {:?}",
                    chunk.summary()
                ),
            );
            let (used, counted) = (chunk.used.count(0, CHUNK_PAGES), density.in_use() as usize);
            f.require(
                // Pages on their way back to the system are marked as used, and no denser for it.
                counted == used || (others == Others::Run && counted < used),
                format_args!("chunk {c}: {used} pages in use, its density says {counted}"),
            );
            let highest = chunk.releasable(CHUNK_PAGES - 1, align, 1, 0);
            let highest = highest.map(|(at, pages)| c * CHUNK_PAGES + at + pages - 1);
            f.require(
                // The cursor stands for the 64 pages around it.
                !density.has_free() || highest.map(|p| p / 64) <= forced.map(|p| p / 64),
                format_args!(
                    "chunk {c} has pages to release, but the forced cursor is at page {forced:?}"
                ),
            );
            for within in 0..CHUNK_PAGES {
                let page = c * CHUNK_PAGES + within;
                let used = chunk.used.count(within, 1) == 1;
                let released = chunk.released.count(within, 1) == 1;
                f.require(
                    !(used && released),
                    format_args!("page {page}: in use and released"),
                );
                // SAFETY: the caller's contract.
                unsafe { self.check_page(page, used, apart.contains(&page), others, f) };
                if !self.arena.span_at(page).is_null() {
                    found.in_spans += 1;
                }
                found.released += u64::from(!used && released);
                found.retained += u64::from(!used && !released);
            }
        }
        f.equal("pages that lead to spans", found.in_spans, spans.pages);
        if others == Others::Rest {
            self.for_each_cache(|cache| {
                let (idle, released) = (&cache.pages.idle, &cache.pages.released);
                let (idle, released) = (idle.load(Relaxed), released.load(Relaxed));
                found.released += u64::from(released.count_ones());
                found.retained += u64::from((idle & !released).count_ones());
            });
            let (bytes, page) = (&self.pages.bytes, PAGE as u64);
            f.equal("bytes in use", bytes.in_use.get(), spans.pages * page);
            let stacks = (apart.len().min(STACK_PAGES)) as u64;
            let released = found.released + apart.len() as u64 - stacks;
            f.equal("bytes released", bytes.released.get(), released * page);
            f.equal("bytes of stacks", bytes.stacks.get(), stacks * page);
            let grown = spans.pages + found.retained + released;
            f.equal("bytes grown", bytes.grown.get(), grown * page);
        }
    }

    /// The pages in use that no span has: what is left out at the start, and the stacks behind it.
    pub(in crate::heap) fn pages_apart(&self) -> Range<usize> {
        let stacks = self.pages.stack(0).map(|(at, _)| at.as_ptr().addr());
        match stacks.and_then(|at| self.arena.page_of(at)) {
            Some(first) => first - PADDING..first + STACK_PAGES,
            None => 0..0,
        }
    }

    /// Holds one page's bit against the page table and the caches.
    ///
    /// # Safety
    /// As [`Heap::check_pages`].
    unsafe fn check_page(
        &self,
        page: usize,
        used: bool,
        apart: bool,
        others: Others,
        f: &mut Findings,
    ) {
        let span = self.arena.span_at(page);
        if !span.is_null() {
            f.require(
                used,
                format_args!("page {page} is idle, but the page table says span {span:p}"),
            );
            let touched = self.pages.touched();
            f.require(
                page < touched,
                format_args!(
                    "page {page} is span {span:p}'s, but only those below {touched} were ever used"
                ),
            );
        }
        if others == Others::Run {
            return;
        }
        let mut owners = 0;
        self.for_each_cache(|cache| {
            owners += usize::from(cache.pages.has(page).is_some());
        });
        owners += usize::from(!span.is_null()) + usize::from(apart);
        f.require(
            owners == usize::from(used),
            format_args!(
                "page {page} is {}, and {owners} spans and page caches have it",
                if used { "in use" } else { "idle" }
            ),
        );
    }
}

/// Holds each level of summaries against the one below it.
fn check_levels(summaries: &Summaries, f: &mut Findings) {
    for level in 1..=summaries.top {
        let entries = summaries.grown.div_ceil(FAN.pow(level as u32));
        for i in 0..entries {
            let merged = Summary::merge(
                summaries.slice(level - 1, i * FAN, FAN),
                width(level - 1) as u32,
            );
            let entry = summaries.slice(level, i, 1)[0];
            f.require(
                entry == merged,
                format_args!(
                    "summary {i} of level {level} is {entry:?}, the level below says {merged:?}"
                ),
            );
        }
    }
    for (i, entry) in
        (0..summaries.first_top).zip(summaries.slice(summaries.top, 0, summaries.first_top))
    {
        f.require(
            entry.max == 0,
            format_args!(
                "summary {i} of the top level has idle pages, but searches begin at {}",
                summaries.first_top
            ),
        );
    }
}
