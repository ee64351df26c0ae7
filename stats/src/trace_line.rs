//! The two lines that Go prints about itself under `GODEBUG=gctrace=1` and
//! `scavtrace=1`, to the byte, so that tools that read Go's read these too.
//!
//! Both types hold plain figures and write themselves through [`core::fmt::Write`]
//! without allocating: they are printed from inside the allocator, into a fixed
//! buffer. The figures are what the caller measured; nothing is measured here.
//!
//! Source: Go 1.27, `runtime/mgc.go` (`gcMarkTermination`, `itoaDiv`,
//! `fmtNSAsMS`) and `runtime/mgcscavenge.go` (`printScavTrace`).

use core::fmt::{self, Display, Formatter};

/// One cycle, as `gctrace=1` reports it:
/// `gc # @#s #%: #+#+# ms clock, #+#/#/#+# ms cpu, #->#-># MB, # MB goal, # MB stacks, # MB globals, # P`,
/// and `(forced)` behind it if the program asked for the cycle.
///
/// The line ends without a line feed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GcTrace {
    /// The cycle's number, from 1.
    pub number: u32,
    /// From the start of the program to the start of the cycle. Printed cut to whole milliseconds.
    pub since_start_ns: u64,
    /// Share of the processors' time since the start that went into collection,
    /// from 0 to 1. Printed as whole percent, cut.
    pub cpu_fraction: f64,
    /// How long the phases took by the clock.
    pub clock: PhaseClock,
    /// What processor time the phases took.
    pub cpu: PhaseCpu,
    /// Bytes of heap live when the cycle started.
    pub heap_at_start: u64,
    /// Bytes of heap live when it ended: what was allocated meanwhile is in.
    pub heap_at_end: u64,
    /// Bytes that the cycle found live.
    pub heap_marked: u64,
    /// Bytes of heap that the pacer had aimed at.
    pub heap_goal: u64,
    /// Bytes of stacks to scan; 0 without a tracer.
    pub stacks: u64,
    /// Bytes of globals to scan; 0 without a tracer.
    pub globals: u64,
    /// Processors in use.
    pub processors: u32,
    /// Whether the program asked for the cycle.
    pub forced: bool,
}

/// Wall-clock nanoseconds of a cycle's three phases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhaseClock {
    /// Finishing the last cycle's sweep, with the program held up.
    pub sweep_termination_ns: u64,
    /// Finding out what is live, beside the program.
    pub mark_ns: u64,
    /// Closing the cycle, with the program held up.
    pub mark_termination_ns: u64,
}

/// Processor nanoseconds of a cycle's phases, those of marking by who did it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhaseCpu {
    /// Finishing the last cycle's sweep.
    pub sweep_termination_ns: u64,
    /// Marking done by threads that allocate.
    pub assist_ns: u64,
    /// Marking done in the background.
    pub background_ns: u64,
    /// Marking done by processors that had nothing else to do.
    pub idle_ns: u64,
    /// Closing the cycle.
    pub mark_termination_ns: u64,
}

impl Display for GcTrace {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "gc {} @{}s {}%: {}+{}+{} ms clock, ",
            self.number,
            Fixed::new(self.since_start_ns / 1_000_000, 3),
            // A float to integer cast saturates, and NaN becomes 0.
            (self.cpu_fraction * 100.0) as i64,
            Millis(self.clock.sweep_termination_ns),
            Millis(self.clock.mark_ns),
            Millis(self.clock.mark_termination_ns),
        )?;
        write!(
            f,
            "{}+{}/{}/{}+{} ms cpu, ",
            Millis(self.cpu.sweep_termination_ns),
            Millis(self.cpu.assist_ns),
            Millis(self.cpu.background_ns),
            Millis(self.cpu.idle_ns),
            Millis(self.cpu.mark_termination_ns),
        )?;
        write!(
            f,
            "{}->{}->{} MB, {} MB goal, {} MB stacks, {} MB globals, {} P{}",
            self.heap_at_start >> 20,
            self.heap_at_end >> 20,
            self.heap_marked >> 20,
            self.heap_goal >> 20,
            self.stacks >> 20,
            self.globals >> 20,
            self.processors,
            if self.forced { " (forced)" } else { "" },
        )
    }
}

