//! What the heap's memory that is resident holds, byte by byte.
//!
//! The walk takes no class's lock and stops no thread: headers live for ever, and words, death bytes and
//! bins are atomics. The page heap's lock is held for as long as it takes to copy one chunk's bitmaps. While
//! all threads rest, each byte is counted once and exactly. What threads do meanwhile may be missed or seen twice: deaths
//! logged after the walk passed their slots are taken off what is live all the same.
//!
//! A physical page counts whole or not at all; if it holds several things, each gets its own bytes of it.

use super::Heap;
use crate::meta::Kind;
use crate::os::Os;
use crate::page_heap::{PADDING, STACK_PAGES};
use crate::size_class::CLASSES;
use crate::span::{SHARED, Span, State};
use crate::{CHUNK, CHUNK_PAGES, PAGE};
use core::sync::atomic::Ordering::{Acquire, Relaxed};

/// Physical pages of a chunk, where they are smallest.
const MOST: usize = CHUNK / 4096;

/// Resident bytes by what they hold.
#[derive(Clone, Debug)]
pub struct Holdings {
    /// Slots of objects that nobody has freed.
    pub live: u64,
    /// Slots of objects that were freed, and that no sweep has reclaimed.
    pub dead: u64,
    /// Free slots by class.
    pub free: [u64; CLASSES],
    /// What spans have beyond their last slot.
    pub tails: u64,
    /// Slots and pages that wait in threads' caches, and objects whose death is still in a log.
    pub cached: u64,
    /// Idle pages that were not released.
    pub retained: u64,
    /// Idle pages that were released, or never used, and are resident nevertheless.
    pub released: u64,
    /// Stacks of the background threads.
    pub stacks: u64,
    /// Blocks made for spans, resident or not.
    pub span_blocks: u64,
    /// Blocks made for threads' caches, resident or not.
    pub cache_blocks: u64,
    /// Of tables, what is in use.
    pub table_blocks: u64,
    /// Where the heap's first range begins.
    pub from: usize,
    /// Where what may be touched of it ends.
    pub to: usize,
}

/// A bin: slots of one span that a thread may hand out.
#[derive(Clone, Copy)]
pub(super) struct Bin {
    pub base: usize,
    pub free: u64,
}

impl<O: Os> Heap<O> {
    /// Looks at each page and, where one is resident, at each of its slots: some milliseconds for 100 MiB
    /// of small objects. `ask` says of physical pages from an address on which are in memory.
    pub fn holdings(&self, ask: impl Fn(usize, &mut [bool])) -> Holdings {
        let physical = self.os.physical_page();
        let mut held = Holdings {
            live: 0,
            dead: 0,
            free: [0; CLASSES],
            tails: 0,
            cached: 0,
            retained: 0,
            released: 0,
            stacks: 0,
            span_blocks: self.meta.used(Kind::Spans),
            cache_blocks: self.meta.used(Kind::Caches),
            table_blocks: self.meta.used(Kind::Tables),
            from: self.arena.address_of(0),
            to: 0,
        };
        let mut end = 0;
        for c in 0.. {
            let Some((committed, used, released)) = self.pages.chunk(c) else {
                break;
            };
            end = committed;
            let first = c * CHUNK_PAGES;
            // Between two reservations lies a chunk that is no memory.
            if first >= committed {
                break;
            }
            if self.arena.page_of(self.arena.address_of(first)) != Some(first) {
                continue;
            }
            let mut resident = [false; MOST];
            let pages = CHUNK / physical;
            ask(self.arena.address_of(first), &mut resident[..pages]);
            let piece = physical.min(PAGE);
            for page in first..first + CHUNK_PAGES {
                let at = self.arena.address_of(page);
                let offset = (page - first) * PAGE;
                let in_use = used.count(page - first, 1) > 0;
                let gone = released.count(page - first, 1) > 0;
                for from in (0..PAGE).step_by(piece) {
                    if resident[(offset + from) / physical] {
                        self.add(&mut held, page, in_use, gone, at + from, piece);
                    }
                }
            }
        }
        held.to = self.arena.address_of(end);
        self.add_logged(&mut held);
        held
    }

    fn add(
        &self,
        held: &mut Holdings,
        page: usize,
        in_use: bool,
        gone: bool,
        at: usize,
        bytes: usize,
    ) {
        // Acquire: pairs with Release in `set_spans`; the span's fields are there.
        // SAFETY: an entry of the table is a header, which lives for ever, or null.
        let span = unsafe { self.arena.entry(page).load(Acquire).as_ref() };
        let to = match (span, in_use) {
            (Some(span), _) => return self.add_slots(held, span, at, bytes),
            (None, true) if (PADDING..PADDING + STACK_PAGES).contains(&page) => &mut held.stacks,
            (None, true) => &mut held.cached,
            (None, false) if gone => &mut held.released,
            (None, false) => &mut held.retained,
        };
        *to += bytes as u64;
    }

    /// Of the `bytes` from `at` on, which lie in `span`, those of each slot.
    fn add_slots(&self, held: &mut Holdings, span: &Span, at: usize, bytes: usize) {
        let (base, size, end) = (span.base(), span.slot_bytes().max(1), at + bytes);
        let bin = self.bin_of(span);
        let first = at.saturating_sub(base) / size;
        let mut seen = at;
        for slot in first..span.slots() {
            let start = base + slot * size;
            if start >= end {
                break;
            }
            let upto = (start + size).min(end);
            let part = upto.saturating_sub(seen) as u64;
            seen = upto;
            let taken = span.words()[slot / 64].load(Relaxed) >> (slot % 64) & 1 != 0;
            let dead = !matches!(span.death(slot).load(Relaxed), 0 | SHARED);
            let waits = |bin: Bin| {
                let n = start.wrapping_sub(bin.base) / size;
                n < 64 && bin.free >> n & 1 != 0
            };
            *match (taken, dead) {
                (false, _) => &mut held.free[span.class().index()],
                (true, true) => &mut held.dead,
                (true, false) if bin.is_some_and(waits) => &mut held.cached,
                (true, false) => &mut held.live,
            } += part;
        }
        held.tails += (end - seen) as u64;
    }

    pub(super) fn bin_of(&self, span: &Span) -> Option<Bin> {
        if span.state() != State::Cached {
            return None;
        }
        let class = span.class().index();
        let mut found = None;
        self.for_each_cache(|cache| {
            if core::ptr::eq(cache.held[class].span.load(Relaxed), span) {
                found = Some(Bin {
                    base: cache.base[class].load(Relaxed),
                    free: cache.waiting(span.class()),
                });
            }
        });
        found
    }

    /// What logs hold was counted as live. A block that tiny objects share counts as live for as long as one
    /// of them does, and here, if that one is in a log.
    fn add_logged(&self, held: &mut Holdings) {
        self.for_each_cache(|cache| {
            let drained = cache.drained.lock();
            for entry in cache.logged(drained.upto) {
                let address = entry.load(Relaxed);
                // SAFETY: an entry of the table is a header, which lives for ever, or null.
                let span = unsafe { self.arena.span_of(address).as_ref() };
                let alone = span.filter(|s| s.shared_slot(address).is_none());
                let bytes = alone.map_or(0, |s| s.slot_bytes() as u64).min(held.live);
                held.live -= bytes;
                held.cached += bytes;
            }
        });
    }
}
