//! Independent sums that must agree: what makes a snapshot's figures trustworthy.
//!
//! Go checks its own (`readmemstats_m`, double check mode) and only in tests; so
//! do goheap's tests, for every snapshot they take. An identity that fails names
//! itself with the figures of both sides, so that the message alone tells which
//! counter went astray and by how much.
//!
//! The identities hold exactly for a snapshot taken with the heap's locks held
//! and the threads' caches folded in, and for nothing less.

use core::fmt::{self, Display, Formatter};

use crate::MemStats;

/// Size classes of Go 1.27's table, class 0 (large objects) included.
pub const CLASSES: usize = 68;

/// What one size class has counted. `MemStats` shows only the first 61.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassCounts {
    /// Bytes of an object of the class; 0 for class 0, the large objects.
    pub size: u32,
    /// Objects allocated since the start.
    pub mallocs: u64,
    /// Objects reclaimed by sweeps since the start.
    pub frees: u64,
}

/// The sums that `MemStats` is made from, kept apart, for the full audit.
#[derive(Clone, Copy, Debug)]
pub struct HeapCounts<'a> {
    /// All classes, in their order, class 0 for the large objects first.
    pub classes: &'a [ClassCounts],
    /// Bytes of large objects ever allocated.
    pub large_allocated: u64,
    /// Bytes of large objects reclaimed by sweeps.
    pub large_freed: u64,
    /// Small requests that were given a part of a block: counted as allocated and
    /// as freed, beside their block.
    pub tiny_mallocs: u64,
}

/// What an audit holds a snapshot to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Identity {
    /// `Alloc` = `HeapAlloc`
    Alloc,
    /// `HeapSys` = `HeapInuse` + `HeapIdle`
    HeapSys,
    /// `HeapReleased` ≤ `HeapIdle`
    Released,
    /// `Sys` = `HeapSys` + `StackSys` + `MSpanSys` + `MCacheSys` + `BuckHashSys` + `GCSys` + `OtherSys`
    Sys,
    /// `HeapObjects` = `Mallocs` − `Frees`
    Objects,
    /// `HeapAlloc` ≤ `TotalAlloc`
    TotalAlloc,
    /// `HeapAlloc` ≤ `HeapInuse`
    Inuse,
    /// `StackInuse` ≤ `StackSys`
    Stack,
    /// `MSpanInuse` ≤ `MSpanSys`
    MSpan,
    /// `MCacheInuse` ≤ `MCacheSys`
    MCache,
    /// `NumForcedGC` ≤ `NumGC`
    Forced,
    /// Frees ≤ mallocs, in the class of this index.
    ClassFrees(usize),
    /// Each class is larger than the one before it, up to the one of this index.
    ClassOrder(usize),
    /// Mallocs of the classes known, added up, ≤ `Mallocs`
    SomeMallocs,
    /// Frees of the classes known, added up, ≤ `Frees`
    SomeFrees,
    /// Bytes of the classes known, added up, ≤ `TotalAlloc`
    SomeBytes,
    /// Mallocs of all classes and tiny ones, added up, = `Mallocs`
    AllMallocs,
    /// Frees of all classes and tiny ones, added up, = `Frees`
    AllFrees,
    /// Bytes allocated in all classes, added up, = `TotalAlloc`
    AllBytes,
    /// `HeapAlloc` = `TotalAlloc` − bytes freed in all classes
    FreedBytes,
    /// The class of this index says in `BySize` what the heap's own counts say (its mallocs are compared).
    BySizeMallocs(usize),
    /// The same of its frees.
    BySizeFrees(usize),
    /// The same of its size.
    BySizeSize(usize),
    /// The heap gave as many classes as there are.
    ClassCount,
}

/// An identity that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which one.
    pub identity: Identity,
    /// The figure on its left side.
    pub left: u128,
    /// The figure on its right side.
    pub right: u128,
}

impl Display for Violation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (left, relation, right) = self.identity.text();
        write!(f, "{left} {relation} {right}")?;
        if let Some(class) = self.identity.class() {
            write!(f, " in class {class}")?;
        }
        write!(f, " does not hold: {} against {}", self.left, self.right)
    }
}

