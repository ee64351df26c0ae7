//! Measurements of goheap and of its peers.
//!
//! All contestants are called as values, through the methods of `GlobalAlloc`, in the same
//! code compiled once for each: what is measured is the allocator, not how it is reached.
//! [`workload`] has what is measured, [`contestant`] what on; `bin/goheap-benches.rs` runs it interleaved,
//! a process for each measurement, `benches/` under criterion, and `bin/latency.rs` times
//! single allocations.

pub mod contestant;
pub mod machine;
pub mod numbers;
pub mod rounds;
pub mod spread;
pub mod workload;
