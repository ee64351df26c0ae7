//! The lock of one word, `src/lock.rs`.

use crate::each_ordering_is_needed;
use crate::lock::{Lock, Rank};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

/// Two threads; main looks, and then perhaps sleeps, while the other is inside, or the other way round.
fn who_comes_later_sees_what_was_done_under_it() {
    let lock = Arc::new(Lock::new(Rank::Pages, UnsafeCell::new(0)));
    // Before there is anyone else.
    drop(lock.lock());
    let add = |lock: &Lock<UnsafeCell<usize>>| {
        let number = lock.lock();
        // SAFETY: under the lock; loom says if not.
        number.with_mut(|n| unsafe { *n += 1 });
    };
    let other = {
        let lock = Arc::clone(&lock);
        thread::spawn(move || add(&lock))
    };
    add(&lock);
    other.join().expect("the other thread ends");
    // SAFETY: the other thread is gone.
    assert_eq!(lock.lock().with(|n| unsafe { *n }), 2);
}

/// Two threads, both of which may sleep while a third is inside. loom takes a thread that nobody wakes for a deadlock.
fn no_sleeper_is_forgotten() {
    let lock = Arc::new(Lock::new(Rank::Pages, ()));
    let inside = lock.lock();
    let others = [0, 1].map(|_| {
        let lock = Arc::clone(&lock);
        thread::spawn(move || drop(lock.lock()))
    });
    drop(inside);
    for other in others {
        other.join().expect("the other thread ends");
    }
}

#[test]
fn whoever_sleeps_is_woken() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(no_sleeper_is_forgotten);
}

#[test]
fn each_ordering_of_the_lock_is_needed() {
    let source = include_str!("../../src/lock.rs");
    each_ordering_is_needed(
        "src/lock.rs",
        source,
        &[who_comes_later_sees_what_was_done_under_it],
    );
}
