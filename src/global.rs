//! The fast paths, and the `GlobalAlloc` that they make. No policy here.

use crate::runtime::HEAP;
use crate::{slow, thread};
use goheap_allocator::tiny::is_tiny;
use goheap_allocator::{Cache, SizeClass};
use std::alloc::{GlobalAlloc, Layout};

/// The process's one heap. All values of this type are handles to it.
///
/// ```no_run
/// #[global_allocator]
/// static HEAP: goheap::GoHeap = goheap::GoHeap::new();
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct GoHeap(());

impl GoHeap {
    /// A handle. Costs nothing, and starts nothing.
    pub const fn new() -> Self {
        Self(())
    }
}

// SAFETY: blocks come from spans: they overlap nothing, are at least as large and as aligned as
// their class was chosen for, and stay as they are until freed. Nothing here unwinds.
unsafe impl GlobalAlloc for GoHeap {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        let cache = thread::at_hand();
        // Programs mix tiny objects with others, and which comes next a processor cannot guess. So no branch asks for
        // that: only, here, whether there may be a part of a block for it, and below, whether it begins a block.
        if cache.may_share(size) {
            return slow::alloc_part(cache, layout);
        }
        let Some(class) = SizeClass::common(size, align) else {
            return alloc_uncommon(cache, layout);
        };
        // SAFETY: the calling thread's cache; what should share a block is tiny, and in the class of blocks.
        unsafe {
            match cache.alloc(class) {
                Some(at) if cache.should_share(size) => HEAP.share(cache, at, size).as_ptr(),
                Some(at) => at.as_ptr(),
                None => slow::alloc_common(class, layout),
            }
        }
    }

    #[inline]
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        let address = at.expose_provenance();
        // SAFETY: the calling thread's cache.
        if !unsafe { thread::at_hand().log(address) } {
            slow::dealloc(address, layout);
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_tiny(layout.size(), layout.align()) {
            return slow::alloc_tiny(thread::at_hand(), layout);
        }
        match SizeClass::fitting(layout.size(), layout.align()) {
            Some(class) => {
                // SAFETY: the calling thread's cache; the class was chosen for this size.
                match unsafe { thread::at_hand().alloc_zeroed(class, layout.size()) } {
                    Some(at) => at.as_ptr(),
                    None => slow::alloc_zeroed(class, layout.size()),
                }
            }
            None => slow::alloc_large(layout.size(), layout.align(), true),
        }
    }

    #[inline]
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let stays = if is_tiny(layout.size(), layout.align()) {
            // Behind it another object may start.
            new_size <= layout.size()
        } else {
            let old = SizeClass::fitting(layout.size(), layout.align());
            old.is_some() && old == SizeClass::fitting(new_size, layout.align())
        };
        if stays {
            return at;
        }
        // SAFETY: the caller's contract is passed on.
        unsafe { slow::realloc(at, layout, new_size) }
    }
}

/// Allocates what is larger than most objects, or more aligned. `cache` is what the calling thread has at hand.
#[inline]
fn alloc_uncommon(cache: &Cache, layout: Layout) -> *mut u8 {
    let (size, align) = (layout.size(), layout.align());
    let Some(class) = SizeClass::fitting(size, align) else {
        return slow::alloc_large(size, align, false);
    };
    // SAFETY: the calling thread's cache.
    match unsafe { cache.alloc(class) } {
        Some(at) => at.as_ptr(),
        None => slow::alloc(class, size),
    }
}
