//! The pacers of Go 1.1 to 1.27: what a goal counts, and when a cycle begins.
//!
//! | Go | a cycle | where it stands in that version's `runtime` |
//! | --- | --- | --- |
//! | 1.1 – 1.4 | stops the world at live × (1 + GOGC/100); no least heap | `mgc0.c`: `gc`, `next_gc` |
//! | 1.5 – 1.9 | runs beside the program, from a trigger that a feedback loop sets, to a goal that is 1 MiB ahead at least | `mgc.go`: `endCycle`, `heapminimum`, `startCycle` |
//! | 1.10 – 1.13 | … aiming at 30 % of the CPU, assists included | `mgc.go`: `endCycle`, `gcSetTriggerRatio` |
//! | 1.14 – 1.17 | … never below 60 % of the way | 1.14 `mgc.go`, 1.16 `mgcpacer.go`: `gcSetTriggerRatio` |
//! | 1.18 | cons/mark, smoothed by a controller; roots count | `mgcpacer.go`: `endCycleRedesign`, `commit` |
//! | 1.19 | … and the memory limit, 1 MiB of head room, the CPU limiter | `mgcpacer.go`: `memoryLimitHeapGoal`; `mgclimit.go` |
//! | 1.20 | the largest cons/mark of five | `mgcpacer.go`: `endCycle` |
//! | 1.21 – 1.27 | 3 % of head room, at least 1 MiB | `mgcpacer.go`: `memoryLimitHeapGoal` |
//!
//! The least heap is not here: it is a knob, which a version presets ([`Rules::least_heap`]).
//!
//! Read in the sources of 1.4, 1.8, 1.12, 1.15, 1.17, 1.19.8, 1.21.13, 1.22.10, 1.24.11,
//! 1.26.6 and 1.27.3. That 1.20 has the five, and in which release a figure of the
//! feedback loop changed where these leave a gap, is taken from the changes' dates.

/// How the trigger follows from the goal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TriggerRule {
    /// It is the goal: the world stops, and nothing is allocated during a cycle.
    AtGoal,
    /// A share of the growth that GOGC allows, corrected by half its error after each cycle.
    Feedback {
        /// The CPU share that a cycle should take.
        utilization: f64,
        /// The least share.
        floor: f64,
    },
    /// The goal less the runway, by the cons/mark estimate.
    Runway {
        /// Whether the estimate is the largest of five, or smoothed by a controller.
        largest_of_five: bool,
    },
}

/// What one version's pacer does differently.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// How the trigger is set.
    pub trigger: TriggerRule,
    /// Roots count in the base that GOGC is a percentage of.
    pub roots: bool,
    /// Percent of the room under a memory limit to stay below it, beside the mebibyte that
    /// is the least; `None`: that version has no limit.
    pub head_room_percent: Option<u64>,
}

impl Rules {
    /// The newest ones.
    pub const NEWEST: Self = Self {
        trigger: TriggerRule::Runway {
            largest_of_five: true,
        },
        roots: true,
        head_room_percent: Some(3),
    };

    /// The rules of Go 1.`minor`; older ones than 1.1 count as that, later ones than the
    /// newest as the newest.
    pub const fn go(minor: u8) -> Self {
        Self {
            trigger: match minor {
                0..=4 => TriggerRule::AtGoal,
                5..=9 => TriggerRule::Feedback {
                    utilization: 0.25,
                    floor: 0.0,
                },
                10..=13 => TriggerRule::Feedback {
                    utilization: 0.30,
                    floor: 0.0,
                },
                14..=17 => TriggerRule::Feedback {
                    utilization: 0.30,
                    floor: 0.6,
                },
                _ => TriggerRule::Runway {
                    largest_of_five: minor >= 20,
                },
            },
            roots: minor >= 18,
            head_room_percent: match minor {
                0..=18 => None,
                19..=20 => Some(0),
                _ => Self::NEWEST.head_room_percent,
            },
        }
    }

    /// Bytes below which GOGC=100 never sets the goal (up to Go 1.17: the trigger), in Go 1.`minor`.
    pub const fn least_heap(minor: u8) -> u64 {
        if minor < 5 { 0 } else { 4 << 20 }
    }

    /// Whether objects under 16 bytes without pointers share blocks in Go 1.`minor` (`mallocgc`, malloc.goc at first).
    pub const fn tiny(minor: u8) -> bool {
        minor >= 2
    }

    /// How many processors count as the program's in Go 1.`minor` if nobody says; 0: those that it may run on.
    /// (1.5 `proc1.go`, later `proc.go`: `schedinit`.)
    pub const fn processors(minor: u8) -> u32 {
        if minor < 5 { 1 } else { 0 }
    }

    /// Whether [`within_quota`](crate::within_quota) holds in Go 1.`minor` (`containermaxprocs` in `internal/godebugs`).
    pub const fn minds_quota(minor: u8) -> bool {
        minor >= 25
    }

    /// Whether the program runs while a cycle marks.
    pub const fn concurrent(&self) -> bool {
        !matches!(self.trigger, TriggerRule::AtGoal)
    }
}
