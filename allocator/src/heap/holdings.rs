//! What the heap's memory that is resident holds, byte by byte.
//!
//! Where it is, a walk tells (`walk.rs`), and how much of it lives and is dead, a tally (`tally.rs`): so what threads
//! do during the walk is in neither sum. While all threads rest the two agree, and each byte is
//! counted once and exactly; else what differs shows as free slots, or is taken off them, then off idle pages.
//!
//! A physical page counts whole or not at all; if it holds several things, each gets its own bytes of it.

use super::Heap;
use super::tally::Tally;
use super::walk::What;
use crate::meta::Kind;
use crate::os::Os;
use crate::size_class::CLASSES;
use crate::span::{SHARED, Span, State};
use crate::{CHUNK, CHUNK_PAGES, PAGE};
use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;

/// Physical pages of a chunk, where they are smallest.
const MOST: usize = CHUNK / 4096;

/// Resident bytes by what they hold.
#[derive(Clone, Debug)]
pub struct Holdings {
    /// Slots of objects that nobody has freed.
    pub live: u64,
    /// The same by class, as the walk met them.
    pub live_of: [u64; CLASSES],
    /// Slots of objects that were freed, and that no sweep has reclaimed.
    pub dead: u64,
    /// Free slots by class.
    pub free: [u64; CLASSES],
    /// What spans have beyond their last slot.
    pub tails: u64,
    /// Slots and pages that wait in threads' caches.
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
    /// Of tables and the heap profile, what is in use.
    pub table_blocks: u64,
    /// Where the heap's first range begins.
    pub from: usize,
    /// Where what may be touched of it ends.
    pub to: usize,
    /// Bytes handed back to the system since the start, as the walk began.
    pub released_ever: u64,
}

/// Bytes of pages by what they hold.
struct Met {
    live: [u64; CLASSES],
    dead: u64,
    free: [u64; CLASSES],
    tails: u64,
    cached: u64,
    retained: u64,
}

/// A bin: slots of one span that a thread may hand out.
#[derive(Clone, Copy)]
pub(super) struct Bin {
    pub base: usize,
    pub free: u64,
}

/// Which physical pages of a chunk are in memory.
struct Resident {
    chunk: usize,
    pages: [bool; MOST],
}

impl Met {
    const NONE: Self = Self {
        live: [0; CLASSES],
        dead: 0,
        free: [0; CLASSES],
        tails: 0,
        cached: 0,
        retained: 0,
    };

    /// Has what the walk met live and dead in memory be what it is in all, but for what it met `elsewhere`, which is
    /// not in memory. Retained pages of which free slots are too few have come into use since the walk met
    /// them. Returns what is live.
    fn settle(&mut self, elsewhere: &Self, is: Tally) -> u64 {
        let free: u64 = self.free.iter().sum();
        let mut slots = self.live.iter().sum::<u64>() + self.dead + free;
        let live = is.live.saturating_sub(elsewhere.live.iter().sum());
        let dead = is.dead.saturating_sub(elsewhere.dead);
        let taken = (live + dead).saturating_sub(slots).min(self.retained);
        self.retained -= taken;
        slots += taken;
        let live = live.min(slots);
        self.dead = dead.min(slots - live);
        let left = slots - live - self.dead;
        let mut given = 0;
        for of_class in &mut self.free {
            let share = (u128::from(*of_class) * u128::from(left)).checked_div(free.into());
            *of_class = share.unwrap_or(0) as u64;
            given += *of_class;
        }
        // What rounding leaves; all of it, where the walk has met no free slot.
        self.dead += left - given;
        live
    }
}

