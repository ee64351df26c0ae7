//! Guarded objects: one in `GOHEAP_GUARD` stands alone on a page of the kernel's between pages that nobody may touch, so
//! that a step over its edge, or a use after its free, faults in that moment (as GWP-ASan has it).
//!
//! A guarded object keeps the slot that it was to have: its *shadow* on the heap, so counters, cycles and
//! checks know of nothing new. Half of them end with their page, the others begin with it: the first kind
//! meets overflows, the second underflows. What a slot has beyond what was asked for counts as the object's,
//! since it may grow into that in place.
//!
//! After its free a page stays closed until all others were used: the one that was freed first is used
//! again first. The heap is [watched](goheap_allocator::Heap::watch), so that a free is noticed in its call.

use crate::runtime::{HEAP, RUNTIME};
use core::ffi::CStr;
use core::fmt::{Arguments, Write};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize};
use goheap_allocator::lock::{Lock, Rank};
use goheap_allocator::os::{self, Line};
use goheap_allocator::sample::Stack;

/// Objects that may be guarded at a time.
const PLACES: usize = 256;
/// Bytes of the largest slot whose object is guarded. No physical page is smaller.
const LARGEST: usize = 4096;
/// Return addresses kept of a stack.
const DEPTH: usize = 24;

/// Who did something.
struct Trace {
    thread: AtomicU32,
    stack: [AtomicUsize; DEPTH],
}

impl Trace {
    const fn none() -> Self {
        Self {
            thread: AtomicU32::new(0),
            stack: [const { AtomicUsize::new(0) }; DEPTH],
        }
    }

    /// The calling thread, here.
    fn take(&self, stack: &[usize; DEPTH]) {
        self.thread.store(os::thread_id(), Relaxed);
        let places = self.stack.iter().zip(stack);
        places.for_each(|(place, &address)| place.store(address, Relaxed));
    }
}

/// A page for an object. Written under the pool's lock; read without it by who tells of a fault.
struct Place {
    /// Where its last object begins; 0 if it had none.
    at: AtomicUsize,
    /// The object's slot on the heap.
    shadow: AtomicUsize,
    /// Bytes of that.
    room: AtomicUsize,
    asked: AtomicUsize,
    live: AtomicBool,
    allocated: Trace,
    freed: Trace,
}

static PLACE: [Place; PLACES] = [const {
    Place {
        at: AtomicUsize::new(0),
        shadow: AtomicUsize::new(0),
        room: AtomicUsize::new(0),
        asked: AtomicUsize::new(0),
        live: AtomicBool::new(false),
        allocated: Trace::none(),
        freed: Trace::none(),
    }
}; PLACES];

/// Places without an object, the one that has waited longest first, in a ring.
struct Pool {
    waiting: [u16; PLACES],
    first: usize,
    count: usize,
    begun: bool,
}

static POOL: Lock<Pool> = Lock::new(
    Rank::Guarded,
    Pool {
        waiting: [0; PLACES],
        first: 0,
        count: 0,
        begun: false,
    },
);
/// Where the pool lies; 0 before there is one.
static BASE: AtomicUsize = AtomicUsize::new(0);
/// Places with an object.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// Bytes of a place, and of what lies between two: the kernel closes and opens no less.
fn page_bytes() -> usize {
    RUNTIME.physical_page.load(Relaxed) as usize
}

/// Bytes from the first to the last page that nobody may touch.
fn extent() -> usize {
    (2 * PLACES + 1) * page_bytes()
}

/// Bytes of pages that are open.
pub fn open_bytes() -> u64 {
    (OPEN.load(Relaxed) * page_bytes()) as u64
}

/// Whether `address` lies in the pool.
#[inline]
pub fn owns(address: usize) -> bool {
    // Acquire: pairs with Release in `begin`.
    let base = BASE.load(Acquire);
    base != 0 && address.wrapping_sub(base) < extent()
}

fn place_at(number: usize) -> usize {
    BASE.load(Relaxed) + (2 * number + 1) * page_bytes()
}

/// Reserves the pool, once.
fn begin(pool: &mut Pool) {
    if !core::mem::replace(&mut pool.begun, true)
        && let Some(base) = os::reserve_guarded(extent())
    {
        pool.waiting = core::array::from_fn(|i| i as u16);
        pool.count = PLACES;
        // Release: pairs with Acquire in `owns`.
        BASE.store(base, Release);
        // SAFETY: once in the process, under the pool's lock.
        unsafe { os::tell_of_faults(tell) };
    }
}

fn stack() -> [usize; DEPTH] {
    #[cfg_attr(
        not(feature = "profile"),
        expect(unused_mut, reason = "nothing walks stacks without it")
    )]
    let mut stack = Stack::new();
    #[cfg(feature = "profile")]
    crate::profile::capture(&mut stack);
    let mut found = stack.addresses().iter();
    core::array::from_fn(|_| found.next().copied().unwrap_or(0))
}

