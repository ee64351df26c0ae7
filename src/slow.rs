//! What an allocation does when its bin is empty: everything that Go does "on
//! allocation" (`mallocgc`'s slow half, `mcache.refill`, `mheap.allocSpan`).
//!
//! In this order: end a mark whose time is over, return spans that a new sweep made stale, pay the sweep's debt,
//! take a span or pages, hand back as much as the heap grew by if it is over its
//! goal, and see whether a cycle is due. Last, when no lock is held any more and the slot is as it is to be
//! handed out, an object that is to be sampled is.

use crate::runtime::{HEAP, RUNTIME};
use crate::{background, cycle, guard, profile, thread};
use core::ptr::{null_mut, with_exposed_provenance_mut};
use core::sync::atomic::Ordering::Relaxed;
use goheap_allocator::heap::{Refill, Slot};
use goheap_allocator::tiny::{self, is_tiny};
use goheap_allocator::{Cache, OsError, PAGE, SizeClass, os, pages_for};
use goheap_scavenger::{AllocationInputs, Growth};
use std::alloc::Layout;

/// Allocates a slot of `class`, for `bytes`, for a thread whose bin is empty or that has no cache yet.
#[cold]
pub fn alloc(class: SizeClass, bytes: usize) -> *mut u8 {
    let Some(access) = thread::access() else {
        return null_mut();
    };
    // SAFETY: `access` stands for the right to use this cache.
    let slot = unsafe { alloc_in(access.cache(), class) };
    drop(access);
    background::start_wanted();
    finish(slot, bytes)
}

/// Samples the object of `bytes` in `slot` if that is to be.
fn finish(slot: Option<Slot>, bytes: usize) -> *mut u8 {
    let Some(Slot {
        at,
        sampled,
        guarded,
    }) = slot
    else {
        return null_mut();
    };
    if guarded && let Some(guarded) = guard::place(at.as_ptr().expose_provenance(), bytes) {
        return with_exposed_provenance_mut(guarded);
    }
    if sampled {
        profile::sample(at.as_ptr(), bytes);
    }
    at.as_ptr()
}

/// Allocates a slot of `class` from a cache that the calling thread may use.
///
/// # Safety
/// It may.
unsafe fn alloc_in(cache: &Cache, class: SizeClass) -> Option<Slot> {
    // SAFETY: the caller's contract, for each call.
    unsafe {
        if let Some(slot) = HEAP.take(cache, class) {
            return Some(slot);
        }
        if HEAP.next_word(cache, class) {
            return HEAP.take(cache, class);
        }
        cycle::end_if_over(0);
        HEAP.return_stale_spans(cache);
        pay_sweep_debt(class, class.pages() * PAGE, 0);
        let cost = or_after_collecting(|| HEAP.take_span(cache, class))?;
        let slot = HEAP.take(cache, class);
        after_taking(cost, class.pages() * PAGE);
        slot
    }
}

/// As [`alloc`], for a `layout` which may be of a [tiny](tiny) object.
#[cold]
pub fn alloc_common(class: SizeClass, layout: Layout) -> *mut u8 {
    if is_tiny(layout.size(), layout.align()) {
        begin_from_spans(layout)
    } else {
        alloc(class, layout.size())
    }
}

/// Allocates an object small enough for a part of the block that the calling thread's tiny objects share: most often
/// one. `cache` is as for [`alloc_tiny`].
#[inline(never)]
pub fn alloc_part(cache: &Cache, layout: Layout) -> *mut u8 {
    let (bytes, align) = (layout.size(), layout.align());
    if is_tiny(bytes, align) {
        return alloc_tiny(cache, layout);
    }
    match SizeClass::fitting(bytes, align) {
        Some(class) => alloc(class, bytes),
        None => alloc_large(bytes, align, false),
    }
}

/// Allocates a tiny object: a part of the block that the calling thread's share, or a new block. Zeroed, as in Go: a block
/// is when it begins, and no part of it is used twice.
///
/// `cache` is what the thread has at hand: who calls reaches it by one instruction, but this function, compiled before
/// it is known that it goes into an executable, by what may be a call.
#[inline]
pub fn alloc_tiny(cache: &Cache, layout: Layout) -> *mut u8 {
    // SAFETY: the calling thread's cache; the object is tiny.
    match unsafe { cache.alloc_tiny(layout.size(), layout.align()) } {
        Some(part) => part.as_ptr(),
        None => begin(cache, layout),
    }
}

/// The same where there is no part for it, in a new block.
#[inline(never)]
fn begin(cache: &Cache, layout: Layout) -> *mut u8 {
    if RUNTIME.tiny.load(Relaxed) {
        // SAFETY: the calling thread's cache; the block is the caller's alone yet, and whole.
        unsafe {
            if let Some(block) = cache.alloc(tiny::CLASS) {
                block.write_bytes(0, tiny::BLOCK);
                return HEAP.share(cache, block, layout.size()).as_ptr();
            }
        }
    }
    begin_from_spans(layout)
}

