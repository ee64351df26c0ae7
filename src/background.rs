//! The threads that carry out decisions: one sweeps, ends marks that have lasted
//! and forces a cycle every two minutes; one scavenges. Each starts on first need.
//! Where the system refuses a thread, the work is done by allocations alone, as
//! it is when these threads get no processor.

use crate::alone;
use crate::clock;
use crate::cycle::{self, Why};
use crate::http;
use crate::profile;
use crate::publish;
use crate::runtime::{HEAP, RUNTIME};
use crate::wake;
use crate::worker::Worker;
use core::ffi::c_void;
use core::fmt::Write;
use core::ptr::null_mut;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::{AcqRel, Relaxed};
use goheap_allocator::lock::{Lock, Rank};
use goheap_allocator::os::{self, Line};
use goheap_scavenger::{Background, LineInputs, Policy, Step, View};
use goheap_stats::ScavTrace;

static SWEEPER: Worker = Worker::new(c"goheap-sweep", 0, sweeper);
static SCAVENGER: Worker = Worker::new(c"goheap-scavenge", 1, scavenger);
static ENGINE: Lock<Background> = Lock::new(Rank::Engine, Background::new(&Policy::NEWEST, 1.0));

/// Sets how the scavenger works, and how much of the processors' time it may take.
pub fn configure(policy: &Policy, scavenge_percent: f64) {
    *ENGINE.lock() = Background::new(policy, scavenge_percent);
}

/// Goals are set, and the scavenger is paced by a line from what is retained now.
pub fn draw_line(heap_retained: u64, goal: u64, physical_page: u64) {
    let (idle_huge, huge_page) = HEAP.pages().idle_huge();
    let inputs = LineInputs {
        heap_retained,
        goal,
        idle_huge: idle_huge as u64,
        huge_page: huge_page as u64,
        physical_page,
    };
    ENGINE.lock().plan(&inputs, clock::now_ns());
    goals_changed();
}

/// The scavenger's lock, for the span of a `fork`.
pub fn fork_lock() {
    ENGINE.fork_lock();
}

/// Ends [`fork_lock`].
///
/// # Safety
/// The calling thread took it.
pub unsafe fn fork_unlock() {
    // SAFETY: the caller's contract.
    unsafe { ENGINE.fork_unlock() };
}

/// In the child of a `fork`, where these threads do not exist: they start again on need.
pub fn forget_threads() {
    MAIN_ENDED.store(false, Relaxed);
    SWEEPER.forget();
    SCAVENGER.forget();
    wake::forget();
    // The child is yet to be published.
    WANTED.store(true, Relaxed);
}

/// Whether the main thread has ended, other than with the process.
static MAIN_ENDED: AtomicBool = AtomicBool::new(false);
/// How often it is looked then whether the program's other threads have, too.
const LAST_LOOK_NS: u64 = 10_000_000;

/// The main thread has ended, and the process ends with the last of the others. libc sees to that by
/// counting threads, but counts the heap's, too: so it is the sweeper that sees to it.
pub fn main_thread_ended() {
    MAIN_ENDED.store(true, Relaxed);
    call_sweeper(0);
    start_wanted();
}

/// When to look again whether the program's last thread has ended, on the monotonic clock.
fn end_with_the_last_thread(now: u64) -> u64 {
    if !MAIN_ENDED.load(Relaxed) {
        return u64::MAX;
    }
    if os::only_own_threads() {
        MAIN_ENDED.store(false, Relaxed);
        os::exit_as_last_thread();
    }
    now + LAST_LOOK_NS
}

/// Whether a thread waits to be started, or the process to be published, as it does at first.
static WANTED: AtomicBool = AtomicBool::new(true);

/// Starts the threads that were called for and do not run, and publishes the process. Called where the calling thread holds
/// no lock of the heap and no cache but its own: a thread's start may allocate. Costs a load
/// where there is none to start.
#[inline]
pub fn start_wanted() {
    if WANTED.load(Relaxed) {
        start_now();
    }
}

