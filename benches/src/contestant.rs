//! The allocators, as values.

use std::alloc::{GlobalAlloc, System};
use std::time::Duration;

use goheap::GoHeap;
#[cfg(feature = "peers")]
use {mimalloc::MiMalloc, tikv_jemallocator::Jemalloc};

static GOHEAP: GoHeap = GoHeap::new();
static GLIBC: System = System;
#[cfg(feature = "peers")]
static MIMALLOC: MiMalloc = MiMalloc;
#[cfg(feature = "peers")]
static JEMALLOC: Jemalloc = Jemalloc;

/// Something to measure, on whichever allocator.
pub trait Measure {
    /// The time that so many operations take, warm: an operation is an allocation, a write
    /// to it and a free. Setting up is not counted.
    fn measure<A: GlobalAlloc + Sync>(&self, heap: &'static A, operations: u64) -> Duration;
}

/// An allocator that takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contestant {
    /// This project's.
    GoHeap,
    /// The system's: what Rust's `System` calls.
    Glibc,
    /// Microsoft's.
    #[cfg(feature = "peers")]
    MiMalloc,
    /// Meta's, as TiKV packages it.
    #[cfg(feature = "peers")]
    Jemalloc,
}

impl Contestant {
    /// All that were compiled in, goheap first.
    pub const ALL: &[Self] = &[
        Self::GoHeap,
        #[cfg(feature = "peers")]
        Self::MiMalloc,
        #[cfg(feature = "peers")]
        Self::Jemalloc,
        Self::Glibc,
    ];

    /// What tables and files call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::GoHeap => "goheap",
            Self::Glibc => "glibc",
            #[cfg(feature = "peers")]
            Self::MiMalloc => {
                if cfg!(feature = "mimalloc2") {
                    "mimalloc2"
                } else {
                    "mimalloc3"
                }
            }
            #[cfg(feature = "peers")]
            Self::Jemalloc => "jemalloc",
        }
    }

    /// The contestant of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|contestant| contestant.name() == name)
    }

    /// Measures on this allocator.
    pub fn measure(self, what: &impl Measure, operations: u64) -> Duration {
        match self {
            Self::GoHeap => what.measure(&GOHEAP, operations),
            Self::Glibc => what.measure(&GLIBC, operations),
            #[cfg(feature = "peers")]
            Self::MiMalloc => what.measure(&MIMALLOC, operations),
            #[cfg(feature = "peers")]
            Self::Jemalloc => what.measure(&JEMALLOC, operations),
        }
    }
}