/// Guards the object of `asked` bytes that was to have the slot `shadow`. `None`: its slot is larger than
/// 4 KiB, no place waits, or the system refuses.
#[cold]
pub fn place(shadow: usize, asked: usize) -> Option<usize> {
    let (_, room) = HEAP.slot_of(shadow).filter(|(_, room)| *room <= LARGEST)?;
    let stack = stack();
    let mut pool = POOL.lock();
    begin(&mut pool);
    if pool.count == 0 {
        return None;
    }
    let number = usize::from(pool.waiting[pool.first]);
    let page = place_at(number);
    // SAFETY: a page of the pool.
    if !unsafe { os::open_guarded(page, page_bytes()) } {
        return None;
    }
    pool.first = (pool.first + 1) % PLACES;
    pool.count -= 1;
    let at = match number % 2 {
        0 => page + page_bytes() - room,
        _ => page,
    };
    let place = &PLACE[number];
    place.at.store(at, Relaxed);
    place.shadow.store(shadow, Relaxed);
    place.room.store(room, Relaxed);
    place.asked.store(asked, Relaxed);
    place.allocated.take(&stack);
    place.live.store(true, Relaxed);
    OPEN.fetch_add(1, Relaxed);
    Some(at)
}

/// The place that `address` lies in, or is nearest to.
fn place_of(address: usize) -> &'static Place {
    let page_bytes = page_bytes();
    let number = |address: usize| {
        let page = address.wrapping_sub(BASE.load(Relaxed)) / page_bytes;
        page.saturating_sub(1).min(2 * PLACES - 2) / 2
    };
    let (before, after) = (
        &PLACE[number(address)],
        &PLACE[number(address.wrapping_add(page_bytes))],
    );
    let distance = |place: &Place| {
        let (at, room) = (place.at.load(Relaxed), place.room.load(Relaxed));
        match at {
            0 => usize::MAX,
            _ if address < at => at - address,
            _ => address.saturating_sub(at + room),
        }
    };
    if distance(after) < distance(before) {
        after
    } else {
        before
    }
}

/// What the live object at `address` has beside it on the heap: its slot. Ends the process if there is none.
pub fn shadow_of(address: usize) -> usize {
    let place = place_of(address);
    let right = place.at.load(Relaxed) == address && place.live.load(Relaxed);
    if !right {
        let what = match place.at.load(Relaxed) == address {
            true => "double free or use after free",
            false => "invalid free: no guarded object begins there",
        };
        report(address, place, what);
        let stack = stack();
        print(format_args!("goheap:   now by thread {}:", os::thread_id()));
        print_stack(stack.into_iter());
        std::process::abort()
    }
    place.shadow.load(Relaxed)
}

/// Frees the guarded object at `address`; returns its slot on the heap, which is then to be freed.
#[cold]
pub fn free(address: usize) -> usize {
    let stack = stack();
    let mut pool = POOL.lock();
    let shadow = shadow_of(address);
    let place = place_of(address);
    place.freed.take(&stack);
    place.live.store(false, Relaxed);
    OPEN.fetch_sub(1, Relaxed);
    let page_bytes = page_bytes();
    let page = address / page_bytes * page_bytes;
    // SAFETY: a page of the pool, whose object is freed.
    unsafe { os::close_guarded(page, page_bytes) };
    let number = (page - BASE.load(Relaxed)) / page_bytes / 2;
    let last = (pool.first + pool.count) % PLACES;
    pool.waiting[last] = number as u16;
    pool.count += 1;
    shadow
}

/// Says what a fault in the pool means. Called by the thread that faults, in that moment.
fn tell(address: usize) {
    if !owns(address) {
        return;
    }
    let place = place_of(address);
    let (at, room) = (place.at.load(Relaxed), place.room.load(Relaxed));
    let what = match place.live.load(Relaxed) {
        _ if at == 0 => "access to a page that no object had yet",
        false => "use after free",
        true if address >= at + room => "overflow",
        true => "underflow",
    };
    report(address, place, what);
}

fn report(address: usize, place: &Place, what: &str) {
    let (at, room) = (place.at.load(Relaxed), place.room.load(Relaxed));
    let asked = place.asked.load(Relaxed);
    let (bytes, side) = match address.checked_sub(at) {
        None => (at - address, "before"),
        Some(offset) if offset < room => (offset, "into"),
        Some(offset) => (offset - room, "behind"),
    };
    print(format_args!(
        "goheap: {what}: {address:#x} is {bytes} bytes {side} a guarded object at {at:#x}, {asked} bytes in a slot of \
         {room}"
    ));
    print_trace("allocated", &place.allocated);
    print_trace("freed", &place.freed);
}

fn print_trace(what: &str, trace: &Trace) {
    let thread = trace.thread.load(Relaxed);
    if thread != 0 {
        print(format_args!("goheap:   {what} by thread {thread}:"));
        print_stack(trace.stack.iter().map(|frame| frame.load(Relaxed)));
    }
}

/// Each call, as file+address, which `addr2line` takes.
fn print_stack(frames: impl Iterator<Item = usize>) {
    for frame in frames.take_while(|frame| *frame != 0) {
        let (file, offset) = os::module_of(frame - 1).unwrap_or((c"?", frame));
        let file = CStr::to_str(file).unwrap_or("?");
        print(format_args!("goheap:     {frame:#x} {file}+{offset:#x}"));
    }
}

fn print(what: Arguments) {
    let mut line = Line::new();
    // Writing to a line cannot fail: it cuts what does not fit.
    let _ = writeln!(line, "{what}");
    os::stderr_line(line.text());
}

/// The pool's lock, for the span of a `fork`.
pub fn fork_lock() {
    POOL.fork_lock();
}

/// Ends [`fork_lock`].
///
/// # Safety
/// The calling thread took it.
pub unsafe fn fork_unlock() {
    // SAFETY: the caller's contract.
    unsafe { POOL.fork_unlock() };
}