#[cold]
fn start_now() {
    // libc takes KiB of stack to start a thread: more than a signal's handler may have, once the kernel has put its 3 there.
    if alone::is_asked() || os::is_on_signal_stack() {
        return;
    }
    // A child of `vfork` runs in its parent's memory, and takes its threads with it.
    if RUNTIME.process.load(Relaxed) == os::process_id() && WANTED.swap(false, Relaxed) {
        SWEEPER.start_if_wanted();
        SCAVENGER.start_if_wanted();
        if !publish::begin_if_due() {
            WANTED.store(true, Relaxed);
        } else {
            http::begin_if_due();
        }
    }
}

/// Has these threads look whether they are to end.
pub fn wake_all() {
    SWEEPER.wake();
    SCAVENGER.wake();
}

/// The end of such a thread, which calls this.
fn end(worker: &Worker) -> *mut c_void {
    worker.ends();
    null_mut()
}

/// Starts those again that ended, and are gone. Called as [`start_wanted`].
pub fn start_again() {
    SWEEPER.again();
    SCAVENGER.again();
    WANTED.store(true, Relaxed);
    start_wanted();
}

fn call(worker: &Worker, by_ns: u64) {
    if worker.call(by_ns) {
        WANTED.store(true, Relaxed);
    }
}

/// The sweeper has something to do by `at_ns`: a mark to end, or what allocations have not swept by then.
pub fn call_sweeper(at_ns: u64) {
    call(&SWEEPER, at_ns);
}

/// If the sweep has ended, and nobody said so yet: tells the scavenger, which has work now.
pub fn sweep_may_have_ended() {
    if !HEAP.progress().is_done() || RUNTIME.sweep_ended.swap(true, AcqRel) {
        return;
    }
    if RUNTIME.scavtrace.load(Relaxed) {
        print_scavenging(false, 0);
    }
    goals_changed();
}

/// The scavenger's goals may have changed.
pub fn goals_changed() {
    if is_wanted() {
        call(&SCAVENGER, wake::make_ready());
    } else if RUNTIME.policy().passes().is_some() {
        // Passes come by the clock: the thread must run, but need not wake.
        call(&SCAVENGER, u64::MAX);
    }
}

/// A cycle began at `now`, on the monotonic clock. Go wakes the scavenger there, parked or asleep, without its monitor
/// (`finishsweep_m`): all is swept, so there is all that the last cycle freed.
pub fn cycle_began(now: u64) {
    if RUNTIME.policy().by_monitor && wake::may_be_woken(now) && is_wanted() {
        call(&SCAVENGER, wake::cycle_began());
    }
}

/// Whether there is more than the goals allow.
fn is_wanted() -> bool {
    let v = view();
    !v.goals.met(v.heap_retained, v.mapped_ready)
}

fn view() -> View {
    let bytes = &HEAP.pages().bytes;
    View {
        goals: RUNTIME.goals.get(),
        heap_retained: bytes.backed(),
        mapped_ready: cycle::mapped_ready(),
        now_ns: clock::now_ns(),
    }
}

/// Spans swept between two looks at whether somebody else wants the processor. Go has 10, where a
/// look costs no system call.
const BATCH: usize = 100;

extern "C" fn sweeper(_: *mut c_void) -> *mut c_void {
    loop {
        start_wanted();
        let calls = SWEEPER.calls();
        if alone::is_asked() {
            return end(&SWEEPER);
        }
        let now = os::monotonic_ns();
        let due = RUNTIME.collector.lock().due(now);
        if due.mark_end_ns <= now {
            cycle::end_if_over(0);
        } else if due.sweep_ns <= now && !HEAP.progress().is_done() {
            sweep();
        } else if due.forced_ns <= now {
            cycle::collect(Why::Periodic);
        } else {
            let sweep_ns = if HEAP.progress().is_done() {
                sweep_may_have_ended();
                u64::MAX
            } else {
                due.sweep_ns
            };
            let look_ns = end_with_the_last_thread(now);
            let due_ns = due.mark_end_ns.min(sweep_ns).min(due.forced_ns);
            // To wake by itself costs the allocating threads nothing; to wake it costs them microseconds.
            let due_ns = due_ns.min(due.next_ns);
            SWEEPER.sleep(calls, due_ns.min(look_ns));
        }
    }
}

