//! What is counted: each a function of its own, which callgrind knows by its name. A count is of
//! its instructions and of all that it calls, its `ret` included.

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;

use goheap::GoHeap;
use goheap_allocator::{Cache, Heap, Linux, SizeClass};

static GOHEAP: GoHeap = GoHeap::new();

const fn layout(size: usize) -> Layout {
    match Layout::from_size_align(size, 8) {
        Ok(layout) => layout,
        Err(_) => panic!("no such layout"),
    }
}

/// An allocation that is not counted.
pub fn warm(size: usize) {
    // SAFETY: no size here is zero.
    let _ = black_box(unsafe { GOHEAP.alloc(layout(size)) });
}

/// An allocation of a size that the compiler knows, as most are.
#[inline(never)]
pub fn allocate<const SIZE: usize>() -> *mut u8 {
    // SAFETY: no size here is zero.
    unsafe { GOHEAP.alloc(layout(SIZE)) }
}

/// The same of zeroed memory.
#[inline(never)]
pub fn zeroed<const SIZE: usize>() -> *mut u8 {
    // SAFETY: no size here is zero.
    unsafe { GOHEAP.alloc_zeroed(layout(SIZE)) }
}

/// A change of size.
#[inline(never)]
pub fn reallocate<const OLD: usize, const NEW: usize>(at: *mut u8) -> *mut u8 {
    // SAFETY: the stage passes a block of this size, and goes on with what is returned.
    unsafe { GOHEAP.realloc(at, layout(OLD), NEW) }
}

/// A free.
#[inline(never)]
pub fn free<const SIZE: usize>(at: *mut u8) {
    // SAFETY: the stage passes a block of this size, once.
    unsafe { GOHEAP.dealloc(at, layout(SIZE)) }
}

/// The next word of slots of the span at hand. `false`: it has no more.
#[inline(never)]
pub fn refill(heap: &Heap<Linux>, cache: &Cache, class: SizeClass) -> bool {
    // SAFETY: the stage has one thread and one cache, and calls when the bin is empty.
    unsafe { heap.next_word(cache, class) }
}

/// Another span.
#[inline(never)]
pub fn take(heap: &Heap<Linux>, cache: &Cache, class: SizeClass) {
    // SAFETY: as for `refill`.
    unsafe { heap.take_span(cache, class) }.expect("there is memory");
}

/// A full log into the spans.
#[inline(never)]
pub fn flush(heap: &Heap<Linux>, cache: &Cache) {
    // SAFETY: as for `refill`.
    unsafe { heap.flush(cache) };
}

/// The close of an epoch, and the start of its sweep.
#[inline(never)]
pub fn cycle(heap: &Heap<Linux>) {
    let (condemned, _) = heap.close_epoch();
    heap.start_sweep(condemned);
}

/// All that there is to sweep.
#[inline(never)]
pub fn sweep(heap: &Heap<Linux>) {
    while heap.sweep_some().is_some() {}
}

/// An object in a span of its own.
#[inline(never)]
pub fn large(heap: &Heap<Linux>, bytes: usize) -> *mut u8 {
    heap.alloc_large(bytes, 8).expect("there is memory").at
}

/// A thread's coming and going: a cache that was another's, handed back unused.
#[inline(never)]
pub fn thread(heap: &Heap<Linux>) {
    let cache = heap.acquire_cache();
    // SAFETY: just acquired, and used no more.
    unsafe { heap.release_cache(cache) };
}
