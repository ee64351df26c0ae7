//! Objects under 16 bytes share blocks, as in Go, unless the environment or an early version says otherwise.

use std::alloc::{GlobalAlloc, Layout};
use std::thread;

use goheap::GoHeap;

#[path = "support/child.rs"]
mod child;

/// A value, not the global allocator: nothing but these tests counts.
static HEAP: GoHeap = GoHeap::new();

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a layout")
}

fn new(size: usize, align: usize) -> *mut u8 {
    // SAFETY: no size here is zero.
    let at = unsafe { HEAP.alloc_zeroed(layout(size, align)) };
    assert!(at.addr().is_multiple_of(align));
    for i in 0..size {
        // SAFETY: as long as that, and zeroed.
        unsafe {
            assert_eq!(at.add(i).read(), 0);
            at.add(i).write(0xff);
        }
    }
    at
}

/// The same by `alloc`, so with whatever is in it.
fn new_as_it_is(size: usize, align: usize) -> *mut u8 {
    // SAFETY: no size here is zero, and the object is as long as that.
    unsafe {
        let at = HEAP.alloc(layout(size, align));
        assert!(at.addr().is_multiple_of(align));
        at.write_bytes(0xff, size);
        at
    }
}

fn free(at: *mut u8, size: usize, align: usize) {
    // SAFETY: allocated above with this layout, and used no more.
    unsafe { HEAP.dealloc(at, layout(size, align)) };
}

/// Allocates objects of `size` and reports how the counters moved.
fn count(new: fn(usize, usize) -> *mut u8, size: usize, align: usize) {
    let before = goheap::read_mem_stats();
    let objects: Vec<_> = (0..1000).map(|_| new(size, align)).collect();
    let full = goheap::read_mem_stats();
    objects.into_iter().for_each(|at| free(at, size, align));
    goheap::gc();
    let after = goheap::read_mem_stats();
    child::report("bytes", full.total_alloc - before.total_alloc);
    child::report("mallocs", full.mallocs - before.mallocs);
    child::report("objects", full.heap_objects - before.heap_objects);
    child::report(
        "left",
        after.heap_objects as i64 - before.heap_objects as i64,
    );
    child::report("frees", after.frees - before.frees);
    assert!(goheap_stats::audit(&after).is_ok());
    assert!(goheap::check().is_ok());
}

fn counted<T: Fn()>(test: T, variable: (&str, &str), body: fn()) -> [String; 5] {
    let outcome = child::run(test, |c| _ = c.env(variable.0, variable.1), body).expect_success();
    ["bytes", "mallocs", "objects", "left", "frees"].map(|name| outcome.reported(name).to_owned())
}

#[test]
fn by_default_they_share_and_count_as_in_go() {
    let body = || count(new, 4, 1);
    assert_eq!(
        counted(
            by_default_they_share_and_count_as_in_go,
            ("GOGC", "100"),
            body
        ),
        ["4000", "1000", "250", "0", "1000"]
    );
}

#[test]
fn switched_off_each_has_a_slot() {
    let body = || count(new, 4, 1);
    assert_eq!(
        counted(switched_off_each_has_a_slot, ("GOHEAP_TINY", "0"), body),
        ["8000", "1000", "1000", "0", "1000"]
    );
}

#[test]
fn switched_off_none_takes_what_would_be_a_block() {
    let outcome = child::run(
        switched_off_none_takes_what_would_be_a_block,
        |c| _ = c.env("GOHEAP_TINY", "0"),
        || {
            // Others of its class are at hand.
            let block = new_as_it_is(16, 8);
            let (one, other) = (new_as_it_is(4, 1), new_as_it_is(4, 1));
            assert!(one.addr().abs_diff(other.addr()) >= 8);
            free(one, 4, 1);
            free(other, 4, 1);
            free(block, 16, 8);
        },
    );
    outcome.expect_success();
}

#[test]
fn it_is_the_same_without_zeroing() {
    let body = || count(new_as_it_is, 4, 1);
    assert_eq!(
        counted(it_is_the_same_without_zeroing, ("GOGC", "100"), body),
        ["4000", "1000", "250", "0", "1000"]
    );
    assert_eq!(
        counted(it_is_the_same_without_zeroing, ("GOHEAP_TINY", "0"), body),
        ["8000", "1000", "1000", "0", "1000"]
    );
}

