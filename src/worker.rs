//! A background thread: whether it runs, how long it sleeps, and what wakes it.
//!
//! A thread's start may allocate, in this heap where it serves malloc. So a call, which is made
//! under locks, only says that the thread is wanted; [`Worker::start_if_wanted`] starts it, where
//! the heap holds none.

use crate::runtime::HEAP;
use core::ffi::{CStr, c_void};
use core::sync::atomic::Ordering::{AcqRel, Relaxed, SeqCst};
use core::sync::atomic::{AtomicU8, AtomicU64};
use core::time::Duration;
use goheap_allocator::os::{self, Futex};

const ABSENT: u8 = 0;
const WANTED: u8 = 1;
const RUNNING: u8 = 2;
const ENDED: u8 = 3;

/// Nanoseconds until a thread that the system refused to start is wanted again.
const AGAIN: u64 = 1_000_000_000;

/// A thread that is wanted once it is called. Where the system refuses to start it, calls do nothing for a second.
pub struct Worker {
    name: &'static CStr,
    /// Which of the heap's stacks is this thread's.
    stack: usize,
    body: extern "C" fn(*mut c_void) -> *mut c_void,
    state: AtomicU8,
    /// Before then, on the monotonic clock, it is not to be wanted.
    not_before: AtomicU64,
    /// Counts calls.
    calls: Futex,
    /// Until when it sleeps, on the monotonic clock; 0 while it is awake.
    asleep_until: AtomicU64,
}

impl Worker {
    /// A thread that does not run yet.
    pub const fn new(
        name: &'static CStr,
        stack: usize,
        body: extern "C" fn(*mut c_void) -> *mut c_void,
    ) -> Self {
        Self {
            name,
            stack,
            body,
            state: AtomicU8::new(ABSENT),
            not_before: AtomicU64::new(0),
            calls: Futex::new(0),
            asleep_until: AtomicU64::new(0),
        }
    }

    /// Has the thread look again by `by_ns` at the latest. Wakes it only if it would sleep
    /// longer: most calls come while it is awake or about to wake, and cost no system call. `true`:
    /// the thread does not run, and is wanted since now.
    pub fn call(&self, by_ns: u64) -> bool {
        let state = &self.state;
        let wanted = state.load(Relaxed) == ABSENT
            && self.may_start()
            && state
                .compare_exchange(ABSENT, WANTED, Relaxed, Relaxed)
                .is_ok();
        // SeqCst, here and in `sleep`: either the sleeper sees the call or the caller sees the sleeper.
        self.calls.0.fetch_add(1, SeqCst);
        if self.asleep_until.load(SeqCst) > by_ns {
            self.calls.wake(1);
        }
        wanted
    }

    fn may_start(&self) -> bool {
        let not_before = self.not_before.load(Relaxed);
        not_before == 0 || os::monotonic_ns() >= not_before
    }

    /// Starts the thread if it is wanted. The calling thread holds no lock of the heap.
    pub fn start_if_wanted(&self) {
        let won = self
            .state
            .compare_exchange(WANTED, RUNNING, AcqRel, Relaxed)
            .is_ok();
        if !won {
            return;
        }
        // SAFETY: the stack is this thread's alone, and there is one thread: where it ends, no other starts before
        // the system says that it is gone.
        let started =
            unsafe { os::start_thread(self.name, HEAP.pages().stack(self.stack), 0, self.body) };
        if !started {
            self.not_before
                .store(os::monotonic_ns().saturating_add(AGAIN), Relaxed);
            self.state.store(ABSENT, Relaxed);
        }
    }

    /// Wakes the thread, so that it looks whether it is to end.
    pub fn wake(&self) {
        self.calls.0.fetch_add(1, SeqCst);
        self.calls.wake(1);
    }

    /// The thread, which calls this, ends.
    pub fn ends(&self) {
        self.asleep_until.store(0, Relaxed);
        self.state.store(ENDED, Relaxed);
    }

    /// The thread is wanted again, if it ended. It is gone: nobody is on its stack.
    pub fn again(&self) {
        let state = &self.state;
        // Else it never ran.
        let _ = state.compare_exchange(ENDED, WANTED, Relaxed, Relaxed);
    }

    /// How often it was called. To be read before looking at what there is to do.
    pub fn calls(&self) -> u32 {
        self.calls.0.load(SeqCst)
    }

    /// Sleeps until `until_ns`, or until it is called after `calls` were counted.
    pub fn sleep(&self, calls: u32, until_ns: u64) {
        self.asleep_until.store(until_ns, SeqCst);
        let now = os::monotonic_ns();
        if until_ns > now {
            let time = (until_ns != u64::MAX).then(|| Duration::from_nanos(until_ns - now));
            self.calls.wait(calls, time);
        }
        self.asleep_until.store(0, SeqCst);
    }

    /// In the child of a `fork`, where the thread does not exist: it starts again when called.
    pub fn forget(&self) {
        self.state.store(ABSENT, Relaxed);
        self.not_before.store(0, Relaxed);
        self.asleep_until.store(0, Relaxed);
    }
}
