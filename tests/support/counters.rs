//! Snapshots that have passed the audit.
#![allow(dead_code, reason = "each test binary uses its part of this")]

use goheap::MemStats;

/// The counters now, once they are found to agree.
#[track_caller]
pub fn audited() -> MemStats {
    let stats = goheap::read_mem_stats();
    if let Err(violation) = goheap_stats::audit(&stats) {
        panic!("the counters disagree: {violation}");
    }
    stats
}

/// The counters once all that is dead has been reclaimed: the first cycle closes the epoch of
/// the latest deaths, the second begins when their sweep is done.
#[track_caller]
pub fn at_rest() -> MemStats {
    goheap::gc();
    goheap::gc();
    audited()
}

/// Fails unless what is in use at the end is what was at the start, give or take 1 MiB:
/// threads' caches, and what the standard library keeps once it has been used.
#[track_caller]
pub fn assert_returned(start: &MemStats, end: &MemStats) {
    const SLACK: u64 = 1 << 20;
    let figures = [
        ("HeapAlloc", start.heap_alloc, end.heap_alloc),
        ("HeapInuse", start.heap_inuse, end.heap_inuse),
    ];
    for (name, start, end) in figures {
        assert!(
            start.abs_diff(end) <= SLACK,
            "{name} was {start} at the start, is {end} at the end"
        );
    }
}
