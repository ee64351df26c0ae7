//! The pacer's state, and the order in which a cycle moves it on.
//!
//! ```text
//!            trigger reached                 all deaths counted
//! (sweeping) ──────────────▶ start_cycle ──▶ end_cycle ─▶ reset_live ─▶ commit ──▶ (sweeping)
//!                            where it began   last goal,   live heap,    goal by
//!                                             cons/mark    scan work     GOGC, runway
//! ```
//!
//! `commit` works out all that is fixed until the next one; [`Controller::goal`]
//! and [`Controller::trigger`] add what changes from moment to moment, which is
//! the memory in use. The formulas stand in `goal.rs`, `memory_limit.rs`,
//! `trigger.rs` and `cons_mark.rs`; this file is what they act on:
//!
//! ```text
//! goal by GOGC ≤ goal by the limit?   the sweep's distance and a running cycle's
//!                                     runway may push the goal up
//! else                                the goal is the limit's and stays there
//! ```
//!
//! Invariants, for all inputs: trigger ≤ goal; goal ≥ marked, whether by GOGC or
//! by the limit; the outcome depends on nothing but the calls made.
//!
//! The runtime owns one controller under its lock. It changes GOGC or the limit
//! with a setter and then commits, ends a cycle with the three calls above in
//! that order, and compares its own count of the live heap with the trigger.
//!
//! Differences from Go's `gcControllerState`: counters that other threads write
//! (the live heap, memory in use, scan work) are arguments here, so nothing is
//! atomic; stacks and globals are one figure, [`Controller::set_scannable_roots`];
//! mark workers and the assist ratio are absent, for nothing is marked; the
//! least heap is a knob, where Go has 4 MiB built in.

use crate::NEVER;
use crate::cons_mark::{ConsMark, Sample};
use crate::feedback::Feedback;
use crate::goal::{self, FEEDBACK_MIN_RUNWAY, MIN_RUNWAY, SWEEP_MIN_DISTANCE};
use crate::rules::{Rules, TriggerRule};
use crate::trigger::{self, Bounds, Trigger};
use crate::under_limit::UnderLimit;

/// What the user chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// GOGC: growth in percent of the live heap between two cycles. Negative:
    /// off, collect only for the memory limit.
    pub gc_percent: i32,
    /// GOMEMLIMIT in bytes; [`i64::MAX`] is none, and so is any negative value.
    pub memory_limit: i64,
    /// Bytes below which GOGC=100 never sets the goal; scaled by GOGC. Go:
    /// `defaultHeapMinimum`, 4 MiB.
    pub least_heap: u64,
}

/// The figures that a memory limit is measured against, in bytes. They may be
/// read one after the other; see [`Controller::goal`] for which way that errs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Pages in no span and still backed by memory.
    pub heap_free: u64,
    /// Objects allocated and not yet swept, dead ones included, as far as they were told of. Go:
    /// `totalAlloc` − `totalFree`.
    pub heap_alloc: u64,
    /// All memory that is mapped and backed, the heap's and the allocator's own.
    pub mapped_ready: u64,
}

/// What a cycle did, for [`Controller::end_cycle`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CycleWork {
    /// Bytes of live heap as counted when the cycle ends: what was there at the
    /// trigger and everything allocated since.
    pub heap_live: u64,
    /// Bytes scanned, heap and roots. Zero if the cycle traces nothing.
    pub scan_work: u64,
    /// CPU share of the collector, 0 to 1: Go's background quarter and the time
    /// allocations spent helping.
    pub utilization: f64,
    /// CPU share, 0 to 1, that the collector took from idle processors.
    pub idle_utilization: f64,
}

/// Go's pacer, of the version that its [`Rules`] say: decides at which heap size the next cycle starts and by which it
/// should be over.
///
/// Plain data, a few hundred bytes; every method is a few dozen instructions.
/// Go: `gcControllerState` in `mgcpacer.go`.
#[derive(Clone, Debug)]
pub struct Controller {
    rules: Rules,
    /// GOGC; −1 if off.
    gc_percent: i32,
    /// Never negative.
    memory_limit: i64,
    /// Bytes at GOGC=100, as configured.
    least_heap: u64,
    /// Bytes at the GOGC now set; [`NEVER`] if off.
    heap_minimum: u64,
    /// Bytes found live by the last cycle.
    heap_marked: u64,
    /// Bytes of heap scanned by the last cycle.
    last_heap_scan: u64,
    /// Bytes to scan outside the heap.
    scannable_roots: u64,
    /// Bytes of live heap at which the running cycle began; [`NEVER`] without one.
    triggered: u64,
    /// The goal when the last cycle ended; 0 before the first.
    last_heap_goal: u64,
    cons_mark: ConsMark,
    feedback: Feedback,
    /// The three below are the work of `commit`: the goal by GOGC, the live heap
    /// at which the sweep should be over, and the expected runway, in bytes.
    percent_goal: u64,
    sweep_end: u64,
    runway: u64,
}

impl Controller {
    /// A controller before the first cycle, committed as if nothing were
    /// allocated and nothing left to sweep. `const`, so that it can be a static.
    /// Go: `gcControllerState.init`.
    pub const fn new(config: Config) -> Self {
        Self::with_rules(config, Rules::NEWEST)
    }

