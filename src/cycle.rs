//! A cycle's phases, and the decisions that go with them.
//!
//! ```text
//!            trigger                  the mark would be over
//!   sweeping ───────▶ marking ───────────────────────────────▶ sweeping …
//! ```
//! Go marks while the program runs: what dies after the mark began stays, and
//! what is allocated meanwhile is live. Nothing is marked here, but the time is
//! modelled: a cycle *begins* at the trigger, where the epoch of deaths closes,
//! and *ends* when the program has allocated what Go's would have during its mark
//! ([`goheap_pacer::Window`]), or after the time that it would have taken. Then
//! the live heap is known, the pacer sets the next goal, and the sweep starts.
//! A forced cycle does both at once: who asks for it waits, and allocates nothing. So
//! does any cycle of Go up to 1.4, which stops the world.
//!
//! All of it happens under the [collector](crate::collector)'s lock, in whichever thread comes by;
//! here is what threads call.
//! It costs the threads' logs, not the heap, and stops nobody.

use crate::background;
use crate::collector::Collector;
use crate::profile;
use crate::runtime::{HEAP, RUNTIME};
use crate::thread;
use core::sync::atomic::Ordering::Relaxed;
use goheap_allocator::os;
use goheap_pacer::{GO_RUNTIME, Memory};

/// Why a cycle runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The program asked.
    Forced,
    /// Two minutes went by without one.
    Periodic,
}

/// The share of all processors' time since the start that collecting took.
pub fn gc_cpu_fraction(now_ns: u64) -> f64 {
    let elapsed = now_ns
        .saturating_sub(RUNTIME.started_ns.load(Relaxed))
        .max(1) as f64;
    RUNTIME.gc_ns.load(Relaxed) as f64 / (elapsed * f64::from(RUNTIME.processors.load(Relaxed)))
}

/// What a memory limit's goal depends on.
pub fn memory() -> Memory {
    let kept = HEAP.heard().wrapping_add(RUNTIME.unheard.load(Relaxed));
    Memory {
        // Deaths may have been swept before their births were told.
        heap_alloc: u64::try_from(kept.cast_signed()).unwrap_or(0),
        ..memory_but_objects()
    }
}

/// The same as if there were no objects.
fn memory_but_objects() -> Memory {
    Memory {
        heap_free: HEAP.pages().bytes.retained(),
        heap_alloc: 0,
        mapped_ready: mapped_ready(),
    }
}

/// Whether an allocation that `live` bytes of heap count after has to see the collector because of the memory limit: a
/// cycle may be due, or the CPU limiter is to hear how time goes by.
pub fn is_due_by_limit(live: u64) -> bool {
    let under = RUNTIME.under_limit.get();
    // Objects, which are looked up class by class, can but raise the limit's goal.
    let may_matter = under.goal(memory_but_objects()).is_some();
    let trigger = may_matter.then(|| under.trigger(memory())).flatten();
    trigger.is_some_and(|due| live >= due.trigger) || RUNTIME.limiting.load(Relaxed)
}

/// Memory that counts against the limit, in bytes: what is mapped and not released, and what Go's
/// runtime would have beside it.
pub fn mapped_ready() -> u64 {
    HEAP.mapped_ready().saturating_add(GO_RUNTIME)
}

/// Ends the mark under way if it is over, so that what it condemned can be used again before
/// more is taken. Where the background thread has no processor, this is who ends it. `bytes` are about to be allocated:
/// where the mark would not last for them, it ends before. In Go an allocation that large
/// helps with all that is left to mark (`deductAssistCredit` in `mallocgc`), and the object comes after the cycle.
#[inline]
pub fn end_if_over(bytes: u64) {
    let deadline = RUNTIME.mark_deadline_ns.load(Relaxed);
    if deadline == u64::MAX {
        return;
    }
    let now = os::monotonic_ns();
    let live = HEAP.live().get().saturating_add(bytes);
    if now >= deadline || live >= RUNTIME.mark_ends_at.load(Relaxed) {
        with_collector(|c| c.end_if_over(now, bytes));
    }
}

/// Begins a cycle if one is due; the caller has just allocated `bytes`.
pub fn begin_if_due(bytes: u64) {
    // Whatever the last sweep left is swept before the next epoch closes.
    let due = HEAP.live().get() >= RUNTIME.trigger.load(Relaxed);
    if due {
        profile::look_for_peak();
        if !HEAP.progress().is_done() {
            finish_sweep();
        }
    }
    with_collector(|c| c.begin_if_due(os::monotonic_ns(), bytes));
}

/// Runs a whole cycle, sweep included; what is dead when this is called is free when it returns.
pub fn collect(why: Why) {
    profile::look_for_peak();
    let mut collected = false;
    while !collected {
        finish_sweep();
        collected = with_collector(|c| c.collect(why));
    }
    // As in Go, where a cycle empties the caches: a span without objects goes back now, not when this thread
    // next allocates.
    if let Some(cache) = thread::cache() {
        // SAFETY: the calling thread's cache.
        unsafe { HEAP.return_stale_spans(cache) };
    }
    finish_sweep();
}

/// Does something with the collector and then, if that is to be, calls the background threads: under the lock, they
/// would be woken only to wait for that.
pub fn with_collector<R>(act: impl FnOnce(&mut Collector) -> R) -> R {
    let mut collector = RUNTIME.collector.lock();
    let result = act(&mut collector);
    let calls = collector.take_calls();
    drop(collector);
    if let Some(at_ns) = calls.cycle_began {
        background::cycle_began(at_ns);
    }
    if let Some(by_ns) = calls.sweeper_by {
        background::call_sweeper(by_ns);
    }
    result
}

/// Sweeps until every span is swept.
pub fn finish_sweep() {
    let start = os::thread_cpu_ns();
    while HEAP.sweep_some().is_some() {}
    while !HEAP.progress().is_done() {
        // Another thread is at its last span.
        os::yield_now();
        while HEAP.sweep_some().is_some() {}
    }
    RUNTIME
        .gc_ns
        .fetch_add(os::thread_cpu_ns().saturating_sub(start), Relaxed);
    background::sweep_may_have_ended();
}
