//! The heap under goheap, after Go's runtime: memory that is reserved once,
//! handed out in pages of 8 KiB, cut into spans of one size class each, and
//! taken back by sweeps.
//!
//! This crate is mechanism. It knows how to find pages, fill a thread's cache,
//! write deaths down, sweep a span and give idle pages back. *When* a cycle
//! runs, how far a sweep must have come, and how much goes back to the OS is
//! decided above it, and arrives here as a call.
//!
//! Bottom up:
//!
//! | module | idea |
//! | --- | --- |
//! | [`os`] | the one place that talks to the kernel: reserve, commit, release, wait |
//! | [`lock`] | a lock with a rank; debug builds check the order |
//! | [`size_class`] | Go's 68 classes |
//! | [`counters`] | figures that all above keep as they go |
//! | [`meta`] | memory for the heap's own structures, never from the heap |
//! | [`bits`] | a chunk's page bitmap, and what a run of free pages looks like from afar |
//! | [`page_heap`] | which pages are free: find, grow, cache, release |
//! | [`arena`] | address ↔ page number, page number → span |
//! | [`span`] | a run of pages with objects of one class, its allocation words and death bytes |
//! | [`central`] | the spans of one class, by fullness and by whether this epoch's sweep has seen them |
//! | [`tiny`] | objects under 16 bytes, which share a slot |
//! | [`sample`] | which objects the heap profile samples, and what is kept of them |
//! | [`cache`] | a thread's free slots and its death log |
//! | [`heap`] | all of it put together: refill, large objects, flush, close an epoch, sweep |

pub mod arena;
pub mod bits;
pub mod cache;
pub mod central;
pub mod counters;
mod death_log;
pub mod heap;
pub mod lock;
pub mod meta;
pub mod os;
pub mod page_heap;
mod prefetch;
pub mod sample;
pub mod size_class;
pub mod span;
mod sync;
pub mod tiny;

pub use cache::{Cache, LOG_CAPACITY};
pub use heap::Heap;
pub use os::{Linux, Os, OsError};
pub use size_class::SizeClass;

/// Bytes in a page, the heap's own unit (Go: `pageSize`).
pub const PAGE: usize = 1 << PAGE_SHIFT;
/// log2 of [`PAGE`].
pub const PAGE_SHIFT: u32 = 13;
/// Pages in a chunk, the unit in which the heap grows (Go: `pallocChunkPages`).
pub const CHUNK_PAGES: usize = 512;
/// Bytes in a chunk, 4 MiB.
pub const CHUNK: usize = CHUNK_PAGES * PAGE;

/// Pages needed for `bytes`, rounded up; `None` if that overflows.
pub const fn pages_for(bytes: usize) -> Option<usize> {
    match bytes.checked_add(PAGE - 1) {
        Some(b) => Some(b >> PAGE_SHIFT),
        None => None,
    }
}
