//! The profile of the moment at which the process was at its largest, kept as it happens.
//!
//! What counts is the memory in spans, dead objects included: that is what made the resident set as large as it
//! was. (Idle pages that are kept would let a later moment win, when the objects are gone.) It is
//! looked where a span is taken, and must have grown by 1/32 before the next moment is kept: then that is at most so much
//! smaller than the largest, and a heap that grows a thousandfold costs some two hundred looks at its sites.

use crate::runtime::HEAP;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

/// Bytes that spans must have before the next moment is kept.
static NEXT: AtomicU64 = AtomicU64::new(0);
/// Bytes that they had in the moment that is.
static KEPT: AtomicU64 = AtomicU64::new(0);

/// Keeps this moment, if spans have more memory than ever. The calling thread holds no lock of it.
#[inline]
pub fn look() {
    let in_use = HEAP.pages().bytes.in_use.get();
    let next = NEXT.load(Relaxed);
    if in_use > next && super::is_on() {
        keep(in_use, next);
    }
}

#[cold]
fn keep(in_use: u64, next: u64) {
    let further = in_use + in_use / 32;
    if NEXT
        .compare_exchange(next, further, Relaxed, Relaxed)
        .is_ok()
    {
        HEAP.mark_peak();
        KEPT.store(in_use, Relaxed);
    }
}

/// Bytes that spans had in the moment that is kept.
pub fn kept_bytes() -> u64 {
    KEPT.load(Relaxed)
}
