//! The background scavenger's loop as a state machine: release, sleep or park.
//!
//! ```text
//!         goals unmet, worked < 1 ms          1 ms worked, goals met, or short
//!        ┌───────────────┐                       of memory to release
//!        ▼               │                  ┌─────────────────────────▶ Sleep ──┐
//!  Release(64 KiB) ── released ─────────────┤                                   │
//!        ▲                                  └── released nothing ────▶ Park     │
//!        └───────────────────────────── slept ──────────────────────────────────┘
//! ```
//!
//! A *turn* is a run of releases between two sleeps. After a turn,
//!
//! ```text
//! sleep = max(worked, 1 ms) / ratio
//! share = worked / ((slept + worked) × processors)
//! ratio = next output of the controller, for `share` that should be 1 %
//! ```
//!
//! so that scavenging takes 1 % of all processors' time, whatever a release costs
//! on this machine. A turn shorter than a millisecond counts as one, since a sleep
//! in proportion would be too short to be exact; this errs towards scavenging too
//! slowly. If the controller faults, the ratio is 1:1000 for five seconds.
//!
//! Invariant: in the long run the share is at most what it should be, except
//! where the controller's least ratio, 1:1000, is more than that.
//!
//! The background thread asks [`Engine::step`] what to do, does it, and reports
//! back by [`Engine::released`] or [`Engine::slept`]; when parked, it waits until
//! the goals are computed anew and asks again. A sleep may be cut short, as long
//! as the time really slept is reported.
//!
//! Go's `scavengerState` holds the loop and the waiting together, with stubs for
//! tests. It also has a factor for what it costs to use released memory again,
//! which is zero everywhere but on Apple's systems; it is left out.

use crate::pi::PiController;

/// Bytes released in one go: a compromise between latency, at 10 µs a physical
/// page, and overhead. Go: `scavengeQuantum`.
pub const QUANTUM: u64 = 64 << 10;

/// Nanoseconds of work that make a turn. Go: `minScavWorkTime`.
const TURN: u64 = 1_000_000;

/// Work per sleep to start with, and while the controller is not trusted. Go:
/// `startingScavSleepRatio`.
const CAUTIOUS_RATIO: f64 = 0.001;

/// Nanoseconds for which a controller that faulted is not trusted. Go: `sleep`.
const COOL_DOWN: u64 = 5_000_000_000;

/// Nanoseconds assumed per physical page where the clock shows no time at all.
/// Go: `approxWorkedNSPerPhysicalPage`, found by trial.
const ASSUMED_PER_PAGE: u64 = 10_000;

/// Bytes of a physical page, for that assumption alone.
const ASSUMED_PAGE: u64 = 4096;

/// What the background thread does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Try to release so many bytes, each run by itself, and report by [`Engine::released`].
    Release(u64),
    /// The same, in as few system calls as will do: how long it takes makes no difference.
    ReleaseAtOnce(u64),
    /// Sleep so many nanoseconds, and report by [`Engine::slept`].
    Sleep(u64),
    /// Wait for new goals: nothing to do, or nothing to be found.
    Park,
    /// Release every run that has been idle for longer than so many nanoseconds.
    Pass(u64),
}

/// The background scavenger, without the thread. Go: `scavengerState`, its `run`
/// and `sleep`, and `bgscavenge`.
#[derive(Clone, Debug)]
pub struct Engine {
    /// Share of all processors' time, 0 to 1.
    share: f64,
    controller: PiController,
    /// Time worked per time slept.
    ratio: f64,
    /// Nanoseconds until the controller is trusted again.
    cool_down: u64,
    /// Set at a fault, until somebody asks.
    was_reset: bool,
    turn: Turn,
}

/// The turn under way.
#[derive(Clone, Copy, Debug)]
struct Turn {
    /// Bytes released.
    released: u64,
    /// Nanoseconds it took.
    worked: u64,
    /// The last release fell short: there is no more to be found.
    exhausted: bool,
}

