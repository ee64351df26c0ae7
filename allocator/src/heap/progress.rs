//! How far a sweep has come: for those who sweep, those who wait for its end, and those who want pages from it.

use crate::counters::Counter;
use crate::size_class::CLASSES;
use crate::sync::Ordering::{Acquire, Relaxed, Release};
use crate::sync::{AtomicU32, AtomicU64, AtomicUsize};
use crossbeam_utils::CachePadded;

/// How far the sweep has come.
#[derive(Debug)]
pub struct Progress {
    /// The sweep under way, or the last one.
    epoch: AtomicU32,
    /// Classes below this one hold no unswept span.
    pub(super) class: AtomicUsize,
    /// Where reclaiming goes on, in pages.
    reclaim_at: AtomicUsize,
    pub(super) turn: CachePadded<Turn>,
}

/// What changes with each span that is swept, filled or left, in a cache line of its own: threads at it take
/// one line from each other, and not that in which they look for the epoch.
#[derive(Debug)]
pub(super) struct Turn {
    /// Spans that the sweep has yet to see, above [`SPAN`]; below, pages of those it has seen. One word,
    /// since each span swept changes both.
    pub state: AtomicU64,
    /// Pages freed by sweeps that nobody has claimed for growth yet.
    credit: AtomicUsize,
    /// Bytes live at the last cycle, and taken by caches or for large objects since.
    /// A span counts whole when a cache takes it, so this errs upwards (Go: `heapLive`).
    pub live: Counter,
}

/// One unswept span in [`Progress`]'s state.
pub(super) const SPAN: u64 = 1 << 32;

impl Progress {
    pub(super) const fn new() -> Self {
        Self {
            epoch: AtomicU32::new(0),
            class: AtomicUsize::new(CLASSES),
            reclaim_at: AtomicUsize::new(usize::MAX),
            turn: CachePadded::new(Turn {
                state: AtomicU64::new(0),
                credit: AtomicUsize::new(0),
                live: Counter::new(),
            }),
        }
    }

    /// A sweep begins, whose number this is; the last one is done. Until [`Progress::begun`] it is held up, so that it
    /// does not end before all that it has to see is known.
    pub(super) fn begin(&self) -> u32 {
        self.turn.credit.store(0, Relaxed);
        self.turn.state.store(SPAN, Relaxed);
        self.epoch().wrapping_add(1)
    }

    /// So many spans more to see.
    pub(super) fn add(&self, spans: usize) {
        self.turn.state.fetch_add(spans as u64 * SPAN, Relaxed);
    }

    /// All that sweep `epoch` has to see is known.
    pub(super) fn begun(&self, epoch: u32) {
        // Release: pairs with Acquire in `epoch`.
        self.epoch.store(epoch, Release);
        self.class.store(0, Relaxed);
        self.reclaim_at.store(0, Relaxed);
        // Release: pairs with Acquire in `is_done`, where it may be what ends the sweep.
        self.turn.state.fetch_sub(SPAN, Release);
    }

    /// The number of the sweep under way, or of the last one. Who sees it does not take the end of an earlier one for
    /// its end.
    #[inline]
    pub fn epoch(&self) -> u32 {
        // Acquire: pairs with Release in `begun`.
        self.epoch.load(Acquire)
    }

    /// Whether every span is swept. Who sees that it is sees all that sweeps have done, and counted.
    #[inline]
    pub fn is_done(&self) -> bool {
        // Acquire: pairs with Release in `saw` and `begun`.
        self.turn.state.load(Acquire) < SPAN
    }

    /// So many spans less to see, so many pages more seen.
    pub(super) fn saw(&self, spans: usize, pages: usize) {
        let change = (pages as u64).wrapping_sub(spans as u64 * SPAN);
        // Release: pairs with Acquire in `is_done`.
        self.turn.state.fetch_add(change, Release);
    }

    /// Pages of spans that this sweep has seen.
    pub fn pages_swept(&self) -> u64 {
        self.turn.state.load(Relaxed) % SPAN
    }

    /// The class to look for unswept spans in; `None` if there are none.
    pub(super) fn class(&self) -> Option<usize> {
        let class = self.class.load(Relaxed);
        (class < CLASSES && !self.is_done()).then_some(class)
    }

    /// Class `class` holds no unswept span.
    pub(super) fn leave_class(&self, class: usize) {
        // Whoever comes second has nothing to say.
        let _ = self
            .class
            .compare_exchange(class, class + 1, Relaxed, Relaxed);
    }

    /// So many pages were freed.
    pub(super) fn give_credit(&self, pages: usize) {
        self.turn.credit.fetch_add(pages, Relaxed);
    }

    /// Up to `pages` of what was freed, for whoever wanted to free them.
    pub(super) fn take_credit(&self, pages: usize) -> usize {
        let mut credit = self.turn.credit.load(Relaxed);
        while credit > 0 {
            let take = credit.min(pages);
            // Relaxed: a number of pages; the page heap's lock guards them.
            match self
                .turn
                .credit
                .compare_exchange(credit, credit - take, Relaxed, Relaxed)
            {
                Ok(_) => return take,
                Err(now) => credit = now,
            }
        }
        0
    }

    /// The first of the next `step` pages of `end` to look for unswept spans in.
    pub(super) fn reclaim_from(&self, step: usize, end: usize) -> Option<usize> {
        let mut from = self.reclaim_at.load(Relaxed);
        while from < end {
            match self
                .reclaim_at
                .compare_exchange(from, from + step, Relaxed, Relaxed)
            {
                Ok(_) => return Some(from),
                Err(now) => from = now,
            }
        }
        None
    }
}
