//! The goal that GOGC asks for: how large the heap may be when the next cycle
//! ends.
//!
//! ```text
//! least = least heap at GOGC=100 × GOGC / 100
//! goal  = max(least, marked + (marked + roots) × GOGC / 100)
//! ```
//!
//! `marked` is what the last cycle found live and `roots` what a tracer has to
//! scan outside the heap. The least heap keeps a program with next to nothing
//! live from collecting all the time; it shrinks and grows with GOGC, so that
//! GOGC=0 means collecting without pause.
//!
//! Two things move the goal up afterwards, neither under a memory limit, where
//! a higher goal would break the limit: the sweeper's need for a minimum distance
//! ([`SWEEP_MIN_DISTANCE`]) and a cycle that has begun past its own goal
//! ([`MIN_RUNWAY`]).
//!
//! Invariant: a goal is at least what the last cycle found live.
//!
//! Called by [`Controller`](crate::Controller) at each commit and whenever the
//! goal is asked for.
//!
//! Go lets the products wrap around; here they saturate at [`NEVER`], which is
//! no goal at all, and the only sensible one for a heap of 2⁶⁴ bytes.

use crate::NEVER;

/// Bytes of allocation that a sweep is given to finish in, at least. Go:
/// `sweepMinHeapDistance` in `mgc.go`.
pub(crate) const SWEEP_MIN_DISTANCE: u64 = 1 << 20;

/// Bytes a running cycle is given between where it began and its goal, at least.
/// Go: `minRunway` in `heapGoalInternal`.
pub(crate) const MIN_RUNWAY: u64 = 64 << 10;

/// The same up to Go 1.17. Go: `startCycle`.
pub(crate) const FEEDBACK_MIN_RUNWAY: u64 = 1 << 20;

/// Bytes below which GOGC never sets the goal, from the same at GOGC=100.
/// [`NEVER`] if GOGC is off. Go: `setGCPercent`.
pub(crate) const fn least_heap(at_100: u64, gc_percent: i32) -> u64 {
    if gc_percent < 0 {
        return NEVER;
    }
    percent_of(at_100, gc_percent as u64)
}

/// The goal in bytes by GOGC alone; [`NEVER`] if it is off. `least` is
/// [`least_heap`]. Go: `commit`.
pub(crate) const fn percent_goal(heap_marked: u64, roots: u64, gc_percent: i32, least: u64) -> u64 {
    if gc_percent < 0 {
        return NEVER;
    }
    let growth = percent_of(heap_marked.saturating_add(roots), gc_percent as u64);
    let goal = heap_marked.saturating_add(growth);
    if goal < least { least } else { goal }
}

/// `bytes × percent / 100`, rounded down, [`u64::MAX`] if it does not fit.
const fn percent_of(bytes: u64, percent: u64) -> u64 {
    let product = bytes as u128 * percent as u128 / 100;
    if product > u64::MAX as u128 {
        u64::MAX
    } else {
        product as u64
    }
}
