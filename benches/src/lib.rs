//! Measurements of goheap and of its peers.
//!
//! All contestants are called as values, through the methods of `GlobalAlloc`, in the same
//! code compiled once for each: what is measured is the allocator, not how it is reached. Whole
//! programs take the global allocator, which is any of them ([`global`]).
//!
//! [`workload`] has what is measured, a file a kind, and [`workload::BENCHES`] all of it; [`contestant`] what on.
//! `bin/goheap-benches/` runs it interleaved, a process for each measurement, `benches/` under criterion;
//! `bin/latency.rs` times single allocations, `bin/instructions/` counts instructions,
//! `bin/preloaded.rs` takes programs as distributions have them, `bin/scavenger/` what giving back costs, and
//! `bin/scale.rs` how costs grow with the heap. `thread_start.rs` keeps one contestant out of the others' threads.

pub mod contestant;
pub mod cost;
pub mod global;
pub mod machine;
pub mod numbers;
pub mod rounds;
pub mod spread;
#[cfg(feature = "peers")]
mod thread_start;
pub mod workload;
