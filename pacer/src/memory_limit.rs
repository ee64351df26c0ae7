//! The goal that a memory limit asks for.
//!
//! A limit is on all memory that the process has from the OS through the
//! allocator, a goal on heap objects alone. So everything that counts towards
//! the limit and cannot become an object is taken off, and once more whatever
//! the limit is already exceeded by, to pull the heap back under it:
//!
//! ```text
//! other     = mapped_ready − heap_free − heap_alloc
//! overage   = max(mapped_ready − limit, 0)
//! room      = limit − other − overage
//! head room = max(room × 3 %, 1 MiB)
//! goal      = max(room − head room, head room, marked)
//! ```
//!
//! Free pages that are still backed (`heap_free`) are not taken off: objects
//! go there next without any more memory. The head room absorbs errors in
//! pacing, and leaves backed free pages about, so that allocation does not have
//! to hand back a page for each one that it takes. Its floor is for small heaps,
//! where errors are large in proportion.
//!
//! Invariant: the goal is never below what the last cycle found live; with no
//! room at all it is just that, and collections follow one another until the
//! [CPU limiter](crate::CpuLimiter) says stop.
//!
//! Called by [`UnderLimit`](crate::UnderLimit) whenever the goal is asked for,
//! since its inputs change all the time. Go 1.21 to 1.27 have the 3 %, 1.19 and 1.20 the
//! mebibyte alone (`rules.rs`).
//!
//! Go reads the three figures again if they contradict each other
//! (`heap_free + heap_alloc > mapped_ready`), and would never return if they
//! always did. A function of its arguments cannot read again: `other` is then
//! taken as zero, and the goal is too high by that until the next question.

use crate::controller::Memory;

/// The least head room, in bytes. Go: `memoryLimitMinHeapGoalHeadroom`.
const MIN_HEAD_ROOM: u64 = 1 << 20;

/// The goal in bytes under `limit` bytes in all, with `percent` of head room. Go:
/// `memoryLimitHeapGoal`; the percentage is `memoryLimitHeapGoalHeadroomPercent`.
pub(crate) const fn goal(limit: u64, heap_marked: u64, memory: Memory, percent: u64) -> u64 {
    let objects = memory.heap_free.saturating_add(memory.heap_alloc);
    let other = memory.mapped_ready.saturating_sub(objects);
    let overage = memory.mapped_ready.saturating_sub(limit);

    let room = limit.saturating_sub(other.saturating_add(overage));
    if room == 0 {
        return heap_marked;
    }
    let share = room / 100 * percent;
    let head_room = if share < MIN_HEAD_ROOM {
        MIN_HEAD_ROOM
    } else {
        share
    };
    // Below twice the head room there is no taking it off: the goal would get
    // smaller than the head room that it is meant to have.
    let goal = room.saturating_sub(head_room);
    let goal = if goal < head_room { head_room } else { goal };
    if goal < heap_marked {
        heap_marked
    } else {
        goal
    }
}