impl<O: Os> Heap<O> {
    /// Looks at each page and, where one is resident, at each of its slots: some milliseconds for 100 MiB
    /// of small objects. `ask` says of physical pages from an address on which are in memory.
    pub fn holdings(&self, ask: impl Fn(usize, &mut [bool])) -> Holdings {
        let physical = self.os.physical_page();
        let (mut released, mut stacks) = (0, 0);
        let (mut held, mut elsewhere) = (Met::NONE, Met::NONE);
        let released_ever = self.pages.released_ever.get();
        self.drain_all();
        let mut resident = Resident {
            chunk: usize::MAX,
            pages: [false; MOST],
        };
        let ask_of = |resident: &mut Resident, bytes: Range<usize>| {
            let first = bytes.start / physical;
            let from = self.arena.address_of(resident.chunk * CHUNK_PAGES) + first * physical;
            ask(
                from,
                &mut resident.pages[first..bytes.end.div_ceil(physical)],
            );
        };
        let piece = physical.min(PAGE);
        let end = self.walk(|stretch| {
            let behind = stretch.first + stretch.pages;
            let mut asked_again = false;
            for page in stretch.first..behind {
                let chunk = page / CHUNK_PAGES;
                if resident.chunk != chunk {
                    resident.chunk = chunk;
                    asked_again = false;
                    ask_of(&mut resident, 0..CHUNK);
                }
                let at = self.arena.address_of(page);
                let offset = page % CHUNK_PAGES * PAGE;
                for from in (0..PAGE).step_by(piece) {
                    let of_chunk = (offset + from) / physical;
                    if !resident.pages[of_chunk]
                        && let What::Span(_) = stretch.what
                        && !core::mem::replace(&mut asked_again, true)
                    {
                        // It may have been handed out, and touched, since the chunk was asked for.
                        let upto = usize::min(behind - chunk * CHUNK_PAGES, CHUNK_PAGES);
                        ask_of(&mut resident, offset + from..upto * PAGE);
                    }
                    let is_resident = resident.pages[of_chunk];
                    let met = match is_resident {
                        true => &mut held,
                        false => &mut elsewhere,
                    };
                    let to = match stretch.what {
                        What::Span(span) => {
                            self.add_slots(met, span, at + from, piece);
                            continue;
                        }
                        _ if !is_resident => continue,
                        What::Stacks => &mut stacks,
                        What::SetAside { .. } => &mut met.cached,
                        What::Retained => &mut met.retained,
                        What::Released | What::Untouched | What::Padding => &mut released,
                    };
                    *to += piece as u64;
                }
            }
        });
        let live_of = held.live;
        Holdings {
            live: held.settle(&elsewhere, self.tally()),
            live_of,
            dead: held.dead,
            free: held.free,
            tails: held.tails,
            cached: held.cached,
            retained: held.retained,
            released,
            stacks,
            span_blocks: self.meta.used(Kind::Spans),
            cache_blocks: self.meta.used(Kind::Caches),
            table_blocks: self.meta.used(Kind::Tables) + self.meta.used(Kind::Profile),
            from: self.arena.address_of(0),
            to: self.arena.address_of(end),
            released_ever,
        }
    }

    /// Of the `bytes` from `at` on, which lie in `span`, those of each slot.
    fn add_slots(&self, to: &mut Met, span: &Span, at: usize, bytes: usize) {
        let (base, size, end) = (span.base(), span.slot_bytes().max(1), at + bytes);
        let (bin, class) = (self.bin_of(span), span.class().index());
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
            let taken = span.words()[slot / 64].glance() >> (slot % 64) & 1 != 0;
            let dead = !matches!(span.death(slot).load(Relaxed), 0 | SHARED);
            let waits = |bin: Bin| {
                let n = start.wrapping_sub(bin.base) / size;
                n < 64 && bin.free >> n & 1 != 0
            };
            *match (taken, dead) {
                (false, _) => &mut to.free[class],
                (true, true) => &mut to.dead,
                (true, false) if bin.is_some_and(waits) => &mut to.cached,
                (true, false) => &mut to.live[class],
            } += part;
        }
        to.tails += (end - seen) as u64;
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
}
