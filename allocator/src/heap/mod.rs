//! All of it put together.
//!
//! | file | idea |
//! | --- | --- |
//! | `refill.rs` | slots and spans for a thread's cache, large objects |
//! | `growth.rs` | a large object takes the pages behind it |
//! | `shared.rs` | blocks that tiny objects share |
//! | `death.rs` | logs are flushed: deaths are written into spans; an epoch closes |
//! | `sampled.rs` | objects sampled for the heap profile |
//! | `progress.rs` | how far a sweep has come |
//! | `sweep.rs` | condemned slots become free, empty spans go back to the page heap |
//! | `threads.rs` | caches come and go with their threads; `fork` |
//! | `watch.rs` | mistakes looked for at a price: each free at once, poison |
//! | `randomize.rs` | addresses that nobody can guess |
//! | `report.rs` | the line in which a mistake is told |
//! | `totals.rs` | one consistent reading of the counters |
//! | `tally.rs` | what lives and what is dead, by counting what came and went |
//! | `walk.rs` | the address space from end to end, while threads go on |
//! | `holdings.rs` | what the resident memory holds, byte by byte |
//! | `live_samples.rs` | how much of it was asked for, as far as samples tell |
//! | `map.rs` | what each stretch of it is, and how full |
//! | `check/` | whether all of it agrees |

mod check;
mod death;
mod growth;
mod holdings;
mod live_samples;
mod map;
mod progress;
mod randomize;
mod refill;
mod report;
mod sampled;
mod shared;
mod sweep;
mod tally;
mod threads;
mod totals;
mod walk;
mod watch;

pub use check::{Findings, Others};
pub use death::Deaths;
pub use holdings::Holdings;
pub use live_samples::LiveSample;
pub use map::{Occupancy, Run, Use};
pub use progress::Progress;
pub use refill::{Large, Refill};
pub use report::report_and_abort;
pub use sampled::{Moment, SiteView, Slot};
pub use totals::{Allocated, ClassTotal, Totals};

use crate::arena::Arena;
use crate::cache::Cache;
use crate::central::{Central, Counts};
use crate::counters::Counter;
use crate::lock::{Lock, Rank};
use crate::meta::Meta;
use crate::os::Os;
use crate::page_heap::{PageHeap, Tables};
use crate::sample::{NEVER, Rate, Table};
use crate::size_class::SizeClass;
use crate::span::Tag;
use core::ops::Range;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize};
use watch::Watch;

/// How many tables a heap has at the most.
pub const TABLES: usize = 1 + Tables::MOST;

/// A heap over the operating system `O`.
#[derive(Debug)]
pub struct Heap<O> {
    os: O,
    meta: Meta,
    arena: Arena,
    pages: PageHeap,
    central: Central,
    registry: Lock<Registry>,
    /// The cache made last; the others hang on it.
    caches: AtomicPtr<Cache>,
    progress: Progress,
    large: LargeCounters,
    /// How often objects are sampled.
    rate: Rate,
    /// What is kept of them.
    samples: Lock<Table>,
    /// Frees are carried out at once, not at the next sweep.
    eager: AtomicBool,
    watch: Watch,
    /// Objects are placed by random numbers.
    randomized: AtomicBool,
    /// Caches handed out at this moment.
    cache_count: AtomicUsize,
}

/// Which caches there are, and what they write down.
#[derive(Debug)]
struct Registry {
    /// The tag that deaths get now.
    tag: Tag,
    /// Bytes that died in epochs that are closed, since the start.
    died: u64,
    /// Caches that wait for a thread, the one released last first.
    spare: *mut Cache,
}

// SAFETY: caches are never unmapped; the list of spare ones is under the lock.
unsafe impl Send for Registry {}

/// What is counted of large objects beside [`Counts`]. Written under their class's lock.
#[derive(Debug)]
struct LargeCounters {
    /// Allocated since the start.
    objects: Counter,
    /// Bytes to the next that is sampled.
    sample_ahead: Counter,
}

impl<O: Os> Heap<O> {
    /// An empty heap; it maps nothing before the first allocation.
    pub const fn new(os: O) -> Self {
        Self {
            os,
            meta: Meta::new(),
            arena: Arena::new(),
            pages: PageHeap::new(),
            central: Central::new(),
            registry: Lock::new(
                Rank::Caches,
                Registry {
                    tag: Tag::FIRST,
                    died: 0,
                    spare: null_mut(),
                },
            ),
            caches: AtomicPtr::new(null_mut()),
            progress: Progress::new(),
            large: LargeCounters {
                objects: Counter::new(),
                sample_ahead: Counter::at(NEVER),
            },
            rate: Rate::none(),
            samples: Lock::new(Rank::Samples, Table::new()),
            eager: AtomicBool::new(false),
            watch: Watch::off(),
            randomized: AtomicBool::new(false),
            cache_count: AtomicUsize::new(0),
        }
    }

