//! When the background thread helps with a sweep, and when it looks whether there is one.
//!
//! ```text
//! cycles come                               it helps                       it looks by itself
//! less often                                at once, as Go's               when it is told
//! 8 in a row, each within 10 ms             at half of the last interval   when it is told
//! each 2 ms or more often                   after half a millisecond       each half a millisecond
//! ```
//! Go's sweeper runs on whichever processor is free. Here it is a thread of the system's, and to wake it costs who allocates
//! some microseconds: one that sleeps for a while by itself costs nothing. A program with hundreds of cycles a second
//! sweeps as it allocates, span by span as it needs them, and is done before the next; two threads at it get into each
//! other's way. One that comes to rest is helped all the same.
//!
//! All times are nanoseconds of one clock. Called at each cycle's end.

/// How long allocations have the sweep to themselves where cycles are many.
const GRACE: u64 = 500_000;
/// Cycles that follow each other within this time are many.
const MANY: u64 = 2_000_000;
/// Cycles that follow each other within this time are close …
const CLOSE: u64 = 10_000_000;
/// … and steady after so many in a row.
const STEADY: u32 = 8;

/// What the background thread does about sweeps. See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sweeper {
    helps_from_ns: u64,
    many_until_ns: u64,
    close_in_a_row: u32,
}

impl Sweeper {
    /// Before the first cycle.
    pub const fn new() -> Self {
        Self {
            helps_from_ns: 0,
            many_until_ns: 0,
            close_in_a_row: 0,
        }
    }

    /// A cycle has ended at `now`, `since_last` after the one before. A `forced` one says nothing of how often they come.
    pub const fn cycle_ended(&mut self, now: u64, since_last: u64, forced: bool) {
        self.close_in_a_row = if since_last < CLOSE && !forced {
            self.close_in_a_row.saturating_add(1)
        } else {
            0
        };
        let many = since_last < MANY;
        let wait = if many {
            GRACE
        } else if self.close_in_a_row >= STEADY {
            since_last / 2
        } else {
            0
        };
        self.helps_from_ns = now.saturating_add(wait);
        self.many_until_ns = if many { now.saturating_add(MANY) } else { 0 };
    }

    /// From when on what is not swept is the background thread's.
    pub const fn helps_from(&self) -> u64 {
        self.helps_from_ns
    }

    /// When it is to look again by itself, as of `now`; [`u64::MAX`]: it is told.
    pub const fn next_look(&self, now: u64) -> u64 {
        if now < self.many_until_ns {
            now.saturating_add(GRACE)
        } else {
            u64::MAX
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// So many cycles, each so long after the last.
    fn after(cycles: u64, apart: u64) -> (Sweeper, u64) {
        let mut sweeper = Sweeper::new();
        for n in 1..=cycles {
            sweeper.cycle_ended(n * apart, apart, false);
        }
        (sweeper, cycles * apart)
    }

    #[test]
    fn where_cycles_are_rare_it_helps_at_once_and_looks_when_told() {
        for apart in [10 * MS, 11 * MS, 3_600_000 * MS] {
            let (sweeper, now) = after(20, apart);
            assert_eq!(sweeper.helps_from(), now);
            assert_eq!(sweeper.next_look(now), u64::MAX);
        }
    }

    #[test]
    fn where_they_are_steady_and_close_it_waits_for_half_of_the_time_between_them() {
        let (seven, now) = after(7, 6 * MS);
        assert_eq!(seven.helps_from(), now);
        let (eight, now) = after(8, 6 * MS);
        assert_eq!(eight.helps_from(), now + 3 * MS);
        assert_eq!(eight.next_look(now), u64::MAX);
    }

    #[test]
    fn where_they_are_many_it_leaves_them_half_a_millisecond_and_looks_by_itself_for_two() {
        let (sweeper, now) = after(1, MS);
        assert_eq!(sweeper.helps_from(), now + MS / 2);
        assert_eq!(sweeper.next_look(now + MS), now + MS * 3 / 2);
        assert_eq!(sweeper.next_look(now + 2 * MS), u64::MAX);
        let (at_the_edge, now) = after(1, 2 * MS);
        assert_eq!(at_the_edge.helps_from(), now);
    }

    #[test]
    fn one_long_interval_or_a_forced_cycle_ends_a_row() {
        for (since_last, forced) in [(20 * MS, false), (6 * MS, true)] {
            let (mut sweeper, mut now) = after(20, 6 * MS);
            now += since_last;
            sweeper.cycle_ended(now, since_last, forced);
            assert_eq!(sweeper.helps_from(), now);
            for _ in 0..7 {
                now += 6 * MS;
                sweeper.cycle_ended(now, 6 * MS, false);
                assert_eq!(sweeper.helps_from(), now);
            }
            now += 6 * MS;
            sweeper.cycle_ended(now, 6 * MS, false);
            assert_eq!(sweeper.helps_from(), now + 3 * MS);
        }
    }

    #[test]
    fn no_time_overflows() {
        let mut sweeper = Sweeper::new();
        sweeper.cycle_ended(u64::MAX, 0, false);
        assert_eq!(sweeper.helps_from(), u64::MAX);
        assert_eq!(sweeper.next_look(u64::MAX - 1), u64::MAX);
    }
}
