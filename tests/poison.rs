//! `GOHEAP_POISON=1`: mistakes are found in the call that makes them, and writes to freed memory at
//! the next cycle.

use std::alloc::{GlobalAlloc, Layout};
use std::process::Command;
use std::thread;

use goheap::GoHeap;

#[path = "support/child.rs"]
mod child;
#[path = "support/right.rs"]
mod right;

/// A value, not the global allocator: nothing but these tests frees into it.
static HEAP: GoHeap = GoHeap::new();

const SMALL: usize = 100;
const LARGE: usize = 1 << 20;

/// Memory that a test may use after it was freed.
#[derive(Clone, Copy)]
struct Object(*mut u8, Layout);

// SAFETY: plain memory; the tests say who uses it.
unsafe impl Send for Object {}

impl Object {
    fn new(size: usize) -> Self {
        let layout = Layout::from_size_align(size, 8).expect("a layout");
        // SAFETY: the size is not zero.
        let at = unsafe { HEAP.alloc(layout) };
        assert!(!at.is_null());
        Self(at, layout)
    }

    fn free(self) {
        self.free_as(self.1);
    }

    /// Frees it, sound or not: the tests below are about what comes of it.
    fn free_as(self, layout: Layout) {
        // SAFETY: none in general. The heap is to find that out, and end the process.
        unsafe { HEAP.dealloc(self.0, layout) };
    }

    fn write(self, offset: usize, byte: u8) {
        // SAFETY: memory of the heap, which stays mapped; of nobody else, since no cycle has passed.
        unsafe { self.0.add(offset).write_volatile(byte) };
    }

    fn word(self, number: usize) -> u64 {
        // SAFETY: as in `write`.
        unsafe { self.0.cast::<u64>().add(number).read_volatile() }
    }
}

fn poisoned(command: &mut Command) {
    command.env("GOHEAP_POISON", "1");
}

/// Runs `body`, which makes a mistake, in a child; expects its death and `words` in one line of what it says.
#[track_caller]
fn expect_death<T: Fn()>(test: T, body: fn(), words: &[&str]) {
    let outcome = child::run(test, poisoned, body).expect_signal(libc::SIGABRT);
    let mut lines = outcome.stderr.lines();
    let found = lines.any(|line| words.iter().all(|word| line.contains(word)));
    assert!(found, "{words:?} are in no line of: {outcome}");
}

#[test]
fn a_write_after_a_free_is_found_by_the_next_cycle() {
    let body = || {
        let object = Object::new(SMALL);
        object.free();
        object.write(70, 0x41);
        goheap::gc();
    };
    let words = [
        "goheap: write after free of 0x",
        "112 bytes, size class",
        "byte 70 of it",
        "to 0x41",
    ];
    expect_death(
        a_write_after_a_free_is_found_by_the_next_cycle,
        body,
        &words,
    );
}

#[test]
fn a_write_to_a_sampled_object_is_told_with_who_allocated_it() {
    let configure = |command: &mut Command| {
        poisoned(command);
        command.env("GOHEAP_PROFILE_RATE", "1");
    };
    let body = || {
        let object = Object::new(SMALL);
        object.free();
        object.write(70, 0x41);
        goheap::gc();
    };
    let test = a_write_to_a_sampled_object_is_told_with_who_allocated_it;
    let outcome = child::run(test, configure, body).expect_signal(libc::SIGABRT);
    let file = std::env::current_exe().expect("the path of this binary");
    let line = format!("{}+0x", file.display());
    let (_, stack) = outcome
        .stderr
        .split_once("byte 70 of it")
        .expect("a report");
    let frames = stack.lines().filter(|frame| frame.contains(&line)).count();
    assert!(
        frames >= 3 && stack.contains("allocated by 0x"),
        "{outcome}"
    );
}

#[test]
fn a_write_to_the_end_of_a_freed_large_object_is_found() {
    let body = || {
        let object = Object::new(LARGE);
        object.free();
        object.write(LARGE - 1, 7);
        goheap::gc();
    };
    let words = [
        "write after free",
        "a large object of 1048576 bytes",
        "byte 1048575",
    ];
    expect_death(
        a_write_to_the_end_of_a_freed_large_object_is_found,
        body,
        &words,
    );
}

