//! What goheap counts.
#![forbid(unsafe_code)]

mod mem_stats;

pub use mem_stats::{BySize, MemStats};
