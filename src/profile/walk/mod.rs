//! The calling thread's stack: return addresses, the innermost first.
//!
//! Where the stack is the one that was found last, that is seen word by word (`Stack::is_still`), and nothing is
//! walked. Else a walk goes by the unwind tables that a program has in memory anyway and, where there are none, in code made at
//! run time say, by frame pointers. It allocates nothing, waits for nobody but another walk, and never
//! faults: of the stack it reads only pages above its own frame, each after the kernel said that it may be read.
//! What it needs to know of the tables is set up on the first sample, and again when a stack leads into
//! a library that was loaded since.
//!
//! | file | idea |
//! | --- | --- |
//! | `frames.rs` | the way up, and what it goes by |
//! | `rules.rs` | how a frame's caller is found |
//! | `machine.rs` | registers, and another stack: a thread may have too little left of its own to read tables |

mod frames;
mod machine;
mod rules;

use super::modules::{self, Modules};
use crate::tls;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use frames::{Lookup, Walk};
use goheap_allocator::lock::{Lock, Rank};
use goheap_allocator::os;
use goheap_allocator::sample::Stack;
use rules::Tables;

/// How often a thread that needs what another sets up lets others run meanwhile.
const WAITS: usize = 1000;

/// What a walk needs.
struct Walker {
    tables: Box<Tables>,
    stack: machine::Stack,
}

static WALKER: Lock<Option<Walker>> = Lock::new(Rank::Walker, None);
/// The cache of the thread that sets a walker up, 0 if none does.
static BUSY: AtomicUsize = AtomicUsize::new(0);

/// Has `stack` be the calling thread's. May allocate: the calling thread holds no lock of the heap.
#[inline(never)]
pub fn capture(stack: &mut Stack) {
    let start = machine::registers();
    // SAFETY: this function's registers, and it goes on.
    if unsafe { stack.is_still(start) } {
        return;
    }
    for again in [true, false] {
        let mut walk = Walk::begin(start, stack);
        let mut walker = WALKER.lock();
        let known = walker.as_mut().map(|walker| {
            let all = walker.walk(&mut walk);
            (all, walker.tables.modules.changes)
        });
        drop(walker);
        let stale = match known {
            None => true,
            Some((true, _)) => false,
            Some((false, changes)) => changes != Modules::changes(),
        };
        if !stale {
            return walk.end();
        }
        if !(again && set_up()) {
            return;
        }
    }
}

/// Reads which modules there are, for walks from now on. `false`: this thread is at it already, or another
/// does not get on with it.
fn set_up() -> bool {
    let own = core::ptr::from_ref(tls::at_hand()).addr();
    // Acquire, and Release below: who sees nobody busy sees what the last one did.
    if let Err(other) = BUSY.compare_exchange(0, own, Acquire, Relaxed) {
        // It may wait for something that this thread holds, so it is not waited for long.
        let waits = if other == own { 0 } else { WAITS };
        for _ in 0..waits {
            os::yield_now();
            if BUSY.load(Acquire) == 0 {
                return true;
            }
        }
        return false;
    }
    let mut made = None;
    if let Some(stack) = machine::Stack::new() {
        let mut tables = None;
        stack.run(&mut || tables = Some(Box::new(Tables::now())));
        made = tables.map(|tables| Walker { tables, stack });
    }
    let ready = made.is_some();
    if ready {
        let old = core::mem::replace(&mut *WALKER.lock(), made);
        drop(old);
    }
    BUSY.store(0, Release);
    ready
}

impl Walker {
    /// Walks to the end. `false`: it came by an address that no known module has.
    fn walk(&mut self, walk: &mut Walk) -> bool {
        let Self { tables, stack } = self;
        let mut at = Lookup(walk.registers.pc);
        let mut all = true;
        loop {
            let rule = tables.kept(at.0).unwrap_or_else(|| {
                let mut found = None;
                stack.run(&mut || found = tables.find(at.0));
                all &= found.is_some();
                found.unwrap_or(rules::Rule::Unknown)
            });
            let next = walk.step(rule, |registers, link, read| {
                let mut caller = None;
                stack.run(&mut || caller = tables.evaluate(at.0, registers, link, read));
                caller
            });
            match next {
                Some(next) => at = next,
                None => return all,
            }
        }
    }
}

/// The locks, for the span of a `fork`.
pub fn fork_lock() {
    modules::fork_lock();
    WALKER.fork_lock();
}

/// Ends [`fork_lock`].
///
/// # Safety
/// The calling thread took them.
pub unsafe fn fork_unlock() {
    // SAFETY: the caller's contract.
    unsafe {
        WALKER.fork_unlock();
        modules::fork_unlock();
    }
}

/// In the child of a `fork`, where whoever was setting up is not.
pub fn after_fork_in_child() {
    BUSY.store(0, Relaxed);
}

#[cfg(test)]
mod tests;
