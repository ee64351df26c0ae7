//! What is measured.
//!
//! An operation is an allocation and the free that makes room for it, with a write to the
//! object in between, as any program does, where a workload does not say otherwise. Each body is a
//! function of its own, compiled for each allocator and never inlined, so that none gets its fast path hoisted out of the loop.

mod catalogue;
mod growth;
mod micro;
pub mod object;
mod patterns;
mod programs;
mod sizes;
mod threads;

pub use catalogue::BENCHES;
pub use sizes::Sizes;

use crate::contestant::Contestant;
use crate::cost::Cost;

/// What kind of workload it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// One thread, one pattern.
    Micro,
    /// Several threads.
    Threads,
    /// Threads that free what others allocated.
    Remote,
    /// One property of an allocator decides.
    Patterns,
    /// Whole programs.
    Programs,
}

impl Group {
    /// All of them, in the order of the catalogue.
    pub const ALL: [Self; 5] = [
        Self::Micro,
        Self::Threads,
        Self::Remote,
        Self::Patterns,
        Self::Programs,
    ];

    /// What tables and files call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Micro => "micro",
            Self::Threads => "threads",
            Self::Remote => "remote",
            Self::Patterns => "patterns",
            Self::Programs => "programs",
        }
    }
}

/// A workload.
#[derive(Clone, Copy, Debug)]
pub struct Bench {
    /// What tables and files call it: the group, what it does, and with how much.
    pub name: &'static str,
    /// Its kind.
    pub group: Group,
    /// Operations in a quick measurement: 50 to 100 ms.
    pub operations: u64,
    run: fn(Contestant, u64) -> Cost,
}

impl Bench {
    /// Measures so many operations. Whole programs run on the process's global allocator, whichever
    /// the contestant is.
    pub fn run(&self, contestant: Contestant, operations: u64) -> Cost {
        #[cfg(feature = "peers")]
        crate::thread_start::belongs_to(contestant);
        (self.run)(contestant, operations)
    }
}

/// Half as many operations as are measured beforehand: caches are filled, and a heap that collects
/// has done so a few times and pays for the garbage before these operations as for theirs.
fn warmed(operations: u64, mut work: impl FnMut(u64)) -> Cost {
    work(operations.div_ceil(2));
    Cost::of(|| work(operations))
}