/// What the scavenger did since its last line, as `scavtrace=1` reports it:
/// `scav # KiB work (bg), # KiB work (eager), # KiB now, #% util`.
///
/// The line ends without a line feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScavTrace {
    /// Bytes that the background scavenger has handed back.
    pub released_background: u64,
    /// Bytes handed back at once: at growth, under the memory limit, or on request.
    pub released_eager: u64,
    /// Bytes that are with the system now, `HeapReleased`.
    pub released_now: u64,
    /// Bytes in spans, `HeapInuse`.
    pub heap_inuse: u64,
    /// Bytes of heap backed by memory: `HeapInuse` + `HeapIdle` − `HeapReleased`.
    pub heap_retained: u64,
    /// Whether the program asked for it, by `free_os_memory`.
    pub forced: bool,
    /// Whether the pacing controller has been reset since the last line. Not
    /// said of a forced one.
    pub controller_reset: bool,
}

impl Display for ScavTrace {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // In u128, since 100 times the heap in use need not fit into 64 bits.
        let percent = u128::from(self.heap_inuse) * 100;
        write!(
            f,
            "scav {} KiB work (bg), {} KiB work (eager), {} KiB now, {}% util{}",
            self.released_background >> 10,
            self.released_eager >> 10,
            self.released_now >> 10,
            // Go would divide by zero here, were its heap ever empty.
            percent
                .checked_div(u128::from(self.heap_retained))
                .unwrap_or(0),
            if self.forced {
                " (forced)"
            } else if self.controller_reset {
                " [controller reset]"
            } else {
                ""
            },
        )
    }
}

/// A decimal number given in units of its last place: `Fixed::new(1234, 3)` is
/// 1.234. No rounding, all places printed.
struct Fixed {
    whole: u64,
    fraction: u64,
    places: usize,
}

impl Fixed {
    fn new(units: u64, places: u32) -> Self {
        let one = 10_u64.pow(places);
        Self {
            whole: units / one,
            fraction: units % one,
            places: places as usize,
        }
    }
}

impl Display for Fixed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.whole)?;
        if self.places > 0 {
            write!(f, ".{:0width$}", self.fraction, width = self.places)?;
        }
        Ok(())
    }
}

/// Nanoseconds printed as milliseconds: whole ones from 10 ms up, below that two
/// significant figures and at most three decimal places, cut, never rounded.
struct Millis(u64);

impl Display for Millis {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let micros = self.0 / 1_000;
        let (units, places) = match micros {
            1..100 => (micros, 3),
            100..1_000 => (micros / 10, 2),
            1_000..10_000 => (micros / 100, 1),
            // None, or 10 ms and more.
            _ => (micros / 1_000, 0),
        };
        Fixed::new(units, places).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Go's own way: digits from the right into a buffer, at least one before the point.
    fn go_itoa_div(val: u64, dec: usize) -> String {
        let digits = format!("{val:0>width$}", width = dec + 1);
        let (whole, fraction) = digits.split_at(digits.len() - dec);
        if dec == 0 {
            whole.into()
        } else {
            format!("{whole}.{fraction}")
        }
    }

    #[test]
    fn fixed_point_keeps_every_place() {
        for (units, places) in [(0, 3), (5, 3), (1_234, 3), (10, 1), (9, 0), (u64::MAX, 3)] {
            assert_eq!(
                Fixed::new(units, places).to_string(),
                go_itoa_div(units, places as usize)
            );
        }
    }

    #[test]
    fn milliseconds_lose_places_as_they_grow() {
        for (ns, text) in [
            (0, "0"),
            (999, "0"),
            (1_000, "0.001"),
            (12_999, "0.012"),
            (99_999, "0.099"),
            (100_000, "0.10"),
            (999_999, "0.99"),
            (1_000_000, "1.0"),
            (9_999_999, "9.9"),
            (10_000_000, "10"),
            (1_234_567_890, "1234"),
        ] {
            assert_eq!(Millis(ns).to_string(), text, "{ns} ns");
        }
    }
}
