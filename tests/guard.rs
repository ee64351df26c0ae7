//! `GOHEAP_GUARD`: a step over a guarded object's edge, and its use after its free, fault in that moment, and
//! are told with both stacks.

use std::alloc::{GlobalAlloc, Layout};
use std::process::Command;
use std::thread;

use goheap::GoHeap;

#[path = "support/child.rs"]
mod child;
#[path = "support/counters.rs"]
mod counters;
#[path = "support/right.rs"]
mod right;

/// A value, not the global allocator: nothing but these tests uses it.
static HEAP: GoHeap = GoHeap::new();

const SIZE: usize = 100;
/// Go's class for it.
const SLOT: usize = 112;
const PAGE: usize = 4096;

fn layout() -> Layout {
    Layout::from_size_align(SIZE, 8).expect("a layout")
}

fn alloc() -> *mut u8 {
    // SAFETY: the size is not zero.
    let at = unsafe { HEAP.alloc(layout()) };
    assert!(!at.is_null());
    at
}

/// Frees, sound or not: the tests below are about what comes of it.
fn free(at: *mut u8) {
    // SAFETY: none in general. The heap is to find that out, and end the process.
    unsafe { HEAP.dealloc(at, layout()) };
}

fn write(at: *mut u8, offset: isize) {
    // SAFETY: none: this is to fault.
    unsafe { at.offset(offset).write_volatile(1) };
}

/// Guarded objects end with their page or begin with it.
fn alloc_at_the_end() -> *mut u8 {
    let mut found = std::iter::repeat_with(alloc);
    found
        .find(|at| (at.addr() + SLOT).is_multiple_of(PAGE))
        .expect("every other one is")
}

fn all_guarded(command: &mut Command) {
    command.env("GOHEAP_GUARD", "1");
}

/// Runs `body`, which makes a mistake, in a child; expects its end by a signal and these words.
#[track_caller]
fn expect_death<T: Fn()>(test: T, signal: i32, body: fn(), words: &[&str]) {
    let outcome = child::run(test, all_guarded, body).expect_signal(signal);
    for word in words {
        assert!(
            outcome.stderr.contains(word),
            "{word:?} is not in: {outcome}"
        );
    }
}

#[test]
fn a_read_after_a_free_faults() {
    let body = || {
        let at = alloc();
        free(at);
        // SAFETY: none: this is to fault.
        let byte = unsafe { at.add(8).read_volatile() };
        child::report("read", byte);
    };
    let words = [
        "goheap: use after free: 0x",
        "is 8 bytes into a guarded object at 0x",
        "100 bytes in a slot of 112",
        "goheap:   allocated by thread",
        "goheap:   freed by thread",
    ];
    expect_death(a_read_after_a_free_faults, libc::SIGSEGV, body, &words);
}

#[test]
fn stacks_say_where_it_was_allocated_and_freed() {
    let body = || {
        let at = alloc();
        free(at);
        write(at, 0);
    };
    let test = stacks_say_where_it_was_allocated_and_freed;
    let outcome = child::run(test, all_guarded, body).expect_signal(libc::SIGSEGV);
    let file = std::env::current_exe().expect("the path of this binary");
    let file = file.to_string_lossy();
    let (_, traces) = outcome
        .stderr
        .split_once("allocated by thread")
        .expect("a trace");
    let (allocated, freed) = traces.split_once("freed by thread").expect("another");
    for trace in [allocated, freed] {
        let frames = trace.lines().filter(|line| line.contains(&*file)).count();
        assert!(frames >= 3, "{frames} frames in: {outcome}");
    }
}

#[test]
fn a_write_behind_an_object_faults() {
    let body = || write(alloc_at_the_end(), SLOT as isize + 3);
    let words = ["goheap: overflow: 0x", "is 3 bytes behind a guarded object"];
    expect_death(a_write_behind_an_object_faults, libc::SIGSEGV, body, &words);
}

