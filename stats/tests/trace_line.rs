//! Go's trace lines, held to what its own documentation says they look like.

use std::fmt::{self, Write};
use std::sync::LazyLock;

use goheap_stats::{GcTrace, PhaseClock, PhaseCpu, ScavTrace};
use proptest::prelude::*;
use regex::Regex;

const MIB: u64 = 1 << 20;

/// `gc # @#s #%: #+#+# ms clock, …` with each # made a number.
static GC_LINE: LazyLock<Regex> = LazyLock::new(|| {
    let format = "gc # @#s #%: #+#+# ms clock, #+#/#/#+# ms cpu, #->#-># MB, # MB goal, \
                  # MB stacks, # MB globals, # P";
    let pattern = regex::escape(format).replace("\\#", r"\d+(?:\.\d+)?");
    Regex::new(&format!(r"^{pattern}(?: \(forced\))?$")).unwrap()
});

static SCAV_LINE: LazyLock<Regex> = LazyLock::new(|| {
    let format = "scav # KiB work (bg), # KiB work (eager), # KiB now, #% util";
    let pattern = regex::escape(format).replace("\\#", r"\d+");
    Regex::new(&format!(
        r"^{pattern}(?: \(forced\)| \[controller reset\])?$"
    ))
    .unwrap()
});

#[test]
fn a_cycle_reads_as_gos() {
    let mut line = GcTrace {
        number: 7,
        since_start_ns: 1_234_999_999,
        cpu_fraction: 0.0199,
        clock: PhaseClock {
            sweep_termination_ns: 12_000,
            mark_ns: 1_250_000,
            mark_termination_ns: 3_999,
        },
        cpu: PhaseCpu {
            sweep_termination_ns: 24_000,
            assist_ns: 0,
            background_ns: 450_000,
            idle_ns: 12_345_678,
            mark_termination_ns: 7_998,
        },
        heap_at_start: 4 * MIB - 1,
        heap_at_end: 4 * MIB,
        heap_marked: MIB / 2,
        heap_goal: 5 * MIB,
        processors: 2,
        ..GcTrace::default()
    };
    let text = "gc 7 @1.234s 1%: 0.012+1.2+0.003 ms clock, 0.024+0/0.45/12+0.007 ms cpu, \
                3->4->0 MB, 5 MB goal, 0 MB stacks, 0 MB globals, 2 P";
    assert_eq!(line.to_string(), text);
    line.forced = true;
    assert_eq!(line.to_string(), format!("{text} (forced)"));
}

#[test]
fn lines_that_go_itself_has_printed_have_the_documented_form() {
    for line in [
        "gc 1 @0.001s 9%: 0.19+0.39+0.007 ms clock, 0.39+0/0.27/0.20+0.015 ms cpu, \
         0->0->0 MB, 4 MB goal, 0 MB stacks, 0 MB globals, 2 P (forced)",
        "gc 8 @0.060s 1%: 0.13+5.6+0.045 ms clock, 0.27+0/0.12/0.14+0.090 ms cpu, \
         64->73->73 MB, 65 MB goal, 0 MB stacks, 0 MB globals, 2 P",
        "gc 16 @10.386s 0%: 8.3+6.1+1.6 ms clock, 16+0/2.2/0+3.2 ms cpu, \
         74->78->78 MB, 80 MB goal, 0 MB stacks, 0 MB globals, 2 P",
    ] {
        assert!(GC_LINE.is_match(line), "{line}");
    }
    for line in [
        "scav 0 KiB work (bg), 40 KiB work (eager), 3264 KiB now, 100% util (forced)",
        "scav 256016 KiB work (bg), 0 KiB work (eager), 246560 KiB now, 100% util",
    ] {
        assert!(SCAV_LINE.is_match(line), "{line}");
    }
}

