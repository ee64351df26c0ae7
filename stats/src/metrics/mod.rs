//! The heap's figures under the names of Go's `runtime/metrics`: what of `/memory`, `/gc` and `/cgo` has
//! a meaning here, each with what it says and in which unit.
//!
//! One table has all of it ([`ALL`]); [`LEFT_OUT`] has Go's other names, each with the reason. All values are
//! of one moment, so that the identities between them hold: `/memory/classes/*` add up to
//! `/memory/classes/total:bytes`, and so on.
//!
//! Source: Go 1.27, `runtime/metrics/description.go` (names, kinds), `runtime/metrics.go` (how each is computed).

mod histogram;

pub use histogram::{Float64Histogram, TimeHistogram};

use crate::audit::{CLASSES, ClassCounts};
use crate::mem_stats::MemStats;

/// What the figures are computed from: one moment of the heap.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The counters.
    pub stats: &'a MemStats,
    /// Every size class, class 0 for the large objects first.
    pub classes: &'a [ClassCounts; CLASSES],
    /// Small requests that were given a part of a block.
    pub tiny_allocs: u64,
    /// Bytes that the last cycle found live.
    pub heap_marked: u64,
    /// GOGC in percent; negative: off.
    pub gc_percent: i32,
    /// GOMEMLIMIT in bytes; [`i64::MAX`]: none.
    pub memory_limit: i64,
    /// The last cycle in which the CPU limiter came on; 0: it never did.
    pub limited_in: u32,
    /// How long cycles held threads up.
    pub pauses: &'a TimeHistogram,
}

/// A figure's kind; it never changes for a name (Go: `metrics.ValueKind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// One number.
    Uint64,
    /// A distribution.
    Float64Histogram,
}

/// A figure's value.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// One number.
    Uint64(u64),
    /// A distribution.
    Float64Histogram(Float64Histogram),
}

impl Value {
    /// Its kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Uint64(_) => Kind::Uint64,
            Self::Float64Histogram(_) => Kind::Float64Histogram,
        }
    }
}

/// What a figure is (Go: `metrics.Description`).
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// Its name: a path, a colon, and the unit.
    pub name: &'static str,
    /// What it says.
    pub description: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Whether it only grows.
    pub cumulative: bool,
    read: fn(&Inputs<'_>) -> Value,
}

impl Description {
    /// What it is measured in, as the name says: `bytes`, `objects`, `gc-cycles`, `percent`, `seconds`.
    pub fn unit(&self) -> &'static str {
        self.name.split_once(':').map_or("", |(_, unit)| unit)
    }
}

/// A figure at one moment (Go: `metrics.Sample`).
#[derive(Clone, Debug)]
pub struct Metric {
    /// What it is.
    pub description: &'static Description,
    /// What it was.
    pub value: Value,
}

/// All figures of one moment, by name in ascending order.
#[derive(Clone, Debug)]
pub struct Metrics(Vec<Metric>);

