//! What is set up for each count. The fast paths run on the process's heap, with what they call
//! where it stands; what they seldom call runs on a heap driven by hand, where it can be had alone.

use std::hint::black_box;

use goheap_allocator::size_class::MAX_SMALL;
use goheap_allocator::{Cache, Heap, LOG_CAPACITY, Linux, SizeClass, tiny};
use goheap_benches::numbers::Numbers;

use crate::counted;

/// Something to count.
pub struct Stage {
    /// What the golden file calls it.
    pub name: &'static str,
    /// The function of [`counted`] that is counted.
    pub counts: &'static str,
    /// Does it; returns how many operations that was.
    pub set: fn() -> u64,
}

const fn stage(name: &'static str, counts: &'static str, set: fn() -> u64) -> Stage {
    Stage { name, counts, set }
}

/// Bytes of objects on most stages: less than the least heap, and many spans of each class.
const BYTES: usize = 2 << 20;
/// … where the heap is to be so large that flushes ask for memory ahead.
const FAR: usize = 24 << 20;
/// A large object.
const LARGE: usize = 40 << 10;

/// All that is counted.
pub const STAGES: &[Stage] = &[
    // A call that finds a slot at hand; of 8 bytes, two in a slot.
    stage("alloc/8", "allocate", tiny),
    stage("alloc/16", "allocate", allocate::<16>),
    stage("alloc/64", "allocate", allocate::<64>),
    stage("alloc/512", "allocate", allocate::<512>),
    stage("alloc/4096", "allocate", allocate::<4096>),
    // One that is sampled for the heap profile where the last one was.
    stage("alloc/64-sampled", "allocate", sampled),
    stage("alloc_zeroed/64", "zeroed", zeroed),
    stage("realloc/64-in-place", "reallocate", reallocate::<64, 60>),
    stage(
        "realloc/large-in-place",
        "reallocate",
        reallocate::<40_960, 40_000>,
    ),
    // A call that finds room in the log.
    stage("free", "free", free),
    // A word of slots.
    stage("refill/16", "refill", || refill(16)),
    stage("refill/64", "refill", || refill(64)),
    // A span, out of pages that were used before.
    stage("span/16", "take", || spans(16)),
    stage("span/64", "take", || spans(64)),
    stage("span/512", "take", || spans(512)),
    stage("span/4096", "take", || spans(4096)),
    // A span of which every other object lives.
    stage("span/64-half-full", "take", || spans_after(64, 2)),
    // An object.
    stage("alloc/large", "large", large),
    // An object in the log, in the order of allocation, or in none.
    stage("flush/8", "flush", || flush_tiny(false)),
    stage("flush/16", "flush", || flush(16, BYTES, false)),
    stage("flush/64", "flush", || flush(64, BYTES, false)),
    stage("flush/512", "flush", || flush(512, BYTES, false)),
    stage("flush/4096", "flush", || flush(4096, BYTES, false)),
    stage("flush/large", "flush", || flush(LARGE, BYTES, false)),
    stage("flush/8-scattered", "flush", || flush_tiny(true)),
    stage("flush/16-scattered", "flush", || flush(16, BYTES, true)),
    stage("flush/64-scattered", "flush", || flush(64, BYTES, true)),
    stage("flush/512-scattered", "flush", || flush(512, BYTES, true)),
    stage("flush/64-far", "flush", || flush(64, FAR, false)),
    stage("flush/64-far-scattered", "flush", || flush(64, FAR, true)),
    // An object that was in a swept span: all of it dead, or every other one.
    stage("sweep/16", "sweep", || sweep(16, 1)),
    stage("sweep/64", "sweep", || sweep(64, 1)),
    stage("sweep/512", "sweep", || sweep(512, 1)),
    stage("sweep/4096", "sweep", || sweep(4096, 1)),
    stage("sweep/large", "sweep", || sweep(LARGE, 1)),
    stage("sweep/64-half-dead", "sweep", || sweep(64, 2)),
    // A cycle of an empty heap; a thread that allocates nothing.
    stage("cycle", "cycle", cycle),
    stage("thread", "thread", thread),
];

