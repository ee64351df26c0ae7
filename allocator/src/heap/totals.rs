//! One consistent reading of the counters (Go: `readmemstats_m`).

use super::Heap;
use crate::meta::Kind;
use crate::os::Os;
use crate::size_class::{CLASSES, SizeClass};
use core::sync::atomic::Ordering::Relaxed;

/// Objects of one class since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassTotal {
    /// Handed out.
    pub mallocs: u64,
    /// Freed by sweeps.
    pub frees: u64,
}

/// What the heap holds. Sizes in bytes. Exact if no other thread allocates meanwhile;
/// else a slot handed out during the reading may be missing.
#[derive(Clone, Debug)]
pub struct Totals {
    /// By class; class 0 counts large objects.
    pub classes: [ClassTotal; CLASSES],
    /// Objects that were given a part of a shared block, beside those by class (Go: `tinyAllocs`).
    pub tiny: u64,
    /// Bytes handed out since the start, by slot size.
    pub total_alloc: u64,
    /// Bytes freed by sweeps since the start.
    pub total_free: u64,
    /// In spans.
    pub in_use: u64,
    /// Idle and backed.
    pub retained: u64,
    /// Idle and released.
    pub released: u64,
    /// In the background threads' stacks.
    pub stacks: u64,
    /// Blocks of spans in use.
    pub span_bytes: u64,
    /// Blocks of spans made.
    pub span_sys: u64,
    /// Caches in use.
    pub cache_bytes: u64,
    /// Caches made.
    pub cache_sys: u64,
    /// Sites and records of the heap profile.
    pub profile_sys: u64,
    /// Page bitmaps, summaries, tables.
    pub table_sys: u64,
    /// Mapped for the heap's own structures and not used yet.
    pub spare_sys: u64,
}

/// Objects handed out, and freed by sweeps, since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocated {
    /// Bytes handed out.
    pub bytes: u64,
    /// Objects handed out.
    pub objects: u64,
    /// Bytes freed.
    pub swept_bytes: u64,
    /// Objects freed.
    pub swept_objects: u64,
}

impl Allocated {
    /// Nothing yet.
    pub const NONE: Self = Self {
        bytes: 0,
        objects: 0,
        swept_bytes: 0,
        swept_objects: 0,
    };

    /// Bytes in objects that no sweep has freed: live ones, and dead ones that wait.
    pub fn kept_bytes(&self) -> u64 {
        self.bytes.saturating_sub(self.swept_bytes)
    }

    /// How many of these objects there are.
    pub fn kept_objects(&self) -> u64 {
        self.objects.saturating_sub(self.swept_objects)
    }
}

impl<O: Os> Heap<O> {
    /// Reads everything, holding every class's lock, so that no span comes or goes meanwhile.
    pub fn totals(&self) -> Totals {
        let mut t = Totals {
            classes: [ClassTotal::default(); CLASSES],
            tiny: 0,
            total_alloc: 0,
            total_free: 0,
            in_use: 0,
            retained: 0,
            released: 0,
            stacks: 0,
            span_bytes: 0,
            span_sys: 0,
            cache_bytes: 0,
            cache_sys: 0,
            profile_sys: 0,
            table_sys: 0,
            spare_sys: 0,
        };
        SizeClass::all().for_each(|c| self.central.class(c).acquire());
        for class in SizeClass::all() {
            // SAFETY: every class's lock is held.
            let lists = unsafe { self.central.class(class).held() };
            let counts = self.central.counts(class);
            t.classes[class.index()].frees = counts.freed.get();
            t.total_free += counts.freed_bytes.get();
            t.span_bytes += lists.len() as u64
                * crate::span::Span::block_bytes(class).next_multiple_of(64) as u64;
        }
        t.classes[0].mallocs = self.large.objects.get();
        t.total_alloc = self.large_bytes();
        self.for_each_cache(|cache| {
            t.tiny += cache.tiny.shared.load(Relaxed);
            for class in SizeClass::all().skip(1) {
                t.classes[class.index()].mallocs += cache.allocated(class);
            }
        });
        let small: u64 = SizeClass::all()
            .map(|c| t.classes[c.index()].mallocs * c.bytes() as u64)
            .sum();
        t.total_alloc += small;
        t.in_use = self.pages.bytes.in_use.get();
        t.retained = self.pages.bytes.retained();
        t.released = self.pages.bytes.released.get();
        t.stacks = self.pages.bytes.stacks.get();
        // SAFETY: taken above.
        SizeClass::all()
            .rev()
            .for_each(|c| unsafe { self.central.class(c).release() });
        t.span_sys = self.meta.used(Kind::Spans);
        t.cache_sys = self.meta.used(Kind::Caches);
        t.cache_bytes = self.cache_count.load(Relaxed) as u64 * size_of::<crate::Cache>() as u64;
        t.profile_sys = self.meta.used(Kind::Profile);
        t.table_sys = self.meta.used(Kind::Tables);
        t.spare_sys = self.meta.spare();
        t
    }

    /// What was handed out and swept so far. Takes no lock; exact while all threads rest.
    pub fn allocated(&self) -> Allocated {
        let counts = || self.central.all_counts();
        let mut a = Allocated {
            swept_bytes: counts().map(|c| c.freed_bytes.get()).sum(),
            swept_objects: counts().map(|c| c.freed.get()).sum(),
            bytes: self.large_bytes(),
            objects: self.large.objects.get(),
        };
        self.for_each_cache(|cache| {
            for class in SizeClass::all().skip(1) {
                let n = cache.allocated(class);
                a.objects += n;
                a.bytes += n * class.bytes() as u64;
            }
        });
        a
    }
}