#[test]
fn what_is_aligned_has_a_slot_without_zeroing() {
    let body = || count(new_as_it_is, 4, 16);
    assert_eq!(
        counted(
            what_is_aligned_has_a_slot_without_zeroing,
            ("GOGC", "100"),
            body
        ),
        ["16000", "1000", "1000", "0", "1000"]
    );
}

#[test]
fn what_is_aligned_shares_with_nobody_and_grows_where_it_is() {
    // The block that is begun has room for as much as comes next, and less than another would have left.
    let (first, aligned) = (new_as_it_is(12, 4), new_as_it_is(4, 16));
    let other = new(4, 4);
    // SAFETY: allocated with this layout; what is returned takes its place, and is as long as that.
    unsafe {
        let grown = HEAP.realloc(aligned, layout(4, 16), 16);
        grown.write_bytes(0x55, 16);
        assert_eq!(other.cast::<[u8; 4]>().read(), [0xff; 4]);
        free(grown, 16, 16);
    }
    free(other, 4, 4);
    free(first, 12, 4);
}

#[test]
fn a_part_is_zeroed_however_its_block_began() {
    // More than the pages that a thread keeps at hand, so that some blocks are where these were.
    const COUNT: usize = 100_000;
    let old: Vec<_> = (0..COUNT).map(|_| new_as_it_is(16, 8)).collect();
    old.into_iter().for_each(|at| free(at, 16, 8));
    goheap::gc();
    for _ in 0..COUNT {
        let (one, other) = (new_as_it_is(5, 1), new(4, 4));
        free(one, 5, 1);
        free(other, 4, 4);
    }
}

#[test]
fn go_1_1_had_no_shared_blocks() {
    let body = || count(new, 4, 1);
    assert_eq!(
        counted(
            go_1_1_had_no_shared_blocks,
            ("GOHEAP_POLICY", "go1.1"),
            body
        ),
        ["8000", "1000", "1000", "0", "1000"]
    );
}

#[test]
fn what_is_to_be_aligned_beyond_eight_has_a_slot() {
    let body = || count(new, 4, 16);
    assert_eq!(
        counted(
            what_is_to_be_aligned_beyond_eight_has_a_slot,
            ("GOGC", "100"),
            body
        ),
        ["16000", "1000", "1000", "0", "1000"]
    );
}

#[test]
fn growing_moves_what_has_neighbours_and_shrinking_does_not() {
    let (one, other) = (new(6, 2), new(6, 2));
    // SAFETY: allocated with this layout; what is returned takes its place.
    unsafe {
        assert_eq!(HEAP.realloc(one, layout(6, 2), 2), one);
        let grown = HEAP.realloc(one, layout(2, 2), 7);
        assert_ne!(grown, one);
        assert_eq!(grown.cast::<[u8; 2]>().read(), [0xff; 2]);
        assert_eq!(other.cast::<[u8; 6]>().read(), [0xff; 6]);
        let large = HEAP.realloc(grown, layout(7, 2), 100);
        let small = HEAP.realloc(large, layout(100, 2), 1);
        assert_eq!(small.read(), 0xff);
        free(small, 1, 2);
    }
    free(other, 6, 2);
}

#[test]
fn other_threads_may_free_what_shares_a_block() {
    let threads = (0..4).map(|seed: usize| {
        thread::spawn(move || {
            let sizes = (0..20_000).map(|i| (i * 7 + seed) % 15 + 1);
            sizes.map(|size| (new(size, 1) as usize, size)).collect()
        })
    });
    let mut all: Vec<(usize, usize)> = threads
        .collect::<Vec<_>>()
        .into_iter()
        .flat_map(|thread| -> Vec<_> { thread.join().expect("the thread ends") })
        .collect();
    all.sort_unstable();
    assert!(
        all.windows(2).all(|w| w[0].0 + w[0].1 <= w[1].0),
        "no two overlap"
    );
    // Neighbours go to different threads.
    let frees = (0..4).map(|n| {
        let own: Vec<_> = all.iter().copied().skip(n).step_by(4).collect();
        thread::spawn(move || {
            for (at, size) in own {
                free(std::ptr::with_exposed_provenance_mut(at), size, 1);
            }
        })
    });
    frees
        .collect::<Vec<_>>()
        .into_iter()
        .for_each(|thread| thread.join().expect("the thread ends"));
    goheap::gc();
    goheap::gc();
    assert!(goheap::check().is_ok());
}
