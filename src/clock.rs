//! The clock of what waits: forced cycles, passes, idle ages, the scavenger's sleeps.
//!
//! It starts with the process and runs `GOHEAP_TIME_SCALE` times as fast as the monotonic
//! clock, so that what Go does in ten minutes can be watched in ten seconds. What is
//! measured (the time of a release, a cycle's CPU time) is not scaled.

use crate::runtime::RUNTIME;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use goheap_allocator::os;

static SCALE: AtomicU64 = AtomicU64::new(1.0f64.to_bits());

/// Sets how many times as fast it runs. At the start, before anybody asks it.
pub fn set_scale(factor: f64) {
    SCALE.store(factor.to_bits(), Relaxed);
}

fn scale() -> f64 {
    f64::from_bits(SCALE.load(Relaxed))
}

/// Nanoseconds since the start.
pub fn now_ns() -> u64 {
    let start = RUNTIME.started_ns.load(Relaxed);
    scaled(os::monotonic_ns().saturating_sub(start))
}

/// Milliseconds since the start; wraps around.
pub fn now_ms() -> u32 {
    (now_ns() / 1_000_000) as u32
}

/// `ns` real nanoseconds, as this clock counts them.
pub fn scaled(ns: u64) -> u64 {
    // The casts saturate.
    (ns as f64 * scale()) as u64
}

/// How many real nanoseconds `ns` of this clock's last.
pub fn real(ns: u64) -> u64 {
    if ns == u64::MAX {
        return ns;
    }
    (ns as f64 / scale()) as u64
}

/// When a cycle is forced that is due at `due_ns`, both on the monotonic clock: then, or at the
/// next pass, where it is the scavenger that forces cycles.
pub fn when_forced(due_ns: u64) -> u64 {
    match RUNTIME.policy().passes() {
        Some(passes) if passes.force_cycles && due_ns != u64::MAX => {
            let start = RUNTIME.started_ns.load(Relaxed);
            let before = scaled(due_ns.saturating_sub(start)).saturating_sub(1);
            start.saturating_add(real(passes.next(before)))
        }
        _ => due_ns,
    }
}
