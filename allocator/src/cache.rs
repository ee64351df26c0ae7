//! A thread's own: free slots of each class, a few idle pages, and its death log
//! (Go: `mcache.go`; the log has no counterpart there).
//!
//! Of each class the cache holds one span, and of that span one allocation word:
//! up to 64 slots that are this thread's alone. Taking one is: lowest set bit,
//! clear it, add. Freeing an object of any thread is: append its address to the
//! log. Neither touches anything that is shared.
//!
//! What others may do with a cache: count (bins are atomics, read relaxed, exact
//! while the owner rests), and drain the log, holding its lock. The owner alone
//! writes entries and then publishes the length; it takes the lock only to start
//! the log anew.

use crate::heap::Deaths;
use crate::lock::{Lock, Rank};
use crate::page_heap::PageCache;
use crate::size_class::{CLASSES, SizeClass};
use crate::span::{Span, Tag};
use core::cell::{Cell, UnsafeCell};
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::Ordering::{Relaxed, Release};
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize};

/// Deaths that a log holds before it must be flushed.
pub const LOG_CAPACITY: usize = 1024;

/// The slots of one class at hand.
#[derive(Debug)]
#[repr(C)]
pub struct Bin {
    /// A bit for each slot of the current word that is this thread's to hand out.
    pub(crate) free: AtomicU64,
    /// Where slot 0 of that word lies.
    pub(crate) base: AtomicUsize,
    /// Bytes of a slot.
    pub(crate) bytes: AtomicUsize,
}

/// Where a class's slots come from.
#[derive(Debug)]
pub(crate) struct Held {
    /// The span in the cache, null if there is none. Written by the owner.
    pub span: AtomicPtr<Span>,
    /// The word of it that is in the bin.
    pub word: Cell<usize>,
    /// The sweep that was current when the span was taken.
    pub epoch: Cell<u32>,
    /// Slots taken into this bin since the cache was made, less those returned unused.
    pub taken: AtomicU64,
}

/// What draining a log changes; under the log's lock.
#[derive(Debug)]
pub(crate) struct Drained {
    /// Entries before this one are dealt with.
    pub upto: usize,
    /// The tag that deaths get: switched when an epoch closes.
    pub tag: Tag,
    /// What died under `tag`.
    pub deaths: Deaths,
}

/// A thread's share of the heap.
#[derive(Debug)]
#[repr(C, align(128))]
pub struct Cache {
    bins: [Bin; CLASSES],
    log_len: AtomicU32,
    pub(crate) held: [Held; CLASSES],
    pub(crate) pages: UnsafeCell<PageCache>,
    /// The sweep at which the owner last returned stale spans.
    pub(crate) epoch: Cell<u32>,
    pub(crate) drained: Lock<Drained>,
    log: [AtomicUsize; LOG_CAPACITY],
    /// The next spare cache. Under the registry's lock.
    pub(crate) next_spare: AtomicPtr<Cache>,
    /// The cache made before this one.
    pub(crate) next: AtomicPtr<Cache>,
}

impl Cache {
    /// An empty cache.
    pub(crate) fn new(tag: Tag, next: *mut Cache) -> Self {
        Self {
            bins: core::array::from_fn(|i| Bin {
                free: AtomicU64::new(0),
                base: AtomicUsize::new(0),
                bytes: AtomicUsize::new(SizeClass::from_index(i).bytes()),
            }),
            log_len: AtomicU32::new(0),
            held: [const {
                Held {
                    span: AtomicPtr::new(null_mut()),
                    word: Cell::new(0),
                    epoch: Cell::new(0),
                    taken: AtomicU64::new(0),
                }
            }; CLASSES],
            pages: UnsafeCell::new(PageCache::new()),
            epoch: Cell::new(0),
            drained: Lock::new(
                Rank::Log,
                Drained {
                    upto: 0,
                    tag,
                    deaths: Deaths::NONE,
                },
            ),
            log: [const { AtomicUsize::new(0) }; LOG_CAPACITY],
            next_spare: AtomicPtr::new(null_mut()),
            next: AtomicPtr::new(next),
        }
    }

