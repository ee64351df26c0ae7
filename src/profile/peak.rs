//! The profile of the moment at which the process was at its largest, kept as it happens.
//!
//! What counts is the heap's part of the resident set: spans, dead objects included, and idle pages that are kept. That
//! grows until a cycle frees something, so it is looked where one begins; where much comes into memory at
//! once; and when the profile is asked for. It must have grown by 1/32 since the moment that is kept, or by what lies
//! between two samples if that is more, as nothing smaller shows. So the moment is at most so much smaller than the
//! largest, and a heap that grows looks at each sampled object a few times, not each time that it takes a span.

use crate::runtime::HEAP;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

/// Bytes that must be in memory before the next moment is kept.
static NEXT: AtomicU64 = AtomicU64::new(0);
/// Bytes that were in the moment that is.
static KEPT: AtomicU64 = AtomicU64::new(0);

/// What part of the heap is much.
const PART: u64 = 32;

/// Whether so many bytes more make a heap larger enough to look at once.
pub fn is_much(bytes: u64, resident: u64) -> bool {
    bytes > resident / PART
}

/// Keeps this moment, if more of the heap is in memory than ever. The calling thread holds no lock of it.
#[inline]
pub fn look() {
    let resident = HEAP.pages().bytes.backed();
    let next = NEXT.load(Relaxed);
    if resident > next && super::is_on() {
        keep(resident, next);
    }
}

#[cold]
fn keep(resident: u64, next: u64) {
    let further = resident + (resident / PART).max(HEAP.sample_rate().get());
    if NEXT
        .compare_exchange(next, further, Relaxed, Relaxed)
        .is_ok()
    {
        HEAP.mark_peak();
        KEPT.store(resident, Relaxed);
    }
}

/// Bytes that were in memory in the moment that is kept.
pub fn kept_bytes() -> u64 {
    KEPT.load(Relaxed)
}