/// Sweeps all that is left.
fn sweep() {
    // By the thread's clock: on a busy machine it waits for a processor far longer than it sweeps.
    let start = os::thread_cpu_ns();
    let mut swept = 0usize;
    while HEAP.sweep_some().is_some() {
        swept += 1;
        if swept.is_multiple_of(BATCH) {
            os::yield_now();
        }
    }
    if !HEAP.progress().is_done() {
        // Another thread is at its last span.
        os::yield_now();
    }
    let took = os::thread_cpu_ns().saturating_sub(start);
    RUNTIME.gc_ns.fetch_add(took, Relaxed);
    profile::watch_signal();
}

extern "C" fn scavenger(_: *mut c_void) -> *mut c_void {
    // As if it had been parked: it starts because there is work. Passes come by the clock.
    if RUNTIME.policy().by_monitor {
        wake::wait(&SCAVENGER, u64::MAX);
    }
    loop {
        if alone::is_asked() {
            return end(&SCAVENGER);
        }
        let step = ENGINE.lock().step(&view());
        match step {
            Step::Release(bytes) => release(bytes, |bytes| HEAP.scavenge_one_by_one(bytes)),
            Step::ReleaseAtOnce(bytes) => {
                release(bytes, |bytes| HEAP.scavenge(bytes, false, || false));
            }
            Step::Sleep(ns) => {
                let start = os::monotonic_ns();
                wake::rest(&SCAVENGER, start.saturating_add(clock::real(ns)));
                let slept = clock::scaled(os::monotonic_ns().saturating_sub(start));
                ENGINE.lock().slept(slept, RUNTIME.processors.load(Relaxed));
            }
            Step::Park => wake::rest(&SCAVENGER, u64::MAX),
            Step::Pass(idle_ns) => {
                let idle_ms = u32::try_from(idle_ns / 1_000_000).unwrap_or(u32::MAX);
                let released = HEAP.release_aged(idle_ms);
                HEAP.pages().released_in_background.add(released);
            }
        }
    }
}

/// Releases up to so many bytes, and tells the engine how many they were and how long it took.
fn release(bytes: u64, how: impl FnOnce(usize) -> usize) {
    let start = os::monotonic_ns();
    let released = how(usize::try_from(bytes).unwrap_or(usize::MAX));
    HEAP.pages().released_in_background.add(released);
    let took = os::monotonic_ns().saturating_sub(start);
    ENGINE.lock().released(released as u64, took);
}

/// Prints what was released since the last such line (Go: `printScavTrace`).
pub fn print_scavenging(forced: bool, released: u64) {
    let pages = HEAP.pages();
    let retained = pages.bytes.backed();
    let (background, at_once) = if forced {
        (0, released)
    } else {
        (
            pages.released_in_background.take(),
            pages.released_at_once.take(),
        )
    };
    print_line(format_args!(
        "{}",
        ScavTrace {
            released_background: background,
            released_eager: at_once,
            released_now: pages.bytes.released.get(),
            heap_inuse: pages.bytes.in_use.get(),
            heap_retained: retained,
            forced,
            controller_reset: !forced && ENGINE.lock().controller_reset(),
        }
    ));
}

/// Prints one line on standard error, without allocating.
pub fn print_line(what: core::fmt::Arguments<'_>) {
    let mut line = Line::new();
    // Writing to a line cannot fail: it cuts what does not fit.
    let _ = writeln!(line, "{what}");
    os::stderr_line(line.text());
}
