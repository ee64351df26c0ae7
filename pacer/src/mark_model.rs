//! What Go's mark would have let the program allocate.
//!
//! Go's cycle lasts: it begins at the trigger, marks while the program runs, and
//! ends some time later. What is allocated meanwhile counts as live, so the next
//! goal is higher by it, and what dies meanwhile stays for the next cycle. Nothing
//! is marked in goheap, so the mark's time is modelled:
//!
//! ```text
//! time   = START + objects marked × OBJECT + spans they lie in × SPAN
//! window = time ÷ (ALLOCATION ÷ mean size allocated + BYTE)      in bytes,
//!          not more than is left up to the goal: Go's assists see to that
//! ```
//! A goal that is passed already, as one that a memory limit puts below what is live, cannot be kept to: one mark
//! follows the other, and allocations that assist each of them get half as far.
//!
//! The mark is over when the program has allocated the window, or when it has run for
//! that time, whichever is first: a program that is slow for reasons of its own (it
//! takes page faults, it computes) is as slow under Go.
//!
//! The constants are fits to what Go 1.27.3 printed with
//! `GODEBUG=gctrace=1,gcpacertrace=1` on two processors while it replayed
//! allocation traces of 150 B to 64 KiB a mean object, 3 k to 330 k of them live:
//! mark times of 0.4 to 11 ms came out within a factor of two, and 0.5 to 3 MB
//! allocated per millisecond of mark. They are estimates; what depends on them
//! is how far a heap overshoots its trigger, a few percent of its size. At real-time priority Go's marks take half as long,
//! and where other programs want the processors two to ten times as long, and no two alike.

use crate::CycleWork;
use crate::goal::MIN_RUNWAY;

/// Waking the workers, scanning roots, and termination, in nanoseconds.
const START_NS: u64 = 400_000;
/// Marking one object, in nanoseconds.
const OBJECT_NS: u64 = 45;
/// The first object met in a span, in nanoseconds: its header is in no near cache.
const SPAN_NS: u64 = 300;
/// One allocation and what the program does with it while a mark runs, in nanoseconds.
const ALLOCATION_NS: f64 = 200.0;
/// Each byte of it, in nanoseconds: zeroing, first touches.
const BYTE_NS: f64 = 0.6;
/// CPU share of marking: Go's background quarter, and a little for assists.
const UTILIZATION: f64 = 0.27;
/// CPU share of marking on processors that were idle.
const IDLE_UTILIZATION: f64 = 0.1;

/// What a small Go program's stacks and globals measure, in bytes: they are part of what a
/// cycle scans, and so of the goal (`lastStackScan` + `globalsScan` of the replayer that the
/// reference figures come from).
pub const GO_ROOTS: u64 = 160 << 10;

/// What the next mark is expected to scan on the heap, in bytes. Nothing there has pointers, and what is expected is what was
/// scanned. But Go's runway is of the largest of its last five marks, and they spread by a factor of three, where here
/// all marks of a heap are alike: so the next counts as five sixths more, and the runway is 2.8 times what a mark lets
/// the program allocate. Go's is 2.5 to 3.5 times that on two of three traces, and more on most others (against the median of the
/// last five marks, at real-time priority, on 43 traces); of these the value is one with which all recorded references hold.
pub const HEAP_SCAN: u64 = GO_ROOTS * 5 / 6;

/// What Go's runtime maps for itself in a small program beyond what goheap does, in bytes: work
/// queues of the mark, profiling buckets, and the sets of spans and the mark bits that come with
/// the first objects of each class (`Sys` − `HeapSys` − `StackSys` of the same replayer with 30 to 110 MB in use, less
/// goheap's own). It counts against a memory limit there, so goals under one are as low here.
pub const GO_RUNTIME: u64 = 4_900_000;

/// What a mark has to do, and what the program does meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MarkInputs {
    /// Live bytes as counted at the trigger.
    pub heap_live: u64,
    /// The goal, in bytes.
    pub goal: u64,
    /// Objects that are live.
    pub objects: u64,
    /// Spans that hold them.
    pub spans: u64,
    /// Bytes allocated since the last cycle.
    pub allocated_bytes: u64,
    /// Objects allocated since the last cycle.
    pub allocated_objects: u64,
}

/// What one mark allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Bytes that the program may allocate before the mark is over.
    pub bytes: u64,
    /// Nanoseconds for which the program may run before it is over.
    pub ns: u64,
}

