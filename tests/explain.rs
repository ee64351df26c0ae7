//! A program explains its own memory: every byte of it has one cause, and the right one.

#[path = "support/explained.rs"]
mod explained;

use std::hint::black_box;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Barrier, Mutex, MutexGuard, PoisonError};

use explained::{explained, largest};
use goheap::Cause;

#[global_allocator]
static HEAP: goheap::GoHeap = goheap::GoHeap::new();

const MIB: u64 = 1 << 20;

/// One test at a time: memory is the whole process's.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_leak_in_cs_heap_is_told_from_this_heaps() {
    let _alone = alone();
    goheap::gc();
    let own: Vec<Vec<u8>> = (0..20_000).map(|_| vec![1; 1000]).collect();
    let before = explained().bytes(Cause::CHeap);
    let leaked: Vec<_> = [1000, 300_000]
        .into_iter()
        .flat_map(|bytes| (0..50_000_000 / bytes).map(move |_| bytes))
        .map(|bytes| {
            // SAFETY: as long as asked for, unless it is null.
            unsafe {
                let at = libc::malloc(bytes);
                assert!(!at.is_null());
                at.write_bytes(1, bytes);
                at
            }
        })
        .collect();
    let explained = explained();
    assert_eq!(largest(&explained), Cause::CHeap, "{explained:?}");
    let leak = explained.bytes(Cause::CHeap) - before;
    assert!(leak.abs_diff(100_000_000) < 3 * MIB, "{leak}");
    black_box(&own);
    // SAFETY: each came from malloc.
    leaked.into_iter().for_each(|at| unsafe { libc::free(at) });
}

#[test]
fn a_large_block_counts_where_it_was_touched() {
    let _alone = alone();
    // So large that the pages which looking itself takes are no hundredth.
    let ballast = vec![1u8; 32 << 20];
    let mut block = Vec::<u8>::with_capacity(256 << 20);
    let before = explained().bytes(Cause::Live);
    block.resize(64 << 20, 1);
    let live = explained().bytes(Cause::Live) - before;
    assert!(live.abs_diff(64 * MIB) < MIB / 4, "{live}");
    black_box((block, ballast));
}

#[test]
fn what_is_live_is_told_while_threads_free_all_the_time() {
    const THREADS: usize = 3;
    const OBJECTS: usize = 20_000;
    // Of Go's class of 512 bytes.
    const BYTES: usize = 500;
    let _alone = alone();
    goheap::gc();
    let before = explained().bytes(Cause::Live);
    let (go_on, ready) = (AtomicBool::new(true), Barrier::new(THREADS + 1));
    let replace = || {
        let mut held: Vec<Vec<u8>> = (0..OBJECTS).map(|_| vec![1; BYTES]).collect();
        ready.wait();
        let mut at = 0;
        while go_on.load(Relaxed) {
            held[at] = vec![1; BYTES];
            at = (at + 7919) % OBJECTS;
        }
        black_box(held);
    };
    let told = std::thread::scope(|scope| {
        (0..THREADS).for_each(|_| drop(scope.spawn(replace)));
        ready.wait();
        let told: Vec<u64> = (0..20)
            .map(|_| {
                goheap::explain()
                    .expect("there is a /proc")
                    .bytes(Cause::Live)
            })
            .collect();
        go_on.store(false, Relaxed);
        told
    });
    let live = (THREADS * (OBJECTS * 512 + OBJECTS * size_of::<Vec<u8>>())) as u64 + before;
    for shown in told {
        assert!(shown.abs_diff(live) < MIB, "{shown} of {live}");
    }
}