#[test]
fn a_write_before_an_object_faults() {
    let body = || {
        let mut found = std::iter::repeat_with(alloc);
        let at = found.find(|at| at.addr().is_multiple_of(PAGE));
        write(at.expect("every other one is"), -5);
    };
    let words = [
        "goheap: underflow: 0x",
        "is 5 bytes before a guarded object",
    ];
    expect_death(a_write_before_an_object_faults, libc::SIGSEGV, body, &words);
}

#[test]
fn a_double_free_ends_the_process_in_the_call() {
    let body = || {
        let at = alloc();
        free(at);
        free(at);
        child::report("survived", true);
    };
    let words = [
        "goheap: double free or use after free: 0x",
        "allocated by thread",
        "freed by thread",
        "now by thread",
    ];
    let test = a_double_free_ends_the_process_in_the_call;
    expect_death(test, libc::SIGABRT, body, &words);
}

#[test]
fn a_free_inside_a_guarded_object_ends_the_process() {
    let body = || free(alloc().wrapping_add(16));
    let words = ["goheap: invalid free", "is 16 bytes into a guarded object"];
    let test = a_free_inside_a_guarded_object_ends_the_process;
    expect_death(test, libc::SIGABRT, body, &words);
}

#[test]
fn a_fault_elsewhere_is_the_programs_own() {
    let body = || {
        alloc();
        write(std::ptr::without_provenance_mut(0x5000), 0);
    };
    let test = a_fault_elsewhere_is_the_programs_own;
    let outcome = child::run(test, all_guarded, body).expect_signal(libc::SIGSEGV);
    assert!(!outcome.stderr.contains("goheap"), "{outcome}");
}

#[test]
fn one_object_in_so_many_is_guarded() {
    let body = || {
        let heap = alloc().addr() >> 40;
        let objects: Vec<*mut u8> = (0..1000).map(|_| alloc()).collect();
        let guarded = objects.iter().filter(|at| at.addr() >> 40 != heap).count();
        child::report("guarded", guarded.min(1000 - guarded));
        objects.into_iter().for_each(free);
    };
    let configure = |command: &mut Command| {
        command.env("GOHEAP_GUARD", "10");
    };
    let outcome = child::run(one_object_in_so_many_is_guarded, configure, body);
    let outcome = outcome.expect_success();
    let guarded: usize = outcome.reported("guarded").parse().expect("a number");
    // 95 on average, by a Poisson process; five deviations are 46.
    assert!((49..=141).contains(&guarded), "{guarded} of 1000");
}

/// The control: all sizes, alignments, resizes, zeroes, threads and a fork, and no mistake.
#[test]
fn right_programs_are_let_be() {
    let configure = |command: &mut Command| {
        command.env("GOHEAP_GUARD", "2").env("GOHEAP_POISON", "1");
    };
    let body = || {
        let work = || right::work(&HEAP, 5000, 40_000, 5000);
        let threads: Vec<_> = (0..3).map(|_| thread::spawn(work)).collect();
        // SAFETY: the child uses the heap and nothing that another thread may have left locked.
        let forked = unsafe { libc::fork() };
        if forked == 0 {
            let objects: Vec<*mut u8> = (0..100).map(|_| alloc()).collect();
            objects.into_iter().for_each(free);
            // SAFETY: ends the child alone.
            unsafe { libc::_exit(i32::from(goheap::check().is_err())) };
        }
        let mut status = 0;
        // SAFETY: just forked, and nobody else waits for it.
        assert_eq!(unsafe { libc::waitpid(forked, &mut status, 0) }, forked);
        assert_eq!(status, 0, "the child");
        for thread in threads {
            thread.join().expect("no mistake is seen");
        }
        let stats = counters::at_rest();
        assert_eq!((stats.heap_objects, stats.other_sys), (0, 0));
        assert_eq!(goheap::check().map_err(|f| f.to_string()), Ok(()));
    };
    let outcome = child::run(right_programs_are_let_be, configure, body).expect_success();
    assert!(!outcome.stderr.contains("goheap"), "{outcome}");
}
