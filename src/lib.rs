//! goheap is Go's memory manager for Rust programs.
//!
//! ```
//! #[global_allocator]
//! static HEAP: goheap::GoHeap = goheap::GoHeap::new();
//!
//! fn main() {
//!     let v = vec![0u8; 1 << 20];
//!     drop(v); // dead, and waiting for a cycle, as in Go
//!     goheap::gc();
//!     let stats = goheap::read_mem_stats();
//!     assert!(stats.num_gc > 0 && stats.heap_alloc < stats.sys);
//! }
//! ```
//!
//! Objects live in Go's size classes and spans. A `dealloc` says that an object
//! is dead; its memory is free once a cycle has closed over it, and cycles come
//! when the heap has grown by GOGC percent over what was live. A background
//! scavenger hands idle pages back at Go's pace, and [`read_mem_stats`] reads
//! Go's figures. Nothing is traced and nothing stops the world. It runs on Linux.
//!
//! The environment tunes it as it does Go, once, before the first allocation: [`options::KNOBS`] has all variables.
//!
//! | cargo feature | has |
//! | --- | --- |
//! | `profile`, on by default | the heap profile: `write_heap_profile`, module `profile`, `SIGUSR1` |
//! | `http` | a server in the process, where `GOHEAP_HTTP` says |
//! | `initial-exec` | is for shared libraries that are loaded as a program starts |
//!
//! # An object's life, and where each step is written
//! 1. *alloc*: [`Cache::alloc`] takes a free slot out of the calling thread's bin.
//! 2. *refill*, when the bin is empty: [`Heap::next_word`], [`Heap::take_span`].
//!    All that Go does "on allocation" happens here, in `slow.rs`.
//! 3. *free*: [`Cache::log`] writes the address down.
//! 4. *flush*, when the log is full: [`Heap::flush`].
//! 5. *cycle*: `cycle.rs` closes the epoch ([`Heap::close_epoch`]), asks the pacer, starts the sweep.
//! 6. *sweep*: [`Heap::sweep_some`], by whoever meets an unswept span.
//! 7. *scavenge*: [`Heap::scavenge`], by the background thread, at growth, or at once.
//!
//! [`Cache::alloc`]: goheap_allocator::Cache::alloc
//! [`Cache::log`]: goheap_allocator::Cache::log
//! [`Heap::next_word`]: goheap_allocator::Heap::next_word
//! [`Heap::take_span`]: goheap_allocator::Heap::take_span
//! [`Heap::flush`]: goheap_allocator::Heap::flush
//! [`Heap::close_epoch`]: goheap_allocator::Heap::close_epoch
//! [`Heap::sweep_some`]: goheap_allocator::Heap::sweep_some
//! [`Heap::scavenge`]: goheap_allocator::Heap::scavenge

mod alone;
mod background;
mod clock;
mod collector;
mod control;
mod cycle;
mod explain;
mod global;
mod guard;
mod history;
#[cfg(feature = "http")]
mod http;
#[cfg(not(feature = "http"))]
#[path = "no_http.rs"]
mod http;
pub mod malloc;
mod map;
pub mod options;
#[cfg(feature = "profile")]
pub mod profile;
#[cfg(not(feature = "profile"))]
#[path = "no_profile.rs"]
mod profile;
mod publish;
mod roll;
mod runtime;
mod slow;
mod snapshot;
mod thread;
mod tls;
mod wake;
mod worker;

pub use alone::alone;
pub use control::{check, free_os_memory, gc, set_gc_percent, set_memory_limit};
pub use explain::explain;
pub use global::GoHeap;
pub use goheap_allocator::heap::Findings;
pub use goheap_stats::explain::{Cause, Explanation, Requested, Sampled};
pub use goheap_stats::map::{Age, Fragmentation, Moment, Run, State};
pub use goheap_stats::metrics;
pub use goheap_stats::{BySize, MemStats};
pub use map::{fragmentation, heap_map};
#[cfg(feature = "profile")]
pub use profile::write_heap_profile;
pub use publish::{after_start, before_end, prepare_for_exec};
pub use snapshot::{metrics, read_counts, read_mem_stats};