impl core::error::Error for Violation {}

impl Identity {
    fn class(self) -> Option<usize> {
        match self {
            Self::ClassFrees(class)
            | Self::ClassOrder(class)
            | Self::BySizeMallocs(class)
            | Self::BySizeFrees(class)
            | Self::BySizeSize(class) => Some(class),
            _ => None,
        }
    }

    fn text(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Alloc => ("Alloc", "=", "HeapAlloc"),
            Self::HeapSys => ("HeapSys", "=", "HeapInuse + HeapIdle"),
            Self::Released => ("HeapReleased", "<=", "HeapIdle"),
            Self::Sys => (
                "Sys",
                "=",
                "HeapSys + StackSys + MSpanSys + MCacheSys + BuckHashSys + GCSys + OtherSys",
            ),
            Self::Objects => ("HeapObjects + Frees", "=", "Mallocs"),
            Self::TotalAlloc => ("HeapAlloc", "<=", "TotalAlloc"),
            Self::Inuse => ("HeapAlloc", "<=", "HeapInuse"),
            Self::Stack => ("StackInuse", "<=", "StackSys"),
            Self::MSpan => ("MSpanInuse", "<=", "MSpanSys"),
            Self::MCache => ("MCacheInuse", "<=", "MCacheSys"),
            Self::Forced => ("NumForcedGC", "<=", "NumGC"),
            Self::ClassFrees(_) => ("frees", "<=", "mallocs"),
            Self::ClassOrder(_) => ("size of the class before", "<", "size"),
            Self::SomeMallocs => ("mallocs by class", "<=", "Mallocs"),
            Self::SomeFrees => ("frees by class", "<=", "Frees"),
            Self::SomeBytes => ("bytes by class", "<=", "TotalAlloc"),
            Self::AllMallocs => ("mallocs of all classes and tiny ones", "=", "Mallocs"),
            Self::AllFrees => ("frees of all classes and tiny ones", "=", "Frees"),
            Self::AllBytes => ("bytes allocated in all classes", "=", "TotalAlloc"),
            Self::FreedBytes => (
                "HeapAlloc + bytes freed in all classes",
                "=",
                "bytes allocated in all classes",
            ),
            Self::BySizeMallocs(_) => ("BySize mallocs", "=", "mallocs"),
            Self::BySizeFrees(_) => ("BySize frees", "=", "frees"),
            Self::BySizeSize(_) => ("BySize size", "=", "size"),
            Self::ClassCount => ("classes counted", "=", "classes there are"),
        }
    }
}

/// Holds a snapshot to every identity that it can be held to on its own.
/// Returns the first that fails. Costs a pass over `BySize`; never allocates.
pub fn audit(stats: &MemStats) -> Result<(), Violation> {
    let s = stats;
    equal(Identity::Alloc, &[s.alloc], &[s.heap_alloc])?;
    equal(
        Identity::HeapSys,
        &[s.heap_sys],
        &[s.heap_inuse, s.heap_idle],
    )?;
    at_most(Identity::Released, &[s.heap_released], &[s.heap_idle])?;
    equal(
        Identity::Sys,
        &[s.sys],
        &[
            s.heap_sys,
            s.stack_sys,
            s.mspan_sys,
            s.mcache_sys,
            s.buck_hash_sys,
            s.gc_sys,
            s.other_sys,
        ],
    )?;
    equal(Identity::Objects, &[s.heap_objects, s.frees], &[s.mallocs])?;
    at_most(Identity::TotalAlloc, &[s.heap_alloc], &[s.total_alloc])?;
    at_most(Identity::Inuse, &[s.heap_alloc], &[s.heap_inuse])?;
    at_most(Identity::Stack, &[s.stack_inuse], &[s.stack_sys])?;
    at_most(Identity::MSpan, &[s.mspan_inuse], &[s.mspan_sys])?;
    at_most(Identity::MCache, &[s.mcache_inuse], &[s.mcache_sys])?;
    at_most(
        Identity::Forced,
        &[s.num_forced_gc.into()],
        &[s.num_gc.into()],
    )?;

    let classes = s.by_size.iter().map(|c| ClassCounts {
        size: c.size,
        mallocs: c.mallocs,
        frees: c.frees,
    });
    let sums = Sums::of(classes)?;
    holds(Identity::SomeMallocs, sums.mallocs, s.mallocs, u128::le)?;
    holds(Identity::SomeFrees, sums.frees, s.frees, u128::le)?;
    holds(Identity::SomeBytes, sums.allocated, s.total_alloc, u128::le)
}

