//! 64 pages set aside for one thread (Go: `mpagecache.go`): an aligned block of
//! 64 page numbers, of which the idle ones are this thread's to take without the
//! page heap's lock. They count as idle until they are in a span.

use super::{PageHeap, State};
use crate::CHUNK_PAGES;
use crate::bits::Found;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU64, AtomicUsize};

/// A thread's own idle pages. Its owner alone changes it; who looks at the heap reads it, relaxed: exact
/// while the owner rests.
#[derive(Debug, Default)]
pub struct PageCache {
    pub(crate) base: AtomicUsize,
    /// A bit for each page that may be taken.
    pub(crate) idle: AtomicU64,
    /// Those of them that are released.
    pub(crate) released: AtomicU64,
}

impl PageCache {
    /// Pages that a cache spans.
    pub const PAGES: usize = 64;

    /// Nothing set aside.
    pub const fn new() -> Self {
        Self {
            base: AtomicUsize::new(0),
            idle: AtomicU64::new(0),
            released: AtomicU64::new(0),
        }
    }

    /// Whether there is nothing to take.
    pub fn is_empty(&self) -> bool {
        self.idle.load(Relaxed) == 0
    }

    /// Whether it has page `page`, and whether that is released.
    pub(crate) fn has(&self, page: usize) -> Option<bool> {
        let within = page.wrapping_sub(self.base.load(Relaxed));
        let has = |bits: &AtomicU64| bits.load(Relaxed) >> within & 1 != 0;
        (within < Self::PAGES && has(&self.idle)).then(|| has(&self.released))
    }

    /// The lowest run of `pages` pages: its first page, and how many were released. Only the owner may.
    pub fn alloc(&self, pages: usize) -> Option<(usize, usize)> {
        let (idle, released) = (self.idle.load(Relaxed), self.released.load(Relaxed));
        let at = first_run(idle, pages)?;
        let mask = if pages >= 64 {
            u64::MAX
        } else {
            ((1 << pages) - 1) << at
        };
        self.idle.store(idle & !mask, Relaxed);
        self.released.store(released & !mask, Relaxed);
        let gone = (released & mask).count_ones() as usize;
        Some((self.base.load(Relaxed) + at as usize, gone))
    }

    fn set(&self, base: usize, idle: u64, released: u64) {
        self.base.store(base, Relaxed);
        self.idle.store(idle, Relaxed);
        self.released.store(released, Relaxed);
    }
}

/// Where the first run of `n` ones in `bits` starts.
fn first_run(mut bits: u64, n: usize) -> Option<u32> {
    // Each step shortens every run by what it may without losing one of length n.
    let (mut left, mut step) = (n.saturating_sub(1) as u32, 1u32);
    while left > 0 {
        let by = left.min(step);
        bits &= bits >> by;
        left -= by;
        step *= 2;
    }
    (bits != 0).then(|| bits.trailing_zeros())
}

impl PageHeap {
    /// Sets aside the idle pages of the block that holds the lowest idle page, in a cache that is empty.
    /// Sets aside nothing where ages are kept: Go had no such caches then.
    pub(super) fn fill(&self, state: &mut State, cache: &PageCache) {
        if state.clock.is_some() {
            return;
        }
        let generation = state.scavenge.generation;
        let Some(t) = &mut state.tables else {
            return;
        };
        let first = match t.summaries.find(1) {
            None => return,
            Some(Found::At(page)) => page,
            Some(Found::Inside(c)) => match t.chunk(c).find(1) {
                None => return,
                Some(p) => c * CHUNK_PAGES + p,
            },
        };
        let (c, within) = (first / CHUNK_PAGES, first % CHUNK_PAGES);
        let chunk = t.chunk(c);
        let idle = !chunk.used.word(within);
        let released = chunk.released.word(within) & idle;
        chunk.used.set_in_word(within, idle);
        chunk.released.clear_in_word(within, idle);
        let d = t.density(c);
        *d = d.alloc(idle.count_ones(), generation);
        t.summarise(first, 1);
        cache.set(first / 64 * 64, idle, released);
    }

    /// Puts what is left in `cache` back. Only its owner may.
    pub fn flush(&self, cache: &PageCache) {
        let idle = cache.idle.load(Relaxed);
        if idle == 0 {
            return;
        }
        let (base, released) = (cache.base.load(Relaxed), cache.released.load(Relaxed));
        cache.set(0, 0, 0);
        let mut state = self.state.lock();
        let generation = state.scavenge.generation;
        let Some(t) = &mut state.tables else { return };
        let (c, within) = (base / CHUNK_PAGES, base % CHUNK_PAGES);
        t.chunk(c).used.clear_in_word(within, idle);
        t.chunk(c).released.set_in_word(within, released);
        let d = t.density(c);
        *d = d.free(idle.count_ones(), generation);
        t.summarise(base, 1);
        state
            .scavenge
            .freed(base + 63 - idle.leading_zeros() as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_run_that_is_long_enough_is_taken() {
        let c = PageCache::new();
        c.set(640, 0b1111_0110_1101, 0b1001_0000_0001);
        assert_eq!(c.alloc(3), Some((648, 1)));
        assert_eq!(c.alloc(2), Some((642, 0)));
        assert_eq!(c.alloc(1), Some((640, 1)));
        assert_eq!(c.alloc(3), None);
        let left = (c.idle.into_inner(), c.released.into_inner());
        assert_eq!(left, (0b1000_0110_0000, 0b1000_0000_0000));
    }

    #[test]
    fn a_run_is_found_wherever_it_lies() {
        for n in 1..=64 {
            for at in 0..=64 - n {
                let bits = (if n == 64 { u64::MAX } else { (1 << n) - 1 }) << at;
                assert_eq!(first_run(bits, n), Some(at as u32));
                assert_eq!(if n < 64 { first_run(bits, n + 1) } else { None }, None);
            }
        }
    }
}
