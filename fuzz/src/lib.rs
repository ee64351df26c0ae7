//! One interpreter of heap commands, for fuzzing and for the model tests.
//!
//! A [`Program`] is a list of [`Command`]s for each of a few threads. [`run`] carries it out on
//! a [`Heap`] beside a model that knows what any heap owes its user:
//!
//! - an object keeps its bytes from its allocation to its free, through collections, through
//!   `realloc` and whichever thread holds it;
//! - no two live objects overlap;
//! - an object is aligned as asked, and zeroed if asked;
//! - the counters agree with each other, and account for no less than what is live.
//!
//! Whatever is broken comes back as a [`Fault`] that names the thread, the step and the
//! command. A program prints itself as Rust: paste it into a test and the crash is a
//! regression test. [`Program::decode`] makes a program of any bytes at all, for a fuzzer.
//!
//! The heap is a value here, never the global allocator of the process: what the interpreter
//! needs for itself comes from elsewhere, so a broken heap cannot break its judge.

mod command;
mod decode;
mod forked;
mod heap;
mod interpreter;
mod model;
mod simulated;
mod turns;

pub use command::{Command, MAX_ALIGN_LOG2, MAX_SIZE, Order, Program, SLOTS, THREADS};
pub use heap::{Figures, Heap};
pub use interpreter::run;
pub use model::{Fault, What};
pub use simulated::{Hardened, Idle, Simulated};