#[test]
fn figures_of_a_go_run_make_the_line_it_printed() {
    let cycle = GcTrace {
        number: 16,
        since_start_ns: 10_386_400_000,
        cpu_fraction: 0.004,
        clock: PhaseClock {
            sweep_termination_ns: 8_399_999,
            mark_ns: 6_100_000,
            mark_termination_ns: 1_600_000,
        },
        cpu: PhaseCpu {
            sweep_termination_ns: 16_799_998,
            assist_ns: 0,
            background_ns: 2_200_000,
            idle_ns: 0,
            mark_termination_ns: 3_200_000,
        },
        heap_at_start: 74 * MIB,
        heap_at_end: 78 * MIB,
        heap_marked: 78 * MIB,
        heap_goal: 80 * MIB,
        processors: 2,
        ..GcTrace::default()
    };
    assert_eq!(
        cycle.to_string(),
        "gc 16 @10.386s 0%: 8.3+6.1+1.6 ms clock, 16+0/2.2/0+3.2 ms cpu, \
         74->78->78 MB, 80 MB goal, 0 MB stacks, 0 MB globals, 2 P"
    );
}

#[test]
fn a_scavenge_reads_as_gos() {
    let mut line = ScavTrace {
        released_background: 65 << 10,
        released_eager: (3 << 10) + 1023,
        released_now: 1 << 30,
        heap_inuse: 2 * MIB,
        heap_retained: 3 * MIB,
        ..ScavTrace::default()
    };
    let text = "scav 65 KiB work (bg), 3 KiB work (eager), 1048576 KiB now, 66% util";
    assert_eq!(line.to_string(), text);
    line.controller_reset = true;
    assert_eq!(line.to_string(), format!("{text} [controller reset]"));
    line.forced = true;
    assert_eq!(line.to_string(), format!("{text} (forced)"));
}

#[test]
fn an_empty_heap_is_used_to_no_percent() {
    assert!(ScavTrace::default().to_string().ends_with(" 0% util"));
}

#[test]
fn a_share_that_is_no_number_counts_as_nothing() {
    let line = GcTrace {
        cpu_fraction: f64::NAN,
        ..GcTrace::default()
    };
    assert!(
        line.to_string()
            .starts_with("gc 0 @0.000s 0%: 0+0+0 ms clock")
    );
}

/// Takes what fits, as the allocator's own buffer does.
struct Buffer(usize);

impl Write for Buffer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.checked_sub(text.len()).ok_or(fmt::Error)?;
        Ok(())
    }
}

proptest! {
    #[test]
    fn any_figures_make_a_line_of_the_documented_form(
        n: [u64; 14], number: u32, processors: u32, cpu_fraction in 0.0..=1.0_f64, flags: [bool; 2],
    ) {
        let cycle = GcTrace {
            number,
            since_start_ns: n[0],
            cpu_fraction,
            clock: PhaseClock { sweep_termination_ns: n[1], mark_ns: n[2], mark_termination_ns: n[3] },
            cpu: PhaseCpu {
                sweep_termination_ns: n[4], assist_ns: n[5], background_ns: n[6], idle_ns: n[7],
                mark_termination_ns: n[8],
            },
            heap_at_start: n[9], heap_at_end: n[10], heap_marked: n[11], heap_goal: n[12],
            stacks: n[13], globals: n[13], processors, forced: flags[0],
        };
        prop_assert!(GC_LINE.is_match(&cycle.to_string()), "{cycle}");
        let written = write!(Buffer(512), "{cycle}");
        prop_assert!(written.is_ok());
        let scavenge = ScavTrace {
            released_background: n[0], released_eager: n[1], released_now: n[2],
            heap_inuse: n[3], heap_retained: n[4], forced: flags[0], controller_reset: flags[1],
        };
        prop_assert!(SCAV_LINE.is_match(&scavenge.to_string()), "{scavenge}");
        let written = write!(Buffer(256), "{scavenge}");
        prop_assert!(written.is_ok());
    }
}
