//! What goheap counts: Go's `MemStats`, the identities its figures keep, the figures of Go's
//! `runtime/metrics`,
//! the lines that Go prints about a cycle and about scavenging, the heap profile, and the page in which a
//! running program shows its figures.
//!
//! Everything here is plain data and arithmetic over it: no clock, no global, no
//! system call. What the allocator calls (filling in a [`MemStats`], [`audit()`],
//! writing a trace line) allocates nothing.
#![forbid(unsafe_code)]

pub mod audit;
pub mod explain;
pub mod map;
mod mem_stats;
pub mod metrics;
#[cfg(feature = "profile")]
pub mod profile;
pub mod roll;
pub mod shared_page;
mod snapshot;
mod states;
mod trace_line;

/// The style that all pages on a heap have in common, as CSS: colours, light and dark, those of memory by state
/// among them.
pub const PAGE_STYLE: &str = include_str!("page.css");

pub use audit::{CLASSES, ClassCounts, HeapCounts, Identity, Violation, audit, audit_with};
pub use mem_stats::{BY_SIZE, BySize, MemStats, PAUSE_RING};
pub use shared_page::SharedPage;
pub use snapshot::Snapshot;
pub use states::States;
pub use trace_line::{GcTrace, PhaseClock, PhaseCpu, ScavTrace};
