//! A process that is forked while another of its threads starts the heap: the child has no such thread.

use std::alloc::{GlobalAlloc, Layout};
use std::thread;

use goheap::GoHeap;

/// Not the global allocator: in the test's own process it is never started.
static HEAP: GoHeap = GoHeap::new();

const ATTEMPTS: u32 = 200;

fn allocates() -> bool {
    let layout = Layout::new::<[u64; 8]>();
    // SAFETY: freed with the layout that it was allocated with.
    unsafe {
        let at = HEAP.alloc(layout);
        HEAP.dealloc(at, layout);
        !at.is_null()
    }
}

/// Runs `body` in a forked process, which a signal ends if it does not end by itself. Whether it
/// was true.
fn in_fork(body: impl FnOnce() -> bool) -> bool {
    // SAFETY: the child uses nothing that another thread may have left locked, and ends without
    // coming back; nobody else waits for it.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::alarm(60);
            libc::_exit(i32::from(!body()));
        }
        let mut status = 0;
        child > 0 && libc::waitpid(child, &mut status, 0) == child && status == 0
    }
}

#[test]
fn a_child_forked_while_the_heap_starts_has_a_heap() {
    for attempt in 0..ATTEMPTS {
        let survived = in_fork(|| {
            let starter = thread::spawn(allocates);
            // Each a little later than the one before, from before the start to after it.
            for _ in 0..attempt * 100 {
                std::hint::spin_loop();
            }
            let survived = in_fork(allocates);
            survived && starter.join().is_ok_and(|allocated| allocated)
        });
        assert!(survived, "attempt {attempt}");
    }
}
