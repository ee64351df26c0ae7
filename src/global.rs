//! The fast paths, and the `GlobalAlloc` that they make. No policy here.

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
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        let class = match SizeClass::common(size, align) {
            Some(class) => class,
            None if is_tiny(size, align) => return alloc_tiny(thread::at_hand(), size, align),
            None => match SizeClass::fitting(size, align) {
                Some(class) => class,
                None => return slow::alloc_large(size, align, false),
            },
        };
        // SAFETY: the calling thread's cache.
        match unsafe { thread::at_hand().alloc(class) } {
            Some(at) => at.as_ptr(),
            None => slow::alloc(class, layout.size()),
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
            return alloc_tiny(thread::at_hand(), layout.size(), layout.align());
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

/// A part of the block that the calling thread's tiny objects share. Zeroed, as in Go: the block is when it
/// is taken, and no part of it is used twice. Out of line, so that the rest of an allocation is short enough to be
/// put where it is called from. `cache` is what the thread has at hand: who calls reaches it by one instruction, but
/// this function, compiled before it is known that it goes into an executable, by what may be a call.
#[inline(never)]
fn alloc_tiny(cache: &Cache, size: usize, align: usize) -> *mut u8 {
    // SAFETY: the calling thread's cache; the object is tiny.
    match unsafe { cache.alloc_tiny(size, align) } {
        Some(at) => at.as_ptr(),
        None => slow::alloc_tiny(cache, size, align),
    }
}
