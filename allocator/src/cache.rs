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
//! writes entries and then publishes how much room is left; it takes the lock only to
//! start the log anew.

use crate::death_log::DeathLog;
use crate::heap::Deaths;
use crate::lock::{Lock, Rank};
use crate::os::thread_words;
use crate::page_heap::PageCache;
use crate::prefetch;
use crate::sample::{Distance, Random, Rate, Stack};
use crate::size_class::{CLASSES, SizeClass};
use crate::span::{Span, Tag};
use crate::tiny::{BLOCK, Tiny};
use core::cell::Cell;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize};

/// Deaths that a log holds before it must be flushed.
pub const LOG_CAPACITY: usize = 1024;

/// Where a class's slots come from.
#[derive(Debug)]
pub(crate) struct Held {
    /// The span in the cache, null if there is none. Written by the owner.
    pub span: AtomicPtr<Span>,
    /// The word of it that is in the bin.
    pub word: Cell<usize>,
    /// Slots of that word that follow when the bin is empty: the first of them is sampled. Written by
    /// the owner.
    pub rest: AtomicU64,
    /// How many slots come before the sampled one, beside those in the bin.
    pub distance: Distance,
    /// Whether that one is to be guarded, not sampled.
    pub guards: Cell<bool>,
    /// The sweep that was current when the span was taken.
    pub epoch: Cell<u32>,
    /// Slots taken into this bin since the cache was made, less those returned unused.
    pub taken: AtomicU64,
}

impl Held {
    /// Of the free slots `free` of a word, those before the one that is to be sampled, for the bin; the others
    /// become the rest, which is empty.
    #[inline(always)]
    pub(crate) fn before_sampled(&self, free: u64, slots: u32) -> u64 {
        if self.distance.is_beyond(slots) {
            return free;
        }
        self.cut(free)
    }

    #[cold]
    #[inline(never)]
    fn cut(&self, free: u64) -> u64 {
        let rest = self.distance.rest_of(free);
        self.rest.store(rest, Relaxed);
        free & !rest
    }
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
    /// By class, a bit for each slot of the current word that is this thread's to hand out.
    pub(crate) free: [AtomicU64; CLASSES],
    /// By class, where slot 0 of that word lies.
    pub(crate) base: [AtomicUsize; CLASSES],
    /// By class, bytes of a slot. Three arrays and not one of three fields: each is then found by the
    /// class's number alone.
    bytes: [usize; CLASSES],
    /// Entries that the log has room for; it is filled from its end.
    pub(crate) room: AtomicUsize,
    /// The block that tiny objects share.
    pub(crate) tiny: Tiny,
    pub(crate) held: [Held; CLASSES],
    pub(crate) pages: PageCache,
    pub(crate) random: Random,
    /// The sweep at which the owner last returned stale spans.
    pub(crate) epoch: Cell<u32>,
    pub(crate) drained: Lock<Drained>,
    log: [AtomicUsize; LOG_CAPACITY],
    /// The stack that was sampled last, null before the first. The owner's.
    pub(crate) last_stack: AtomicPtr<Stack>,
    /// The next spare cache. Under the registry's lock.
    pub(crate) next_spare: AtomicPtr<Cache>,
    /// The cache made before this one.
    pub(crate) next: AtomicPtr<Cache>,
}

impl Cache {
    /// Makes an empty cache of zeroed memory, whose log has no `room` or all there is. Where it lies, and part by part:
    /// as a whole it would pass through the stack of the thread that it is for, which may have less than that.
    ///
    /// # Safety
    /// `at` is the caller's to write, zeroed, aligned and long enough.
    pub(crate) unsafe fn make(at: *mut Self, tag: Tag, next: *mut Cache, rate: &Rate, room: bool) {
        let random = rate.random();
        let room = if room { LOG_CAPACITY } else { 0 };
        let drained = Drained {
            upto: LOG_CAPACITY - room,
            tag,
            deaths: Deaths::NONE,
        };
        // SAFETY: the caller's contract. What is not written is an atomic or a cell, and right as zero.
        unsafe {
            for (i, class) in (0..CLASSES).map(|i| (i, SizeClass::from_index(i))) {
                (&raw mut (*at).bytes[i]).write(class.bytes());
                let bytes = class.bytes().max(1);
                let distance = Distance::draw(&random, rate.get(), bytes);
                (&raw mut (*at).held[i]).write(Held {
                    span: AtomicPtr::new(null_mut()),
                    word: Cell::new(0),
                    rest: AtomicU64::new(0),
                    guards: Cell::new(distance.or_guard(&random, rate)),
                    distance,
                    epoch: Cell::new(0),
                    taken: AtomicU64::new(0),
                });
            }
            (&raw mut (*at).room).write(AtomicUsize::new(room));
            (&raw mut (*at).tiny).write(Tiny::new());
            (&raw mut (*at).pages).write(PageCache::new());
            (&raw mut (*at).random).write(random);
            (&raw mut (*at).drained).write(Lock::new(Rank::Log, drained));
            (&raw mut (*at).next).write(AtomicPtr::new(next));
        }
    }

