//! The scavengers of Go 1.1 to 1.27: what goes back, when, and how.
//!
//! | Go | mechanism | where it stands in that version's `runtime` |
//! | --- | --- | --- |
//! | 1.1 – 1.3 | a pass a minute over runs idle for five | `mheap.c`: `MHeap_Scavenger`, `scavengelist` |
//! | 1.4 – 1.11 | the same every two and a half minutes | 1.4 `proc.c`, 1.5 `proc.go`: `sysmon`; `mheap.go`: `scavengelist` |
//! | 1.12 | … and as much as the heap grows by, largest runs first; lazily | `mheap.go`: `scavengeLargest`, `scavengeAll`; `mem_linux.go`: `sysUnused` |
//! | 1.13 | in the background along a line down to 1.1 × goal | `mgcscavenge.go`: `gcPaceScavenger`, `bgscavenge` |
//! | 1.14 – 1.15 | 1 % of one processor, down to 1.1 × the in-use expected | `mgcscavenge.go`: the same two |
//! | 1.16 – 1.17 | … returned at once | `runtime1.go`: `parsedebugvars` |
//! | 1.18 | 1 % of all processors, by a controller, a millisecond a turn | `mgcscavenge.go`: `bgscavenge`, `piController` |
//! | 1.19 – 1.20 | … and the memory limit | `mgcscavenge.go`: `gcPaceScavenger`; `mheap.go`: `allocSpan` |
//! | 1.21 | dense chunks are left alone | `mgcscavenge.go`: `scavengeIndex`, `scavChunkData` |
//! | 1.22 – 1.27 | the background goal under a limit is 95 % of it, as meant | `mgcscavenge.go`: `gcPaceScavenger` |
//!
//! A row is a [`Policy`]: figures and choices, read by [`Goals`](crate::Goals),
//! [`Background`](crate::Background), and whoever carries them out.
//!
//! Read in the sources of 1.4, 1.8, 1.12, 1.13 (before and after), 1.15, 1.17, 1.18
//! (before its release), 1.19.8, 1.21.13, 1.22.10, 1.24.11, 1.26.6 and 1.27.3; versions
//! between two that agree are taken to agree with them.

/// The newest version of Go that there is a policy for: the 27 of 1.27.
pub const NEWEST: u8 = 27;

/// A run of idle pages goes back when it has been idle for so long. Go 1.1 to 1.12:
/// `scavengelimit`.
const IDLE: u64 = 5 * 60 * 1_000_000_000;
/// Go 1.1 to 1.3: half of the two minutes after which a cycle is forced, by the same goroutine.
const PASS_WITH_FORCED_CYCLES: u64 = 60 * 1_000_000_000;

/// Scavenging in passes, times in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passes {
    /// From one pass to the next.
    pub every: u64,
    /// A run must have been idle for longer than this.
    pub idle: u64,
    /// A cycle is forced at a pass only, so up to one late. Go 1.1 to 1.3.
    pub force_cycles: bool,
}

impl Passes {
    /// When the first pass after `after` comes, both in nanoseconds since the start.
    pub const fn next(&self, after: u64) -> u64 {
        let passes = after / self.every;
        passes.saturating_add(1).saturating_mul(self.every)
    }
}

/// What the heap's goal for the background is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeapGoal {
    /// There is none: idle memory goes back by age, or not.
    None,
    /// The pacer's goal. Go 1.13.
    OfGoal,
    /// What was in use, in proportion to the pacer's goals. Go 1.14 on.
    OfInUse,
}

/// What an allocation gives back when the heap had to grow for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// Nothing. Up to Go 1.11.
    Nothing,
    /// As much, from the largest runs. Go 1.12.
    Largest,
    /// What the heap's goal is exceeded by, at most as much. Go 1.13 on.
    Overage,
}

/// How the background scavenger is kept slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// There is none but the passes.
    Passes(Passes),
    /// Below a line from what is retained now to the goal. Go 1.13.
    Line,
    /// By a moving average of its share of one processor. Go 1.14 to 1.17.
    Averaged,
    /// By a controller of its share of all processors. Go 1.18 on.
    Controlled,
}

/// How one version of Go gives memory back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// How fast the background works.
    pub pace: Pace,
    /// Down to what, without a limit.
    pub heap_goal: HeapGoal,
    /// What the memory limit is multiplied by for the background's goal; `None`: that
    /// version has no limit.
    pub limit_factor: Option<f64>,
    /// What an allocation gives back.
    pub growth: Growth,
    /// Dense chunks are spared, and freed pages looked at from the next cycle on. Before,
    /// they were as soon as they were swept.
    pub spares_dense: bool,
    /// The kernel takes the memory when it needs it (`MADV_FREE`); it counts as resident until then.
    pub lazily: bool,
    /// The background is woken by the monitor thread, which sleeps while the program does.
    pub by_monitor: bool,
}

impl Policy {
    /// The newest one.
    pub const NEWEST: Self = Self {
        pace: Pace::Controlled,
        heap_goal: HeapGoal::OfInUse,
        limit_factor: Some(1.0 - 5.0 / 100.0),
        growth: Growth::Overage,
        spares_dense: true,
        lazily: false,
        by_monitor: true,
    };

    /// The policy of Go 1.`minor`; older ones than 1.1 count as that, later ones than the
    /// newest as the newest.
    pub const fn go(minor: u8) -> Self {
        Self {
            pace: match minor {
                0..=3 => Pace::Passes(Passes {
                    every: PASS_WITH_FORCED_CYCLES,
                    idle: IDLE,
                    force_cycles: true,
                }),
                4..=12 => Pace::Passes(Passes {
                    every: IDLE / 2,
                    idle: IDLE,
                    force_cycles: false,
                }),
                13 => Pace::Line,
                14..=17 => Pace::Averaged,
                _ => Pace::Controlled,
            },
            heap_goal: match minor {
                0..=12 => HeapGoal::None,
                13 => HeapGoal::OfGoal,
                _ => HeapGoal::OfInUse,
            },
            limit_factor: match minor {
                0..=18 => None,
                // A slip: 95 instead of 95 %. Only allocation enforces the limit there.
                19..=21 => Some(100.0 - 5.0),
                _ => Self::NEWEST.limit_factor,
            },
            growth: match minor {
                0..=11 => Growth::Nothing,
                12 => Growth::Largest,
                _ => Growth::Overage,
            },
            spares_dense: minor >= 21,
            lazily: minor >= 12 && minor <= 15,
            by_monitor: minor >= 16,
        }
    }

    /// The passes, where there are such.
    pub const fn passes(&self) -> Option<Passes> {
        match self.pace {
            Pace::Passes(passes) => Some(passes),
            _ => None,
        }
    }
}
