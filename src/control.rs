//! The functions by which a program steers the heap, named as in Go.

use crate::runtime::{HEAP, RUNTIME};
use crate::{background, cycle};
use core::sync::atomic::Ordering::Relaxed;

/// Runs a whole cycle (Go: `runtime.GC`). Everything that was dead when this was called is
/// free when it returns. Costs a sweep of all spans, in this thread.
pub fn gc() {
    RUNTIME.start();
    cycle::collect(cycle::Why::Forced);
    background::start_wanted();
}

/// Collects, then gives all idle memory back to the system at once (Go: `debug.FreeOSMemory`).
/// What the system refuses to take stays retained.
pub fn free_os_memory() {
    gc();
    let released = HEAP.scavenge(usize::MAX, true, || false);
    if RUNTIME.scavtrace.load(Relaxed) {
        background::print_scavenging(true, released as u64);
    }
}

/// Sets GOGC: the next cycle comes when the heap has grown by this percentage over what was live.
/// A negative one turns collection off, but for the memory limit's. Returns the old value, -1 if it
/// was off (Go: `debug.SetGCPercent`).
pub fn set_gc_percent(percent: i32) -> i32 {
    RUNTIME.start();
    let old = RUNTIME.collector.lock().set_gc_percent(percent);
    background::goals_changed();
    background::start_wanted();
    old
}

/// Sets GOMEMLIMIT in bytes: more of mapped and not released memory than this makes cycles come
/// earlier and idle memory go back. [`i64::MAX`] is no limit; a negative value only reads. Returns
/// the old value (Go: `debug.SetMemoryLimit`).
pub fn set_memory_limit(bytes: i64) -> i64 {
    RUNTIME.start();
    let old = RUNTIME.collector.lock().set_memory_limit(bytes);
    background::goals_changed();
    background::start_wanted();
    old
}