/// The same where no block is at hand, either (Go: the end of `mallocgcTiny`).
#[cold]
#[inline(never)]
fn begin_from_spans(layout: Layout) -> *mut u8 {
    let (bytes, align) = (layout.size(), layout.align());
    let Some(access) = thread::access() else {
        return null_mut();
    };
    let cache = access.cache();
    let shares = RUNTIME.tiny.load(Relaxed);
    let class = if shares {
        tiny::CLASS
    } else {
        SizeClass::of(bytes)
    };
    // SAFETY: `access` stands for the right to use this cache; a thread that shares one comes here for each
    // object. The slot is the caller's alone yet, and whole.
    let slot = unsafe {
        if let Some(at) = cache.alloc_tiny(bytes, align) {
            return at.as_ptr();
        }
        let slot = alloc_in(cache, class);
        if let Some(Slot { at, .. }) = slot {
            if cache.is_dirty(class) {
                at.write_bytes(0, class.bytes());
            }
            if shares {
                HEAP.share(cache, at, bytes);
            }
        }
        slot
    };
    drop(access);
    background::start_wanted();
    // A sample stands for the block, as in Go.
    finish(slot, if shares { class.bytes() } else { bytes })
}

/// Runs `take`, and once more after a collection if the OS refuses.
fn or_after_collecting<T>(mut take: impl FnMut() -> Result<T, OsError>) -> Option<T> {
    take().ok().or_else(|| {
        cycle::collect(cycle::Why::Forced);
        take().ok()
    })
}

/// Allocates an object in a span of its own; null if the OS refuses.
#[cold]
pub fn alloc_large(bytes: usize, align: usize, zeroed: bool) -> *mut u8 {
    let Some(access) = thread::access() else {
        return null_mut();
    };
    let Some(pages) = pages_for(bytes) else {
        return null_mut();
    };
    cycle::end_if_over(pages.saturating_mul(PAGE) as u64);
    // SAFETY: `access` stands for the right to use this cache.
    unsafe { HEAP.return_stale_spans(access.cache()) };
    drop(access);
    pay_sweep_debt(SizeClass::LARGE, pages.saturating_mul(PAGE), pages);
    let Some(large) = or_after_collecting(|| HEAP.alloc_large(bytes, align)) else {
        return null_mut();
    };
    after_taking(large.cost, pages * PAGE);
    background::start_wanted();
    if zeroed && large.dirty {
        // SAFETY: the object is this long, and nobody else has it yet.
        unsafe { large.at.write_bytes(0, bytes) };
    }
    if large.sampled {
        profile::sample(large.at, bytes);
    }
    look_for_peak(large.cost);
    large.at
}

/// Allocates a slot of `class` and zeroes the first `bytes` of it, unless it was never used.
#[cold]
pub fn alloc_zeroed(class: SizeClass, bytes: usize) -> *mut u8 {
    let Some(access) = thread::access() else {
        return null_mut();
    };
    let cache = access.cache();
    // SAFETY: `access` stands for the right to use this cache; the slot is this long.
    let slot = unsafe {
        let slot = alloc_in(cache, class);
        if let Some(slot) = slot
            && cache.is_dirty(class)
        {
            slot.at.write_bytes(0, bytes);
        }
        slot
    };
    drop(access);
    background::start_wanted();
    finish(slot, bytes)
}

/// Moves a block to one of `new_size` bytes, unless it has the room or, if it is large, the pages
/// behind it are idle. One that must move to grow by less than a quarter gets that much: a page at a time
/// it would be copied over and over. So does a slice that Go appends to (`growslice`).
///
/// # Safety
/// As `GlobalAlloc::realloc`.
#[cold]
pub unsafe fn realloc(at: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
    let fitting = |size| SizeClass::fitting(size, layout.align());
    if fitting(new_size).is_none() && pages_for(layout.size()) == pages_for(new_size) {
        return at;
    }
    if is_tiny(layout.size(), layout.align())
        && !RUNTIME.tiny.load(Relaxed)
        && fitting(layout.size()) == fitting(new_size)
    {
        return at;
    }
    let mut room = 0;
    if new_size > layout.size() && fitting(layout.size()).is_none() {
        // SAFETY: the caller's contract.
        room = match unsafe { make_room(at, new_size) } {
            Ok(()) => return at,
            Err(room) => room,
        };
    }
    // SAFETY: the caller's contract.
    unsafe { replace(at, layout, new_size, room) }
}

/// Copies a block into a new one, and frees it. `room` is what a large block has that must grow, in bytes.
///
/// # Safety
/// As `GlobalAlloc::realloc`.
#[inline(never)]
unsafe fn replace(at: *mut u8, layout: Layout, new_size: usize, room: usize) -> *mut u8 {
    use std::alloc::GlobalAlloc;
    let Ok(new_layout) = Layout::from_size_align(new_size, layout.align()) else {
        return null_mut();
    };
    HEAP.check_layout(at.addr(), layout);
    let heap = crate::GoHeap::new();
    let mut new = null_mut();
    if room > 0 {
        new = alloc_large(new_size.max(room + room / 4), layout.align(), false);
    }
    // SAFETY: a fresh block does not overlap the old one, and both hold what is copied; the old one
    // is the caller's to free.
    unsafe {
        if new.is_null() {
            new = heap.alloc(new_layout);
        }
        if !new.is_null() {
            new.copy_from_nonoverlapping(at, layout.size().min(new_size));
            heap.dealloc(at, layout);
        }
        new
    }
}