impl Window {
    /// What Go's mark would allow.
    pub fn of_mark(i: &MarkInputs) -> Self {
        let ns = START_NS
            .saturating_add(i.objects.saturating_mul(OBJECT_NS))
            .saturating_add(i.spans.saturating_mul(SPAN_NS));
        let mean = i.allocated_bytes.max(1) as f64 / i.allocated_objects.max(1) as f64;
        let bytes = ns as f64 / (ALLOCATION_NS / mean + BYTE_NS);
        let bytes = match i.goal.checked_sub(i.heap_live) {
            Some(left) => (bytes as u64).min(left.max(MIN_RUNWAY)),
            None => bytes as u64 / 2,
        };
        Self { bytes, ns }
    }
}

impl CycleWork {
    /// What a mark that ended at `heap_live` bytes counts as for the cons/mark estimate. How much was
    /// scanned cancels out there as long as it is the same each time: objects without pointers.
    pub const fn modelled(heap_live: u64) -> Self {
        Self {
            heap_live,
            scan_work: GO_ROOTS,
            utilization: UTILIZATION,
            idle_utilization: IDLE_UTILIZATION,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Controller, Memory};

    const CHURN: MarkInputs = MarkInputs {
        heap_live: 10_000_000,
        goal: 12_000_000,
        objects: 20_000,
        spans: 700,
        allocated_bytes: 5_000_000,
        allocated_objects: 24_000,
    };

    #[test]
    fn a_mark_lasts_longer_the_more_there_is_to_mark() {
        let small = Window::of_mark(&CHURN);
        let large = Window::of_mark(&MarkInputs {
            objects: 200_000,
            ..CHURN
        });
        assert!(
            large.ns > small.ns && large.bytes > small.bytes,
            "{small:?} {large:?}"
        );
    }

    #[test]
    fn larger_objects_come_to_more_bytes_in_the_same_time() {
        // 200 ns and 0.6 ns a byte: 1.6 ns a byte for objects of 200, 0.7 for those of 2,000.
        for (objects, ns_per_byte) in [(25_000, 1.6), (2_500, 0.7)] {
            let w = Window::of_mark(&MarkInputs {
                goal: u64::MAX,
                allocated_objects: objects,
                ..CHURN
            });
            let bytes = w.ns as f64 / ns_per_byte;
            assert!((w.bytes as f64 - bytes).abs() <= 1.0, "{w:?}, not {bytes}");
        }
    }

    #[test]
    fn a_mark_ends_at_the_goal_at_the_latest() {
        let w = Window::of_mark(&MarkInputs {
            objects: u64::MAX,
            spans: u64::MAX,
            ..CHURN
        });
        assert_eq!((w.bytes, w.ns), (2_000_000, u64::MAX));
        let w = Window::of_mark(&MarkInputs {
            goal: CHURN.heap_live,
            objects: 1 << 40,
            ..CHURN
        });
        assert_eq!(w.bytes, MIN_RUNWAY);
    }

    #[test]
    fn a_goal_that_is_passed_already_leaves_half_of_what_none_would() {
        let reachable = Window::of_mark(&MarkInputs {
            goal: u64::MAX,
            ..CHURN
        });
        let passed = Window::of_mark(&MarkInputs { goal: 0, ..CHURN });
        assert_eq!(
            (passed.ns, passed.bytes),
            (reachable.ns, reachable.bytes / 2)
        );
    }

    #[test]
    fn the_runway_is_as_many_times_a_mark_s_window_as_in_go() {
        let mut pacer = Controller::new(Config {
            gc_percent: 100,
            memory_limit: i64::MAX,
            least_heap: 4 << 20,
        });
        pacer.set_scannable_roots(GO_ROOTS);
        let window = 1_000_000;
        for _ in 0..6 {
            pacer.start_cycle(40_000_000 - window);
            pacer.end_cycle(Memory::default(), CycleWork::modelled(40_000_000));
            pacer.reset_live(20_000_000, HEAP_SCAN);
            pacer.commit(20_000_000, true);
        }
        let times = pacer.runway() as f64 / window as f64;
        assert!((2.5..=3.5).contains(&times), "{times}");
    }

    #[test]
    fn nothing_allocated_is_no_division_by_zero() {
        let w = Window::of_mark(&MarkInputs {
            allocated_bytes: 0,
            allocated_objects: 0,
            ..MarkInputs::default()
        });
        assert_eq!((w.ns, w.bytes.min(1_000)), (START_NS, 1_000));
    }
}
