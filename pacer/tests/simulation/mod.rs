//! A program and a collector, idealised, that go through cycles under a
//! [`Controller`]: what the tests of `cycles.rs` watch.
//!
//! The program allocates and the collector scans at rates that streams give per
//! cycle. A cycle begins at the trigger and takes a quarter of the CPU; where that
//! is too little to be done by the goal, allocations help, as much as it takes:
//!
//! ```text
//! allocated = scan work × (alloc rate × (1 − u)) / (scan rate × u)
//! u         = the larger of 25 % and where live + allocated = goal
//! ```
//!
//! What is allocated during a cycle survives it and is weighed in the next one.

mod random;

use goheap_pacer::{Config, Controller, CycleWork, Memory};
pub use random::Random;

/// A figure per cycle.
pub type Stream = Box<dyn FnMut() -> f64>;

/// Always `value`.
pub fn constant(value: f64) -> Stream {
    Box::new(move || value)
}

/// From `from` to `to` in `cycles` equal steps, then `to`.
pub fn ramp(from: f64, to: f64, cycles: u32) -> Stream {
    let mut at = 0;
    Box::new(move || {
        let done = f64::from(at) / f64::from(cycles);
        at = (at + 1).min(cycles);
        from + (to - from) * done
    })
}

/// `before` for so many cycles, then `after`.
pub fn step(before: f64, cycles: u32, after: f64) -> Stream {
    let mut left = cycles;
    Box::new(move || {
        if left == 0 {
            return after;
        }
        left -= 1;
        before
    })
}

/// `low` and `high` by turns, `cycles` of each.
pub fn square(low: f64, high: f64, cycles: u32) -> Stream {
    let mut at = 0;
    Box::new(move || {
        at += 1;
        if ((at - 1) / cycles).is_multiple_of(2) {
            low
        } else {
            high
        }
    })
}

/// `stream`, off by up to `share` of its value in either direction.
pub fn noise(mut stream: Stream, share: f64, seed: u64) -> Stream {
    let mut random = Random(seed);
    Box::new(move || stream() * (1.0 + share * (2.0 * random.unit() - 1.0)))
}

/// A program, and the collector it runs under.
pub struct Workload {
    pub gc_percent: i32,
    pub memory_limit: i64,
    /// Bytes allocated per unit of CPU time.
    pub alloc_rate: Stream,
    /// Bytes scanned per unit of CPU time; 0 for a collector that scans nothing.
    pub scan_rate: Stream,
    /// By how much what is live grows from one cycle to the next.
    pub growth: Stream,
    /// Share of the heap that has to be scanned.
    pub scannable: f64,
    pub roots: u64,
    /// Bytes live when the first cycle ends.
    pub initial: u64,
    /// Bytes that the program allocates at once: how late a cycle may begin.
    pub grain: u64,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            gc_percent: 100,
            memory_limit: i64::MAX,
            alloc_rate: constant(33.0),
            scan_rate: constant(1024.0),
            growth: ramp(2.0, 1.0, 12),
            scannable: 1.0,
            roots: 40 << 10,
            initial: 64 << 10,
            grain: 0,
        }
    }
}

/// A cycle, as it went.
#[derive(Clone, Copy, Debug)]
pub struct Cycle {
    pub marked: u64,
    pub triggered: u64,
    pub goal: u64,
    pub peak: u64,
    pub utilization: f64,
}

impl Cycle {
    pub fn goal_ratio(&self) -> f64 {
        self.peak as f64 / self.goal as f64
    }
}

pub const GO_LEAST_HEAP: u64 = 4 << 20;

/// Runs `cycles` of them.
pub fn run(mut w: Workload, cycles: usize) -> Vec<Cycle> {
    let mut pacer = Controller::new(Config {
        gc_percent: w.gc_percent,
        memory_limit: w.memory_limit,
        least_heap: GO_LEAST_HEAP,
    });
    pacer.set_scannable_roots(w.roots);
    // Nothing but the heap counts towards the limit, and none of it is idle.
    let memory = |bytes| Memory {
        heap_free: 0,
        heap_alloc: bytes,
        mapped_ready: bytes,
    };
    let mut old = 0.0;
    let mut results = Vec::new();
    for cycle in 0..cycles {
        let marked = pacer.heap_marked();
        let due = pacer.trigger(memory(marked));
        assert!(due.trigger <= due.goal, "cycle {cycle}: {due:?}");
        assert!(
            due.trigger >= marked.min(due.goal),
            "cycle {cycle}: {due:?}, {marked} marked"
        );
        let triggered = due.trigger.max(marked) + w.grain;
        pacer.start_cycle(triggered);
        let goal = pacer.goal(memory(triggered.min(due.goal)));

        old = if cycle == 0 {
            w.initial as f64
        } else {
            old * (w.growth)()
        };
        let scan = old * w.scannable + w.roots as f64;
        let (alloc_rate, scan_rate) = ((w.alloc_rate)(), (w.scan_rate)());
        let (utilization, allocated, scanned) = if scan_rate == 0.0 {
            (0.0, 0.0, 0)
        } else {
            let room = goal.saturating_sub(triggered) as f64;
            let helped = alloc_rate * scan / (alloc_rate * scan + scan_rate * room);
            let u = helped.max(0.25);
            (
                u,
                scan * alloc_rate * (1.0 - u) / (scan_rate * u),
                scan as u64,
            )
        };
        let peak = triggered + allocated as u64;
        results.push(Cycle {
            marked,
            triggered,
            goal,
            peak,
            utilization,
        });

        pacer.end_cycle(
            memory(peak.min(goal)),
            CycleWork {
                heap_live: peak,
                scan_work: scanned,
                utilization,
                idle_utilization: 0.0,
            },
        );
        let marked = (old + allocated) as u64;
        pacer.reset_live(marked, (old * w.scannable) as u64);
        pacer.commit(marked, false);
        assert_eq!(pacer.triggered(), None);
    }
    results
}