/// How many slots of `size` bytes are at hand: the rest of the first word of a fresh span, which an
/// allocation that is not counted takes.
fn at_hand(size: usize) -> usize {
    counted::warm(size);
    SizeClass::of(size).slots().min(64) - 1
}

fn allocate<const SIZE: usize>() -> u64 {
    let count = at_hand(SIZE);
    for _ in 0..count {
        black_box(counted::allocate::<SIZE>());
    }
    count as u64
}

/// The first block is filled, and as many others as are at hand but for one.
fn tiny() -> u64 {
    counted::warm(8);
    let count = 2 * (SizeClass::of(tiny::BLOCK).slots().min(64) - 1);
    for _ in 0..count {
        black_box(counted::allocate::<8>());
    }
    count as u64
}

/// So many that the words and the spans that they take, and the first walk, are a small part.
fn sampled() -> u64 {
    const COUNT: u64 = 4000;
    goheap::profile::set_rate(1);
    // A new thread draws its samples at the new rate.
    let thread = std::thread::spawn(|| {
        counted::warm(64);
        for _ in 0..COUNT {
            black_box(counted::allocate::<64>());
        }
    });
    thread.join().expect("it only allocates");
    COUNT
}

fn zeroed() -> u64 {
    let count = at_hand(64);
    for _ in 0..count {
        black_box(counted::zeroed::<64>());
    }
    count as u64
}

fn reallocate<const OLD: usize, const NEW: usize>() -> u64 {
    let at = counted::allocate::<OLD>();
    black_box(counted::reallocate::<OLD, NEW>(at));
    1
}

fn free() -> u64 {
    let count = at_hand(64);
    for _ in 0..count {
        counted::free::<64>(black_box(counted::allocate::<64>()));
    }
    count as u64
}

static HEAP: Heap<Linux> = Heap::new(Linux);

/// The heap that is driven by hand, and its one cache.
struct ByHand {
    heap: &'static Heap<Linux>,
    cache: &'static Cache,
}

/// What [`ByHand::fill`] made.
struct Filled {
    objects: Vec<usize>,
    spans: u64,
    /// Words of slots, but for the first of each span, which comes with it.
    words: u64,
}

impl ByHand {
    fn new() -> Self {
        // SAFETY: caches are never unmapped.
        let cache = unsafe { HEAP.acquire_cache().as_ref() };
        Self {
            heap: &HEAP,
            cache: cache.expect("there is memory"),
        }
    }

    /// Objects of `size` bytes, as many as go into `bytes`. Spans come by `take`.
    fn fill(&self, size: usize, bytes: usize, take: fn(&Self, SizeClass)) -> Filled {
        let count = bytes / size;
        let mut objects = Vec::with_capacity(count);
        let (mut spans, mut words) = (0, 0);
        let class = SizeClass::of(size.min(MAX_SMALL));
        while objects.len() < count {
            if size > MAX_SMALL {
                objects.push(counted::large(self.heap, size).expose_provenance());
                continue;
            }
            if counted::refill(self.heap, self.cache, class) {
                words += 1;
            } else {
                take(self, class);
                spans += 1;
            }
            // SAFETY: this thread owns the cache.
            while let Some(at) = unsafe { self.cache.alloc(class) } {
                objects.push(at.as_ptr().expose_provenance());
            }
        }
        Filled {
            objects,
            spans,
            words,
        }
    }

    fn take_uncounted(&self, class: SizeClass) {
        // SAFETY: this thread owns the cache, and calls when the bin is empty.
        unsafe { self.heap.take_span(self.cache, class) }.expect("there is memory");
    }

    fn take(&self, class: SizeClass) {
        counted::take(self.heap, self.cache, class);
    }

