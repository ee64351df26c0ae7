//! When Go's monitor thread looks whether the scavenger is to be woken.
//!
//! ```text
//! woken                50 looks, 20 µs apart        ever less often           each 10 ms
//!   ├──┼──┼──┼──┼──┼──┼──┼── … ──┼──┼────┼────────┼────────────────┼─ … ─┼───────────┼────
//! ```
//! It is woken when it finds the world stopped: then it sleeps until the world is started, and begins anew. Each cycle stops
//! the world twice, for some dozens of microseconds. So a monitor that looks often finds nearly every stop, and goes on
//! looking often as long as cycles come every few milliseconds; one that looks each 10 ms finds one stop in a
//! hundred. Which of the two it is makes a turn of scavenging a cycle, or one in several.
//!
//! Invariant: looks depend on nothing but when the monitor was woken.
//!
//! The monitor's other work, and its sleep while no thread of the program runs, are not here.
//!
//! Source: Go 1.27, `proc.go`, `sysmon`.

/// Nanoseconds between two looks at first. Go: `delay`, 20 µs.
const SHORT: u64 = 20_000;
/// So many looks come after that time each, then it is doubled from one to the next.
const SHORT_LOOKS: u64 = 50;
/// … up to this. Go: 10 ms.
const LONG: u64 = 10_000_000;
/// A sleep takes so much longer than it was to: Linux lets a thread's timers wait by 50 µs (`PR_SET_TIMERSLACK`).
const SLACK: u64 = 50_000;
/// Nanoseconds for which a cycle's beginning or its end stops the world: 30 to 100 µs in what Go prints with
/// `GODEBUG=gctrace=1` for programs of few goroutines.
const STOP: u64 = 60_000;

/// Go's monitor thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Monitor {
    woken_ns: u64,
}

impl Monitor {
    /// One that was last woken at `ns` of whatever clock; all times are that clock's.
    pub const fn woken_at(ns: u64) -> Self {
        Self { woken_ns: ns }
    }

    /// When it was last woken.
    pub const fn woken_ns(self) -> u64 {
        self.woken_ns
    }

    /// The first look after `now`.
    pub const fn next_look(self, now: u64) -> u64 {
        let passed = now.saturating_sub(self.woken_ns);
        let mut look = (SHORT + SLACK) * SHORT_LOOKS;
        if passed < look {
            let period = SHORT + SLACK;
            return self.woken_ns.saturating_add((passed / period + 1) * period);
        }
        let mut delay = SHORT * 2;
        while look <= passed && delay < LONG {
            look += delay + SLACK;
            delay *= 2;
        }
        if look <= passed {
            let period = LONG + SLACK;
            look = look.saturating_add(((passed - look) / period + 1).saturating_mul(period));
        }
        self.woken_ns.saturating_add(look)
    }

    /// The world is stopped at `now`, for a moment: is that seen, it begins anew after it.
    #[must_use]
    pub const fn world_stopped(self, now: u64) -> Self {
        let started = now.saturating_add(STOP);
        if self.next_look(now) <= started {
            Self::woken_at(started)
        } else {
            self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn looks_come_every_70_microseconds_then_ever_less_often_down_to_each_10_milliseconds() {
        let monitor = Monitor::woken_at(5 * MS);
        let mut last = 5 * MS;
        let delays: [u64; 70] = core::array::from_fn(|_| {
            let look = monitor.next_look(last);
            look - core::mem::replace(&mut last, look)
        });
        assert!(delays[..50].iter().all(|&delay| delay == 70_000));
        assert_eq!(delays[50..53], [90_000, 130_000, 210_000]);
        assert_eq!(delays[57], 5_170_000);
        assert!(delays[58..].iter().all(|&delay| delay == 10_050_000));
    }

    #[test]
    fn a_look_is_always_after_now_and_none_is_left_out() {
        let monitor = Monitor::woken_at(MS);
        let mut last = 0;
        for now in (0..60 * MS).step_by(7_919) {
            let look = monitor.next_look(now);
            assert!(look > now && look >= last, "{now} {look} {last}");
            assert!(look == last || last <= now, "{now} {look} {last}");
            last = look;
        }
    }

    /// Cycles with so many nanoseconds from one to the next, and how many of 1000 stops are seen.
    fn seen(cycle: u64, mark: u64) -> usize {
        let mut monitor = Monitor::default();
        let mut seen = 0;
        for n in 1..=500 {
            for at in [n * cycle, n * cycle + mark] {
                let after = monitor.world_stopped(at);
                seen += usize::from(after != monitor);
                monitor = after;
            }
        }
        seen
    }

    #[test]
    fn where_cycles_come_every_two_milliseconds_nearly_every_stop_is_seen() {
        assert!(seen(2 * MS, MS / 2 + 1_234) > 700);
    }

    #[test]
    fn where_they_come_every_fifteen_milliseconds_few_are() {
        assert!(seen(15 * MS + 4_321, 2 * MS + 777) < 100);
    }

    #[test]
    fn a_stop_that_is_seen_wakes_it_when_the_stop_is_over() {
        let monitor = Monitor::woken_at(MS);
        assert_eq!(monitor.woken_ns(), MS);
        let seen = monitor.world_stopped(MS + SHORT);
        assert_eq!(seen.woken_ns(), MS + SHORT + STOP);
    }

    #[test]
    fn no_time_overflows() {
        let monitor = Monitor::woken_at(u64::MAX).world_stopped(u64::MAX);
        assert_eq!(monitor.next_look(u64::MAX), u64::MAX);
        assert!(Monitor::default().next_look(u64::MAX - 1) >= u64::MAX - 1);
    }
}
