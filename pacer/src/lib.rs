//! When to collect, how fast to sweep, and when the collector must hold back:
//! Go's pacer, sweep pacing and CPU limiter as a pure library.
//!
//! Everything here is arithmetic on figures that the caller passes in. There is
//! no clock, lock, global, syscall, allocation or unsafe code, so it can be used
//! from inside an allocator, and a test can run a thousand cycles in a
//! millisecond. Nothing panics: sums and products saturate, a quotient that is
//! not a number is left out, and each function says which way it then errs.
//!
//! | what | type | Go's counterpart |
//! | --- | --- | --- |
//! | goal and trigger of a cycle | [`Controller`] | `mgcpacer.go`, `gcControllerState` |
//! | the same by the memory limit, without the controller | [`UnderLimit`] | `memoryLimitHeapGoal`, `gcTrigger.test` |
//! | how long a mark would last, and what is allocated meanwhile: modelled, not measured | [`Window`] | none: Go marks |
//! | pages to sweep per byte allocated | [`SweepPace`] | `mgcsweep.go`, `gcPaceSweeper`, `deductSweepCredit` |
//! | when the background thread helps with a sweep | [`Sweeper`] | `mgcsweep.go`, `bgsweep` |
//! | what versions do differently | [`Rules`] | the same files, version by version |
//! | processors that count as the program's | [`within_quota`] | `cgroup_linux.go`, `adjustCgroupGOMAXPROCS` |
//! | share of the CPU a collector may take | [`CpuLimiter`] | `mgclimit.go`, `gcCPULimiterState` |
//!
//! A cycle goes through the controller like this:
//!
//! ```
//! use goheap_pacer::{Config, Controller, CycleWork, Memory};
//!
//! let mut pacer = Controller::new(Config { gc_percent: 100, memory_limit: i64::MAX, least_heap: 4 << 20 });
//! let memory = Memory::default();
//!
//! let heap_live = pacer.trigger(memory).trigger; // the program allocates up to here
//! pacer.start_cycle(heap_live);
//! pacer.end_cycle(memory, CycleWork { heap_live, ..CycleWork::default() });
//! pacer.reset_live(3 << 20, 0); // 3 MiB were found live
//! pacer.commit(3 << 20, false); // sweeping begins
//!
//! assert_eq!(pacer.goal(memory), 6 << 20);
//! ```
#![no_std]
#![forbid(unsafe_code)]

mod cons_mark;
mod controller;
mod cpu_limiter;
mod feedback;
mod goal;
mod mark_model;
mod memory_limit;
mod processors;
mod rules;
mod sweep_pace;
mod sweeper;
mod trigger;
mod under_limit;

pub use controller::{Config, Controller, CycleWork, Memory};
pub use cpu_limiter::CpuLimiter;
pub use mark_model::{GO_ROOTS, GO_RUNTIME, HEAP_SCAN, MarkInputs, Window};
pub use processors::{LEAST_OF_QUOTA, within_quota};
pub use rules::{Rules, TriggerRule};
pub use sweep_pace::SweepPace;
pub use sweeper::Sweeper;
pub use trigger::Trigger;
pub use under_limit::UnderLimit;

/// A heap size, in bytes, that is never reached: the goal of a collector that is
/// switched off. Go writes `^uint64(0)`.
pub const NEVER: u64 = u64::MAX;
