//! A wrong free ends the process, and says which address, what lies there, and what is wrong.

use std::alloc::{GlobalAlloc, Layout};
use std::process::Command;
use std::ptr;
use std::thread;

use goheap::GoHeap;

#[path = "../support/child.rs"]
mod child;
mod threads;

/// A value, not the global allocator: nothing but these tests frees into it.
static HEAP: GoHeap = GoHeap::new();

const SMALL: usize = 100;
/// Go's class for it.
const SMALL_CLASS: &str = "112";
const LARGE: usize = 1 << 20;

/// An address that other threads may be told.
#[derive(Clone, Copy)]
struct Address(usize);

impl Address {
    fn of_new(size: usize) -> Self {
        // SAFETY: the size is not zero.
        let pointer = unsafe { HEAP.alloc(layout(size)) };
        assert!(!pointer.is_null());
        Self(pointer.expose_provenance())
    }

    /// Frees the address, sound or not: the tests below are about what comes of it.
    fn free(self, size: usize) {
        // SAFETY: none in general. The heap is to find that out, in a process that holds
        // nothing else of it, and end it.
        unsafe { HEAP.dealloc(ptr::with_exposed_provenance_mut(self.0), layout(size)) };
    }

    fn plus(self, bytes: usize) -> Self {
        Self(self.0 + bytes)
    }
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, 8).expect("a layout")
}

/// Sets the heap up, with a span, so that a foreign address is told from its own.
fn use_the_heap() {
    Address::of_new(SMALL);
}

/// Runs `misuse` in a child, which returns the address it has freed wrongly; expects the
/// child's death and, in one line of what it says, that address and all of `words`.
#[track_caller]
fn expect_death<T: Fn()>(test: T, misuse: fn() -> Address, words: &[&str]) {
    expect_death_with(test, &[], misuse, words);
}

/// The same, of a child with these variables in its environment.
#[track_caller]
fn expect_death_with<T: Fn()>(
    test: T,
    knobs: &[(&str, &str)],
    misuse: fn() -> Address,
    words: &[&str],
) {
    let body = || {
        let address = misuse();
        child::report("address", format_args!("{:#x}", address.0));
        // A free is looked at when the thread's log is flushed; a cycle flushes all.
        goheap::gc();
        child::report("survived", true);
    };
    let configure = |command: &mut Command| {
        command.envs(knobs.iter().copied());
    };
    let outcome = child::run(test, configure, body).expect_signal(libc::SIGABRT);
    let address = outcome.reported("address").to_owned();
    let line = outcome.stderr.lines().find(|line| {
        let mut words = line.split(|c: char| !c.is_ascii_alphanumeric());
        words.any(|word| word == address)
    });
    let Some(line) = line else {
        panic!("{address} is not mentioned: {outcome}");
    };
    for word in words {
        assert!(line.contains(word), "“{word}” is not in “{line}”");
    }
}

/// An object that the parent knows of, whenever the process dies.
fn announced() -> Address {
    let object = Address::of_new(SMALL);
    child::report("address", format_args!("{:#x}", object.0));
    object
}

#[test]
fn a_double_free() {
    let misuse = || {
        let object = Address::of_new(SMALL);
        object.free(SMALL);
        object.free(SMALL);
        object
    };
    expect_death(
        a_double_free,
        misuse,
        &["double free", SMALL_CLASS, "size class"],
    );
}

#[test]
fn a_double_free_of_a_large_object() {
    let misuse = || {
        let object = Address::of_new(LARGE);
        object.free(LARGE);
        object.free(LARGE);
        object
    };
    expect_death(
        a_double_free_of_a_large_object,
        misuse,
        &["double free", "large", "1048576"],
    );
}

#[test]
fn a_double_free_far_apart_in_a_full_log() {
    let misuse = || {
        let others: Vec<Address> = (0..100_000).map(|_| Address::of_new(SMALL)).collect();
        let object = announced();
        object.free(SMALL);
        others.iter().for_each(|other| other.free(SMALL));
        object.free(SMALL);
        object
    };
    expect_death(
        a_double_free_far_apart_in_a_full_log,
        misuse,
        &[SMALL_CLASS],
    );
}

#[test]
fn a_second_free_after_the_first_was_swept() {
    let misuse = || {
        let (object, _neighbour) = (Address::of_new(SMALL), Address::of_new(SMALL));
        object.free(SMALL);
        goheap::gc();
        goheap::gc();
        object.free(SMALL);
        object
    };
    expect_death(
        a_second_free_after_the_first_was_swept,
        misuse,
        &["not allocated", SMALL_CLASS],
    );
}

#[test]
fn a_second_free_of_a_large_object_after_the_first_was_swept() {
    let misuse = || {
        let object = Address::of_new(LARGE);
        object.free(LARGE);
        goheap::gc();
        goheap::gc();
        object.free(LARGE);
        object
    };
    expect_death(
        a_second_free_of_a_large_object_after_the_first_was_swept,
        misuse,
        &["not allocated by this heap"],
    );
}

#[test]
fn an_address_inside_an_object() {
    let misuse = || {
        let inside = Address::of_new(SMALL).plus(16);
        inside.free(SMALL);
        inside
    };
    expect_death(
        an_address_inside_an_object,
        misuse,
        &["interior", SMALL_CLASS, "16 bytes"],
    );
}

