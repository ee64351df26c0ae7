//! What wakes a scavenger that rests, as in Go from 1.16 on.
//!
//! | what | when |
//! | --- | --- |
//! | its own timer | at the end of a sleep |
//! | a cycle that begins (`finishsweep_m`) | at once; not if it is at work: that is not made up for |
//! | a sweep that ends, goals that change (`sysmonWake`) | when the [`Monitor`] looks next, and after the turn if it is at work |
//!
//! While the whole program sleeps Go's monitor does, too, until something wakes up. Half a second stands for
//! that: without it, what a program frees just before it rests would go back at once, where Go lets some time pass.
//!
//! Go 1.1 to 1.15 have other ways: there, that it is ready wakes it.
//!
//! All times are in nanoseconds, and of the [`Monitor`]'s clock unless they say otherwise.

use crate::Monitor;

/// A cycle of Go's takes this long at the least, at 4 MiB of heap with nothing live. Here there may be ten in that
/// time; if each had its turn of scavenging, the pages at the heap's end would be given back and taken again
/// for a quarter of all time.
const SHORTEST_CYCLE: u64 = 1_000_000;
/// How long a program that does nothing is waited for.
const PATIENCE: u64 = 500_000_000;

/// A scavenger between two turns.
#[derive(Clone, Copy, Debug)]
pub struct Rest {
    /// When the last turn began.
    pub turn_began_ns: u64,
    /// When the rest ends by itself.
    pub until_ns: u64,
    /// A cycle has begun meanwhile.
    pub cycle_began: bool,
    /// For how long there has been work for it, if there is any; by a clock that may run faster.
    pub ready_for_ns: Option<u64>,
}

/// What a scavenger at rest does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waking {
    /// It takes its turn.
    Now,
    /// It takes its turn at that time, if the program runs then.
    IfRunsAt(u64),
    /// It sleeps until the rest ends, or something happens.
    Later,
}

impl Rest {
    /// What to do at `now`. Without a monitor, that it is ready is enough.
    pub fn next(&self, monitor: Option<Monitor>, now: u64) -> Waking {
        if self.cycle_began || now >= self.until_ns {
            return Waking::Now;
        }
        match (self.ready_for_ns, monitor) {
            (None, _) => Waking::Later,
            (Some(time), Some(monitor)) if time < PATIENCE => {
                let earliest = self.turn_began_ns.saturating_add(SHORTEST_CYCLE);
                Waking::IfRunsAt(monitor.next_look(now).max(earliest).min(self.until_ns))
            }
            (Some(_), _) => Waking::Now,
        }
    }

    /// Whether a cycle that begins at `now` wakes one whose last turn began at `turn_began_ns`.
    pub const fn may_be_woken(turn_began_ns: u64, now: u64) -> bool {
        now.saturating_sub(turn_began_ns) >= SHORTEST_CYCLE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// One whose last turn began at 100 ms, and which rests until 900 ms.
    const RESTS: Rest = Rest {
        turn_began_ns: 100 * MS,
        until_ns: 900 * MS,
        cycle_began: false,
        ready_for_ns: None,
    };

    /// One that looks each 70 µs from 100 ms on.
    fn monitor() -> Option<Monitor> {
        Some(Monitor::woken_at(100 * MS))
    }

    #[test]
    fn without_work_or_a_cycle_it_rests_to_the_end() {
        for monitor in [None, monitor()] {
            assert_eq!(RESTS.next(monitor, 100 * MS), Waking::Later);
            assert_eq!(RESTS.next(monitor, 900 * MS - 1), Waking::Later);
            assert_eq!(RESTS.next(monitor, 900 * MS), Waking::Now);
        }
    }

    #[test]
    fn a_cycle_wakes_it_at_once_whether_there_is_work_or_not() {
        for ready_for_ns in [None, Some(0)] {
            let rest = Rest {
                cycle_began: true,
                ready_for_ns,
                ..RESTS
            };
            assert_eq!(rest.next(monitor(), 100 * MS), Waking::Now);
        }
    }

    #[test]
    fn a_cycle_within_a_millisecond_of_the_last_turn_does_not_wake_it() {
        assert!(!Rest::may_be_woken(100 * MS, 100 * MS));
        assert!(!Rest::may_be_woken(100 * MS, 101 * MS - 1));
        assert!(Rest::may_be_woken(100 * MS, 101 * MS));
        assert!(!Rest::may_be_woken(100 * MS, 0), "a clock that went back");
    }

    #[test]
    fn work_waits_for_the_monitors_look_and_for_a_millisecond_since_the_last_turn() {
        let rest = Rest {
            ready_for_ns: Some(0),
            ..RESTS
        };
        let at = |now| rest.next(monitor(), now);
        assert_eq!(at(100 * MS), Waking::IfRunsAt(101 * MS));
        assert_eq!(at(102 * MS), Waking::IfRunsAt(102 * MS + 30_000));
        assert_eq!(
            at(900 * MS - 1),
            Waking::IfRunsAt(900 * MS),
            "its timer comes first"
        );
    }

    #[test]
    fn work_waits_for_half_a_second_of_a_program_that_sleeps_and_no_longer() {
        let at = |time| {
            let rest = Rest {
                ready_for_ns: Some(time),
                ..RESTS
            };
            rest.next(monitor(), 200 * MS)
        };
        assert!(matches!(at(500 * MS - 1), Waking::IfRunsAt(_)));
        assert_eq!(at(500 * MS), Waking::Now);
    }

    #[test]
    fn without_a_monitor_work_wakes_it_at_once() {
        let rest = Rest {
            ready_for_ns: Some(0),
            ..RESTS
        };
        assert_eq!(rest.next(None, 100 * MS), Waking::Now);
    }
}
