//! Samples for the heap profile: which objects are sampled, and what is kept of them
//! (Go: `mprof.go`, and `nextSample` in `malloc.go`).
//!
//! Objects are sampled as points of a Poisson process over the bytes that are handed out, one in
//! [`Rate`] bytes on average, so that an object of `s` bytes is sampled with probability
//! 1 − exp(−s/rate), whatever was sampled before it. Go has one such process a thread; here each
//! class of each cache has its own, which is the same, since a Poisson process that is split stays
//! one and processes put together are one. A class's objects are of one size, so its process is a number:
//! slots to hand out before the next that is sampled. The fast path knows nothing of it:
//! the bin just ends there.
//!
//! | file | idea |
//! | --- | --- |
//! | `draw.rs` | how far it is to the next sample |
//! | `cycles.rs` | counts that are published when a cycle is over |
//! | `stack.rs` | a stack, and how it is known again |
//! | `table.rs` | the sites, each with its counts, and the records of sampled objects |
//!
//! What hangs a record on its span, and takes it off when a sweep frees the object, is `heap/sampled.rs`.

mod cycles;
mod draw;
mod stack;
mod table;

pub use cycles::Counts;
pub(crate) use draw::{Distance, Random};
pub use draw::{NEVER, Rate};
pub use stack::{Registers, Stack};
pub(crate) use table::{Record, Table};

/// Return addresses kept of a stack, the innermost first (Go: `maxProfStackDepth`).
pub const MAX_DEPTH: usize = 128;
