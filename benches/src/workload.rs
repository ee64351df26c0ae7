//! What is measured.
//!
//! An operation is an allocation and the free that makes room for it, with a write to the
//! object in between, as any program does. Each body is a function of its own, compiled for
//! each allocator and never inlined, so that none gets its fast path hoisted out of the loop.

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, bounded};

use crate::contestant::Measure;
use crate::numbers::Numbers;

/// A workload, by its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// One object at a time: allocate, free.
    Pair {
        /// Its bytes.
        size: usize,
    },
    /// Many objects of 64 bytes, then all of them freed, in the order of their allocation.
    Batch {
        /// How many.
        count: usize,
    },
    /// Objects of 8 to 264 bytes, each time a random one replaced by a new one.
    Replace {
        /// How many are live.
        live: usize,
    },
    /// Threads in a ring, each allocating for the next, which frees: no object is freed
    /// where it was allocated. 64 bytes each, handed on by 64.
    Ring {
        /// How many threads.
        threads: usize,
    },
}

/// A workload with its name and the operations of a quick measurement.
#[derive(Clone, Copy, Debug)]
pub struct Bench {
    /// What tables and files call it.
    pub name: &'static str,
    /// What it does.
    pub workload: Workload,
    /// Operations in a quick measurement: about 0.1 to 0.3 s.
    pub operations: u64,
}

const fn bench(name: &'static str, workload: Workload, operations: u64) -> Bench {
    Bench {
        name,
        workload,
        operations,
    }
}

/// All that is measured.
pub const BENCHES: &[Bench] = &[
    bench("pair/16", Workload::Pair { size: 16 }, 20_000_000),
    bench("pair/64", Workload::Pair { size: 64 }, 20_000_000),
    bench("pair/512", Workload::Pair { size: 512 }, 15_000_000),
    bench("batch/100", Workload::Batch { count: 100 }, 15_000_000),
    bench("batch/10000", Workload::Batch { count: 10_000 }, 15_000_000),
    bench(
        "batch/100000",
        Workload::Batch { count: 100_000 },
        12_000_000,
    ),
    bench("replace/1000", Workload::Replace { live: 1_000 }, 6_000_000),
    bench(
        "replace/10000",
        Workload::Replace { live: 10_000 },
        6_000_000,
    ),
    bench(
        "replace/100000",
        Workload::Replace { live: 100_000 },
        4_000_000,
    ),
    bench(
        "replace/1000000",
        Workload::Replace { live: 1_000_000 },
        4_000_000,
    ),
    bench("ring/4", Workload::Ring { threads: 4 }, 6_000_000),
];

impl Measure for Workload {
    fn measure<A: GlobalAlloc + Sync>(&self, heap: &'static A, operations: u64) -> Duration {
        // Half as much again beforehand: caches are filled, and a heap that collects has done
        // so a few times and pays for the garbage before these operations as for theirs.
        let warm_up = operations / 2;
        match *self {
            Self::Pair { size } => {
                pair(heap, size, warm_up);
                timed(|| pair(heap, size, operations))
            }
            Self::Batch { count } => {
                let mut objects = vec![Object::NONE; count];
                batch(heap, &mut objects, warm_up);
                timed(|| batch(heap, &mut objects, operations))
            }
            Self::Replace { live } => {
                let mut numbers = Numbers::new(1);
                let mut objects: Vec<Object> = (0..live)
                    .map(|_| Object::new(heap, size(&mut numbers)))
                    .collect();
                replace(heap, &mut objects, &mut numbers, warm_up);
                let time = timed(|| replace(heap, &mut objects, &mut numbers, operations));
                objects.into_iter().for_each(|object| object.free(heap));
                time
            }
            Self::Ring { threads } => {
                ring(heap, threads, warm_up);
                ring(heap, threads, operations)
            }
        }
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

/// 8 to 264 bytes.
#[inline]
fn size(numbers: &mut Numbers) -> usize {
    8 + numbers.below(257) as usize
}

/// An object and what its free has to know.
#[derive(Clone, Copy)]
struct Object {
    pointer: *mut u8,
    size: usize,
}

// SAFETY: plain memory with one holder at a time, passed on through a channel.
unsafe impl Send for Object {}

impl Object {
    const NONE: Self = Self {
        pointer: std::ptr::null_mut(),
        size: 0,
    };

    #[inline]
    fn new<A: GlobalAlloc>(heap: &A, size: usize) -> Self {
        // SAFETY: no size here is zero or large, and all are at least the word that is written;
        // without memory the benchmark is over.
        unsafe {
            let pointer = heap.alloc(layout(size));
            if pointer.is_null() {
                std::process::abort();
            }
            pointer.cast::<u64>().write(size as u64);
            // Else the compiler may take allocation, write and free away together.
            black_box(pointer);
            Self { pointer, size }
        }
    }

    #[inline]
    fn free<A: GlobalAlloc>(self, heap: &A) {
        // SAFETY: allocated by this heap with this layout; each is freed once.
        unsafe { heap.dealloc(self.pointer, layout(self.size)) };
    }
}

#[inline]
fn layout(size: usize) -> Layout {
    // SAFETY: the alignment is a power of two, and no size here is anywhere near isize::MAX.
    unsafe { Layout::from_size_align_unchecked(size, 8) }
}

#[inline(never)]
fn pair<A: GlobalAlloc>(heap: &A, size: usize, operations: u64) {
    for _ in 0..operations {
        Object::new(heap, size).free(heap);
    }
}

#[inline(never)]
fn batch<A: GlobalAlloc>(heap: &A, objects: &mut [Object], operations: u64) {
    for _ in 0..operations / objects.len() as u64 {
        for object in &mut *objects {
            *object = Object::new(heap, 64);
        }
        for object in &*objects {
            object.free(heap);
        }
    }
}

#[inline(never)]
fn replace<A: GlobalAlloc>(
    heap: &A,
    objects: &mut [Object],
    numbers: &mut Numbers,
    operations: u64,
) {
    let count = objects.len() as u32;
    for _ in 0..operations {
        let object = &mut objects[numbers.below(count) as usize];
        object.free(heap);
        *object = Object::new(heap, size(numbers));
    }
}

/// What is handed on at once: so many that the channel costs little beside them.
const HAND: usize = 64;

fn ring<A: GlobalAlloc + Sync>(heap: &'static A, threads: usize, operations: u64) -> Duration {
    let (senders, mut receivers): (Vec<_>, Vec<_>) =
        (0..threads).map(|_| bounded::<[Object; HAND]>(16)).unzip();
    // Each sends to the next.
    receivers.rotate_right(1);
    let hands = operations / (threads * HAND) as u64;
    let start = Barrier::new(threads + 1);
    let mut begun = Instant::now();
    thread::scope(|scope| {
        for (sender, receiver) in senders.into_iter().zip(receivers) {
            let start = &start;
            scope.spawn(move || {
                start.wait();
                pass_on(heap, &sender, &receiver, hands);
            });
        }
        start.wait();
        begun = Instant::now();
    });
    begun.elapsed()
}

#[inline(never)]
fn pass_on<A: GlobalAlloc>(
    heap: &A,
    sender: &Sender<[Object; HAND]>,
    receiver: &Receiver<[Object; HAND]>,
    hands: u64,
) {
    for _ in 0..hands {
        let hand = std::array::from_fn(|_| Object::new(heap, 64));
        // Each thread sends as many as it receives, so neither end goes before the other.
        if sender.send(hand).is_err() {
            return;
        }
        let Ok(hand) = receiver.recv() else { return };
        for object in hand {
            object.free(heap);
        }
    }
}
