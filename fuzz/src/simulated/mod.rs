//! A heap over an operating system that is not there.
//!
//! The same mechanism as in the process's heap, with a pacer of a few lines: what goes wrong is the
//! mechanism's. Everything happens in the calling thread and in the order of the program, so that
//! a program means the same on every run, calls to the system can be made to fail, time to
//! pass, and between two commands all structures must agree to the last bit. Many such heaps may
//! live in one process, one after the other.

mod os;

use crate::{Figures, Heap};
use goheap_allocator::heap::Others;
use goheap_allocator::sample::Stack;
use goheap_allocator::{Cache, SizeClass, tiny};
use os::SimulatedOs;
use std::alloc::{GlobalAlloc, Layout};
use std::cell::RefCell;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes that are live at the first cycle, and the least between two.
const LEAST: u64 = 1 << 20;
/// Bytes from one sample to the next.
const SAMPLE_RATE: u64 = 2048;
/// Milliseconds after which idle memory goes back where its age counts.
const OLD: u32 = 60_000;

/// Milliseconds of all simulated heaps' clock.
static CLOCK: AtomicU32 = AtomicU32::new(0);

fn clock() -> u32 {
    CLOCK.load(Relaxed)
}

/// How idle memory goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Highest addresses first, when asked for.
    ByAddress,
    /// What has been idle for a minute, when the clock is advanced.
    ByAge,
}

/// What the heap does beyond its duties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hardened {
    /// Looks at each free, and fills what was freed.
    pub poisons: bool,
    /// Places objects by random numbers, the same ones in each run.
    pub randomizes: bool,
}

/// A handle to a simulated heap, which ends with its last handle and the last thread that used it.
#[derive(Clone)]
pub struct Simulated(Arc<Inner>);

struct Inner {
    heap: goheap_allocator::Heap<SimulatedOs>,
    idle: Idle,
    pacing: Mutex<Pacing>,
}

struct Pacing {
    percent: i32,
    limit: i64,
    /// Live bytes at which a cycle begins.
    trigger: u64,
    /// Refusals that have been told of.
    told: u64,
}

/// A thread's cache, which goes back when the thread ends or turns to another heap.
struct Lease {
    of: Arc<Inner>,
    cache: *mut Cache,
}

impl Drop for Lease {
    fn drop(&mut self) {
        // SAFETY: this thread's cache, which it no longer uses.
        unsafe { self.of.heap.release_cache(self.cache) };
    }
}

thread_local! {
    static LEASE: RefCell<Option<Lease>> = const { RefCell::new(None) };
}

impl Simulated {
    /// A new heap, over physical pages of 4 KiB.
    pub fn new(idle: Idle, hardened: Hardened) -> Self {
        Self::with_physical_pages(idle, hardened, 4096)
    }

    /// A new heap, over physical pages of so many bytes, a power of two: the system takes nothing smaller back, nor anything at
    /// an address between two.
    pub fn with_physical_pages(idle: Idle, hardened: Hardened, page: usize) -> Self {
        let heap = goheap_allocator::Heap::new(SimulatedOs::new(page));
        heap.set_sample_rate(SAMPLE_RATE, 1);
        if hardened.poisons {
            heap.watch(true);
        }
        if hardened.randomizes {
            heap.randomize(1);
        }
        if idle == Idle::ByAge {
            heap.pages().keep_ages(clock);
        }
        let pacing = Mutex::new(Pacing {
            percent: 100,
            limit: i64::MAX,
            trigger: LEAST,
            told: 0,
        });
        Self(Arc::new(Inner { heap, idle, pacing }))
    }

    /// Runs `what` with the calling thread's cache; `None` if there is no memory for one.
    fn with_cache<T>(&self, what: impl FnOnce(&Cache) -> T) -> Option<T> {
        LEASE.with_borrow_mut(|lease| {
            if lease.as_ref().is_none_or(|l| !Arc::ptr_eq(&l.of, &self.0)) {
                *lease = None;
                let cache = self.0.heap.acquire_cache();
                if cache.is_null() {
                    return None;
                }
                let of = Arc::clone(&self.0);
                *lease = Some(Lease { of, cache });
            }
            let cache = lease.as_ref().map_or(null_mut(), |l| l.cache);
            // SAFETY: caches live as long as their heap, which the lease holds.
            unsafe { cache.as_ref() }.map(what)
        })
    }

    /// Hands this thread's cache back.
    pub fn leave(&self) {
        LEASE.set(None);
    }

    fn pacing(&self) -> std::sync::MutexGuard<'_, Pacing> {
        self.0.pacing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the epoch and starts the sweep, once the last one is over.
    fn cycle(&self, pacing: &mut Pacing) {
        let heap = &self.0.heap;
        self.sweep();
        let (condemned, dead) = heap.close_epoch();
        let live = heap.allocated().kept_bytes().saturating_sub(dead.bytes);
        heap.live().set(live);
        heap.start_sweep(condemned);
        heap.pages().next_generation();
        let percent = u64::from(pacing.percent.unsigned_abs());
        pacing.trigger = match pacing.percent {
            ..0 => u64::MAX,
            _ => live + (live.saturating_mul(percent) / 100).max(LEAST),
        };
    }

    fn sweep(&self) {
        let heap = &self.0.heap;
        while heap.sweep_some().is_some() || !heap.progress().is_done() {
            std::thread::yield_now();
        }
    }

