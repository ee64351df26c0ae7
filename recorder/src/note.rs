//! A call's event, and whether this process has a ring to put it in.
//!
//! What a process knows of its ring is in one page that the kernel clears in forked children, however they
//! are forked: a child finds [`Phase::New`] there, and makes a ring of its own or none.

use core::ptr::{null_mut, with_exposed_provenance};
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize};
use core::time::Duration;

use goheap_ring::{Event, Kind, Ring};

use crate::{attach, thread};

/// How far this process is. What happens while it is `Attaching` is not recorded: that can only
/// be a signal's handler, or a thread as old as the process.
#[repr(u32)]
enum Phase {
    New = 0,
    Attaching = 1,
    Recording = 2,
    Off = 3,
}

/// Cleared in forked children.
#[repr(C)]
struct Page {
    phase: AtomicU32,
    /// Where the ring is mapped.
    ring: AtomicUsize,
    /// The process's number, which tells a child's threads that theirs are the parent's.
    pid: AtomicU32,
}

static PAGE: AtomicPtr<Page> = AtomicPtr::new(null_mut());

/// A program that never allocates has a ring, too: it is known to have been there.
#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = {
    extern "C" fn start() {
        recording();
    }
    start
};

/// The process's page and its ring, if it has one.
#[inline]
fn recording() -> Option<(&'static Page, &'static Ring)> {
    // Acquire: pairs with the exchange in `page_made`.
    let page = PAGE.load(Acquire);
    // SAFETY: a page is mapped once and stays.
    let page = match unsafe { page.as_ref() } {
        Some(page) => page,
        None => page_made()?,
    };
    // Acquire: pairs with Release in `attach_to`.
    let mut phase = page.phase.load(Acquire);
    if phase == Phase::New as u32 {
        attach_to(page);
        phase = page.phase.load(Acquire);
    }
    if phase != Phase::Recording as u32 {
        return None;
    }
    // SAFETY: the ring was mapped before the phase said so, and stays; all of it is atomic.
    let ring = unsafe { &*with_exposed_provenance::<Ring>(page.ring.load(Relaxed)) };
    Some((page, ring))
}

/// Notes that this happened, or is about to.
#[inline]
pub fn note(kind: Kind, address: usize, size: usize, align: u8) {
    let Some((page, ring)) = recording() else {
        return;
    };
    let thread = thread::number(page.pid.load(Relaxed), || ring.new_thread());
    let nanos = attach::nanos();
    let ticket = ring.draw();
    if !ring.has_room(ticket) && !waited(ring, ticket) {
        page.phase.store(Phase::Off as u32, Relaxed);
        return;
    }
    let event = Event {
        kind,
        thread,
        align,
        address: address as u64,
        size: size as u64,
        nanos,
    };
    ring.publish(ticket, event);
}

#[cold]
fn page_made() -> Option<&'static Page> {
    let _errno = attach::Errno::kept();
    let new = attach::wiped_on_fork(size_of::<Page>())?.cast::<Page>();
    // AcqRel: pairs with Acquire in `note`. Who comes second leaves its page unused.
    let page = match PAGE.compare_exchange(null_mut(), new.as_ptr(), AcqRel, Acquire) {
        Ok(_) => new.as_ptr(),
        Err(first) => first,
    };
    // SAFETY: mapped, zero, and never unmapped.
    Some(unsafe { &*page })
}

#[cold]
fn attach_to(page: &Page) {
    let taken =
        page.phase
            .compare_exchange(Phase::New as u32, Phase::Attaching as u32, Relaxed, Relaxed);
    if taken.is_err() {
        return;
    }
    let _errno = attach::Errno::kept();
    let phase = match attach::ring() {
        Some(ring) => {
            page.ring.store(ring.as_ptr().expose_provenance(), Relaxed);
            page.pid.store(attach::pid(), Relaxed);
            Phase::Recording
        }
        None => Phase::Off,
    };
    // Release: pairs with Acquire in `note`.
    page.phase.store(phase as u32, Release);
}

/// Waits for room. False when nobody reads any more, and there will be none.
#[cold]
fn waited(ring: &Ring, ticket: u64) -> bool {
    const NAP: Duration = Duration::from_micros(50);
    /// Naps until it is asked whether there is a reader: a second of them.
    const PATIENCE: u32 = 20_000;
    let _errno = attach::Errno::kept();
    let mut naps = 0;
    while !ring.has_room(ticket) {
        if ring.is_closed() || (naps % PATIENCE == PATIENCE - 1 && !attach::is_read()) {
            return false;
        }
        attach::nap(NAP);
        naps += 1;
    }
    true
}
