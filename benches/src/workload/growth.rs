//! One thread, blocks that grow or come zeroed.

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;

use super::object::layout;
use crate::contestant::Measure;
use crate::cost::Cost;

/// A vector of words that 65,536 are pushed onto, from none on: its block doubles from 32 bytes to
/// 512 KiB. An operation is a push.
#[derive(Clone, Copy, Debug)]
pub struct Push;

const PUSHES: u64 = 65_536;

impl Measure for Push {
    type Figure = Cost;

    fn measure<A: GlobalAlloc + Sync>(&self, heap: &'static A, operations: u64) -> Cost {
        super::warmed(operations, |operations| {
            (0..operations.div_ceil(PUSHES)).for_each(|_| push(heap));
        })
    }
}

#[inline(never)]
fn push<A: GlobalAlloc>(heap: &A) {
    let mut capacity = 4;
    // SAFETY: not of no bytes.
    let mut block = unsafe { heap.alloc(layout(capacity * 8)) };
    for length in 0..PUSHES as usize {
        if length == capacity {
            // SAFETY: the block is of this layout, and the new size is in range.
            block = unsafe { heap.realloc(block, layout(capacity * 8), capacity * 16) };
            capacity *= 2;
        }
        assert!(!block.is_null(), "no memory");
        // SAFETY: the length is below the capacity.
        unsafe { block.cast::<usize>().add(length).write(length) };
    }
    // SAFETY: as for `realloc`; it is used no more.
    unsafe { heap.dealloc(black_box(block), layout(capacity * 8)) };
}

/// A block that grows by so many bytes at a time to a hundred times as many, as a string does that
/// is appended to with no room to spare. An operation is a step.
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    /// Bytes.
    pub step: usize,
}

impl Measure for Chain {
    type Figure = Cost;

    fn measure<A: GlobalAlloc + Sync>(&self, heap: &'static A, operations: u64) -> Cost {
        super::warmed(operations, |operations| {
            (0..operations.div_ceil(100)).for_each(|_| chain(heap, self.step));
        })
    }
}

#[inline(never)]
fn chain<A: GlobalAlloc>(heap: &A, step: usize) {
    // SAFETY: not of no bytes.
    let mut block = unsafe { heap.alloc(layout(step)) };
    for steps in 1..100 {
        // SAFETY: the block is of this layout, and the new size is in range.
        block = unsafe { heap.realloc(block, layout(steps * step), (steps + 1) * step) };
        assert!(!block.is_null(), "no memory");
        // SAFETY: the block has just become longer than that.
        unsafe { block.add(steps * step).write(1) };
    }
    // SAFETY: as for `realloc`; it is used no more.
    unsafe { heap.dealloc(black_box(block), layout(100 * step)) };
}

/// Zeroed memory: allocate, read and write a word of each 4 KiB, free.
#[derive(Clone, Copy, Debug)]
pub struct Zeroed {
    /// Its bytes.
    pub size: usize,
}

impl Measure for Zeroed {
    type Figure = Cost;

    fn measure<A: GlobalAlloc + Sync>(&self, heap: &'static A, operations: u64) -> Cost {
        super::warmed(operations, |operations| {
            (0..operations).for_each(|_| zeroed(heap, layout(self.size)));
        })
    }
}

#[inline(never)]
fn zeroed<A: GlobalAlloc>(heap: &A, layout: Layout) {
    // SAFETY: not of no bytes; what is touched is in the block, which is freed once.
    unsafe {
        let block = heap.alloc_zeroed(layout);
        assert!(!block.is_null(), "no memory");
        for at in (0..layout.size()).step_by(4096) {
            let word = block.add(at).cast::<u64>();
            assert_eq!(word.read_volatile(), 0, "memory is not zeroed");
            word.write_volatile(1);
        }
        heap.dealloc(black_box(block), layout);
    }
}