    /// Takes a free slot of `class` out of the bin; `None` if the bin is empty.
    ///
    /// # Safety
    /// The calling thread owns this cache.
    #[inline(always)]
    pub unsafe fn alloc(&self, class: SizeClass) -> Option<NonNull<u8>> {
        // SAFETY: a class's number is below CLASSES.
        let bin = unsafe { self.bins.get_unchecked(class.index()) };
        let free = bin.free.load(Relaxed);
        if free == 0 {
            return None;
        }
        bin.free.store(free & (free - 1), Relaxed);
        let bytes = bin.bytes.load(Relaxed);
        let at = bin.base.load(Relaxed) + free.trailing_zeros() as usize * bytes;
        prefetch_for_write(at + AHEAD * bytes);
        // SAFETY: no slot lies at address zero.
        Some(unsafe { NonNull::new_unchecked(core::ptr::with_exposed_provenance_mut(at)) })
    }

    /// [Takes](Cache::alloc) a slot and zeroes the first `bytes` of it, unless it was never used.
    ///
    /// # Safety
    /// The calling thread owns this cache; a slot of `class` has so many bytes.
    #[inline(always)]
    pub unsafe fn alloc_zeroed(&self, class: SizeClass, bytes: usize) -> Option<NonNull<u8>> {
        // SAFETY: the caller's contract.
        unsafe {
            let at = self.alloc(class)?;
            if self.is_dirty(class) {
                at.write_bytes(0, bytes);
            }
            Some(at)
        }
    }

    /// Writes a death down. `true`: the log is full now and must be flushed.
    ///
    /// # Safety
    /// The calling thread owns this cache, and flushed it the last time that this said so.
    #[inline(always)]
    pub unsafe fn log(&self, address: usize) -> bool {
        let n = self.log_len.load(Relaxed);
        // SAFETY: a full log is flushed before the next entry.
        unsafe { self.log.get_unchecked(n as usize) }.store(address, Relaxed);
        // Release: pairs with Acquire in `logged`; the entry is there before the length says so.
        self.log_len.store(n + 1, Release);
        n as usize + 1 == LOG_CAPACITY
    }

    /// The entries written down so far, from `from` on.
    pub(crate) fn logged(&self, from: usize) -> &[AtomicUsize] {
        let n = self.log_len.load(core::sync::atomic::Ordering::Acquire) as usize;
        self.log.get(from..n).unwrap_or(&[])
    }

    /// Starts the log anew. Only the owner may, holding the log's lock.
    pub(crate) fn restart_log(&self) {
        self.log_len.store(0, Relaxed);
    }

    pub(crate) fn bin(&self, class: SizeClass) -> &Bin {
        &self.bins[class.index()]
    }

    /// Slots of `class` handed out so far. Exact while the owner rests.
    pub(crate) fn allocated(&self, class: SizeClass) -> u64 {
        let taken = self.held[class.index()].taken.load(Relaxed);
        if taken == 0 {
            return 0;
        }
        let waiting = self.bin(class).free.load(Relaxed).count_ones();
        taken.saturating_sub(u64::from(waiting))
    }

    /// Whether the span that `class` allocates from has been used before.
    ///
    /// # Safety
    /// The calling thread owns this cache.
    #[inline]
    pub unsafe fn is_dirty(&self, class: SizeClass) -> bool {
        // SAFETY: a held span's header lives for ever.
        unsafe { self.held[class.index()].span.load(Relaxed).as_ref() }.is_none_or(Span::is_dirty)
    }
}

/// How many slots ahead of the one handed out a cache line is asked for. A heap of
/// twice the live size is walked through before it is used again, so the next
/// slots are seldom in a near cache; asking early hides that.
const AHEAD: usize = 4;

/// Asks for the cache line that holds `at`, to write to it.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn prefetch_for_write(at: usize) {
    // SAFETY: a prefetch of any address is harmless.
    unsafe {
        core::arch::asm!("prefetchw [{}]", in(reg) at, options(nostack, preserves_flags, readonly))
    };
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(crate) fn prefetch_for_write(_at: usize) {}

/// Asks for the cache line that holds `at`.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn prefetch<T>(at: *const T) {
    // SAFETY: a prefetch of any address is harmless.
    unsafe { core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(at.cast()) };
}

/// Asks for the cache line that holds `at`.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(crate) fn prefetch<T>(_at: *const T) {}

// SAFETY: the cells and the page cache are the owner's; the rest are atomics or under a lock.
unsafe impl Sync for Cache {}