    fn slot(&self, class: SizeClass, bytes: usize, zero: usize) -> Option<NonNull<u8>> {
        let heap = &self.0.heap;
        // SAFETY: the calling thread's cache; the class was chosen for what is zeroed.
        self.with_cache(|cache| unsafe {
            let take = || {
                if let Some(slot) = heap.take(cache, class) {
                    return Some(slot);
                }
                if !heap.next_word(cache, class) {
                    heap.return_stale_spans(cache);
                    heap.sweep_some();
                    heap.take_span(cache, class).ok()?;
                }
                heap.take(cache, class)
            };
            let slot = take()?;
            if cache.is_dirty(class) {
                slot.at.as_ptr().write_bytes(0, zero);
            }
            if slot.sampled {
                heap.sample(
                    slot.at.as_ptr().addr(),
                    bytes,
                    &mut Stack::of(&[class.index() % 5]),
                );
            }
            Some(slot.at)
        })?
    }

    /// A part of the block that this thread's tiny objects share.
    fn part(&self, layout: Layout) -> Option<NonNull<u8>> {
        let (bytes, align) = (layout.size(), layout.align());
        // SAFETY: the calling thread's cache; the object is tiny.
        let part = self.with_cache(|cache| unsafe { cache.alloc_tiny(bytes, align) })?;
        part.or_else(|| {
            let block = self.slot(tiny::CLASS, tiny::BLOCK, tiny::BLOCK)?;
            // SAFETY: the same; the slot was just taken out of it.
            self.with_cache(|cache| unsafe { self.0.heap.share(cache, block, bytes) })
        })
    }

    fn block(&self, layout: Layout, zero: usize) -> Option<NonNull<u8>> {
        if tiny::is_tiny(layout.size(), layout.align()) {
            return self.part(layout);
        }
        match SizeClass::fitting(layout.size(), layout.align()) {
            Some(class) => self.slot(class, layout.size(), zero),
            None => {
                let large = self
                    .0
                    .heap
                    .alloc_large(layout.size(), layout.align())
                    .ok()?;
                if large.dirty {
                    // SAFETY: as long as that, and nobody else's.
                    unsafe { large.at.write_bytes(0, zero) };
                }
                if large.sampled {
                    let stack = [layout.size(), 1];
                    self.0
                        .heap
                        .sample(large.at.addr(), layout.size(), &mut Stack::of(&stack));
                }
                NonNull::new(large.at)
            }
        }
    }

    fn allocate(&self, layout: Layout, zero: usize) -> *mut u8 {
        let at = self.block(layout, zero).or_else(|| {
            self.collect();
            self.block(layout, zero)
        });
        let heap = &self.0.heap;
        let mut pacing = self.pacing();
        if heap.live().get() >= pacing.trigger {
            self.cycle(&mut pacing);
        }
        let over = heap
            .mapped_ready()
            .saturating_sub(pacing.limit.unsigned_abs());
        if over > 0 {
            heap.scavenge(over as usize, true, || false);
        }
        at.map_or(null_mut(), NonNull::as_ptr)
    }
}

// SAFETY: as the process's heap, whose mechanism this is.
unsafe impl GlobalAlloc for Simulated {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.allocate(layout, 0)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.allocate(layout, layout.size())
    }

    unsafe fn dealloc(&self, at: *mut u8, _layout: Layout) {
        // Without memory for a log the death stays unknown, as in the process's heap.
        // SAFETY: the calling thread's cache, flushed when it is full.
        self.with_cache(|cache| unsafe {
            if !cache.log(at.expose_provenance()) {
                self.0.heap.free(cache, at.addr());
            }
        });
    }
}

impl Heap for Simulated {
    fn collect(&self) {
        self.cycle(&mut self.pacing());
        self.sweep();
    }

    fn free_os_memory(&self) {
        self.collect();
        self.0.heap.scavenge(usize::MAX, true, || false);
    }

    fn set_gc_percent(&self, percent: i32) -> Option<i32> {
        Some(std::mem::replace(
            &mut self.pacing().percent,
            percent.max(-1),
        ))
    }

    fn set_memory_limit(&self, bytes: i64) -> Option<i64> {
        let mut pacing = self.pacing();
        let old = pacing.limit;
        if bytes >= 0 {
            pacing.limit = bytes;
        }
        Some(old)
    }

    fn advance_clock(&self, ms: u32) {
        CLOCK.fetch_add(ms, Relaxed);
        if self.0.idle == Idle::ByAge {
            self.0.heap.release_aged(OLD);
        }
    }

    fn fail_next(&self, calls: usize) {
        self.0.heap.os().fail_next(calls);
    }

    fn was_refused(&self) -> bool {
        let os = self.0.heap.os();
        let refused = os.refused.load(Relaxed);
        let told = std::mem::replace(&mut self.pacing().told, refused);
        refused != told || !os.granted_room()
    }

    fn audit(&self) -> Result<Option<Figures>, String> {
        let totals = self.0.heap.totals();
        let sum = |of: fn(&goheap_allocator::heap::ClassTotal) -> u64| {
            totals.classes.iter().map(of).sum::<u64>()
        };
        Ok(Some(Figures {
            heap_alloc: totals.total_alloc.saturating_sub(totals.total_free),
            heap_objects: sum(|c| c.mallocs).saturating_sub(sum(|c| c.frees)),
        }))
    }

    fn check(&self, alone: bool) -> Result<(), String> {
        let others = if alone { Others::Rest } else { Others::Run };
        let findings = self.0.heap.check(others);
        findings.into_result().map_err(|f| f.to_string())
    }
}
