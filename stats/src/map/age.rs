//! How old the objects of a span may be.
//!
//! No object's time is written down. But a span knows the cycle after which it was opened, and the one after which a
//! thread allocated from it last: the ages of its objects lie between the two. The bounds are cycles, and seconds as
//! far as the ends of cycles are known: of the last 256, as in Go's `MemStats.PauseEnd`. Both bounds hold;
//! they are far apart for a span that was allocated from again and again.

use super::Run;

/// Ends of cycles that are known.
pub const KNOWN_CYCLES: usize = 256;

/// When runs were looked at, and when the cycles before ended: on the wall clock, in nanoseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// When.
    pub taken_ns: u64,
    /// When the heap started.
    pub started_ns: u64,
    /// Cycles completed.
    pub cycle: u32,
    /// When the last of them ended: cycle `n` at `(n - 1) % 256`.
    pub ends_ns: [u64; KNOWN_CYCLES],
}

/// Bounds of ages: no object is younger than the least, none older than the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Age {
    /// Cycles that have ended since, at least.
    pub least_cycles: u32,
    /// Cycles that have ended since, at most.
    pub most_cycles: u32,
    /// Seconds, at least.
    pub least_seconds: f64,
    /// Seconds, at most; since the heap's start where the cycle is too long ago to be known.
    pub most_seconds: f64,
}

impl Moment {
    /// Between which bounds the ages of the run's objects lie.
    pub fn age(&self, run: &Run) -> Age {
        // A sweep's number is there a little before its cycle counts as completed.
        let since = |cycle: u32| self.cycle.wrapping_sub(cycle).cast_signed().max(0) as u32;
        let seconds = |from_ns: u64| self.taken_ns.saturating_sub(from_ns) as f64 / 1e9;
        let least_cycles = run.left.map_or(0, since);
        let most_cycles = since(run.opened).max(least_cycles);
        // The last object came before the next cycle ended.
        let least_seconds = match least_cycles {
            0 => 0.0,
            n => seconds(self.end((n - 1).min(KNOWN_CYCLES as u32 - 1))),
        };
        let known = most_cycles < self.cycle && most_cycles < KNOWN_CYCLES as u32;
        let opened_ns = if known {
            self.end(most_cycles)
        } else {
            self.started_ns
        };
        Age {
            least_cycles,
            most_cycles,
            least_seconds,
            most_seconds: seconds(opened_ns).max(least_seconds),
        }
    }

    /// When the cycle ended that was `ago` cycles before the last one.
    fn end(&self, ago: u32) -> u64 {
        let number = self.cycle.wrapping_sub(ago).wrapping_sub(1);
        self.ends_ns[number as usize % KNOWN_CYCLES]
    }
}
