//! The functions by which a program steers the heap, named as in Go.

use crate::runtime::{HEAP, RUNTIME};
use crate::{background, cycle};
use core::sync::atomic::Ordering::Relaxed;
use goheap_allocator::heap::{Findings, Others};

/// Runs a whole cycle (Go: `runtime.GC`). Everything that was dead when this was called is
/// free when it returns. Costs a sweep of all spans, in this thread.
pub fn gc() {
    RUNTIME.start();
    cycle::collect(cycle::Why::Forced);
    background::start_wanted();
}

/// Collects, then gives all idle memory back to the system at once (Go: `debug.FreeOSMemory`).
/// What the system refuses to take stays retained. Costs a [`gc`], and a system call for each 32 runs of idle pages.
pub fn free_os_memory() {
    gc();
    let released = HEAP.scavenge(usize::MAX, true, || false);
    if RUNTIME.scavtrace.load(Relaxed) {
        background::print_scavenging(true, released as u64);
    }
}

/// Sets GOGC: the next cycle comes when the heap has grown by this percentage over what was live.
/// A negative one turns collection off, but for the memory limit's. Returns the old value, -1 if it
/// was off (Go: `debug.SetGCPercent`). Costs a wait for the collector's lock: where the heap is past its new goal
/// already, the cycle comes with an allocation to follow, not in this call.
pub fn set_gc_percent(percent: i32) -> i32 {
    RUNTIME.start();
    let old = cycle::with_collector(|c| c.set_gc_percent(percent));
    background::goals_changed();
    background::start_wanted();
    old
}

/// Sets GOMEMLIMIT in bytes: more of mapped and not released memory than this makes cycles come
/// earlier and idle memory go back. [`i64::MAX`] is no limit; a negative value only reads. Returns
/// the old value (Go: `debug.SetMemoryLimit`). Costs what [`set_gc_percent`] does.
pub fn set_memory_limit(bytes: i64) -> i64 {
    RUNTIME.start();
    let old = cycle::with_collector(|c| c.set_memory_limit(bytes));
    background::goals_changed();
    background::start_wanted();
    old
}

/// Holds all the heap's structures against each other while other threads go on. Costs a look at
/// each page and each slot, during which nobody else gets memory for a cache or a page.
/// `GOHEAP_CHECK=1` does it at each cycle.
///
/// # Errors
/// What disagrees. The heap is broken then, and who goes on with it loses data.
#[expect(
    clippy::result_large_err,
    reason = "where the heap is broken, nothing can be allocated"
)]
pub fn check() -> Result<(), Findings> {
    HEAP.check(Others::Run).into_result()
}

/// [Checks](check) if that is to be done, and ends the process if anything disagrees.
pub(crate) fn check_if(asked: bool) {
    if asked && let Err(findings) = check() {
        background::print_line(format_args!("goheap: the heap is broken: {findings}"));
        std::process::abort();
    }
}

#[cfg(test)]
#[path = "../tests/support/child.rs"]
mod child;

#[cfg(test)]
mod tests {
    use super::*;
    use goheap_allocator::Linux;
    use goheap_allocator::meta::Kind;
    use std::alloc::{GlobalAlloc, Layout};

    /// A cache that is counted, and that there is not.
    fn break_it() {
        let block = HEAP.meta().take(&Linux, Kind::Caches, 64);
        assert!(block.is_ok());
    }

    #[test]
    fn a_broken_heap_is_told_on_request() {
        child::run(
            a_broken_heap_is_told_on_request,
            |_| {},
            || {
                gc();
                assert!(check().is_ok());
                break_it();
                let findings = check().expect_err("the heap is broken");
                assert!(
                    findings.to_string().contains("bytes of caches"),
                    "{findings}"
                );
                gc();
            },
        )
        .expect_success();
    }

    #[test]
    fn a_broken_heap_ends_the_process_at_the_next_cycle_where_that_is_asked_for() {
        let outcome = child::run(
            a_broken_heap_ends_the_process_at_the_next_cycle_where_that_is_asked_for,
            |command| {
                command.env("GOHEAP_CHECK", "1");
            },
            || {
                (0..10).for_each(|_| gc());
                break_it();
                gc();
            },
        );
        let outcome = outcome.expect_signal(6);
        let words = "goheap: the heap is broken: bytes of caches: counted";
        assert!(outcome.stderr.contains(words), "{outcome}");
    }
    #[test]
    fn under_a_limit_that_is_far_away_allocations_take_spans_without_the_collector() {
        child::run(
            under_a_limit_that_is_far_away_allocations_take_spans_without_the_collector,
            |command| {
                command.env("GOMEMLIMIT", "1TiB");
            },
            || {
                gc();
                let collector = RUNTIME.collector.lock();
                let allocating = std::thread::spawn(|| {
                    let layout = Layout::new::<[u8; 1024]>();
                    // SAFETY: the size is not zero.
                    (0..1000).all(|_| !unsafe { crate::GoHeap::new().alloc(layout) }.is_null())
                });
                assert!(allocating.join().expect("it only allocates"));
                drop(collector);
            },
        )
        .expect_success();
    }
}