    /// The same, as another version of Go would.
    pub const fn with_rules(config: Config, rules: Rules) -> Self {
        let gc_percent = if config.gc_percent < 0 {
            -1
        } else {
            config.gc_percent
        };
        let heap_minimum = goal::least_heap(config.least_heap, gc_percent);
        let heap_marked = match rules.trigger {
            TriggerRule::Feedback { .. } => Feedback::first_marked(heap_minimum),
            _ => 0,
        };
        let limited = config.memory_limit >= 0 && rules.head_room_percent.is_some();
        Self {
            rules,
            gc_percent,
            memory_limit: if limited {
                config.memory_limit
            } else {
                i64::MAX
            },
            least_heap: config.least_heap,
            heap_minimum,
            heap_marked,
            last_heap_scan: 0,
            scannable_roots: 0,
            triggered: NEVER,
            last_heap_goal: 0,
            cons_mark: ConsMark::UNKNOWN,
            feedback: Feedback::NEW,
            percent_goal: goal::percent_goal(heap_marked, 0, gc_percent, heap_minimum),
            sweep_end: 0,
            runway: 0,
        }
    }

    /// The goal in force, in bytes of live heap, with `memory` in use.
    ///
    /// If the figures contradict each other, having been read at different
    /// times, the goal errs upwards. Without GOGC and without a limit it is not
    /// [`NEVER`] but 97 % of [`i64::MAX`] less what is mapped, as in Go.
    /// Go: `heapGoal`.
    pub const fn goal(&self, memory: Memory) -> u64 {
        match self.rules.trigger {
            TriggerRule::Feedback { .. } => {
                self.ahead_of_start(self.trigger(memory).goal, FEEDBACK_MIN_RUNWAY)
            }
            _ => match self.under_limit().goal(memory) {
                Some(goal) => goal,
                None => self.pushed_goal(),
            },
        }
    }

    /// The trigger, and the goal it belongs to, with `memory` in use. A cycle is
    /// due once the live heap is at the trigger or above it. Go: `trigger`.
    pub const fn trigger(&self, memory: Memory) -> Trigger {
        match self.under_limit().trigger(memory) {
            Some(trigger) => trigger,
            None => self.percent_trigger(),
        }
    }

    /// The same by GOGC alone, as if there were no limit.
    pub const fn percent_trigger(&self) -> Trigger {
        match self.rules.trigger {
            TriggerRule::AtGoal => {
                return Trigger {
                    trigger: self.percent_goal,
                    goal: self.percent_goal,
                };
            }
            TriggerRule::Feedback { floor, .. } => {
                let at_least = if self.heap_minimum < self.sweep_end {
                    self.sweep_end
                } else {
                    self.heap_minimum
                };
                let allowed = self.allowed_growth();
                let (marked, goal) = (self.heap_marked, self.percent_goal);
                return self
                    .feedback
                    .trigger(marked, goal, at_least, allowed, floor);
            }
            TriggerRule::Runway { .. } => {}
        }
        trigger::trigger(&Bounds {
            goal: self.pushed_goal(),
            heap_marked: self.heap_marked,
            sweep_end: self.sweep_end,
            least_heap: self.least_heap,
            runway: self.runway,
        })
    }

    /// The limit beside GOGC; [`UnderLimit::NEVER`] of versions that have none.
    pub const fn under_limit(&self) -> UnderLimit {
        match self.rules.head_room_percent {
            Some(head_room_percent) => UnderLimit {
                limit: self.memory_limit as u64,
                head_room_percent,
                percent_goal: self.percent_goal,
                heap_marked: self.heap_marked,
                least_heap: self.least_heap,
                runway: self.runway,
            },
            None => UnderLimit::NEVER,
        }
    }

    /// The goal by GOGC, pushed up by the sweep's distance and the runway of a cycle under way. Go: `heapGoalInternal`.
    const fn pushed_goal(&self) -> u64 {
        let goal = if self.percent_goal < self.sweep_end {
            self.sweep_end
        } else {
            self.percent_goal
        };
        self.ahead_of_start(goal, MIN_RUNWAY)
    }

    /// `goal`, or `runway` bytes ahead of where the cycle under way began, if that is more.
    const fn ahead_of_start(&self, goal: u64, runway: u64) -> u64 {
        if self.triggered == NEVER {
            return goal;
        }
        let runway_end = self.triggered.saturating_add(runway);
        if goal < runway_end { runway_end } else { goal }
    }

    /// A cycle begins with `heap_live` bytes of live heap. Go: `startCycle`.
    pub const fn start_cycle(&mut self, heap_live: u64) {
        self.triggered = heap_live;
    }

