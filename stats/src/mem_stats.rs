//! Go's `runtime.MemStats`, field for field: what the memory manager knows of
//! itself at one moment.
//!
//! A snapshot is taken with every thread's counts folded in, so its figures
//! agree with each other ([`crate::audit()`] says how). The names in JSON are Go's,
//! so a program that reads a Go service's `/debug/vars` reads this too.
//!
//! Source: Go 1.27, `runtime/mstats.go`, `MemStats` and `readmemstats_m`.
//! Departures: Go's tracer, stacks and workers have no counterpart here, so the
//! fields that count them mean what their own text below says.
//!
//! A `MemStats` takes about 5.5 KiB and is plain data. Filling one in never
//! allocates; serialising one may.

use serde::{Deserialize, Serialize};
use serde_big_array::BigArray;

/// Cycles that the two rings of pauses remember.
pub const PAUSE_RING: usize = 256;

/// Size classes that [`MemStats::by_size`] reports: the first 61 of the 68, as
/// in Go, whose array kept its length when classes were added.
pub const BY_SIZE: usize = 61;

/// Allocations of one size class, counted since the start. Exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BySize {
    /// Largest object of the class, in bytes. A request belongs to the first
    /// class that is large enough. 0 for class 0, which stands for large objects.
    pub size: u32,
    /// Objects allocated.
    pub mallocs: u64,
    /// Objects that a sweep has reclaimed. A freed object is counted only then.
    pub frees: u64,
}

