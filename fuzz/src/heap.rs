//! What the interpreter can be run on.

use std::alloc::{GlobalAlloc, System};

use goheap::GoHeap;

/// What a heap says of itself, once its counters have been found to agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Bytes in objects not yet reclaimed. At least what is live.
    pub heap_alloc: u64,
    /// Objects not yet reclaimed. At least those that are live.
    pub heap_objects: u64,
}

/// An allocator as a value, with what Go lets a program tell its heap.
pub trait Heap: GlobalAlloc + Sync {
    /// Runs a full cycle.
    fn collect(&self);
    /// Collects and returns what is idle to the system.
    fn free_os_memory(&self);
    /// Sets GOGC and returns what it was, if the heap has such a thing.
    fn set_gc_percent(&self, percent: i32) -> Option<i32>;
    /// Sets GOMEMLIMIT and returns what it was, if the heap has such a thing.
    fn set_memory_limit(&self, bytes: i64) -> Option<i64>;
    /// Holds the counters against each other: what disagrees, or the figures, or nothing
    /// from a heap that does not count.
    fn audit(&self) -> Result<Option<Figures>, String>;
    /// Holds the heap's own structures against each other: what disagrees, if anything does.
    /// `alone` says that no other thread uses the heap meanwhile.
    fn check(&self, alone: bool) -> Result<(), String>;
    /// Lets time pass, if the heap's clock can be told to.
    fn advance_clock(&self, _ms: u32) {}
    /// Lets so many of the next calls to the system fail, if the heap's system can be told to.
    fn fail_next(&self, _calls: usize) {}
    /// Whether the system refused something since this was last asked, so that there may be no memory.
    fn was_refused(&self) -> bool {
        false
    }
}

impl Heap for GoHeap {
    fn collect(&self) {
        goheap::gc();
    }

    fn free_os_memory(&self) {
        goheap::free_os_memory();
    }

    fn set_gc_percent(&self, percent: i32) -> Option<i32> {
        Some(goheap::set_gc_percent(percent))
    }

    fn set_memory_limit(&self, bytes: i64) -> Option<i64> {
        Some(goheap::set_memory_limit(bytes))
    }

    fn audit(&self) -> Result<Option<Figures>, String> {
        let stats = goheap::read_mem_stats();
        goheap_stats::audit(&stats).map_err(|violation| violation.to_string())?;
        Ok(Some(Figures {
            heap_alloc: stats.heap_alloc,
            heap_objects: stats.heap_objects,
        }))
    }

    fn check(&self, _alone: bool) -> Result<(), String> {
        goheap::check().map_err(|findings| findings.to_string())
    }
}

/// The C library's heap: neither knobs nor counters, but the same duty to its objects.
impl Heap for System {
    fn collect(&self) {}

    fn free_os_memory(&self) {}

    fn set_gc_percent(&self, _percent: i32) -> Option<i32> {
        None
    }

    fn set_memory_limit(&self, _bytes: i64) -> Option<i64> {
        None
    }

    fn audit(&self) -> Result<Option<Figures>, String> {
        Ok(None)
    }

    fn check(&self, _alone: bool) -> Result<(), String> {
        Ok(())
    }
}