impl Metrics {
    /// Computes them. Allocates.
    pub fn of(inputs: &Inputs<'_>) -> Self {
        let read = |description: &'static Description| Metric {
            description,
            value: (description.read)(inputs),
        };
        Self(ALL.iter().map(read).collect())
    }

    /// The figure of that name; `None` if there is none, in Go or here.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let found = self.0.binary_search_by_key(&name, |m| m.description.name);
        found.ok().map(|at| &self.0[at].value)
    }

    /// The number of that name; `None` if there is none, or it is a distribution.
    pub fn number(&self, name: &str) -> Option<u64> {
        match self.get(name) {
            Some(Value::Uint64(number)) => Some(*number),
            _ => None,
        }
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Metric> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Metrics {
    type Item = &'a Metric;
    type IntoIter = std::slice::Iter<'a, Metric>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

macro_rules! metrics {
    ($($name:literal $kind:ident $($cumulative:ident)?, $description:literal, $read:expr;)*) => {
        /// What figures there are, by name in ascending order (Go: `metrics.All`).
        pub const ALL: &[Description] = &[$(Description {
            name: $name,
            description: $description,
            kind: Kind::$kind,
            cumulative: metrics!(@cumulative $($cumulative)?),
            read: |inputs| {
                let read: fn(&Inputs<'_>) -> _ = $read;
                Value::$kind(read(inputs))
            },
        }),*];
    };
    (@cumulative cumulative) => { true };
    (@cumulative) => { false };
}

metrics! {
    "/gc/cycles/automatic:gc-cycles" Uint64 cumulative,
        "Cycles completed that the heap began of itself.",
        |i| (i.stats.num_gc - i.stats.num_forced_gc.min(i.stats.num_gc)).into();
    "/gc/cycles/forced:gc-cycles" Uint64 cumulative,
        "Cycles completed that the program asked for.",
        |i| i.stats.num_forced_gc.into();
    "/gc/cycles/total:gc-cycles" Uint64 cumulative,
        "Cycles completed.",
        |i| i.stats.num_gc.into();
    "/gc/gogc:percent" Uint64,
        "GOGC: by how much the heap may grow over what is live before a cycle is over. The largest number there is: off.",
        |i| i64::from(i.gc_percent).cast_unsigned();
    "/gc/gomemlimit:bytes" Uint64,
        "GOMEMLIMIT: memory above which cycles come earlier and idle memory goes back. 9223372036854775807: none.",
        |i| i.memory_limit.cast_unsigned();
    "/gc/heap/allocs-by-size:bytes" Float64Histogram cumulative,
        "Objects allocated since the start, by size class. Blocks that small requests share count once.",
        |i| Float64Histogram::by_size(i.classes, |class| class.mallocs);
    "/gc/heap/allocs:bytes" Uint64 cumulative,
        "Bytes of all objects allocated since the start, each as large as its class.",
        |i| i.stats.total_alloc;
    "/gc/heap/allocs:objects" Uint64 cumulative,
        "Objects allocated since the start. Blocks that small requests share count once.",
        |i| i.stats.mallocs.saturating_sub(i.tiny_allocs);
    "/gc/heap/frees-by-size:bytes" Float64Histogram cumulative,
        "Objects that sweeps have reclaimed since the start, by size class. What the program freed counts once a cycle reclaims it.",
        |i| Float64Histogram::by_size(i.classes, |class| class.frees);
    "/gc/heap/frees:bytes" Uint64 cumulative,
        "Bytes of all objects that sweeps have reclaimed since the start.",
        |i| i.stats.total_alloc.saturating_sub(i.stats.heap_alloc);
    "/gc/heap/frees:objects" Uint64 cumulative,
        "Objects that sweeps have reclaimed since the start.",
        |i| i.stats.frees.saturating_sub(i.tiny_allocs);
    "/gc/heap/goal:bytes" Uint64,
        "Size that the heap should have when the cycle to come is over.",
        |i| i.stats.next_gc;
    "/gc/heap/live:bytes" Uint64,
        "Bytes of the objects that the last cycle found live.",
        |i| i.heap_marked;
    "/gc/heap/objects:objects" Uint64,
        "Objects that take memory: live, or dead and not reclaimed yet.",
        |i| i.stats.heap_objects;
    "/gc/heap/tiny/allocs:objects" Uint64 cumulative,
        "Small requests that were given a part of a block since the start. Their blocks count as objects, they do not.",
        |i| i.tiny_allocs;
    "/gc/limiter/last-enabled:gc-cycle" Uint64,
        "The last cycle in which the limit on the collector's CPU time came on, the first being 1. 0: it never did.",
        |i| i.limited_in.into();
    "/gc/pauses:seconds" Float64Histogram cumulative,
        "How long a cycle's beginning and its end, each of its own, took to drain the threads' logs: an upper bound of what one thread waited. Nothing stops all threads.",
        |i| i.pauses.in_seconds();
    "/memory/classes/heap/free:bytes" Uint64,
        "Idle pages that could go back to the system and have not: backed by memory.",
        |i| i.stats.heap_idle.saturating_sub(i.stats.heap_released);
    "/memory/classes/heap/objects:bytes" Uint64,
        "Bytes of objects, live, or dead and not reclaimed yet, each as large as its class.",
        |i| i.stats.heap_alloc;
    "/memory/classes/heap/released:bytes" Uint64,
        "Idle pages that went back to the system: address space without memory behind it.",
        |i| i.stats.heap_released;
    "/memory/classes/heap/stacks:bytes" Uint64,
        "Heap pages that are stacks of the heap's own threads. The program's stacks are the system's.",
        |i| i.stats.stack_inuse;
    "/memory/classes/heap/unused:bytes" Uint64,
        "Pages in spans beyond what objects take: free slots, and what spans leave at their end.",
        |i| i.stats.heap_inuse.saturating_sub(i.stats.heap_alloc);
    "/memory/classes/metadata/mcache/free:bytes" Uint64,
        "Memory for threads' caches that none uses.",
        |i| i.stats.mcache_sys.saturating_sub(i.stats.mcache_inuse);
    "/memory/classes/metadata/mcache/inuse:bytes" Uint64,
        "Memory of threads' caches, each with its log of deaths.",
        |i| i.stats.mcache_inuse;
    "/memory/classes/metadata/mspan/free:bytes" Uint64,
        "Memory for spans' records that none uses.",
        |i| i.stats.mspan_sys.saturating_sub(i.stats.mspan_inuse);
    "/memory/classes/metadata/mspan/inuse:bytes" Uint64,
        "Memory of spans' records: headers, allocation words and death bytes.",
        |i| i.stats.mspan_inuse;
    "/memory/classes/metadata/other:bytes" Uint64,
        "Memory of the heap's other records: bitmaps, summaries, the page table, and what no record uses yet.",
        |i| i.stats.gc_sys;
    "/memory/classes/os-stacks:bytes" Uint64,
        "Stacks of the heap's own threads that came from the system, not from the heap.",
        |i| i.stats.stack_sys.saturating_sub(i.stats.stack_inuse);
    "/memory/classes/other:bytes" Uint64,
        "Memory that the heap got for all else: pages of guarded objects (GOHEAP_GUARD).",
        |i| i.stats.other_sys;
    "/memory/classes/profiling/buckets:bytes" Uint64,
        "Memory of the heap profile's tables.",
        |i| i.stats.buck_hash_sys;
    "/memory/classes/total:bytes" Uint64,
        "Address space that the heap got from the system: the sum of all the others of /memory/classes.",
        |i| i.stats.sys;
}

/// Go's other names under `/memory`, `/gc` and `/cgo`, and why each has no meaning here.
pub const LEFT_OUT: &[(&str, &str)] = &[
    (
        "/cgo/go-to-c-calls:calls",
        "there is no boundary between two languages' stacks at which calls could be counted",
    ),
    ("/gc/cleanups/executed:cleanups", NO_FINALIZERS),
    ("/gc/cleanups/queued:cleanups", NO_FINALIZERS),
    ("/gc/finalizers/executed:finalizers", NO_FINALIZERS),
    ("/gc/finalizers/queued:finalizers", NO_FINALIZERS),
    ("/gc/scan/globals:bytes", NO_SCAN),
    ("/gc/scan/heap:bytes", NO_SCAN),
    ("/gc/scan/stack:bytes", NO_SCAN),
    ("/gc/scan/total:bytes", NO_SCAN),
    (
        "/gc/stack/starting-size:bytes",
        "there are no goroutines; threads' stacks are the system's",
    ),
];

const NO_FINALIZERS: &str =
    "destructors run when the program drops a value, not when a cycle finds it dead";
const NO_SCAN: &str = "a program says itself what is dead, so nothing is scanned";
