//! How the scavenger's thread is woken; by what and when is [`Rest`]'s.

use crate::alone;
use crate::clock;
use crate::runtime::RUNTIME;
use crate::worker::Worker;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicBool, AtomicU64};
use goheap_allocator::os;
use goheap_scavenger::{Monitor, Rest, Waking};

/// A cycle has begun since the last turn ended.
static CYCLE_BEGAN: AtomicBool = AtomicBool::new(false);
/// There is work for it.
static READY: AtomicBool = AtomicBool::new(false);
/// When Go's monitor would have been woken last, on the monotonic clock. Written under the collector's lock; a guess of when to
/// look depends on it, nothing else.
static MONITOR_WOKEN: AtomicU64 = AtomicU64::new(0);
/// When the last turn began, on the monotonic clock.
static TURN_BEGAN: AtomicU64 = AtomicU64::new(0);

/// For so long before a look it is measured whether the program runs: a processor is busy for half of it.
const GLANCE: u64 = 1_000_000;

fn monitor() -> Monitor {
    Monitor::woken_at(MONITOR_WOKEN.load(Relaxed))
}

/// Go would stop the world at `now`.
pub fn world_stops(now: u64) {
    MONITOR_WOKEN.store(monitor().world_stopped(now).woken_ns(), Relaxed);
}

/// Whether a cycle that begins at `now` may wake the scavenger.
pub fn may_be_woken(now: u64) -> bool {
    Rest::may_be_woken(TURN_BEGAN.load(Relaxed), now)
}

/// A cycle has begun. By when the scavenger is to be called: if it was before, it need not be woken.
pub fn cycle_began() -> u64 {
    called_by(CYCLE_BEGAN.swap(true, Relaxed))
}

/// There is work for the scavenger. By when it is to be called.
pub fn make_ready() -> u64 {
    called_by(READY.swap(true, Relaxed))
}

const fn called_by(was_set: bool) -> u64 {
    if was_set { u64::MAX } else { 0 }
}

/// In the child of a `fork`, where nothing has been called yet.
pub fn forget() {
    CYCLE_BEGAN.store(false, Relaxed);
    READY.store(false, Relaxed);
}

/// Waits between two turns: until something wakes the scavenger, or until `until_ns`.
pub fn rest(scavenger: &Worker, until_ns: u64) {
    CYCLE_BEGAN.store(false, Relaxed);
    wait(scavenger, until_ns);
}

/// The same, and what happened before it began counts, too.
pub fn wait(scavenger: &Worker, until_ns: u64) {
    let mut ready_since = None;
    loop {
        let calls = scavenger.calls();
        if alone::is_asked() {
            return;
        }
        let now = os::monotonic_ns();
        if READY.load(Relaxed) {
            ready_since.get_or_insert(now);
        }
        let rest = Rest {
            turn_began_ns: TURN_BEGAN.load(Relaxed),
            until_ns,
            cycle_began: CYCLE_BEGAN.load(Relaxed),
            ready_for_ns: ready_since.map(|since| clock::scaled(now - since)),
        };
        match rest.next(RUNTIME.policy().by_monitor.then(monitor), now) {
            Waking::Now => break,
            Waking::IfRunsAt(look) if program_runs_at(scavenger, look) => break,
            Waking::IfRunsAt(_) => {}
            Waking::Later => scavenger.sleep(calls, until_ns),
        }
    }
    READY.store(false, Relaxed);
    TURN_BEGAN.store(os::monotonic_ns(), Relaxed);
}

/// Waits until then, and says whether the program ran just before. Not so long if a cycle begins.
fn program_runs_at(scavenger: &Worker, look_ns: u64) -> bool {
    nap(scavenger, look_ns.saturating_sub(GLANCE));
    let (start, used) = (os::monotonic_ns(), os::process_cpu_ns());
    nap(scavenger, look_ns);
    let took = os::monotonic_ns().saturating_sub(start);
    os::process_cpu_ns().saturating_sub(used) * 2 >= took
}

/// Sleeps until then, or until a cycle begins.
fn nap(scavenger: &Worker, until_ns: u64) {
    loop {
        let calls = scavenger.calls();
        if alone::is_asked() || CYCLE_BEGAN.load(Relaxed) || os::monotonic_ns() >= until_ns {
            return;
        }
        scavenger.sleep(calls, until_ns);
    }
}
