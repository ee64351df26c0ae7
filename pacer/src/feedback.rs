//! The trigger of Go 1.5 to 1.17: a share of the growth that GOGC allows, corrected
//! after each cycle by how far off it was.
//!
//! ```text
//! trigger = marked × (1 + ratio), at least the least heap
//! error   = growth allowed − ratio − CPU share / CPU share aimed at × (growth seen − ratio)
//! ratio  += error / 2, kept within floor … 95 % of the growth allowed
//! ```
//! A cycle that let the heap grow past its goal, or took more CPU than it should
//! have, makes the next one begin earlier. Before the first cycle the ratio is 7/8, and
//! marked is what makes the trigger the least heap.
//!
//! Invariant: marked ≤ trigger; where the trigger is above the goal, the goal is the trigger.
//!
//! Source: Go 1.12 and 1.15, `mgc.go`, `endCycle` and `gcSetTriggerRatio`. The growth seen is
//! measured against GOGC here; the least heap's part in it, which 1.10 on counts, is left out.

use crate::Trigger;

/// Go: `gcinit`, `init` of the controller.
const FIRST: f64 = 7.0 / 8.0;
/// Go: `triggerGain`.
const GAIN: f64 = 0.5;
/// Go: `maxTriggerRatio`.
const HIGHEST: f64 = 0.95;

/// The share of the heap's growth after which a cycle begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Feedback {
    ratio: f64,
}

impl Feedback {
    pub(crate) const NEW: Self = Self { ratio: FIRST };

    /// What counts as live before the first cycle, with this least heap.
    pub(crate) const fn first_marked(least: u64) -> u64 {
        if least == u64::MAX {
            return 0;
        }
        (least as f64 / (1.0 + FIRST)) as u64
    }

    /// A cycle that began at `marked × (1 + ratio)` has ended with `heap_live` bytes and took
    /// this share of the CPU, where `aim` was to be had. `allowed` is GOGC / 100.
    pub(crate) const fn record(
        &mut self,
        heap_live: u64,
        marked: u64,
        allowed: f64,
        share: f64,
        aim: f64,
    ) {
        let seen = heap_live as f64 / marked as f64 - 1.0;
        let error = allowed - self.ratio - share / aim * (seen - self.ratio);
        let ratio = self.ratio + GAIN * error;
        if ratio.is_finite() {
            self.ratio = ratio;
        }
    }

    /// When the next cycle begins and should end. `goal` is GOGC's, `at_least` what the least
    /// heap and the sweep ask of the trigger, `marked` what was found live.
    pub(crate) const fn trigger(
        &self,
        marked: u64,
        goal: u64,
        at_least: u64,
        allowed: f64,
        floor: f64,
    ) -> Trigger {
        let ratio = self.ratio.max(floor * allowed).min(HIGHEST * allowed);
        // The cast saturates.
        let by_ratio = (marked as f64 * (1.0 + ratio)) as u64;
        let trigger = if by_ratio < at_least {
            at_least
        } else {
            by_ratio
        };
        Trigger {
            trigger,
            goal: if goal < trigger { trigger } else { goal },
        }
    }
}
