//! A program that makes no mistake: all sizes, alignments, resizes and zeroes.

use std::alloc::{GlobalAlloc, Layout};

use goheap::GoHeap;

/// Allocates, resizes and frees so many objects of up to 3000 bytes, one in fifty of up to `large`, resized to up to
/// `resized`; checks what is in them.
pub fn work(heap: &GoHeap, rounds: usize, large: usize, resized: usize) {
    for round in 0..rounds {
        let size = 1 + round * 7919 % if round % 50 == 0 { large } else { 3000 };
        let align = 1 << (round % 14);
        let layout = |size| Layout::from_size_align(size, align).expect("a layout");
        let other = 1 + size * 31 % resized;
        // SAFETY: allocated, resized and freed with the layouts that it has.
        unsafe {
            let at = heap.alloc_zeroed(layout(size));
            assert!(at.addr().is_multiple_of(align));
            let zero = (0..size).all(|i| at.add(i).read() == 0);
            assert!(zero, "{size} bytes are not zero");
            at.write_bytes(0x5a, size);
            let at = heap.realloc(at, layout(size), other);
            let kept = (0..size.min(other)).all(|i| at.add(i).read() == 0x5a);
            assert!(kept, "{size} bytes were lost");
            at.write_bytes(1, other);
            heap.dealloc(at, layout(other));
        }
    }
}