    /// Frees them, and flushes up to the last.
    fn free(&self, objects: &[usize]) {
        for object in objects {
            // SAFETY: this thread owns the cache; a full log is flushed.
            unsafe {
                if !self.cache.log(*object) {
                    counted::flush(self.heap, self.cache);
                    let logged = self.cache.log(*object);
                    assert!(logged, "a flushed log has room");
                }
            }
        }
        counted::flush(self.heap, self.cache);
    }

    /// All spans are swept of the deaths until now, and none is in the cache.
    fn collect(&self) {
        counted::cycle(self.heap);
        // SAFETY: this thread owns the cache.
        unsafe { self.heap.return_spans(self.cache) };
        counted::sweep(self.heap);
    }
}

fn refill(size: usize) -> u64 {
    let by_hand = ByHand::new();
    by_hand.fill(size, BYTES, ByHand::take_uncounted).words
}

/// Spans that others were, and gave their pages back.
fn spans(size: usize) -> u64 {
    spans_after(size, 1)
}

/// Spans after one death in `every`.
fn spans_after(size: usize, every: usize) -> u64 {
    let by_hand = ByHand::new();
    let mut objects = by_hand.fill(size, BYTES, ByHand::take_uncounted).objects;
    objects.retain(|object| (object / size).is_multiple_of(every));
    by_hand.free(&objects);
    by_hand.collect();
    by_hand.fill(size, BYTES / every, ByHand::take).spans
}

fn large() -> u64 {
    let by_hand = ByHand::new();
    by_hand.fill(LARGE, BYTES, ByHand::take).objects.len() as u64
}

fn flush(size: usize, bytes: usize, scattered: bool) -> u64 {
    let by_hand = ByHand::new();
    let objects = by_hand.fill(size, bytes, ByHand::take).objects;
    flush_these(&by_hand, objects, scattered)
}

/// Objects of 8 bytes, two in a block.
fn flush_tiny(scattered: bool) -> u64 {
    let by_hand = ByHand::new();
    let ByHand { heap, cache } = by_hand;
    let mut objects = Vec::new();
    while objects.len() < BYTES / 8 {
        // SAFETY: this thread owns the cache; a block is shared as soon as it was taken.
        unsafe {
            if let Some(part) = cache.alloc_tiny(8, 8) {
                objects.push(part.as_ptr().expose_provenance());
            } else if let Some(block) = cache.alloc(tiny::CLASS) {
                let block = heap.share(cache, block, 8);
                objects.push(block.as_ptr().expose_provenance());
            } else if !counted::refill(heap, cache, tiny::CLASS) {
                by_hand.take_uncounted(tiny::CLASS);
            }
        }
    }
    flush_these(&by_hand, objects, scattered)
}

/// Frees as many of these as fill logs.
fn flush_these(by_hand: &ByHand, mut objects: Vec<usize>, scattered: bool) -> u64 {
    if scattered {
        Numbers::new(1).shuffle(&mut objects);
    }
    // The last log is as full as the others, or it is the only one.
    objects.truncate((objects.len() / LOG_CAPACITY).max(1) * LOG_CAPACITY);
    by_hand.free(&objects);
    objects.len() as u64
}

/// Sweeps after one death in `every`; objects that lived count as well.
fn sweep(size: usize, every: usize) -> u64 {
    let by_hand = ByHand::new();
    let objects = by_hand.fill(size, BYTES, ByHand::take).objects;
    let dead: Vec<usize> = objects
        .iter()
        .copied()
        .filter(|object| (object / size).is_multiple_of(every))
        .collect();
    by_hand.free(&dead);
    by_hand.collect();
    objects.len() as u64
}

fn cycle() -> u64 {
    let by_hand = ByHand::new();
    by_hand.collect();
    1
}

fn thread() -> u64 {
    let count = 100;
    let by_hand = ByHand::new();
    for _ in 0..count {
        counted::thread(by_hand.heap);
    }
    count
}
