//! The process without the heap's threads, for a moment: what the kernel grants to none that has more than one thread.
//!
//! Each thread ends between two pieces of work, when it sees that it is asked to, and starts again afterwards, as in the child of a
//! `fork`. That of the server for `GOHEAP_HTTP` does not, and so it is not tried where there is one.

use crate::{background, http, publish};
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::SeqCst;
use core::time::Duration;
use goheap_allocator::os::{self, Futex};

/// The heap's threads are to end, and none is to start.
static ASKED: AtomicBool = AtomicBool::new(false);

/// How long it is waited for them: a piece of work takes milliseconds at the most.
const PATIENCE_NS: u64 = 1_000_000_000;
/// Between two looks.
const NAP: Duration = Duration::from_micros(100);

/// Whether the heap's threads are to end. To be asked by each after it has read what wakes it, and before it sleeps.
pub fn is_asked() -> bool {
    // SeqCst: either the thread sees this or its sleep sees that it was woken.
    ASKED.load(SeqCst)
}

/// Does something while the heap has no threads, if the process then has none but the calling one; else `None`. The
/// caller holds no lock of the heap. Leaves errno as `what` does.
pub fn alone<T>(what: impl FnOnce() -> T) -> Option<T> {
    let may = || !http::is_there() && os::is_main_thread() && os::only_own_threads();
    if !os::keeping_errno(may) {
        return None;
    }
    ASKED.store(true, SeqCst);
    let gone = os::keeping_errno(|| {
        background::wake_all();
        publish::ring();
        are_gone()
    });
    let done = gone.then(what);
    ASKED.store(false, SeqCst);
    os::keeping_errno(|| {
        publish::answer_again();
        // Where one is not gone, others that may still be on their stacks stay away: allocations do their work then.
        if gone {
            background::start_again();
        }
    });
    done
}

/// Waits until the heap's threads are gone. `false`: not all are.
fn are_gone() -> bool {
    let until = os::monotonic_ns().saturating_add(PATIENCE_NS);
    while os::only_own_threads() {
        if os::monotonic_ns() >= until {
            return false;
        }
        Futex::new(0).wait(0, Some(NAP));
    }
    true
}
