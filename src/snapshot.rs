//! One reading of all counters (Go: `runtime.ReadMemStats`).

use crate::collector::Collector;
use crate::cycle;
use crate::guard;
use crate::runtime::{HEAP, RUNTIME};
use crate::{MemStats, thread};
use core::sync::atomic::Ordering::Relaxed;
use goheap_allocator::SizeClass;
use goheap_allocator::heap::Totals;
use goheap_allocator::os;
use goheap_stats::metrics::{Inputs, Metrics};
use goheap_stats::{CLASSES, ClassCounts, Snapshot};

/// Reads the counters. Everything the calling thread did is in them; of other threads that allocate
/// meanwhile, what they did by about now. As in Go, the calling thread's free slots go back to the
/// central lists for it. Costs a few microseconds, and some more for each thread.
pub fn read_mem_stats() -> MemStats {
    read(|_| ()).0
}

/// The counters, and the counts of each of the 68 size classes (class 0: large objects), of one
/// moment: [`MemStats::by_size`] has, as in Go, only the first 61.
pub fn read_counts() -> (MemStats, [ClassCounts; CLASSES]) {
    let (stats, totals, ()) = read(|_| ());
    (stats, counts(&totals))
}

/// The figures of Go's `runtime/metrics` that have a meaning here, all of one moment: [`Metrics`] has their names,
/// descriptions and units, and which of Go's are left out and why. Allocates what it returns; costs as much
/// as [`read_mem_stats`] (Go: `metrics.Read` of `metrics.All`).
///
/// [`Metrics`]: crate::metrics::Metrics
pub fn metrics() -> Metrics {
    let (stats, totals, (history, heap_marked, gc_percent, memory_limit)) = read(|collector| {
        let controller = collector.controller();
        (
            collector.history().clone(),
            controller.heap_marked(),
            controller.gc_percent(),
            controller.memory_limit(),
        )
    });
    Metrics::of(&Inputs {
        stats: &stats,
        classes: &counts(&totals),
        tiny_allocs: totals.tiny,
        heap_marked,
        gc_percent,
        memory_limit,
        limited_in: history.limited_in,
        pauses: &history.pauses,
    })
}

/// All that the process shows to those who look at it from outside.
pub fn of_process() -> Snapshot {
    with_counters().1
}

/// The same, and the counters of the same moment.
pub fn with_counters() -> (MemStats, Snapshot) {
    let (stats, totals, mut snapshot) = read(aims);
    let classes = counts(&totals);
    snapshot.taken_ns = os::monotonic_ns();
    snapshot.started_ns = RUNTIME.started_ns.load(Relaxed);
    snapshot.mapped_ready = cycle::mapped_ready();
    snapshot.released_ever = HEAP.pages().released_ever.get();
    let snapshot = snapshot.with(&stats, classes);
    (stats, snapshot)
}

/// What the pacer and the scavenger know and aim at; all else is 0.
fn aims(collector: &Collector) -> Snapshot {
    let controller = collector.controller();
    Snapshot {
        heap_live: HEAP.live().get(),
        heap_marked: controller.heap_marked(),
        trigger: RUNTIME.trigger.load(Relaxed),
        gc_percent: controller.gc_percent().into(),
        memory_limit: controller.memory_limit(),
        marking: u32::from(RUNTIME.mark_ends_at.load(Relaxed) != u64::MAX),
        scavenge_goal: RUNTIME.goals.get().gc_percent,
        ..Snapshot::zeroed()
    }
}

fn counts(totals: &Totals) -> [ClassCounts; CLASSES] {
    core::array::from_fn(|i| ClassCounts {
        size: SizeClass::from_index(i).bytes() as u32,
        mallocs: totals.classes[i].mallocs,
        frees: totals.classes[i].frees,
    })
}

/// The counters, and with them what `of_collector` says at the same moment.
fn read<T>(of_collector: impl FnOnce(&Collector) -> T) -> (MemStats, Totals, T) {
    RUNTIME.start();
    if let Some(cache) = thread::cache() {
        // SAFETY: the calling thread's cache.
        unsafe {
            HEAP.return_stale_spans(cache);
            HEAP.return_spans(cache);
        }
    }
    let collector = RUNTIME.collector.lock();
    let history = collector.history().clone();
    let next_gc = collector.goal();
    let t = HEAP.totals();
    let shown = of_collector(&collector);
    drop(collector);
    // What has a part of a block counts as handed out and freed, as in Go.
    let mallocs = t.tiny + t.classes.iter().map(|c| c.mallocs).sum::<u64>();
    let frees = t.tiny + t.classes.iter().map(|c| c.frees).sum::<u64>();
    let heap_alloc = t.total_alloc.saturating_sub(t.total_free);
    let mut s = MemStats::zeroed();
    s.alloc = heap_alloc;
    s.total_alloc = t.total_alloc;
    s.mallocs = mallocs;
    s.frees = frees;
    s.heap_alloc = heap_alloc;
    s.heap_inuse = t.in_use;
    s.heap_idle = t.retained + t.released;
    s.heap_released = t.released;
    s.heap_sys = s.heap_inuse + s.heap_idle;
    s.heap_objects = mallocs.saturating_sub(frees);
    s.stack_sys = t.stacks;
    s.stack_inuse = s.stack_sys;
    s.mspan_inuse = t.span_bytes;
    s.mspan_sys = t.span_sys;
    s.mcache_inuse = t.cache_bytes;
    s.mcache_sys = t.cache_sys;
    s.buck_hash_sys = t.profile_sys;
    s.gc_sys = t.table_sys + t.spare_sys;
    s.other_sys = guard::open_bytes();
    s.sys = s.heap_sys
        + s.stack_sys
        + s.mspan_sys
        + s.mcache_sys
        + s.buck_hash_sys
        + s.gc_sys
        + s.other_sys;
    s.next_gc = next_gc;
    s.last_gc = history.last_ns;
    s.pause_total_ns = history.pause_total_ns;
    s.pause_ns = history.pauses_ns;
    s.pause_end = history.pause_ends_ns;
    s.num_gc = history.cycles;
    s.num_forced_gc = history.forced;
    s.gc_cpu_fraction = cycle::gc_cpu_fraction(os::monotonic_ns());
    s.enable_gc = true;
    for (i, by) in s.by_size.iter_mut().enumerate() {
        by.size = SizeClass::from_index(i).bytes() as u32;
        // Go counts large objects apart, and shows an empty class 0.
        if i > 0 {
            by.mallocs = t.classes[i].mallocs;
            by.frees = t.classes[i].frees;
        }
    }
    (s, t, shown)
}
