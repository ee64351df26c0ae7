//! One thread, one pattern of allocations and frees.

use std::alloc::{GlobalAlloc, Layout};

use super::Sizes;
use super::object::Object;
use crate::contestant::Measure;
use crate::cost::Cost;
use crate::numbers::Numbers;

/// One object at a time: allocate, free.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    /// Its bytes.
    pub size: usize,
    /// It lies at a multiple of this.
    pub align: usize,
}

impl Measure for Pair {
    type Figure = Cost;

    fn measure<A: GlobalAlloc + Sync>(&self, heap: &'static A, operations: u64) -> Cost {
        super::warmed(operations, |operations| {
            if self.align == 8 {
                pair(heap, self.size, operations);
            } else {
                aligned_pair(heap, self.size, self.align, operations);
            }
        })
    }
}

#[inline(never)]
fn pair<A: GlobalAlloc>(heap: &A, size: usize, operations: u64) {
    for _ in 0..operations {
        Object::new(heap, size).free(heap);
    }
}

#[inline(never)]
fn aligned_pair<A: GlobalAlloc>(heap: &A, size: usize, align: usize, operations: u64) {
    let layout = Layout::from_size_align(size, align).expect("the alignment is a power of two");
    for _ in 0..operations {
        // SAFETY: the size is not zero, and the word is in the object, which is freed once.
        unsafe {
            let pointer = heap.alloc(layout);
            assert!(!pointer.is_null(), "no memory");
            std::hint::black_box(pointer).cast::<u64>().write(0);
            heap.dealloc(pointer, layout);
        }
    }
}

/// In which order a batch is freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// That of allocation.
    Same,
    /// The last one first.
    Reversed,
    /// None.
    Shuffled,
}

/// Many objects of 64 bytes, then all of them freed.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// How many.
    pub count: usize,
    /// In which order.
    pub order: Order,
}

impl Measure for Batch {
    type Figure = Cost;

    fn measure<A: GlobalAlloc + Sync>(&self, heap: &'static A, operations: u64) -> Cost {
        let mut places: Vec<u32> = (0..self.count as u32).collect();
        match self.order {
            Order::Same => {}
            Order::Reversed => places.reverse(),
            Order::Shuffled => Numbers::new(1).shuffle(&mut places),
        }
        let mut objects = vec![Object::NONE; self.count];
        super::warmed(operations, |operations| {
            batch(heap, &mut objects, &places, operations);
        })
    }
}

#[inline(never)]
fn batch<A: GlobalAlloc>(heap: &A, objects: &mut [Object], places: &[u32], operations: u64) {
    for _ in 0..operations.div_ceil(objects.len() as u64) {
        for object in &mut *objects {
            *object = Object::new(heap, 64);
        }
        for place in places {
            objects[*place as usize].free(heap);
        }
    }
}

/// Objects, each time a random one replaced by a new one, in a heap that has grown as far as it will: what
/// growing costs, page faults above all, is another workload's business (`programs`).
#[derive(Clone, Copy, Debug)]
pub struct Replace {
    /// How many are live.
    pub live: usize,
    /// How large they are.
    pub sizes: Sizes,
}

/// Every object is replaced so many times, on average, before anything is measured: all contestants have
/// the holes by then that they will have, and one that collects has its garbage beside what lives.
const GROWTH: u64 = 4;

impl Measure for Replace {
    type Figure = Cost;

    fn measure<A: GlobalAlloc + Sync>(&self, heap: &'static A, operations: u64) -> Cost {
        let mut numbers = Numbers::new(1);
        let mut new = || Object::new(heap, self.sizes.draw(&mut numbers));
        let mut objects: Vec<Object> = (0..self.live).map(|_| new()).collect();
        let grown = GROWTH * self.live as u64;
        replace(heap, &mut objects, self.sizes, &mut numbers, grown);
        let cost = super::warmed(operations, |operations| {
            replace(heap, &mut objects, self.sizes, &mut numbers, operations);
        });
        objects.into_iter().for_each(|object| object.free(heap));
        cost
    }
}

#[inline(never)]
fn replace<A: GlobalAlloc>(
    heap: &A,
    objects: &mut [Object],
    sizes: Sizes,
    numbers: &mut Numbers,
    operations: u64,
) {
    let count = objects.len() as u32;
    for _ in 0..operations {
        let object = &mut objects[numbers.below(count) as usize];
        object.free(heap);
        *object = Object::new(heap, sizes.draw(numbers));
    }
}
