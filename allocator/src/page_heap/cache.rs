//! 64 pages set aside for one thread (Go: `mpagecache.go`): an aligned block of
//! 64 page numbers, of which the idle ones are this thread's to take without the
//! page heap's lock. They count as idle until they are in a span.

use super::{PageHeap, State};
use crate::CHUNK_PAGES;
use crate::bits::Found;

/// A thread's own idle pages.
#[derive(Clone, Copy, Debug, Default)]
pub struct PageCache {
    pub(crate) base: usize,
    /// A bit for each page that may be taken.
    pub(crate) idle: u64,
    /// Those of them that are released.
    pub(crate) released: u64,
}

impl PageCache {
    /// Pages that a cache spans.
    pub const PAGES: usize = 64;

    /// Nothing set aside.
    pub const fn new() -> Self {
        Self {
            base: 0,
            idle: 0,
            released: 0,
        }
    }

    /// Whether there is nothing to take.
    pub fn is_empty(&self) -> bool {
        self.idle == 0
    }

    /// The lowest run of `pages` pages: its first page, and how many were released.
    pub fn alloc(&mut self, pages: usize) -> Option<(usize, usize)> {
        let at = first_run(self.idle, pages)?;
        let mask = if pages >= 64 {
            u64::MAX
        } else {
            ((1 << pages) - 1) << at
        };
        let released = (self.released & mask).count_ones() as usize;
        self.idle &= !mask;
        self.released &= !mask;
        Some((self.base + at as usize, released))
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
    /// Sets aside the idle pages of the block that holds the lowest idle page.
    /// Sets aside nothing where ages are kept: Go had no such caches then.
    pub(super) fn fill(&self, state: &mut State) -> PageCache {
        if state.clock.is_some() {
            return PageCache::new();
        }
        let generation = state.scavenge.generation;
        let Some(t) = &mut state.tables else {
            return PageCache::new();
        };
        let first = match t.summaries.find(1) {
            None => return PageCache::new(),
            Some(Found::At(page)) => page,
            Some(Found::Inside(c)) => match t.chunk(c).find(1) {
                None => return PageCache::new(),
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
        PageCache {
            base: first / 64 * 64,
            idle,
            released,
        }
    }

    /// Puts what is left in `cache` back.
    pub fn flush(&self, cache: &mut PageCache) {
        if cache.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        let generation = state.scavenge.generation;
        let PageCache {
            base,
            idle,
            released,
        } = core::mem::take(cache);
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
        let mut c = PageCache {
            base: 640,
            idle: 0b1111_0110_1101,
            released: 0b1001_0000_0001,
        };
        assert_eq!(c.alloc(3), Some((648, 1)));
        assert_eq!(c.alloc(2), Some((642, 0)));
        assert_eq!(c.alloc(1), Some((640, 1)));
        assert_eq!(c.alloc(3), None);
        assert_eq!((c.idle, c.released), (0b1000_0110_0000, 0b1000_0000_0000));
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
