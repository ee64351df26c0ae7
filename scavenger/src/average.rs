//! The pace of Go 1.14 to 1.17: a page, then a sleep a hundred times as long.
//!
//! ```text
//! sleep   = average / 1 % × worked / 1 %
//! average = (worked / (worked + slept) + average) / 2
//! ```
//! A sleep that lasts longer than it should makes the average, and with it the
//! next one, shorter. One processor's time is shared, however many there are.
//!
//! Invariant: a page released is followed by a sleep; nothing found parks.
//!
//! Source: Go 1.15 and 1.17, `mgcscavenge.go`, `bgscavenge`. The least fraction that
//! stands there is an integer division that comes to nothing; so it is here.

use crate::Step;

/// Work that counts, at most, in nanoseconds: a thread that lost its processor did not
/// work all that time. Go: `maxCrit`.
const MOST_WORK: u64 = 10_000_000;

/// The scavenger's share of one processor, averaged.
#[derive(Clone, Copy, Debug)]
pub struct Average {
    /// The share it should be, 0 to 1.
    ideal: f64,
    average: f64,
    /// Nanoseconds that the last release took; 0 if it is slept off.
    worked: u64,
    exhausted: bool,
}

impl Average {
    /// At rest, to take `share` (0 to 1) of a processor.
    pub const fn new(share: f64) -> Self {
        Self {
            ideal: share,
            average: share,
            worked: 0,
            exhausted: false,
        }
    }

    /// What to do next. A release of one byte is one of a page, or of a huge page that is
    /// idle as a whole.
    pub const fn step(&mut self, goals_met: bool) -> Step {
        if self.worked > 0 {
            let adjusted = self.average / self.ideal * self.worked as f64;
            // The cast saturates, and makes zero of a NaN.
            return Step::Sleep((adjusted / self.ideal) as u64);
        }
        if goals_met || self.exhausted {
            self.exhausted = false;
            return Step::Park;
        }
        Step::Release(1)
    }

    /// `bytes` were released within `took_ns`.
    pub const fn released(&mut self, bytes: u64, took_ns: u64) {
        self.exhausted = bytes == 0;
        if bytes > 0 {
            let took = if took_ns > MOST_WORK {
                MOST_WORK
            } else {
                took_ns
            };
            self.worked = if took == 0 { 1 } else { took };
        }
    }

    /// The sleep is over, and lasted `ns` nanoseconds.
    pub const fn slept(&mut self, ns: u64) {
        let worked = self.worked as f64;
        self.average = (worked / (worked + ns as f64) + self.average) / 2.0;
        self.worked = 0;
    }
}
