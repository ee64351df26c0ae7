//! The table of `runtime/metrics` names is one that can be looked up, and leaves none out without a reason.

use goheap_stats::metrics::{ALL, Inputs, LEFT_OUT, Metrics, TimeHistogram, Value};
use goheap_stats::{CLASSES, ClassCounts, MemStats};

/// A heap of which every counter is another number.
fn figures() -> MemStats {
    let mut stats = MemStats::zeroed();
    stats.heap_alloc = 1_000;
    stats.heap_inuse = 1_030;
    stats.heap_idle = 700;
    stats.heap_released = 400;
    stats.stack_inuse = 50;
    stats.stack_sys = 57;
    stats.mspan_inuse = 11;
    stats.mspan_sys = 13;
    stats.mcache_inuse = 17;
    stats.mcache_sys = 22;
    stats.buck_hash_sys = 5;
    stats.gc_sys = 90;
    stats.other_sys = 3;
    stats.heap_sys = stats.heap_inuse + stats.heap_idle;
    stats.sys = stats.heap_sys + 57 + 13 + 22 + 5 + 90 + 3;
    stats.total_alloc = 5_000;
    stats.mallocs = 110;
    stats.frees = 80;
    stats.heap_objects = 30;
    stats.num_gc = 9;
    stats.num_forced_gc = 4;
    stats
}

fn metrics(gc_percent: i32) -> Metrics {
    let classes = std::array::from_fn(|class| ClassCounts {
        size: class as u32 * 8,
        mallocs: u64::from(class == 0) * 7 + u64::from(class == 2),
        frees: 0,
    });
    Metrics::of(&Inputs {
        stats: &figures(),
        classes: &classes,
        tiny_allocs: 10,
        heap_marked: 900,
        gc_percent,
        memory_limit: i64::MAX,
        limited_in: 0,
        pauses: &TimeHistogram::NEW,
    })
}

#[test]
fn every_name_is_found_and_no_other() {
    let metrics = metrics(100);
    assert!(ALL.is_sorted_by(|a, b| a.name < b.name));
    for (metric, description) in metrics.iter().zip(ALL) {
        assert_eq!(metric.description.name, description.name);
        assert_eq!(metric.value.kind(), description.kind);
        assert_eq!(metrics.get(description.name), Some(&metric.value));
        let units = [
            "bytes",
            "objects",
            "gc-cycles",
            "gc-cycle",
            "percent",
            "seconds",
        ];
        assert!(units.contains(&description.unit()), "{}", description.name);
    }
    for (name, reason) in LEFT_OUT {
        assert_eq!(metrics.get(name), None, "{name} is left out: {reason}");
    }
    assert_eq!(metrics.get("/gc/heap"), None);
    assert_eq!((&metrics).into_iter().count(), ALL.len());
}

#[test]
fn the_classes_of_memory_add_up_to_the_total() {
    let metrics = metrics(100);
    let total = "/memory/classes/total:bytes";
    let parts = metrics.iter().filter(|metric| {
        let name = metric.description.name;
        name.starts_with("/memory/classes/") && name != total
    });
    let sum: u64 = parts
        .filter_map(|m| metrics.number(m.description.name))
        .sum();
    assert_eq!(metrics.number(total), Some(sum));
    assert_eq!(
        metrics.number("/memory/classes/heap/unused:bytes"),
        Some(30)
    );
    assert_eq!(metrics.number("/memory/classes/os-stacks:bytes"), Some(7));
}

#[test]
fn requests_that_share_a_block_are_no_objects() {
    let metrics = metrics(100);
    assert_eq!(metrics.number("/gc/heap/allocs:objects"), Some(100));
    assert_eq!(metrics.number("/gc/heap/frees:objects"), Some(70));
    assert_eq!(metrics.number("/gc/heap/tiny/allocs:objects"), Some(10));
}

#[test]
fn large_objects_are_beyond_the_last_class() {
    let Some(Value::Float64Histogram(sizes)) =
        metrics(100).get("/gc/heap/allocs-by-size:bytes").cloned()
    else {
        panic!("sizes are a distribution");
    };
    assert_eq!(sizes.counts.len(), CLASSES);
    assert_eq!(sizes.buckets.len(), CLASSES + 1);
    assert_eq!(sizes.counts[CLASSES - 1], 7);
    // The class of 16 bytes holds what is larger than 8, so at least 9 and less than 17.
    assert_eq!(
        (sizes.buckets[1], sizes.counts[1], sizes.buckets[2]),
        (9.0, 1, 17.0)
    );
}

#[test]
fn gogc_off_reads_as_in_go() {
    assert_eq!(metrics(-1).number("/gc/gogc:percent"), Some(u64::MAX));
    assert_eq!(metrics(50).number("/gc/gogc:percent"), Some(50));
}
