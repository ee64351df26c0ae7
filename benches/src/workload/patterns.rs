//! Patterns in which one property of an allocator decides.

use std::alloc::GlobalAlloc;
use std::thread;

use super::object::Object;
use crate::contestant::Measure;
use crate::cost::Cost;
use crate::numbers::Numbers;

/// Two threads, each on an object of 8 bytes that the first one allocated beside the other's: they
/// free it, and each writes a thousand times to its next one. Slow where the two share a cache line,
/// as those do that a freed neighbour's place was given to. An operation is an object.
#[derive(Clone, Copy, Debug)]
pub struct FalseSharing;

impl Measure for FalseSharing {
    type Figure = Cost;

    fn measure<A: GlobalAlloc + Sync>(&self, heap: &'static A, operations: u64) -> Cost {
        super::warmed(operations, |operations| {
            thread::scope(|scope| {
                for _ in 0..2 {
                    let mine = Object::new(heap, 8);
                    scope.spawn(move || write_on(heap, mine, operations / 2));
                }
            });
        })
    }
}

#[inline(never)]
fn write_on<A: GlobalAlloc>(heap: &A, mut mine: Object, operations: u64) {
    for _ in 0..operations {
        mine.free(heap);
        mine = Object::new(heap, 8);
        for number in 0..1000 {
            // SAFETY: the object is a word, and this thread's.
            unsafe { mine.pointer.cast::<u64>().write_volatile(number) };
        }
    }
    mine.free(heap);
}

/// Threads, four at a time, that allocate ten objects of 8 to 16 KiB and free nine: the last one is
/// freed by who started them. An operation is a thread.
#[derive(Clone, Copy, Debug)]
pub struct ShortThreads;

impl Measure for ShortThreads {
    type Figure = Cost;

    fn measure<A: GlobalAlloc + Sync>(&self, heap: &'static A, operations: u64) -> Cost {
        super::warmed(operations, |operations| {
            for _ in 0..operations.div_ceil(4) {
                let left = thread::scope(|scope| {
                    let threads = [8, 64, 512, 4096].map(|size| {
                        scope.spawn(move || {
                            let objects: [_; 10] =
                                std::array::from_fn(|at| Object::new(heap, size + 8 * at));
                            objects[1..].iter().for_each(|object| object.free(heap));
                            objects[0]
                        })
                    });
                    threads.map(|thread| thread.join().expect("no thread panics"))
                });
                left.iter().for_each(|object| object.free(heap));
            }
        })
    }
}

/// Blocks of 5 to 25 MiB, written to, of which twenty live: each time the oldest makes room.
/// An operation is a block.
#[derive(Clone, Copy, Debug)]
pub struct BigBlocks;

const MIB: u32 = 1 << 20;

impl Measure for BigBlocks {
    type Figure = Cost;

    fn measure<A: GlobalAlloc + Sync>(&self, heap: &'static A, operations: u64) -> Cost {
        let mut blocks = [Object::NONE; 20];
        let mut numbers = Numbers::new(1);
        let cost = super::warmed(operations, |operations| {
            for number in 0..operations as usize {
                let block = &mut blocks[number % 20];
                block.free(heap);
                *block = Object::new(heap, (5 * MIB + numbers.below(20 * MIB)) as usize);
                block.touch();
            }
        });
        blocks.iter().for_each(|block| block.free(heap));
        cost
    }
}
