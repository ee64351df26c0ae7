//! What a program has seen of collection: how many cycles, and for how long they held it up.
//!
//! Written by the collector, under its lock; copied for a snapshot.

use crate::runtime::RUNTIME;
use core::sync::atomic::Ordering::Relaxed;
use goheap_stats::metrics::TimeHistogram;

/// Pauses kept, as in Go.
const PAUSES: usize = 256;

/// What a program has seen of collection.
#[derive(Clone, Debug)]
pub struct History {
    /// Cycles completed.
    pub cycles: u32,
    /// Of these, forced by the program.
    pub forced: u32,
    /// Nanoseconds that threads were held up by cycles, the last ones.
    pub pauses_ns: [u64; PAUSES],
    /// When these ended, on the wall clock.
    pub pause_ends_ns: [u64; PAUSES],
    /// All of them together.
    pub pause_total_ns: u64,
    /// When the last cycle ended, on the wall clock; 0 before there was one.
    pub last_ns: u64,
    /// All pauses by length, the two halves of a cycle's apart.
    pub pauses: TimeHistogram,
    /// The last cycle in which the CPU limiter came on; 0: it never did.
    pub limited_in: u32,
}

impl History {
    /// Nothing yet.
    pub const NEW: Self = Self {
        cycles: 0,
        forced: 0,
        pauses_ns: [0; PAUSES],
        pause_ends_ns: [0; PAUSES],
        pause_total_ns: 0,
        last_ns: 0,
        pauses: TimeHistogram::NEW,
        limited_in: 0,
    };

    /// Adds time that a thread was held up; the second half of a cycle's ends the record.
    pub fn pause(&mut self, ns: u64, ended_ns: u64) {
        let ended = ended_ns != 0;
        let slot = (self.cycles.wrapping_sub(u32::from(ended)) as usize) % PAUSES;
        self.pauses_ns[slot] = if ended { self.pauses_ns[slot] + ns } else { ns };
        self.pause_total_ns += ns;
        self.pauses.record(ns);
        RUNTIME.gc_ns.fetch_add(ns, Relaxed);
        if ended {
            self.pause_ends_ns[slot] = ended_ns;
            self.last_ns = ended_ns;
        }
    }
}
