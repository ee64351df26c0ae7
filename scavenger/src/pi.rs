//! A proportional-integral controller: turns a share of the CPU as it was, and as
//! it should be, into how long to work for how long a sleep.
//!
//! ```text
//! error    = wanted − measured
//! raw      = kp × error + integral
//! output   = raw, kept within min … max
//! integral += kp × period / ti × error + period / tt × (output − raw)
//! ```
//!
//! The last term drains the integral while the output is held at a bound, so that
//! the controller does not have to unwind first when things change.
//!
//! Invariant: the output is within its bounds, and the integral finite. What
//! would break that is a [`Fault`], and the controller starts over.
//!
//! Called by [`Engine`](crate::Engine) after each sleep. Go reports a fault by a
//! second result, and keeps two flags that only its tests read; here the fault
//! says which.

/// A controller with its state. Periods and time constants are nanoseconds in
/// this crate, though any one unit does. Go: `piController`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PiController {
    kp: f64,
    ti: f64,
    tt: f64,
    min: f64,
    max: f64,
    integral: f64,
}

/// Why a controller started over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The sample was not a number, infinite, or made the output so. Go:
    /// `inputOverflow`.
    Input,
    /// The integral of the error was no longer finite. Go: `errOverflow`.
    Integral,
}

impl PiController {
    /// Go's scavenger: the input is a share of the CPU, the output the ratio of
    /// time worked to time slept, between 1:1000 and 1000:1. Go tuned it loosely
    /// after Ziegler and Nichols. Go: `scavengerState.init`.
    pub const SCAVENGER: Self = Self::new(0.3375, 3.2e6, 1e9, 0.001, 1000.0);

    /// A controller at rest. `kp` is the proportional gain, `ti` the time over
    /// which the error is made up for, `tt` the one over which the integral is
    /// drained at a bound; a zero for either switches the integral off. The
    /// output is kept from `min` to `max`.
    pub const fn new(kp: f64, ti: f64, tt: f64, min: f64, max: f64) -> Self {
        Self {
            kp,
            ti,
            tt,
            min,
            max,
            integral: 0.0,
        }
    }

    /// The next output, for a sample `input` that should be `setpoint`, `period`
    /// after the last one.
    ///
    /// # Errors
    /// A [`Fault`] if an intermediate result is not finite; the controller has
    /// then forgotten the past. Go: `piController.next`.
    pub const fn next(&mut self, input: f64, setpoint: f64, period: f64) -> Result<f64, Fault> {
        let error = setpoint - input;
        let raw = self.kp * error + self.integral;
        if !raw.is_finite() {
            self.integral = 0.0;
            return Err(Fault::Input);
        }
        let output = raw.max(self.min).min(self.max);
        if self.ti != 0.0 && self.tt != 0.0 {
            self.integral += self.kp * period / self.ti * error + period / self.tt * (output - raw);
            if !self.integral.is_finite() {
                self.integral = 0.0;
                return Err(Fault::Integral);
            }
        }
        Ok(output)
    }
}