/// Sees to it that a large block has room for `bytes` where it is.
///
/// # Errors
/// The room that it has, in bytes, if it cannot grow there.
///
/// # Safety
/// The block is live, and the caller's.
pub unsafe fn make_room(at: *mut u8, bytes: usize) -> Result<(), usize> {
    let address = at.expose_provenance();
    let room = HEAP.slot_of(address).map_or(0, |(_, room)| room);
    if bytes <= room {
        return Ok(());
    }
    let Some(pages) = pages_for(bytes - room) else {
        return Err(room);
    };
    cycle::end_if_over(pages.saturating_mul(PAGE) as u64);
    pay_sweep_debt(SizeClass::LARGE, pages.saturating_mul(PAGE), pages);
    // SAFETY: the caller's contract.
    let Some((cost, sampled)) = (unsafe { HEAP.grow_large(address, bytes) }) else {
        return Err(room);
    };
    after_taking(cost, pages * PAGE);
    background::start_wanted();
    if sampled {
        profile::sample(at, bytes);
    }
    look_for_peak(cost);
    Ok(())
}

/// Frees for a thread whose log is full or that has no cache of its own, what was allocated with `layout`.
#[cold]
pub fn dealloc(address: usize, layout: Layout) {
    HEAP.check_layout(address, layout);
    free(address);
}

/// The same, where nobody says how it was allocated.
#[cold]
pub fn free(address: usize) {
    let address = if guard::owns(address) {
        guard::free(address)
    } else {
        address
    };
    // Without memory for a log the death stays unknown: the object is leaked, nothing is broken.
    let Some(access) = thread::access() else {
        return;
    };
    // SAFETY: `access` stands for the right to use this cache.
    unsafe { HEAP.free(access.cache(), address) };
}

/// Sweeps as much as allocating `span_bytes` of `class` obliges to (Go: `deductSweepCredit`).
fn pay_sweep_debt(class: SizeClass, span_bytes: usize, pages_swept_by_caller: usize) {
    loop {
        let pace = RUNTIME.debt.pace();
        if pace.is_done() {
            return;
        }
        let progress = HEAP.progress();
        let target = pace.pages_target(
            HEAP.live().get(),
            span_bytes as u64,
            pages_swept_by_caller as u64,
        );
        let swept = progress.pages_swept().wrapping_sub(pace.pages_swept_basis);
        if target <= swept.cast_signed() {
            return;
        }
        let swept = HEAP.sweep_some_of(class).or_else(|| HEAP.sweep_some());
        if swept.is_none() {
            RUNTIME.debt.clear();
            background::sweep_may_have_ended();
            return;
        }
    }
}

/// The heap may be at its largest, if much came into memory at once. To be asked when the object is sampled that is why.
fn look_for_peak(cost: Refill) {
    if profile::is_much(cost.released as u64, HEAP.pages().bytes.backed()) {
        profile::look_for_peak();
    }
}

/// Hands back what the allocation makes the heap exceed its goals by, and sees to a cycle that is due.
fn after_taking(cost: Refill, bytes: usize) {
    let limit = RUNTIME.memory_limit.load(Relaxed);
    if cost.growth > 0 || limit != i64::MAX {
        assist_scavenging(cost, limit);
    }
    let live = HEAP.live().get();
    let due = live >= RUNTIME.attention.load(Relaxed);
    if due || limit != i64::MAX && cycle::is_due_by_limit(live) {
        cycle::begin_if_due(bytes as u64);
    }
}

fn assist_scavenging(cost: Refill, memory_limit: i64) {
    if RUNTIME.policy().growth == Growth::Largest {
        let done = HEAP.release_largest(cost.growth);
        HEAP.pages().released_at_once.add(done);
        return;
    }
    let released = cost.released as u64;
    let bytes = &HEAP.pages().bytes;
    let assist = RUNTIME.goals.get().assist(&AllocationInputs {
        growth: cost.growth as u64,
        scavenged_taken: released,
        // As Go sees them: before the pages just taken count as backed.
        heap_retained: bytes.backed().saturating_sub(released),
        mapped_ready: cycle::mapped_ready().saturating_sub(released),
        memory_limit,
        limiting: RUNTIME.limiting.load(Relaxed),
    });
    if assist.bytes == 0 {
        return;
    }
    let start = os::monotonic_ns();
    let want = usize::try_from(assist.bytes).unwrap_or(usize::MAX);
    let done = HEAP.scavenge(want, assist.forced, || RUNTIME.limiting.load(Relaxed));
    HEAP.pages().released_at_once.add(done);
    RUNTIME
        .assist_ns
        .fetch_add(os::monotonic_ns().saturating_sub(start), Relaxed);
}
