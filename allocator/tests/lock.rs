//! The lock, over the kernel's futex. `tests/interleavings` has it over loom.

use goheap_allocator::lock::{Lock, Rank};

#[test]
fn additions_under_the_lock_are_not_lost() {
    let lock = Lock::new(Rank::Pages, 0u64);
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| (0..10_000).for_each(|_| *lock.lock() += 1));
        }
    });
    assert_eq!(*lock.lock(), 40_000);
}