/// Holds a snapshot to [`audit()`]'s identities and to the counts it was made
/// from, class by class and in sum. Never allocates.
pub fn audit_with(stats: &MemStats, counts: &HeapCounts<'_>) -> Result<(), Violation> {
    audit(stats)?;
    equal(
        Identity::ClassCount,
        &[counts.classes.len() as u64],
        &[CLASSES as u64],
    )?;
    for (class, (shown, counted)) in stats.by_size.iter().zip(counts.classes).enumerate() {
        // Class 0 stands for the large objects, which BySize leaves out.
        if class > 0 {
            equal(
                Identity::BySizeMallocs(class),
                &[shown.mallocs],
                &[counted.mallocs],
            )?;
            equal(
                Identity::BySizeFrees(class),
                &[shown.frees],
                &[counted.frees],
            )?;
        }
        equal(
            Identity::BySizeSize(class),
            &[shown.size.into()],
            &[counted.size.into()],
        )?;
    }
    let sums = Sums::of(counts.classes.iter().copied())?;
    let tiny = u128::from(counts.tiny_mallocs);
    let allocated = sums.allocated + u128::from(counts.large_allocated);
    let freed = sums.freed + u128::from(counts.large_freed);
    holds(
        Identity::AllMallocs,
        sums.mallocs + tiny,
        stats.mallocs,
        u128::eq,
    )?;
    holds(Identity::AllFrees, sums.frees + tiny, stats.frees, u128::eq)?;
    holds(Identity::AllBytes, allocated, stats.total_alloc, u128::eq)?;
    let left = u128::from(stats.heap_alloc) + freed;
    holds(Identity::FreedBytes, left, allocated, u128::eq)
}

/// Sums by class, wide enough for any figures.
struct Sums {
    mallocs: u128,
    frees: u128,
    allocated: u128,
    freed: u128,
}

impl Sums {
    /// Adds up; on the way holds each class to what it must keep on its own.
    fn of(classes: impl Iterator<Item = ClassCounts>) -> Result<Self, Violation> {
        let mut sums = Self {
            mallocs: 0,
            frees: 0,
            allocated: 0,
            freed: 0,
        };
        let mut before = None;
        for (index, class) in classes.enumerate() {
            at_most(
                Identity::ClassFrees(index),
                &[class.frees],
                &[class.mallocs],
            )?;
            // A heap that has not filled in the sizes has nothing in the classes either.
            if let Some(before) = before
                && (class.size > 0 || class.mallocs > 0)
            {
                let (left, right) = (u128::from(before), u128::from(class.size));
                holds(Identity::ClassOrder(index), left, right, u128::lt)?;
            }
            before = Some(class.size);
            let size = u128::from(class.size);
            sums.mallocs += u128::from(class.mallocs);
            sums.frees += u128::from(class.frees);
            sums.allocated += size * u128::from(class.mallocs);
            sums.freed += size * u128::from(class.frees);
        }
        Ok(sums)
    }
}

fn equal(identity: Identity, left: &[u64], right: &[u64]) -> Result<(), Violation> {
    holds(identity, sum(left), sum(right), u128::eq)
}

fn at_most(identity: Identity, left: &[u64], right: &[u64]) -> Result<(), Violation> {
    holds(identity, sum(left), sum(right), u128::le)
}

fn sum(figures: &[u64]) -> u128 {
    figures.iter().copied().map(u128::from).sum()
}

fn holds(
    identity: Identity,
    left: u128,
    right: impl Into<u128>,
    relation: impl Fn(&u128, &u128) -> bool,
) -> Result<(), Violation> {
    let right = right.into();
    if relation(&left, &right) {
        Ok(())
    } else {
        Err(Violation {
            identity,
            left,
            right,
        })
    }
}