    /// A cycle has counted what is live, and is about to end: its goal is kept
    /// for the scavenger, and what it cost enters the runway's estimate.
    ///
    /// Without a cycle in progress, without allocation during it, or with figures
    /// that make no rate (nothing scanned, a share of 1 or not a number), only
    /// the goal is kept. [`reset_live`](Self::reset_live) comes next.
    /// Go: `endCycle`.
    pub fn end_cycle(&mut self, memory: Memory, work: CycleWork) {
        self.last_heap_goal = self.goal(memory);
        if work.heap_live <= self.triggered {
            return;
        }
        match self.rules.trigger {
            TriggerRule::AtGoal => {}
            TriggerRule::Feedback { utilization, .. } => self.feedback.record(
                work.heap_live,
                self.heap_marked,
                self.allowed_growth(),
                work.utilization,
                utilization,
            ),
            TriggerRule::Runway { largest_of_five } => {
                let sample = Sample {
                    allocated: work.heap_live - self.triggered,
                    scanned: work.scan_work,
                    utilization: work.utilization,
                    idle_utilization: work.idle_utilization,
                };
                self.cons_mark.record(&sample, largest_of_five);
            }
        }
    }

    /// GOGC as a ratio; 0 if off.
    const fn allowed_growth(&self) -> f64 {
        if self.gc_percent < 0 {
            return 0.0;
        }
        self.gc_percent as f64 / 100.0
    }

    /// The cycle is over: `heap_marked` bytes are live, and `scan_work` bytes of
    /// heap were scanned to find that out. [`commit`](Self::commit) comes next.
    /// Go: `resetLive`.
    pub const fn reset_live(&mut self, heap_marked: u64, scan_work: u64) {
        self.heap_marked = heap_marked;
        self.last_heap_scan = scan_work;
        self.triggered = NEVER;
    }

    /// Works out everything that stays fixed until the next commit. To be called
    /// at the end of a cycle and after a change of GOGC or of the limit, at any
    /// time. `heap_live` is the live heap now, in bytes; `sweep_done` says that
    /// no span is left to be swept. Go: `commit`.
    pub fn commit(&mut self, heap_live: u64, sweep_done: bool) {
        self.sweep_end = if sweep_done || !self.rules.concurrent() {
            0
        } else {
            heap_live.saturating_add(SWEEP_MIN_DISTANCE)
        };
        self.percent_goal = goal::percent_goal(
            self.heap_marked,
            if self.rules.roots {
                self.scannable_roots
            } else {
                0
            },
            self.gc_percent,
            self.heap_minimum,
        );
        let scan = self.last_heap_scan.saturating_add(self.scannable_roots);
        self.runway = self.cons_mark.runway(scan);
    }

    /// Sets GOGC and returns what it was; negative is off, and reads as −1.
    /// Takes effect with the next [`commit`](Self::commit). Go: `setGCPercent`.
    pub const fn set_gc_percent(&mut self, gc_percent: i32) -> i32 {
        let previous = self.gc_percent;
        self.gc_percent = if gc_percent < 0 { -1 } else { gc_percent };
        self.heap_minimum = goal::least_heap(self.least_heap, self.gc_percent);
        previous
    }

    /// Sets the memory limit, in bytes, and returns what it was; a negative value
    /// only asks. Without effect where the rules know no limit. The goal follows at once, but the sweeper and the scavenger need
    /// a [`commit`](Self::commit). Go: `setMemoryLimit`.
    pub const fn set_memory_limit(&mut self, memory_limit: i64) -> i64 {
        let previous = self.memory_limit;
        if memory_limit >= 0 && self.rules.head_room_percent.is_some() {
            self.memory_limit = memory_limit;
        }
        previous
    }

    /// Says how many bytes a cycle has to scan outside the heap. They add to the
    /// base that GOGC is a percentage of, and to the runway, from the next
    /// [`commit`](Self::commit) on. Go: `lastStackScan` and `globalsScan`.
    pub const fn set_scannable_roots(&mut self, bytes: u64) {
        self.scannable_roots = bytes;
    }

    /// Whose pacer it is.
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// GOGC in percent; −1 if off.
    pub const fn gc_percent(&self) -> i32 {
        self.gc_percent
    }

    /// The memory limit in bytes; [`i64::MAX`] if there is none.
    pub const fn memory_limit(&self) -> i64 {
        self.memory_limit
    }

    /// Bytes found live by the last cycle; 0 before the first. Go: `heapMarked`.
    pub const fn heap_marked(&self) -> u64 {
        self.heap_marked
    }

    /// The goal, in bytes, that the last cycle ended with; 0 before the first.
    /// Not the goal of before the last commit: GOGC may have changed in between.
    /// Go: `lastHeapGoal`.
    pub const fn last_heap_goal(&self) -> u64 {
        self.last_heap_goal
    }

    /// Bytes of live heap at which the cycle in progress began; `None` without
    /// one. Go: `triggered`.
    pub const fn triggered(&self) -> Option<u64> {
        if self.triggered == NEVER {
            None
        } else {
            Some(self.triggered)
        }
    }

    /// Bytes that the program is expected to allocate while a cycle runs.
    /// Go: `runway`.
    pub const fn runway(&self) -> u64 {
        self.runway
    }

    /// Bytes allocated per byte scanned, each per CPU time: the highest of the
    /// last five measurements. Go: `consMark`.
    pub const fn cons_mark(&self) -> f64 {
        self.cons_mark.estimate()
    }
}
