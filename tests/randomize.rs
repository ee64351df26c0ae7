//! `GOHEAP_RANDOMIZE=1`: where the heap lies, and where a span's objects begin, differs from run to run;
//! nothing else does.

use std::alloc::{GlobalAlloc, Layout};
use std::process::Command;

use goheap::GoHeap;

#[path = "support/child.rs"]
mod child;

/// A value, not the global allocator: where these tests' objects lie depends on nothing else.
static HEAP: GoHeap = GoHeap::new();

const PAGE: usize = 8192;

fn alloc(size: usize) -> usize {
    let layout = Layout::from_size_align(size, 8).expect("a layout");
    // SAFETY: the size is not zero.
    let at = unsafe { HEAP.alloc(layout) };
    assert!(!at.is_null());
    at.addr()
}

/// Where the first object of a run lies.
#[track_caller]
fn first_object<T: Fn()>(test: T, randomize: &'static str) -> usize {
    let configure = |command: &mut Command| {
        command.env("GOHEAP_RANDOMIZE", randomize);
    };
    let body = || child::report("at", alloc(100));
    let outcome = child::run(test, configure, body).expect_success();
    outcome.reported("at").parse().expect("a number")
}

#[test]
fn runs_have_their_heaps_at_different_places() {
    let test = runs_have_their_heaps_at_different_places;
    let (one, other) = (first_object(test, "1"), first_object(test, "1"));
    assert_ne!(one >> 22, other >> 22, "{one:#x} and {other:#x}");
}

/// The control.
#[test]
fn without_it_runs_are_alike() {
    let test = without_it_runs_are_alike;
    let (one, other) = (first_object(test, "0"), first_object(test, "0"));
    assert_eq!(one, other);
    assert_eq!(one >> 22, 0xc0_0000_0000 >> 22);
}

/// How many of 16 spans of one page begin with their first slot.
fn spans_begun_in_order() -> usize {
    let sizes = [
        16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 256, 288, 320, 512, 1024, 2048,
    ];
    sizes
        .iter()
        .filter(|&&size| alloc(size).is_multiple_of(PAGE))
        .count()
}

#[test]
fn spans_begin_at_random_slots() {
    let configure = |command: &mut Command| {
        command.env("GOHEAP_RANDOMIZE", "1");
    };
    let body = || {
        let in_order = spans_begun_in_order();
        assert!(in_order < 10, "{in_order} of 16 begin with the first slot");
    };
    child::run(spans_begin_at_random_slots, configure, body).expect_success();
}

/// The control.
#[test]
fn without_it_spans_begin_with_their_first_slots() {
    let body = || assert_eq!(spans_begun_in_order(), 16);
    let test = without_it_spans_begin_with_their_first_slots;
    child::run(test, |_| {}, body).expect_success();
}

#[test]
fn slots_that_were_passed_over_are_used_all_the_same() {
    let configure = |command: &mut Command| {
        command.env("GOHEAP_RANDOMIZE", "1");
    };
    let body = || {
        const COUNT: usize = 10_000;
        let mut objects: Vec<usize> = (0..COUNT).map(|_| alloc(1024)).collect();
        objects.sort_unstable();
        let distinct = objects.windows(2).all(|pair| pair[0] + 1024 <= pair[1]);
        assert!(distinct, "objects overlap");
        let stats = goheap::read_mem_stats();
        // All but one span of eight objects are full.
        let most = (COUNT * 1024 + 2 * PAGE) as u64;
        assert!(
            stats.heap_inuse <= most,
            "{} bytes in use",
            stats.heap_inuse
        );
        assert_eq!(goheap::check().map_err(|f| f.to_string()), Ok(()));
    };
    let test = slots_that_were_passed_over_are_used_all_the_same;
    child::run(test, configure, body).expect_success();
}
