//! Go 1.13's pace: what is retained is kept below a line that falls to the goal.
//!
//! ```text
//! retained
//!    │╲
//!    │  ╲   a millisecond for each physical page, and for each whole huge page
//!    │    ╲
//!    │      ╲________ goal
//!    └────────────────────▶ time since the plan
//! ```
//!
//! A page is taken to cost 10 µs to release, so one a millisecond is 1 % of a
//! processor. A huge page costs the same, so a heap that is idle in whole huge pages
//! falls five hundred times as fast as one that is not. What is idle in huge pages is
//! counted when a cycle ends, which is before its sweep: the memory that this cycle
//! found dead counts as ordinary pages.
//!
//! Invariant: never below the goal by more than one release.
//!
//! Source: Go 1.13, `mgcscavenge.go`, `gcPaceScavenger` and `bgscavenge`.

use crate::Step;

/// Nanoseconds for one page, ordinary or huge. Go: `scavengePagePeriod`, `scavengeHugePagePeriod`.
const PAGE_PERIOD: u64 = 1_000_000;
/// A sleep is at least this long, in nanoseconds. Go: `minSleepNS`.
const LEAST_SLEEP: u64 = 100_000;

/// What a line is drawn from; bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineInputs {
    /// Bytes of heap retained now.
    pub heap_retained: u64,
    /// Bytes to retain; [`u64::MAX`] for nothing to do.
    pub goal: u64,
    /// Idle and retained in whole huge pages.
    pub idle_huge: u64,
    /// Size of a huge page; 0 where there are none.
    pub huge_page: u64,
    /// Size of a physical page.
    pub physical_page: u64,
}

/// The line, and how long to wait where nothing is found.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    basis: u64,
    since_ns: u64,
    /// 0: nothing to do.
    bytes_per_ns: f64,
    retry_ns: u64,
    found_nothing: bool,
}

impl Line {
    /// No line yet.
    pub const fn new() -> Self {
        Self {
            basis: 0,
            since_ns: 0,
            bytes_per_ns: 0.0,
            retry_ns: LEAST_SLEEP,
            found_nothing: false,
        }
    }

    /// Draws the line anew, at a commit of the pacer.
    pub const fn plan(&mut self, i: &LineInputs, now_ns: u64) {
        *self = Self::new();
        if i.heap_retained <= i.goal {
            return;
        }
        let work = i.heap_retained - i.goal;
        let in_huge = if i.idle_huge < work {
            i.idle_huge
        } else {
            work
        };
        let huge_pages = match in_huge.checked_div(i.huge_page) {
            Some(pages) => pages,
            None => 0,
        };
        let page = if i.physical_page == 0 {
            1
        } else {
            i.physical_page
        };
        let pages = (work - huge_pages * i.huge_page) / page + huge_pages;
        let pages = if pages == 0 { 1 } else { pages };
        self.basis = i.heap_retained;
        self.since_ns = now_ns;
        self.bytes_per_ns = work as f64 / (pages as f64 * PAGE_PERIOD as f64);
    }

    /// What to do now, with so much retained and the goal at `goal`.
    pub const fn step(&mut self, heap_retained: u64, goal: u64, now_ns: u64) -> Step {
        if self.bytes_per_ns == 0.0 || heap_retained <= goal {
            return Step::Park;
        }
        if self.found_nothing {
            return Step::Sleep(self.retry_ns);
        }
        let passed = now_ns.saturating_sub(self.since_ns) as f64;
        // The cast saturates.
        let want = self
            .basis
            .saturating_sub((passed * self.bytes_per_ns) as u64);
        if heap_retained > want {
            return Step::Release(heap_retained - want);
        }
        let ahead = ((want - heap_retained) as f64 / self.bytes_per_ns) as u64;
        Step::Sleep(if ahead < LEAST_SLEEP {
            LEAST_SLEEP
        } else {
            ahead
        })
    }

    /// `bytes` were released.
    pub const fn released(&mut self, bytes: u64) {
        self.found_nothing = bytes == 0;
        if bytes > 0 {
            self.retry_ns = LEAST_SLEEP;
        }
    }

    /// A sleep is over. After one for want of anything to release, the next is twice as long.
    pub const fn slept(&mut self) {
        if self.found_nothing {
            self.found_nothing = false;
            self.retry_ns = self.retry_ns.saturating_mul(2);
        }
    }
}

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}