    /// Bytes of objects allocated less those swept, as far as anybody was told; wraps. Objects in a span are told of when a
    /// cache has done with it, large ones at once (Go: `gcController.totalAlloc`, `totalFree`). Never told of are those in
    /// a span that a cache held as a sweep began: in Go each cache hands its spans back then. So what is between this and
    /// [`kept_bytes`](totals::Allocated::kept_bytes) is to be looked up whenever a sweep begins.
    ///
    /// Costs a look at each class.
    pub fn heard(&self) -> u64 {
        let of = |counts: &Counts| {
            counts
                .told_bytes
                .get()
                .wrapping_sub(counts.freed_bytes.get())
        };
        self.central.all_counts().map(of).fold(0, u64::wrapping_add)
    }

    /// Bytes of large objects since the start: each is told of at once.
    fn large_bytes(&self) -> u64 {
        self.central.counts(SizeClass::LARGE).told_bytes.get()
    }

    /// The operating system that it is over.
    pub fn os(&self) -> &O {
        &self.os
    }

    /// The page heap, for what it counts and how it releases.
    pub fn pages(&self) -> &PageHeap {
        &self.pages
    }

    /// The heap's own memory, for what it counts.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Bytes that count as live for the pacer.
    pub fn live(&self) -> &Counter {
        &self.progress.turn.live
    }

    /// How far the sweep has come.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The class and the bytes of the slot that holds `address`; `None` where no span is.
    #[inline]
    pub fn slot_of(&self, address: usize) -> Option<(SizeClass, usize)> {
        // SAFETY: an entry of the table is a header, which lives for ever, or null.
        let span = unsafe { self.arena.span_of(address).as_ref() }?;
        Some((span.class(), span.slot_bytes()))
    }

    /// Spans in use.
    pub fn spans(&self) -> u64 {
        self.central.all_counts().map(|c| c.spans.get()).sum()
    }

    /// Carries frees out at once from now on, or no longer.
    pub fn set_eager(&self, eager: bool) {
        self.eager
            .store(eager, core::sync::atomic::Ordering::Relaxed);
    }

    /// Bytes of memory in use for the heap: spans, retained idle pages, stacks and metadata
    /// (Go: `mappedReady`).
    pub fn mapped_ready(&self) -> u64 {
        let bytes = &self.pages.bytes;
        bytes.backed() + bytes.stacks.get() + self.meta.total()
    }

    /// Gives up the address space that is of no use where the process may have `limit` bytes of it.
    pub fn shrink(&self, limit: usize) {
        self.pages.shrink(&self.os, &self.arena, limit);
    }

    /// Where the heap's tables lie, of which only what is touched takes memory.
    /// Empty ranges before the first allocation.
    pub fn tables(&self) -> [Range<usize>; TABLES] {
        let mut all = [const { 0..0 }; TABLES];
        let (spans, others) = all.split_at_mut(1);
        others.clone_from_slice(&self.pages.tables());
        spans[0] = self.arena.span_table();
        all
    }

    /// Releases up to `bytes` of idle pages; see [`PageHeap::scavenge`]. A refusal by the OS ends it early.
    pub fn scavenge(&self, bytes: usize, force: bool, stop: impl FnMut() -> bool) -> usize {
        self.pages
            .scavenge(&self.os, &self.arena, bytes, force, true, stop)
            .unwrap_or_else(|(released, _)| released)
    }

    /// The same, dense chunks spared and each run by itself, as Go does it: what that costs paces who does it.
    pub fn scavenge_one_by_one(&self, bytes: usize) -> usize {
        self.pages
            .scavenge(&self.os, &self.arena, bytes, false, false, || false)
            .unwrap_or_else(|(released, _)| released)
    }

    /// Releases what has been idle for more than `idle_ms`; see [`PageHeap::release_aged`].
    pub fn release_aged(&self, idle_ms: u32) -> usize {
        self.pages
            .release_aged(&self.os, &self.arena, idle_ms)
            .unwrap_or_else(|(released, _)| released)
    }

    /// Releases `bytes` of the largest idle runs; see [`PageHeap::release_largest`].
    pub fn release_largest(&self, bytes: usize) -> usize {
        self.pages
            .release_largest(&self.os, &self.arena, bytes)
            .unwrap_or_else(|(released, _)| released)
    }
}
