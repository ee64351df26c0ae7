//! Figures that the page heap, the sweeps and the caches keep as they go.
//! All are bytes or pages, written relaxed; each is exact once nobody is in the
//! middle of a step, since what a step adds here it takes off there.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A counter that several threads add to.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Zero.
    pub const fn new() -> Self {
        Self::at(0)
    }

    /// At a value.
    pub const fn at(n: u64) -> Self {
        Self(AtomicU64::new(n))
    }

    /// The value.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Adds, and returns the new value.
    #[inline]
    pub fn add(&self, n: usize) -> u64 {
        self.0.fetch_add(n as u64, Relaxed).wrapping_add(n as u64)
    }

    /// Takes off.
    #[inline]
    pub fn sub(&self, n: usize) {
        self.0.fetch_sub(n as u64, Relaxed);
    }

    /// Sets.
    #[inline]
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// Sets to zero and returns what was there.
    #[inline]
    pub fn take(&self) -> u64 {
        self.0.swap(0, Relaxed)
    }
}

/// The page heap's state in bytes. Pages are in use, retained or released; the second is what the
/// others leave of all, so that a span's turn changes one figure and no sum is ever off.
#[derive(Debug, Default)]
pub struct PageCounters {
    /// All that the heap has grown to (Go: `heapInUse` + `heapFree` + `heapReleased`).
    pub grown: Counter,
    /// In spans (Go: `heapInUse`).
    pub in_use: Counter,
    /// Idle and released, or never touched (Go: `heapReleased`).
    pub released: Counter,
    /// In stacks (Go: `StackSys`).
    pub stacks: Counter,
}

impl PageCounters {
    /// All zero.
    pub const fn new() -> Self {
        Self {
            grown: Counter::new(),
            in_use: Counter::new(),
            released: Counter::new(),
            stacks: Counter::new(),
        }
    }

    /// In spans, or idle and backed by memory (Go: `heapRetained`).
    pub fn backed(&self) -> u64 {
        self.grown.get().saturating_sub(self.released.get())
    }

    /// Idle and backed by memory (Go: `heapFree`).
    pub fn retained(&self) -> u64 {
        self.backed().saturating_sub(self.in_use.get())
    }
}
