//! A walk over the heap's address space while its threads go on.
//!
//! It takes no class's lock and stops no thread: headers live for ever, and what they hold, the page table
//! and threads' page caches are atomics. The page heap's lock is held for as long as it takes to copy one chunk's
//! bitmaps, and never while a stretch is handed over. Stretches follow each other in the order of their pages, without
//! a gap but between reservations, and never overlap. While all threads rest they are exact. Of
//! pages that change hands meanwhile, each shows as what it was before or after, or as set aside.
//!
//! `holdings.rs` and `map.rs` walk.

use super::Heap;
use crate::bits::PageBits;
use crate::os::Os;
use crate::page_heap::STACK_PAGES;
use crate::span::Span;
use crate::{CHUNK_PAGES, PAGE};
use core::ops::Range;

/// What a stretch of pages is.
#[derive(Clone, Copy, Debug)]
pub(super) enum What<'a> {
    /// A span.
    Span(&'a Span),
    /// In no span: set aside by a thread; whether it is released.
    SetAside { released: bool },
    /// Idle, and backed by memory.
    Retained,
    /// Idle, and handed back.
    Released,
    /// Idle, and never handed out.
    Untouched,
    /// Left out for good at the heap's start.
    Padding,
    /// Stacks of the background threads.
    Stacks,
}

impl What<'_> {
    /// Whether two neighbours are one stretch.
    fn joins(&self, other: &Self) -> bool {
        match (self, other) {
            (What::Span(_), _) | (_, What::Span(_)) => false,
            (What::SetAside { released: a }, What::SetAside { released: b }) => a == b,
            _ => core::mem::discriminant(self) == core::mem::discriminant(other),
        }
    }
}

/// Some pages in a row that are one thing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch<'a> {
    /// Number of the first page.
    pub first: usize,
    /// How many.
    pub pages: usize,
    pub what: What<'a>,
}

/// A chunk as it stood when it was looked at, and what holds for the whole heap.
struct Chunk {
    used: PageBits,
    released: PageBits,
    touched: usize,
    /// The heap's first pages, which are in no span: those left out, then the stacks.
    apart: Range<usize>,
}

impl<O: Os> Heap<O> {
    /// Calls `with` for each stretch of the heap. Returns the number of the page behind the last one.
    pub(super) fn walk(&self, mut with: impl FnMut(Stretch<'_>)) -> usize {
        let apart = self.pages_apart();
        let touched = self.pages.touched();
        let mut pending: Option<Stretch<'_>> = None;
        let mut page = 0;
        let mut end = 0;
        while let Some((grown, used, released)) = self.pages.chunk(page / CHUNK_PAGES) {
            if page >= grown {
                break;
            }
            end = grown;
            let upto = (page / CHUNK_PAGES + 1) * CHUNK_PAGES;
            // Between two reservations lies a chunk that is no memory.
            if self.arena.page_of(self.arena.address_of(page)) != Some(page) {
                page = upto;
                continue;
            }
            let chunk = Chunk {
                used,
                released,
                touched,
                apart: apart.clone(),
            };
            while page < upto {
                let (pages, what) = self.look_at(page, &chunk);
                match &mut pending {
                    Some(p) if p.first + p.pages == page && p.what.joins(&what) => p.pages += pages,
                    _ => {
                        let next = Stretch {
                            first: page,
                            pages,
                            what,
                        };
                        pending.replace(next).into_iter().for_each(&mut with);
                    }
                }
                page += pages;
            }
        }
        pending.into_iter().for_each(with);
        end
    }

    /// What begins at `page`, and how many pages of it.
    fn look_at(&self, page: usize, chunk: &Chunk) -> (usize, What<'_>) {
        // Acquire: pairs with Release in `set_spans`; the span's fields are there.
        // SAFETY: an entry of the table is a header, which lives for ever, or null.
        let span = unsafe { self.arena.span_at(page).as_ref() };
        if let Some(span) = span
            && span.first_page() == page
        {
            return (span.pages().max(1), What::Span(span));
        }
        let within = page % CHUNK_PAGES;
        let bit = |bits: &PageBits| bits.count(within, 1) > 0;
        let what = match (bit(&chunk.used), bit(&chunk.released)) {
            // A span that has just come or gone.
            _ if span.is_some() => What::SetAside { released: false },
            (true, _) if chunk.apart.contains(&page) => {
                match page + STACK_PAGES < chunk.apart.end {
                    true => What::Padding,
                    false => What::Stacks,
                }
            }
            (true, _) => What::SetAside {
                released: self.is_set_aside_released(page),
            },
            (false, false) => What::Retained,
            (false, true) if page >= chunk.touched => What::Untouched,
            (false, true) => What::Released,
        };
        (1, what)
    }

    fn is_set_aside_released(&self, page: usize) -> bool {
        let mut released = false;
        self.for_each_cache(|cache| released |= cache.pages.has(page).unwrap_or(false));
        released
    }

    /// Address and bytes of a stretch.
    pub(super) fn range_of(&self, stretch: &Stretch<'_>) -> Range<usize> {
        let from = self.arena.address_of(stretch.first);
        from..from + stretch.pages * PAGE
    }
}