/// Figures of the memory manager at one moment. Sizes are bytes, times nanoseconds.
///
/// "Allocated" counts an object until a sweep reclaims it, so dead objects that
/// wait for a cycle are in; the program's live heap is smaller by those.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MemStats {
    /// The same as [`heap_alloc`](Self::heap_alloc).
    pub alloc: u64,
    /// Bytes of every object ever allocated, each as large as its class. Only
    /// grows. Exact.
    pub total_alloc: u64,
    /// Address space got from the system: the sum of all `*_sys` fields. An upper
    /// bound of the memory behind it, since released and untouched pages are in.
    pub sys: u64,
    /// Always 0, as in today's Go.
    pub lookups: u64,
    /// Objects ever allocated. Exact. As in Go, small requests that share a block
    /// count one by one, and their block once more.
    pub mallocs: u64,
    /// Objects that sweeps have reclaimed. Exact. Requests that share a block are
    /// counted here at once, so that `mallocs - frees` counts blocks.
    pub frees: u64,

    /// Bytes of allocated objects, live and dead, each as large as its class:
    /// what a heap profile adds up to at best. Exact; errs upwards as a measure of
    /// what the program uses, by rounding and by the dead.
    pub heap_alloc: u64,
    /// Address space of the heap: `heap_inuse + heap_idle`. Never shrinks, so it
    /// tells how large the heap has once been.
    pub heap_sys: u64,
    /// Bytes of pages in no span. What [`heap_released`](Self::heap_released) does
    /// not cover is retained: backed by memory and ready for use.
    pub heap_idle: u64,
    /// Bytes of pages in spans. Over `heap_alloc` it holds free slots, the tails
    /// that spans do not use, and nothing else.
    pub heap_inuse: u64,
    /// Bytes of idle pages handed back to the system and not taken again since.
    /// Exact as a count of what was handed back; the kernel may have taken less
    /// (`MADV_FREE`) or have refilled a part (huge pages).
    pub heap_released: u64,
    /// Objects allocated and not yet reclaimed: `mallocs - frees`.
    pub heap_objects: u64,

    /// Bytes of stacks taken from the heap's own pages: those of the background
    /// threads. The program's own stacks are the system's business.
    pub stack_inuse: u64,
    /// Bytes of stacks that the memory manager got from the system for its own
    /// background threads, `stack_inuse` included.
    pub stack_sys: u64,

    /// Bytes of span records in use: headers, allocation words and death bytes.
    #[serde(rename = "MSpanInuse")]
    pub mspan_inuse: u64,
    /// Bytes got from the system for span records.
    #[serde(rename = "MSpanSys")]
    pub mspan_sys: u64,
    /// Bytes of thread caches in use, each with its death log.
    #[serde(rename = "MCacheInuse")]
    pub mcache_inuse: u64,
    /// Bytes got from the system for thread caches.
    #[serde(rename = "MCacheSys")]
    pub mcache_sys: u64,
    /// Bytes got from the system for the tables of the heap profile.
    pub buck_hash_sys: u64,
    /// Bytes got from the system for the page heap's bitmaps and summaries and the
    /// page table, and what is got for the heap's records and in none of them yet.
    #[serde(rename = "GCSys")]
    pub gc_sys: u64,
    /// Bytes got from the system for all else: the pages of guarded objects
    /// (`GOHEAP_GUARD`).
    pub other_sys: u64,

    /// Heap size that the pacer aims at for the end of the running interval. A
    /// goal, not a bound: heap live may pass it. Beyond any real memory while
    /// collection is off and no limit is set.
    #[serde(rename = "NextGC")]
    pub next_gc: u64,
    /// When the last cycle ended, in nanoseconds since 1970; 0 before the first.
    #[serde(rename = "LastGC")]
    pub last_gc: u64,
    /// Nanoseconds that cycles held up the program, added up. Nothing stops the
    /// world here, so it is the time in which the threads' logs are drained: an
    /// upper bound of what any one thread waited.
    pub pause_total_ns: u64,
    /// The last 256 such pauses in nanoseconds, as a ring: that of cycle n (from
    /// 1) stands at `(n + 255) % 256`.
    #[serde(with = "BigArray")]
    pub pause_ns: [u64; PAUSE_RING],
    /// When each of these pauses ended, in nanoseconds since 1970.
    #[serde(with = "BigArray")]
    pub pause_end: [u64; PAUSE_RING],
    /// Cycles completed.
    #[serde(rename = "NumGC")]
    pub num_gc: u32,
    /// Of these, the ones that the program asked for.
    #[serde(rename = "NumForcedGC")]
    pub num_forced_gc: u32,
    /// Share of the processors' time since the start that went into collection,
    /// from 0 to 1. An estimate: measured around phases, on a clock.
    #[serde(rename = "GCCPUFraction")]
    pub gc_cpu_fraction: f64,
    /// Always true, even with `GOGC=off`, as in Go.
    #[serde(rename = "EnableGC")]
    pub enable_gc: bool,
    /// Unused, as in Go.
    #[serde(rename = "DebugGC")]
    pub debug_gc: bool,

    /// The first 61 size classes; larger objects are in the totals only.
    #[serde(with = "BigArray")]
    pub by_size: [BySize; BY_SIZE],
}

impl MemStats {
    /// A snapshot in which every figure is 0: for statics and for reading into.
    pub const fn zeroed() -> Self {
        const NONE: BySize = BySize {
            size: 0,
            mallocs: 0,
            frees: 0,
        };
        Self {
            alloc: 0,
            total_alloc: 0,
            sys: 0,
            lookups: 0,
            mallocs: 0,
            frees: 0,
            heap_alloc: 0,
            heap_sys: 0,
            heap_idle: 0,
            heap_inuse: 0,
            heap_released: 0,
            heap_objects: 0,
            stack_inuse: 0,
            stack_sys: 0,
            mspan_inuse: 0,
            mspan_sys: 0,
            mcache_inuse: 0,
            mcache_sys: 0,
            buck_hash_sys: 0,
            gc_sys: 0,
            other_sys: 0,
            next_gc: 0,
            last_gc: 0,
            pause_total_ns: 0,
            pause_ns: [0; PAUSE_RING],
            pause_end: [0; PAUSE_RING],
            num_gc: 0,
            num_forced_gc: 0,
            gc_cpu_fraction: 0.0,
            enable_gc: false,
            debug_gc: false,
            by_size: [NONE; BY_SIZE],
        }
    }
}

impl Default for MemStats {
    fn default() -> Self {
        Self::zeroed()
    }
}
