//! How many pages must be swept before so many bytes are allocated.
//!
//! All spans in use have to be swept before the next cycle can begin. Instead of
//! sweeping them at once, whoever takes a span pays for the bytes in it:
//!
//! ```text
//! distance       = max(trigger − live − 1 MiB, one page)
//! pages per byte = (pages in use − pages swept) / distance
//! pages due      = pages per byte × (live − live at planning + bytes asked for)
//!                − pages the caller is about to sweep anyway
//! ```
//!
//! The mebibyte is a margin: a plan that is late by a little is still done at
//! the trigger.
//!
//! Invariant: with `pages swept − basis ≥ pages due` at each allocation, no page
//! is left when the live heap reaches the trigger.
//!
//! The runtime plans at each commit while there is something left to sweep, and
//! asks for the debt at every refill, before it takes a span.
//!
//! Go keeps the old bases when nothing is left to sweep; here that is
//! [`SweepPace::DONE`], one value that means one thing.

/// Bytes of a heap page.
const PAGE: u64 = 8 << 10;

/// Bytes before the trigger by which the sweep should be over. Go:
/// `gcPaceSweeper`.
const MARGIN: u64 = 1 << 20;

/// The rate at which allocation pays for sweeping, and where the count began.
/// Go: `sweepPagesPerByte`, `sweepHeapLiveBasis` and `pagesSweptBasis` of `mheap`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SweepPace {
    /// Pages to sweep for each byte allocated. Zero: nothing to sweep.
    pub pages_per_byte: f64,
    /// Bytes of live heap when the plan was made.
    pub heap_live_basis: u64,
    /// Pages swept in this cycle when the plan was made.
    pub pages_swept_basis: u64,
}

impl SweepPace {
    /// Nothing is left to sweep: no allocation owes anything.
    pub const DONE: Self = Self {
        pages_per_byte: 0.0,
        heap_live_basis: 0,
        pages_swept_basis: 0,
    };

    /// The pace at which the pages in use that are not yet swept are done shortly
    /// before the live heap reaches `trigger`. Heap sizes in bytes; `pages_swept`
    /// is this cycle's count. Go: `gcPaceSweeper`.
    pub const fn plan(trigger: u64, heap_live: u64, pages_swept: u64, pages_in_use: u64) -> Self {
        let left = pages_in_use.saturating_sub(pages_swept);
        if left == 0 {
            return Self::DONE;
        }
        let distance = trigger.saturating_sub(heap_live).saturating_sub(MARGIN);
        let distance = if distance < PAGE { PAGE } else { distance };
        Self {
            pages_per_byte: left as f64 / distance as f64,
            heap_live_basis: heap_live,
            pages_swept_basis: pages_swept,
        }
    }

    /// Pages that must have been swept since the plan was made before a span of
    /// `span_bytes` may be taken, less the `caller_pages` that the caller sweeps
    /// by itself. Compare with the pages swept since
    /// [`pages_swept_basis`](Self::pages_swept_basis); may be negative, and
    /// saturates. A `heap_live` read before the plan was made counts as no
    /// allocation. Go: `deductSweepCredit`.
    pub const fn pages_target(&self, heap_live: u64, span_bytes: u64, caller_pages: u64) -> i64 {
        let allocated = heap_live
            .saturating_sub(self.heap_live_basis)
            .saturating_add(span_bytes);
        // The cast saturates, and makes zero of a NaN.
        let due = (self.pages_per_byte * allocated as f64) as i64;
        let caller = if caller_pages > i64::MAX as u64 {
            i64::MAX
        } else {
            caller_pages as i64
        };
        due.saturating_sub(caller)
    }

    /// Pages still to be swept by the caller, with `pages_swept` in this cycle so
    /// far; the rest as for [`pages_target`](Self::pages_target). Zero if the pace
    /// is kept. Go: the condition of the loop in `deductSweepCredit`.
    pub const fn debt(
        &self,
        heap_live: u64,
        span_bytes: u64,
        caller_pages: u64,
        pages_swept: u64,
    ) -> u64 {
        let target = self.pages_target(heap_live, span_bytes, caller_pages);
        let done = pages_swept.saturating_sub(self.pages_swept_basis);
        if target <= 0 {
            0
        } else {
            (target as u64).saturating_sub(done)
        }
    }

    /// Whether nothing is left to sweep, so that asking for the debt can be
    /// skipped.
    pub const fn is_done(&self) -> bool {
        self.pages_per_byte == 0.0
    }
}
