//! The atomics that the protocols between threads are made of. `tests/interleavings.rs` compiles the files that
//! name them here once more, over loom's.

pub(crate) use core::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering};