#[test]
fn a_write_by_another_thread_is_found_by_whoever_sweeps() {
    let body = || {
        let object = Object::new(SMALL);
        object.free();
        let writer = thread::spawn(move || {
            // The whole of it, not its field: the pointer alone may not be sent.
            let object = object;
            object.write(0, 1);
        });
        writer.join().expect("the write itself is not noticed");
        // The background sweeper and this thread sweep alike.
        (0..100_000).for_each(|_| Object::new(SMALL).free());
        goheap::gc();
    };
    let test = a_write_by_another_thread_is_found_by_whoever_sweeps;
    expect_death(test, body, &["write after free", "byte 0 of it"]);
}

#[test]
fn a_read_after_a_free_finds_no_old_contents() {
    let body = || {
        let object = Object::new(SMALL);
        (0..SMALL).for_each(|i| object.write(i, 0x41));
        object.free();
        for number in 0..112 / 8 {
            assert_eq!(object.word(number), 0xdead_beef_dead_beef);
        }
    };
    let test = a_read_after_a_free_finds_no_old_contents;
    child::run(test, poisoned, body).expect_success();
}

#[test]
fn a_double_free_ends_the_process_in_the_call() {
    let body = || {
        let object = Object::new(SMALL);
        object.free();
        child::report("once", true);
        object.free();
        child::report("twice", true);
    };
    let test = a_double_free_ends_the_process_in_the_call;
    let outcome = child::run(test, poisoned, body).expect_signal(libc::SIGABRT);
    assert!(outcome.stderr.contains("double free of 0x"), "{outcome}");
    assert_eq!(outcome.reported("once"), "true");
    assert!(!outcome.stdout.contains("twice"), "{outcome}");
}

#[test]
fn a_free_with_another_size_is_named_with_both() {
    let body = || {
        let layout = Layout::from_size_align(5000, 16).expect("a layout");
        Object::new(SMALL).free_as(layout);
    };
    let words = [
        "goheap: wrong layout for 0x",
        "as 5000 bytes aligned to 16",
        "an object of 112 bytes, size class",
    ];
    expect_death(a_free_with_another_size_is_named_with_both, body, &words);
}

#[test]
fn a_large_object_freed_as_a_small_one_is_named() {
    let body = || {
        let layout = Layout::from_size_align(SMALL, 8).expect("a layout");
        Object::new(LARGE).free_as(layout);
    };
    let words = [
        "wrong layout",
        "as 100 bytes",
        "a large object of 1048576 bytes",
    ];
    expect_death(a_large_object_freed_as_a_small_one_is_named, body, &words);
}

#[test]
fn a_resize_with_another_size_is_named() {
    let body = || {
        let object = Object::new(SMALL);
        let layout = Layout::from_size_align(LARGE, 8).expect("a layout");
        // SAFETY: none: the layout is wrong, which is to end the process.
        unsafe { HEAP.realloc(object.0, layout, 2 * LARGE) };
    };
    let words = ["wrong layout", "an object of 112 bytes"];
    expect_death(a_resize_with_another_size_is_named, body, &words);
}

/// The control: all sizes, alignments, resizes, zeroes and threads, and no mistake.
#[test]
fn right_programs_are_let_be() {
    let body = || {
        let work = || right::work(&HEAP, 20_000, 400_000, 70_000);
        let threads: Vec<_> = (0..3).map(|_| thread::spawn(work)).collect();
        for thread in threads {
            thread.join().expect("no mistake is seen");
        }
        goheap::gc();
        goheap::gc();
        assert_eq!(goheap::check().map_err(|f| f.to_string()), Ok(()));
        let stats = goheap::read_mem_stats();
        assert_eq!(stats.heap_objects, 0);
        assert!(stats.num_gc > 10, "{} cycles", stats.num_gc);
    };
    let outcome = child::run(right_programs_are_let_be, poisoned, body).expect_success();
    assert!(!outcome.stderr.contains("goheap"), "{outcome}");
}
