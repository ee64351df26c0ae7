//! `goheap::metrics` is one moment of the heap, however busy that is.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use goheap::metrics::{Metrics, Value};

#[path = "support/child.rs"]
mod child;

#[global_allocator]
static HEAP: goheap::GoHeap = goheap::GoHeap::new();

fn number(metrics: &Metrics, name: &str) -> u64 {
    metrics
        .number(name)
        .unwrap_or_else(|| panic!("{name} is no number"))
}

fn distribution(metrics: &Metrics, name: &str) -> u64 {
    match metrics.get(name) {
        Some(Value::Float64Histogram(shown)) => shown.counts.iter().sum(),
        other => panic!("{name} is no distribution: {other:?}"),
    }
}

#[test]
fn identities_hold_while_threads_allocate() {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for seed in 1..4_usize {
            let stop = &stop;
            scope.spawn(move || {
                let mut kept = vec![Vec::new(); 500];
                let mut n = seed;
                while !stop.load(Ordering::Relaxed) {
                    n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let slot = (n >> 33) % kept.len();
                    kept[slot] = vec![1u8; (n >> 40) % 50_000];
                }
                black_box(kept);
            });
        }
        for _ in 0..200 {
            let m = goheap::metrics();
            let total = "/memory/classes/total:bytes";
            let classes = m
                .iter()
                .map(|metric| metric.description.name)
                .filter(|name| name.starts_with("/memory/classes/") && *name != total);
            let sum: u64 = classes.map(|name| number(&m, name)).sum();
            assert_eq!(sum, number(&m, total));
            let allocs = number(&m, "/gc/heap/allocs:objects");
            let frees = number(&m, "/gc/heap/frees:objects");
            assert_eq!(allocs - frees, number(&m, "/gc/heap/objects:objects"));
            assert_eq!(distribution(&m, "/gc/heap/allocs-by-size:bytes"), allocs);
            assert_eq!(distribution(&m, "/gc/heap/frees-by-size:bytes"), frees);
            let bytes = number(&m, "/gc/heap/allocs:bytes") - number(&m, "/gc/heap/frees:bytes");
            assert_eq!(bytes, number(&m, "/memory/classes/heap/objects:bytes"));
            let automatic = number(&m, "/gc/cycles/automatic:gc-cycles");
            let forced = number(&m, "/gc/cycles/forced:gc-cycles");
            assert_eq!(automatic + forced, number(&m, "/gc/cycles/total:gc-cycles"));
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn they_say_what_read_mem_stats_says() {
    child::run(
        they_say_what_read_mem_stats_says,
        |_| {},
        || {
            goheap::set_gc_percent(73);
            goheap::set_memory_limit(1 << 40);
            let kept = vec![1u8; 3 << 20];
            goheap::gc();
            goheap::gc();
            let (m, s) = (goheap::metrics(), goheap::read_mem_stats());
            assert_eq!(number(&m, "/gc/gogc:percent"), 73);
            assert_eq!(number(&m, "/gc/gomemlimit:bytes"), 1 << 40);
            assert_eq!(
                number(&m, "/gc/cycles/forced:gc-cycles"),
                u64::from(s.num_forced_gc)
            );
            assert_eq!(number(&m, "/gc/heap/goal:bytes"), s.next_gc);
            assert_eq!(number(&m, "/memory/classes/total:bytes"), s.sys);
            // Both halves of each cycle.
            let cycles = number(&m, "/gc/cycles/total:gc-cycles");
            assert_eq!(distribution(&m, "/gc/pauses:seconds"), 2 * cycles);
            let live = number(&m, "/gc/heap/live:bytes");
            assert!((3 << 20..4 << 20).contains(&live), "{live}");
            black_box(kept);
        },
    )
    .expect_success();
}
