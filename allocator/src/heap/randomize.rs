//! Addresses that nobody can guess: a base that differs from run to run (Go: `randomizeHeapBase` in
//! `malloc.go`), and spans whose slots are not handed out from the first one on.
//!
//! A cache then leaves a random number of a word's lowest free slots where they are, and begins with the one
//! behind them. Those left come with the span's next turn, so none is lost.

use super::Heap;
use crate::cache::Cache;
use crate::os::Os;
use crate::span::Span;
use core::sync::atomic::Ordering::Relaxed;

impl<O: Os> Heap<O> {
    /// Places the heap, and objects in their spans, by random numbers that `seed` begins. To be called before the heap
    /// has a cache.
    pub fn randomize(&self, seed: u64) {
        self.arena.scatter(seed);
        self.randomized.store(true, Relaxed);
    }

    /// The word of `span` from which a cache takes slots first.
    #[inline(always)]
    pub(super) fn first_word(&self, cache: &Cache, span: &Span) -> usize {
        if self.randomized.load(Relaxed) {
            cache.random.below(span.word_count() as u64) as usize
        } else {
            0
        }
    }

    /// Of the slots `free` of word `word`, just taken, those that the cache is to hand out now.
    #[inline(always)]
    pub(super) fn beginning_at_random(
        &self,
        cache: &Cache,
        span: &Span,
        word: usize,
        free: u64,
    ) -> u64 {
        if self.randomized.load(Relaxed) {
            leave_some(cache, span, word, free)
        } else {
            free
        }
    }
}

#[cold]
fn leave_some(cache: &Cache, span: &Span, word: usize, free: u64) -> u64 {
    let mut rest = free;
    for _ in 0..cache.random.below(u64::from(free.count_ones())) {
        rest &= rest - 1;
    }
    span.return_word(word, free & !rest);
    rest
}
