//! The heap profile: which call sites allocated what is in use, by samples (Go: `runtime/mprof.go`,
//! `runtime/pprof`).

use crate::runtime::HEAP;

/// Samples the object of `bytes` at `at`, which is about to be handed out. Takes locks, so the calling
/// thread holds none.
#[cold]
#[inline(never)]
pub fn sample(at: *mut u8, bytes: usize) {
    HEAP.sample(at.addr(), bytes, &[]);
}