impl Turn {
    const NEW: Self = Self {
        released: 0,
        worked: 0,
        exhausted: false,
    };

    /// What the turn counts as, in nanoseconds.
    const fn charged(&self) -> u64 {
        if self.worked < TURN {
            TURN
        } else {
            self.worked
        }
    }
}

impl Engine {
    /// An engine at rest that is to take `scavenge_percent` of all processors'
    /// time; Go has 1. What is not a number counts as 1; the rest is kept from 0
    /// to 100. Go: `scavengerState.init`, `scavengePercent`.
    pub const fn new(scavenge_percent: f64) -> Self {
        Self {
            share: Self::share(scavenge_percent),
            controller: PiController::SCAVENGER,
            ratio: CAUTIOUS_RATIO,
            cool_down: 0,
            was_reset: false,
            turn: Turn::NEW,
        }
    }

    /// `percent` as a share of 1, as [`Engine::new`] takes it.
    pub(crate) const fn share(percent: f64) -> f64 {
        let percent = if percent.is_nan() {
            1.0
        } else {
            percent.max(0.0).min(100.0)
        };
        percent / 100.0
    }

    /// What to do next. A sleep is asked for until it is reported.
    /// `goals_met` is [`Goals::met`](crate::Goals::met) now.
    /// Go: `run` and the loop of `bgscavenge`.
    pub const fn step(&mut self, goals_met: bool) -> Step {
        if self.turn.worked < TURN && !self.turn.exhausted && !goals_met {
            return Step::Release(QUANTUM);
        }
        if self.turn.released == 0 {
            self.turn = Turn::NEW;
            return Step::Park;
        }
        // The cast saturates; the ratio is never below the controller's least.
        Step::Sleep((self.turn.charged() as f64 / self.ratio) as u64)
    }

    /// Whether nothing has been done in this turn.
    pub const fn is_turn_new(&self) -> bool {
        self.turn.worked == 0
    }

    /// `bytes` were released within `took_ns`. Less than was asked for says that
    /// there is no more to be found. Where the clock is too coarse to show any
    /// time, 10 µs a physical page are assumed. Go: `run`.
    pub const fn released(&mut self, bytes: u64, took_ns: u64) {
        let took = if took_ns == 0 {
            (bytes / ASSUMED_PAGE).saturating_mul(ASSUMED_PER_PAGE)
        } else {
            took_ns
        };
        self.turn.worked = self.turn.worked.saturating_add(took);
        self.turn.released = self.turn.released.saturating_add(bytes);
        self.turn.exhausted = bytes < QUANTUM;
    }

    /// The sleep is over, and lasted `ns` nanoseconds; the process may run on
    /// `procs` processors, none counting as one. Ends the turn. Go: `sleep`.
    pub const fn slept(&mut self, ns: u64, procs: u32) {
        let worked = self.turn.charged();
        self.turn = Turn::NEW;
        if self.cool_down > 0 {
            self.cool_down = self.cool_down.saturating_sub(ns.saturating_add(worked));
            return;
        }
        let period = ns as f64 + worked as f64;
        let procs = if procs == 0 { 1 } else { procs };
        let share = worked as f64 / (period * procs as f64);
        match self.controller.next(share, self.share, period) {
            Ok(ratio) => self.ratio = ratio,
            Err(_) => {
                self.ratio = CAUTIOUS_RATIO;
                self.cool_down = COOL_DOWN;
                self.was_reset = true;
            }
        }
    }

    /// Whether the controller faulted since this was last asked, for the trace
    /// line. Go: `printControllerReset`.
    pub const fn controller_reset(&mut self) -> bool {
        core::mem::replace(&mut self.was_reset, false)
    }

    /// Time worked per time slept, as it now stands. Go: `sleepRatio`.
    pub const fn sleep_ratio(&self) -> f64 {
        self.ratio
    }
}
