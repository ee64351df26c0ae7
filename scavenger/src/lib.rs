//! What to hand back to the OS, how much, and when: Go's scavenger as a pure
//! library.
//!
//! Everything here is arithmetic on figures that the caller passes in. There is
//! no clock, lock, global, syscall, allocation or unsafe code, so it can be used
//! from inside an allocator, and a test can run an hour of it in a millisecond.
//! Nothing panics: sums and products saturate, a controller that is fed nonsense
//! says so and starts over.
//!
//! | what | type | Go's counterpart in `mgcscavenge.go` |
//! | --- | --- | --- |
//! | how much to retain | [`Goals`] | `gcPaceScavenger`; `allocSpan` in `mheap.go` |
//! | how fast to release | [`Engine`], [`PiController`] | `scavengerState`, `piController` |
//! | which chunks to leave alone | [`ChunkDensity`] | `scavChunkData` |
//! | what wakes it | [`Rest`] | `finishsweep_m`, `sysmonWake` |
//! | when the monitor looks whether to wake it | [`Monitor`] | `sysmon` in `proc.go` |
//! | what each version of Go does | [`Policy`], [`Background`] | the same files, version by version |
//!
//! The background thread's loop, less the waiting and the releasing:
//!
//! ```
//! use goheap_scavenger::{Engine, Step};
//!
//! let mut engine = Engine::new(1.0); // 1 % of all processors
//! let (mut idle, goal) = (1 << 20, 512 << 10);
//! loop {
//!     match engine.step(idle <= goal) {
//!         Step::Release(bytes) => {
//!             idle -= bytes; // took 50 µs
//!             engine.released(bytes, 50_000);
//!         }
//!         Step::Sleep(ns) => engine.slept(ns, 4),
//!         Step::Park => break, // until somebody raises the goal
//!         Step::ReleaseAtOnce(_) | Step::Pass(_) => {} // not this engine by itself
//!     }
//! }
//! assert_eq!(idle, goal);
//! ```
#![no_std]
#![forbid(unsafe_code)]

mod average;
mod background;
mod density;
mod engine;
mod goal;
mod line;
mod monitor;
mod pi;
mod policy;
mod rest;

pub use average::Average;
pub use background::{Background, View};
pub use density::{CHUNK_PAGES, ChunkDensity};
pub use engine::{Engine, QUANTUM, Step};
pub use goal::{AllocationInputs, Assist, GoalInputs, Goals};
pub use line::{Line, LineInputs};
pub use monitor::Monitor;
pub use pi::{Fault, PiController};
pub use policy::{Growth, HeapGoal, NEWEST, Pace, Passes, Policy};
pub use rest::{Rest, Waking};
