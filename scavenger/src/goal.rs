//! How much memory to keep: two goals for the background, and what an allocation
//! must hand back itself.
//!
//! ```text
//! heap:   last in use × goal / last goal, 10 % more, up to a whole physical page
//! limit:  95 % of the memory limit
//! ```
//!
//! (Go 1.13 takes the goal itself for the heap's; earlier versions have none. See
//! `policy.rs`.)
//!
//! The heap's goal follows the heap's: objects are counted in bytes and memory in
//! pages, and what lies between them, spans and their free slots, is taken to
//! stay as it was at the end of the last cycle. The tenth on top is a stock to
//! allocate from, for each page that was handed back costs a fault to have again.
//! Before a second cycle there is no last goal to compare with, and nothing is
//! scavenged for the heap's sake: a burst stays until the second collection.
//!
//! The limit's goal is a little below the limit, so that the background is hard
//! at work before allocations have to pay.
//!
//! An allocation pays, inline, for one of two reasons: it took memory that takes
//! the process over the limit (then dense chunks are not spared), or the heap had
//! to grow past its goal, which says that the free pages there were of no use.
//!
//! Invariant: a goal is [`u64::MAX`], nothing to do, or below what is in use now.
//! The background works while either is unmet.
//!
//! [`Goals::compute`] is called at each commit of the pacer,
//! [`Goals::met`] before each release, and [`Goals::assist`] by the page heap
//! for each span it hands out.
//!
//! Go reads its inputs from globals; here they are fields. Go's products wrap
//! around or depend on the processor where a heap goal is switched off; here they
//! saturate, and a goal that does not fit is nothing to do.

use crate::policy::{HeapGoal, Policy};

/// What the goals depend on. All in bytes but the percentage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoalInputs {
    /// GOMEMLIMIT; [`i64::MAX`] is none. A negative one counts as zero.
    pub memory_limit: i64,
    /// All memory that is mapped and backed, the heap's and the allocator's own.
    pub mapped_ready: u64,
    /// The pacer's goal for the cycle to come.
    pub heap_goal: u64,
    /// The pacer's goal when the last cycle ended; 0 before there was one.
    pub last_heap_goal: u64,
    /// Bytes in spans when the last cycle ended.
    pub last_heap_in_use: u64,
    /// Bytes in spans and in free pages that are still backed, now.
    pub heap_retained: u64,
    /// Size of a physical page, the kernel's.
    pub physical_page: u64,
    /// Percent to retain on top of the heap's goal. Go: 10,
    /// `retainExtraPercent`.
    pub retain_percent: u64,
}

/// What one allocation of pages depends on. All in bytes but the flag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllocationInputs {
    /// By how much the heap had to grow for it; mostly 0.
    pub growth: u64,
    /// How much of what it got had been released and will be backed again.
    pub scavenged_taken: u64,
    /// Bytes in spans and in free pages that are still backed.
    pub heap_retained: u64,
    /// All memory that is mapped and backed, before this allocation touches any.
    pub mapped_ready: u64,
    /// GOMEMLIMIT; [`i64::MAX`] is none. A negative one counts as zero.
    pub memory_limit: i64,
    /// Whether the CPU limiter is on: then the limit is not enforced.
    pub limiting: bool,
}

/// What an allocation has to hand back before it returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Assist {
    /// Bytes to release; 0 for nothing.
    pub bytes: u64,
    /// Take dense chunks, too: the memory limit is at stake.
    pub forced: bool,
}

/// How much to retain. [`u64::MAX`] says that there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Goals {
    /// Bytes of heap to retain at most, from GOGC. Go: `scavenge.gcPercentGoal`.
    pub gc_percent: u64,
    /// Bytes mapped and backed at most, from the memory limit. Go:
    /// `scavenge.memoryLimitGoal`.
    pub memory_limit: u64,
}

impl Goals {
    /// Nothing to do.
    pub const NONE: Self = Self {
        gc_percent: u64::MAX,
        memory_limit: u64::MAX,
    };

    /// The goals until the next commit. Exact to a physical page, upwards.
    /// Go: `gcPaceScavenger`.
    pub const fn compute(i: &GoalInputs, policy: &Policy) -> Self {
        Self {
            gc_percent: match policy.heap_goal {
                HeapGoal::None => u64::MAX,
                HeapGoal::OfGoal => with_stock(i.heap_goal, i),
                HeapGoal::OfInUse => gc_percent_goal(i),
            },
            memory_limit: match policy.limit_factor {
                Some(factor) => memory_limit_goal(i, factor),
                None => u64::MAX,
            },
        }
    }

    /// Whether the background has nothing to do, with so many bytes of heap
    /// retained and so many mapped and backed. Go: `shouldStop`.
    pub const fn met(&self, heap_retained: u64, mapped_ready: u64) -> bool {
        self.excess(heap_retained, mapped_ready) == 0
    }

    /// Bytes that are to go until both goals are met.
    pub const fn excess(&self, heap_retained: u64, mapped_ready: u64) -> u64 {
        let heap = heap_retained.saturating_sub(self.gc_percent);
        let limit = mapped_ready.saturating_sub(self.memory_limit);
        if heap > limit { heap } else { limit }
    }

    /// What an allocation has to release: the larger of what the limit is
    /// exceeded by and what a growth exceeds the heap's goal by, the latter no
    /// more than the growth. Go: `allocSpan` in `mheap.go`.
    pub const fn assist(&self, i: &AllocationInputs) -> Assist {
        let mut bytes = 0;
        let mut forced = false;
        if !i.limiting {
            let ready = i.mapped_ready.saturating_add(i.scavenged_taken);
            bytes = ready.saturating_sub(positive(i.memory_limit));
            forced = bytes > 0;
        }
        // Without a goal, `gc_percent` is out of reach and there is no overage.
        let retained = i.heap_retained.saturating_add(i.growth);
        let overage = retained.saturating_sub(self.gc_percent);
        let todo = if i.growth < overage {
            i.growth
        } else {
            overage
        };
        if todo > bytes {
            bytes = todo;
        }
        Assist { bytes, forced }
    }
}

const fn memory_limit_goal(i: &GoalInputs, factor: f64) -> u64 {
    let goal = (positive(i.memory_limit) as f64 * factor) as u64;
    if i.mapped_ready <= goal {
        u64::MAX
    } else {
        goal
    }
}

const fn gc_percent_goal(i: &GoalInputs) -> u64 {
    if i.last_heap_goal == 0 {
        return u64::MAX;
    }
    let ratio = i.heap_goal as f64 / i.last_heap_goal as f64;
    with_stock((i.last_heap_in_use as f64 * ratio) as u64, i)
}

/// `in_use` and what is kept on top of it.
const fn with_stock(in_use: u64, i: &GoalInputs) -> u64 {
    let stock = in_use as u128 * i.retain_percent as u128 / 100;
    let goal = in_use as u128 + stock;
    let page = if i.physical_page == 0 {
        1
    } else {
        i.physical_page
    };
    let goal = goal.div_ceil(page as u128) * page as u128;
    if goal >= i.heap_retained as u128 {
        return u64::MAX;
    }
    // Below what is retained, so it fits. Less than a page to go is nothing to do.
    let goal = goal as u64;
    if i.heap_retained - goal < page {
        u64::MAX
    } else {
        goal
    }
}

const fn positive(limit: i64) -> u64 {
    if limit < 0 { 0 } else { limit as u64 }
}
