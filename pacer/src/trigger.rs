//! Where a cycle starts: below its goal, by as much as the program is expected
//! to allocate until the cycle is done.
//!
//! ```text
//! way     = goal − marked
//! lowest  = max(marked + way × 45/64, end of the sweep's minimum distance)
//! highest = max(marked + way × 61/64, goal − least heap, lowest)
//! trigger = goal − runway, kept within lowest … highest
//! ```
//!
//! Without the lower bound a program that allocates very fast would be in a
//! cycle nearly all the time, and everything allocated during one survives it.
//! The upper bound leaves each cycle some room to begin late; on a large heap
//! that room is the least heap and no more, since the least heap already stands
//! for what a cycle with nothing to do costs.
//!
//! Invariant: marked ≤ trigger ≤ goal, unless the goal itself is not above
//! marked; then both are the goal, and the next cycle is due at once.
//!
//! Called by [`Controller`](crate::Controller) for GOGC's goal and by
//! [`UnderLimit`](crate::UnderLimit) for the limit's. The runway of
//! goheap is nearly nothing, for a cycle traces nothing: most triggers are the
//! highest one.

/// Bounds of the trigger, in 64ths of the way from marked to goal. Go:
/// `minTriggerRatioNum`, `maxTriggerRatioNum`, `triggerRatioDen`.
const LOWEST_64THS: u64 = 45;
const HIGHEST_64THS: u64 = 61;

/// When a cycle begins and when it should have ended, in bytes of live heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// A cycle is due once the live heap has this many bytes or more. Never
    /// above `goal`.
    pub trigger: u64,
    /// Bytes of live heap that the cycle should not exceed. Soft: the live heap
    /// may go past it while a cycle runs.
    pub goal: u64,
}

/// What [`trigger`] depends on, all in bytes.
pub(crate) struct Bounds {
    pub(crate) goal: u64,
    /// Live at the end of the last cycle.
    pub(crate) heap_marked: u64,
    /// The sweep must get this far; at most `goal`.
    pub(crate) sweep_end: u64,
    /// The least heap at GOGC=100: unlike the goal's, it does not follow GOGC.
    pub(crate) least_heap: u64,
    pub(crate) runway: u64,
}

/// Go: `gcControllerState.trigger`.
pub(crate) const fn trigger(b: &Bounds) -> Trigger {
    let goal = b.goal;
    if b.heap_marked >= goal {
        return Trigger {
            trigger: goal,
            goal,
        };
    }
    // Dividing first: the product of a large way would not fit.
    let step = (goal - b.heap_marked) / 64;
    let lowest = max(
        max(b.sweep_end, b.heap_marked),
        b.heap_marked + step * LOWEST_64THS,
    );
    let highest = max(
        max(
            b.heap_marked + step * HIGHEST_64THS,
            goal.saturating_sub(b.least_heap),
        ),
        lowest,
    );
    let wanted = max(goal.saturating_sub(b.runway), lowest);
    let trigger = min(min(wanted, highest), goal);
    Trigger { trigger, goal }
}

const fn max(a: u64, b: u64) -> u64 {
    if a > b { a } else { b }
}

const fn min(a: u64, b: u64) -> u64 {
    if a < b { a } else { b }
}
