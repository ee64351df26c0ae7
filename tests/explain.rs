//! A program explains its own memory: every byte of it has one cause, and the right one.

#[path = "support/child.rs"]
mod child;
#[path = "support/explained.rs"]
mod explained;

use std::hint::black_box;
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Barrier, Mutex, MutexGuard, PoisonError};

use explained::{explained, largest};
use goheap::{Cause, Requested};

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
    // What other tests left is not to be the largest, as it may be where the system gives out huge pages.
    goheap::free_os_memory();
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

/// Its sites stay for ever: without being told apart, they look like a leak in C's heap.
#[test]
fn what_the_heap_profile_wrote_down_is_metadata() {
    let body = || {
        let metadata = || {
            let explained = explained();
            let causes = [Cause::SpanData, Cause::CacheData, Cause::TableData];
            let all = causes.map(|cause| explained.bytes(cause));
            (all.iter().sum::<u64>(), explained.bytes(Cause::CHeap))
        };
        let profile = || goheap::read_mem_stats().buck_hash_sys;
        // So large that what a look takes is no hundredth.
        let ballast = vec![1u8; 64 << 20];
        let (before, c_before) = metadata();
        let first = profile();
        // Each a size of its own, and so a site of its own. Untouched, they take no memory.
        (1..5000).for_each(|pages| drop(black_box(Vec::<u8>::with_capacity(pages << 13))));
        let written = profile() - first;
        assert!(written > MIB, "{written}");
        let (after, c_after) = metadata();
        let grown = after - before;
        assert!(grown > written * 9 / 10, "{grown} of {written}");
        let c_grown = c_after.saturating_sub(c_before);
        assert!(c_grown < written / 4, "{c_grown} of {written}");
        black_box(ballast);
    };
    let all = |command: &mut Command| {
        command.env("GOHEAP_PROFILE_RATE", "1").env("GOGC", "off");
    };
    let test = what_the_heap_profile_wrote_down_is_metadata;
    child::run(test, all, body).expect_success();
}

#[test]
fn a_large_block_counts_where_it_was_touched() {
    let _alone = alone();
    // So large that the pages which looking itself takes are no hundredth.
    let ballast = vec![1u8; 32 << 20];
    let mut block = Vec::<u8>::with_capacity(256 << 20);
    let before = explained().live();
    block.resize(64 << 20, 1);
    let live = explained().live() - before;
    // The last page may be a huge one.
    assert!(live.abs_diff(64 * MIB) < 3 * MIB, "{live}");
    black_box((block, ballast));
}

/// Objects of many sizes, small and large, all of whose bytes were written, and what they asked for.
fn of_many_sizes() -> (Vec<Vec<u8>>, u64) {
    let sizes = (0..60_000).map(|n| 16 + n * 7919 % 2000);
    let large = (0..60).map(|n| 33_000 + n * 104_729 % 400_000);
    let all: Vec<Vec<u8>> = sizes.chain(large).map(|bytes| vec![1; bytes]).collect();
    let bytes = all.iter().map(Vec::len).sum::<usize>();
    let bytes = bytes + all.capacity() * size_of::<Vec<u8>>();
    (all, bytes as u64)
}

#[test]
fn what_was_asked_for_is_told_from_rounding_within_its_error() {
    let body = || {
        let (all, asked) = of_many_sizes();
        let explained = explained();
        let sampled = explained.sampled.expect("it samples by default");
        let Requested { bytes, error } = sampled.requested;
        // Four deviations, and what the process has beside it.
        let off = bytes.abs_diff(asked);
        assert!(off < 4 * error + MIB / 4, "{bytes} ± {error} of {asked}");
        assert!((1..asked / 50).contains(&error), "{error} of {asked}");
        assert_eq!(bytes, explained.bytes(Cause::Live));
        assert!(explained.bytes(Cause::Rounding) > asked / 50);
        black_box(all);
    };
    let test = what_was_asked_for_is_told_from_rounding_within_its_error;
    child::run(test, |_| {}, body).expect_success();
}

#[test]
fn with_everything_sampled_what_was_asked_for_is_exact() {
    let body = || {
        let (all, asked) = of_many_sizes();
        let explained = explained();
        let sampled = explained.sampled.expect("it samples everything");
        let Requested { bytes, error } = sampled.requested;
        assert!(bytes.abs_diff(asked) < asked / 200, "{bytes} of {asked}");
        assert!(error < asked / 1000, "{error}");
        // No cycle has found the program's first objects dead, so the profile has all of them.
        let live = explained.live();
        assert!(
            sampled.in_use.abs_diff(live) < live / 50,
            "{sampled:?} of {live}"
        );
        black_box(all);
    };
    let all = |command: &mut Command| {
        command.env("GOHEAP_PROFILE_RATE", "1").env("GOGC", "off");
    };
    let test = with_everything_sampled_what_was_asked_for_is_exact;
    child::run(test, all, body).expect_success();
}

#[test]
fn without_samples_live_and_rounding_are_one() {
    let body = || {
        let (all, asked) = of_many_sizes();
        let explained = explained();
        assert_eq!(explained.sampled, None);
        assert_eq!(explained.bytes(Cause::Rounding), 0);
        assert!(explained.bytes(Cause::Live) > asked);
        assert_eq!(explained.name(Cause::Live), "live, with rounding");
        black_box(all);
    };
    let none = |command: &mut Command| {
        command.env("GOHEAP_PROFILE_RATE", "0");
    };
    let test = without_samples_live_and_rounding_are_one;
    child::run(test, none, body).expect_success();
}

#[test]
fn what_is_live_is_told_while_threads_free_what_others_allocate() {
    const THREADS: usize = 3;
    const OBJECTS: usize = 60_000;
    // Of Go's class of 512 bytes.
    const BYTES: usize = 500;
    let _alone = alone();
    goheap::gc();
    let before = explained().live();
    let held: Vec<Mutex<Vec<u8>>> = (0..OBJECTS).map(|_| vec![1; BYTES].into()).collect();
    let (go_on, ready) = (AtomicBool::new(true), Barrier::new(THREADS + 1));
    let replace = |thread: usize| {
        ready.wait();
        let mut at = thread * OBJECTS / THREADS;
        while go_on.load(Relaxed) {
            *held[at].lock().expect("nobody panics") = vec![1; BYTES];
            at = (at + 7919) % OBJECTS;
        }
    };
    let told = std::thread::scope(|scope| {
        let replace = &replace;
        (0..THREADS).for_each(|n| drop(scope.spawn(move || replace(n))));
        ready.wait();
        let told: Vec<u64> = (0..20)
            .map(|_| goheap::explain().expect("there is a /proc").live())
            .collect();
        go_on.store(false, Relaxed);
        told
    });
    let live = (OBJECTS * (512 + size_of::<Mutex<Vec<u8>>>())) as u64 + before;
    for shown in &told {
        assert!(shown.abs_diff(live) < MIB, "{told:?} of {live}");
    }
}