    /// Takes a free slot of `class` out of the bin; `None` if the bin is empty.
    ///
    /// # Safety
    /// The calling thread owns this cache, or the cache is [nothing](thread_words::NOTHING).
    #[inline(always)]
    pub unsafe fn alloc(&self, class: SizeClass) -> Option<NonNull<u8>> {
        let c = class.index();
        // SAFETY: a class's number is below CLASSES.
        let (word, base, bytes) = unsafe {
            (
                self.free.get_unchecked(c),
                self.base.get_unchecked(c),
                *self.bytes.get_unchecked(c),
            )
        };
        let free = word.load(Relaxed);
        if free == 0 {
            return None;
        }
        word.store(free & (free - 1), Relaxed);
        let at = base.load(Relaxed) + free.trailing_zeros() as usize * bytes;
        // A heap of twice the live size is walked through before it is used again, so the next slots
        // are seldom in a near cache; asking four slots early hides that.
        prefetch::for_write_4_times(at, bytes);
        // SAFETY: no slot lies at address zero.
        Some(unsafe { NonNull::new_unchecked(core::ptr::with_exposed_provenance_mut(at)) })
    }

    /// Whether an object of `bytes` may be a tiny one for which the shared block has room: [`Cache::alloc_tiny`] tells.
    /// Of a nothing, none is.
    #[inline(always)]
    pub fn may_share(&self, bytes: usize) -> bool {
        bytes <= self.tiny.room()
    }

    /// Whether a block that an object of `bytes` begins would have more room left than the one that tiny objects share
    /// now: [`Heap::share`](crate::Heap::share) goes on with the new one then. So it is tiny.
    #[inline(always)]
    pub fn should_share(&self, bytes: usize) -> bool {
        self.tiny.room() + bytes < BLOCK
    }

    /// Takes a part of the block that tiny objects share, zeroed; `None` if it has no room for it.
    ///
    /// # Safety
    /// As for [`Cache::alloc`]; the object [is tiny](crate::tiny::is_tiny).
    #[inline(always)]
    pub unsafe fn alloc_tiny(&self, bytes: usize, align: usize) -> Option<NonNull<u8>> {
        // SAFETY: the caller's contract; no block lies at address zero.
        unsafe {
            let at = self.tiny.take(bytes, align)?;
            Some(NonNull::new_unchecked(
                core::ptr::with_exposed_provenance_mut(at),
            ))
        }
    }

    /// From now on this thread's tiny objects share no blocks. It fills none.
    ///
    /// # Safety
    /// The calling thread owns this cache.
    pub unsafe fn share_nothing(&self) {
        self.tiny.refuse();
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

    /// Writes a death down. `false`: the log is full, and must be flushed first.
    ///
    /// # Safety
    /// As for [`Cache::alloc`].
    #[inline(always)]
    #[must_use]
    pub unsafe fn log(&self, address: usize) -> bool {
        // SAFETY: the caller's contract; the nothing has no room.
        unsafe { self.death_log().push(address) }
    }

    /// What its owner has freed.
    #[inline(always)]
    pub(crate) fn death_log(&self) -> DeathLog<'_, LOG_CAPACITY> {
        DeathLog {
            room: &self.room,
            entries: &self.log,
        }
    }

    /// Slots of `class` handed out so far. Exact while the owner rests.
    pub(crate) fn allocated(&self, class: SizeClass) -> u64 {
        let taken = self.held[class.index()].taken.load(Relaxed);
        if taken == 0 {
            return 0;
        }
        let waiting = self.waiting(class).count_ones();
        taken.saturating_sub(u64::from(waiting))
    }

    /// Slots of `class` that this thread has yet to hand out, a bit for each of the word at hand: those in
    /// the bin, and those behind.
    pub(crate) fn waiting(&self, class: SizeClass) -> u64 {
        let c = class.index();
        self.free[c].load(Relaxed) | self.held[c].rest.load(Relaxed)
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

// A thread without a cache has nothing in its place: no slot in any bin, no room in the log.
const _: () = assert!(size_of::<Cache>() <= size_of::<thread_words::Nothing>());
const _: () = assert!(align_of::<Cache>() <= align_of::<thread_words::Nothing>());

// SAFETY: the cells are the owner's; the rest are atomics or under a lock.
unsafe impl Sync for Cache {}
