//! The allocators, as values.

use std::alloc::{GlobalAlloc, System};
use std::path::Path;

use goheap::GoHeap;
#[cfg(feature = "peers")]
use {mimalloc::MiMalloc, rpmalloc::RpMalloc, snmalloc_rs::SnMalloc, tikv_jemallocator::Jemalloc};

static GOHEAP: GoHeap = GoHeap::new();
static GLIBC: System = System;
#[cfg(feature = "peers")]
static MIMALLOC: MiMalloc = MiMalloc;
#[cfg(feature = "peers")]
static JEMALLOC: Jemalloc = Jemalloc;
#[cfg(feature = "peers")]
static SNMALLOC: SnMalloc = SnMalloc;
#[cfg(feature = "peers")]
static RPMALLOC: RpMalloc = RpMalloc;

/// Something to measure, on whichever allocator.
pub trait Measure {
    /// What comes out.
    type Figure;

    /// Measures so many operations, warm.
    fn measure<A: GlobalAlloc + Sync>(&self, heap: &'static A, operations: u64) -> Self::Figure;
}

/// An allocator that takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Contestant {
    /// This project's.
    GoHeap,
    /// Microsoft's.
    #[cfg(feature = "peers")]
    MiMalloc,
    /// Meta's, as TiKV packages it.
    #[cfg(feature = "peers")]
    Jemalloc,
    /// Microsoft Research's.
    #[cfg(feature = "peers")]
    SnMalloc,
    /// Mattias Jansson's.
    #[cfg(feature = "peers")]
    RpMalloc,
    /// Google's, as Debian packages it: preloaded into a process that uses the system's.
    Tcmalloc,
    /// The system's: what Rust's `System` calls.
    Glibc,
}

/// Where Debian's libtcmalloc-minimal4 puts it.
const TCMALLOC: &str = "/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4";

impl Contestant {
    const ALL: &[Self] = &[
        Self::GoHeap,
        #[cfg(feature = "peers")]
        Self::MiMalloc,
        #[cfg(feature = "peers")]
        Self::Jemalloc,
        #[cfg(feature = "peers")]
        Self::SnMalloc,
        #[cfg(feature = "peers")]
        Self::RpMalloc,
        Self::Tcmalloc,
        Self::Glibc,
    ];

    /// All that were compiled in or are installed, goheap first.
    pub fn all() -> Vec<Self> {
        let mut all = Self::ALL.to_vec();
        all.retain(|contestant| {
            contestant
                .preload()
                .is_none_or(|path| Path::new(path).exists())
        });
        all
    }

    /// Those that can share a process.
    pub fn linked() -> impl Iterator<Item = Self> {
        let all = Self::ALL.iter().copied();
        all.filter(|contestant| contestant.preload().is_none())
    }

    /// The library that a process must be started with for this one.
    pub fn preload(self) -> Option<&'static str> {
        (self == Self::Tcmalloc).then_some(TCMALLOC)
    }

    /// What tables and files call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::GoHeap => "goheap",
            #[cfg(feature = "peers")]
            Self::MiMalloc if cfg!(feature = "mimalloc2") => "mimalloc2",
            #[cfg(feature = "peers")]
            Self::MiMalloc => "mimalloc3",
            #[cfg(feature = "peers")]
            Self::Jemalloc => "jemalloc",
            #[cfg(feature = "peers")]
            Self::SnMalloc => "snmalloc",
            #[cfg(feature = "peers")]
            Self::RpMalloc => "rpmalloc",
            Self::Tcmalloc => "tcmalloc",
            Self::Glibc => "glibc",
        }
    }

    /// The contestant of that name.
    pub fn named(name: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|contestant| contestant.name() == name)
    }

    /// Measures on this allocator.
    #[inline]
    pub fn measure<M: Measure>(self, what: &M, operations: u64) -> M::Figure {
        match self {
            Self::GoHeap => what.measure(&GOHEAP, operations),
            #[cfg(feature = "peers")]
            Self::MiMalloc => what.measure(&MIMALLOC, operations),
            #[cfg(feature = "peers")]
            Self::Jemalloc => what.measure(&JEMALLOC, operations),
            #[cfg(feature = "peers")]
            Self::SnMalloc => what.measure(&SNMALLOC, operations),
            #[cfg(feature = "peers")]
            Self::RpMalloc => what.measure(&RPMALLOC, operations),
            Self::Tcmalloc | Self::Glibc => what.measure(&GLIBC, operations),
        }
    }
}
