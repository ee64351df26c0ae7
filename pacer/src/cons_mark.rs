//! How fast the program allocates, measured in how fast the collector scans: the
//! estimate that the runway comes from.
//!
//! ```text
//!              bytes allocated during the cycle / CPU time of the program
//! cons/mark = ------------------------------------------------------------
//!              bytes scanned during the cycle / CPU time of the collector
//!
//! runway    = cons/mark × (1 − 25 %)/25 % × bytes expected to be scanned
//! ```
//!
//! With that runway a collector that takes a quarter of the CPU gets done just
//! when the heap reaches its goal, and no allocation has to help. The length of
//! the cycle and the number of processors cancel out. Idle time that the
//! collector used up counts as its own, and as the program's too, which might
//! have taken it at any moment.
//!
//! The estimate is the largest of the last five measurements: too early a start
//! costs a few more cycles, too late a one makes allocations wait.
//!
//! Invariant: the estimate is finite and not negative.
//!
//! Called by [`Controller::end_cycle`](crate::Controller::end_cycle) and at
//! commit. Where Go divides by zero (nothing scanned, or all of the CPU the
//! collector's) and carries an infinity or a negative rate along for five cycles,
//! here the measurement is left out, as Go leaves out a cycle during which
//! nothing was allocated.

/// The CPU share that the collector aims at. Go: `gcGoalUtilization`.
const GOAL_UTILIZATION: f64 = 0.25;

/// One cycle, as measured.
pub(crate) struct Sample {
    /// Bytes by which the live heap grew between the trigger and the end.
    pub(crate) allocated: u64,
    /// Bytes scanned.
    pub(crate) scanned: u64,
    /// CPU share of the collector with what allocations did for it, 0 to 1.
    pub(crate) utilization: f64,
    /// CPU share the collector took from idle time, 0 to 1.
    pub(crate) idle_utilization: f64,
}

/// Go 1.18 and 1.19 follow the measurements by a controller with these gains: proportional,
/// and integral over so many cycles. Go: `consMarkController`; its bounds of ±1000, far from
/// any estimate, are left out.
const KP: f64 = 0.9;
const TI: f64 = 4.0;

/// The estimate and the measurements it is drawn from.
#[derive(Clone, Debug)]
pub(crate) struct ConsMark {
    estimate: f64,
    /// The last four measurements, oldest first.
    last: [f64; 4],
    /// Of the errors, where a controller follows the measurements.
    integral: f64,
}

impl ConsMark {
    pub(crate) const UNKNOWN: Self = Self {
        estimate: 0.0,
        last: [0.0; 4],
        integral: 0.0,
    };

    pub(crate) const fn estimate(&self) -> f64 {
        self.estimate
    }

    /// Takes a cycle into account. Go: the end of `endCycle`.
    pub(crate) fn record(&mut self, s: &Sample, largest_of_five: bool) {
        let consumed = s.allocated as f64 * (s.utilization + s.idle_utilization);
        let marked = s.scanned as f64 * (1.0 - s.utilization);
        let current = consumed / marked;
        if !current.is_finite() || current < 0.0 {
            return;
        }
        if !largest_of_five {
            let error = current - self.estimate;
            self.estimate = (KP * error + self.integral).max(0.0);
            self.integral += KP / TI * error;
            return;
        }
        self.estimate = self.last.iter().fold(current, |most, &c| most.max(c));
        self.last.rotate_left(1);
        self.last[3] = current;
    }

    /// Bytes the program will allocate while `scan` bytes are scanned. Rounded
    /// down; saturates. Go: the end of `commit`.
    pub(crate) fn runway(&self, scan: u64) -> u64 {
        let rate = self.estimate * (1.0 - GOAL_UTILIZATION) / GOAL_UTILIZATION;
        // The cast saturates, and makes zero of a NaN.
        (rate * scan as f64) as u64
    }
}