#[test]
fn an_unaligned_address_inside_an_object() {
    let misuse = || {
        let inside = Address::of_new(SMALL).plus(1);
        inside.free(SMALL);
        inside
    };
    expect_death(
        an_unaligned_address_inside_an_object,
        misuse,
        &["interior", SMALL_CLASS],
    );
}

#[test]
fn a_page_inside_a_large_object() {
    let misuse = || {
        let inside = Address::of_new(LARGE).plus(8192);
        inside.free(LARGE);
        inside
    };
    expect_death(
        a_page_inside_a_large_object,
        misuse,
        &["interior", "large", "8192 bytes"],
    );
}

/// Two objects in one block.
fn neighbours() -> (Address, Address) {
    loop {
        let (one, other) = (Address::of_new(8), Address::of_new(8));
        if other.0 == one.0 + 8 {
            return (one, other);
        }
    }
}

#[test]
fn a_double_free_of_an_object_whose_block_others_share() {
    let misuse = || {
        let (_, freed) = neighbours();
        freed.free(8);
        freed.free(8);
        freed
    };
    expect_death(
        a_double_free_of_an_object_whose_block_others_share,
        misuse,
        &["double free", "tiny", "8 bytes into", "size class 2"],
    );
}

#[test]
fn a_double_free_of_an_object_whose_block_is_dead() {
    let misuse = || {
        // Keeps the span.
        Address::of_new(16);
        let (one, freed) = neighbours();
        one.free(8);
        freed.free(8);
        goheap::gc();
        freed.free(8);
        freed
    };
    expect_death(
        a_double_free_of_an_object_whose_block_is_dead,
        misuse,
        &["double free", "tiny"],
    );
}

#[test]
fn an_address_inside_a_tiny_object() {
    let misuse = || {
        let (one, _) = neighbours();
        one.plus(3).free(8);
        one.plus(3)
    };
    expect_death(
        an_address_inside_a_tiny_object,
        misuse,
        &["invalid free", "3 bytes into", "tiny"],
    );
}

#[test]
fn an_address_on_the_stack() {
    let misuse = || {
        use_the_heap();
        let local = [0_u64; 4];
        let address = Address(ptr::from_ref(&local).expose_provenance());
        address.free(SMALL);
        address
    };
    expect_death(
        an_address_on_the_stack,
        misuse,
        &["not allocated by this heap"],
    );
}

#[test]
fn an_address_of_another_allocator() {
    let misuse = || {
        use_the_heap();
        let address = Address(Box::into_raw(Box::new([0_u64; 8])).expose_provenance());
        address.free(64);
        address
    };
    expect_death(
        an_address_of_another_allocator,
        misuse,
        &["not allocated by this heap"],
    );
}

#[test]
fn an_address_in_a_mapping_of_the_program() {
    let misuse = || {
        use_the_heap();
        // SAFETY: a new mapping, placed by the kernel.
        let mapping = unsafe {
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(
                ptr::null_mut(),
                LARGE,
                protection,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(mapping, libc::MAP_FAILED);
        let address = Address(mapping.expose_provenance());
        address.free(LARGE);
        address
    };
    expect_death(
        an_address_in_a_mapping_of_the_program,
        misuse,
        &["not allocated by this heap"],
    );
}

#[test]
fn an_address_before_anything_is_allocated() {
    let misuse = || {
        let address = Address(0x1000);
        address.free(SMALL);
        address
    };
    expect_death(
        an_address_before_anything_is_allocated,
        misuse,
        &["not allocated by this heap"],
    );
}

#[test]
fn null() {
    let misuse = || {
        use_the_heap();
        let address = Address(0);
        address.free(SMALL);
        address
    };
    expect_death(null, misuse, &["not allocated by this heap"]);
}

/// The span knows the size: what the layout says of it does no harm.
#[test]
fn a_wrong_layout_frees_the_object_all_the_same() {
    let body = || {
        for size in [1, 40, 5000, LARGE, 3 * LARGE] {
            Address::of_new(SMALL).free(size);
            Address::of_new(LARGE).free(size);
        }
        goheap::gc();
        goheap::gc();
        assert_eq!(goheap::check().map_err(|f| f.to_string()), Ok(()));
        let stats = goheap::read_mem_stats();
        assert_eq!((stats.mallocs, stats.frees), (10, 10));
    };
    let test = a_wrong_layout_frees_the_object_all_the_same;
    child::run(test, |_| {}, body).expect_success();
}

/// The control: the same steps without a wrong one.
#[test]
fn right_frees_are_let_be() {
    let body = || {
        let object = Address::of_new(SMALL);
        object.free(SMALL);
        goheap::gc();
        // The same slots again, freed once each by another thread.
        let again: Vec<Address> = (0..1000).map(|_| Address::of_new(SMALL)).collect();
        let frees = thread::spawn(move || again.iter().for_each(|object| object.free(SMALL)));
        frees.join().expect("the frees return");
        Address::of_new(LARGE).free(LARGE);
        goheap::gc();
    };
    let outcome = child::run(right_frees_are_let_be, |_| {}, body).expect_success();
    assert!(!outcome.stderr.contains("goheap"), "{outcome}");
}
