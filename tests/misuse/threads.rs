//! Wrong frees that more than one thread has a part in.

use std::sync::{Barrier, mpsc};
use std::thread;

use super::{Address, SMALL, SMALL_CLASS, announced, child, expect_death};

/// Starts a thread that frees the object, and waits until it has: it lives on, with the death in
/// its log, until what is sent back.
fn free_in_another_thread(object: Address) -> (mpsc::Sender<()>, thread::JoinHandle<()>) {
    let (freed, wait_for_free) = mpsc::channel();
    let (end, wait_for_end) = mpsc::channel();
    let thread = thread::spawn(move || {
        object.free(SMALL);
        freed.send(()).expect("the test waits");
        let _ = wait_for_end.recv();
    });
    wait_for_free.recv().expect("the free itself returns");
    (end, thread)
}

const TWICE: &[&str] = &["double free", SMALL_CLASS, "size class"];

/// The log of a thread that ends is flushed.
#[test]
fn a_free_by_each_of_two_threads_one_after_the_other() {
    let misuse = || {
        let object = announced();
        for _ in 0..2 {
            let (end, thread) = free_in_another_thread(object);
            drop(end);
            thread.join().expect("what ends is the process");
        }
        object
    };
    let test = a_free_by_each_of_two_threads_one_after_the_other;
    expect_death(test, misuse, TWICE);
}

#[test]
fn a_free_by_each_of_two_threads_whose_logs_are_flushed_in_order() {
    let misuse = || {
        let object = announced();
        let first = free_in_another_thread(object);
        let second = free_in_another_thread(object);
        for (end, thread) in [first, second] {
            drop(end);
            thread.join().expect("what ends is the process");
        }
        object
    };
    let test = a_free_by_each_of_two_threads_whose_logs_are_flushed_in_order;
    expect_death(test, misuse, TWICE);
}

#[test]
fn a_free_by_each_of_two_threads_of_which_the_later_is_flushed_first() {
    let misuse = || {
        let object = announced();
        let first = free_in_another_thread(object);
        let second = free_in_another_thread(object);
        for (end, thread) in [second, first] {
            drop(end);
            thread.join().expect("what ends is the process");
        }
        object
    };
    let test = a_free_by_each_of_two_threads_of_which_the_later_is_flushed_first;
    expect_death(test, misuse, TWICE);
}

#[test]
fn a_free_by_each_of_two_threads_that_live_when_a_cycle_drains_their_logs() {
    let misuse = || {
        let object = announced();
        let threads = [0, 1].map(|_| free_in_another_thread(object));
        goheap::gc();
        child::report("survived", "a cycle");
        drop(threads);
        object
    };
    let test = a_free_by_each_of_two_threads_that_live_when_a_cycle_drains_their_logs;
    expect_death(test, misuse, TWICE);
}

/// The owner's free waits in a log; the stranger's is written into the span by a cycle of its own.
#[test]
fn a_free_by_the_owner_after_another_thread_s_free_was_swept() {
    let misuse = || {
        let (object, _neighbour) = (announced(), Address::of_new(SMALL));
        let (end, thread) = free_in_another_thread(object);
        drop(end);
        thread.join().expect("so far all is right");
        goheap::gc();
        goheap::gc();
        object.free(SMALL);
        object
    };
    let test = a_free_by_the_owner_after_another_thread_s_free_was_swept;
    expect_death(test, misuse, &["not allocated", SMALL_CLASS]);
}

/// Two full logs of the same objects are flushed at once. One object of them may slip through, if both look at it in the same
/// instant; not all.
#[test]
fn frees_of_the_same_objects_by_two_threads_at_once() {
    let body = || {
        let objects: Vec<Address> = (0..2048).map(|_| Address::of_new(SMALL)).collect();
        let start = Barrier::new(2);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    start.wait();
                    objects.iter().for_each(|object| object.free(SMALL));
                });
            }
        });
        goheap::gc();
        child::report("survived", true);
    };
    let test = frees_of_the_same_objects_by_two_threads_at_once;
    let outcome = child::run(test, |_| {}, body).expect_signal(libc::SIGABRT);
    let told = |line: &str| line.contains("double free") && line.contains(SMALL_CLASS);
    assert!(outcome.stderr.lines().any(told), "{outcome}");
}
