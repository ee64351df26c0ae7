//! The heap's address space as a map, for the process itself and for who looks from outside.

use crate::runtime::{HEAP, RUNTIME};
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use goheap_allocator::heap::{self, Occupancy, Use};
use goheap_allocator::os;
use goheap_stats::map::{Fragmentation, Measure, Moment, Run, Sheet, State};

/// Calls `with` for each run of the heap's address space, by address: each span, and idle pages of a state as far as
/// they are in a row. Returns when that was, which turns the runs' cycles into time.
///
/// Runs never overlap, and leave gaps only between reservations. What the calling thread and others have freed
/// before is dead in them. Other threads go on meanwhile: a run is what it was when the walk came by, so
/// sums are exact only while they rest. No lock of the heap is held while `with` runs, so it may
/// allocate; what it allocates is in the runs to come. Costs a look at each page and each object's death byte: some
/// three milliseconds for 100 MiB of objects of 64 bytes, and nothing for those who do not look.
pub fn heap_map(mut with: impl FnMut(&Run)) -> Moment {
    RUNTIME.start();
    let moment = moment();
    HEAP.map(|run| with(&told(run)));
    moment
}

/// How full the spans are, how idle memory is cut up, and how old what keeps sparse spans is. Costs
/// what [`heap_map`] costs, and a little memory.
pub fn fragmentation() -> Fragmentation {
    RUNTIME.start();
    let mut measure = Measure::new(moment());
    HEAP.map(|run| measure.add(&told(run)));
    measure.finish()
}

/// The map on a sheet of words that others read. Allocates nothing.
pub(crate) fn write(words: &[AtomicU64]) {
    let mut sheet = Sheet::new(words);
    let moment = heap_map(|run| sheet.add(run));
    sheet.finish(&moment);
}

fn moment() -> Moment {
    let history = RUNTIME.collector.lock().history().clone();
    let taken_ns = os::wall_clock_ns();
    let runs_for = os::monotonic_ns().saturating_sub(RUNTIME.started_ns.load(Relaxed));
    Moment {
        taken_ns,
        started_ns: taken_ns.saturating_sub(runs_for),
        cycle: history.cycles,
        ends_ns: history.pause_ends_ns,
    }
}

fn told(run: heap::Run) -> Run {
    let (state, span) = match run.used {
        Use::InUse(span) => (State::InUse, Some(span)),
        Use::Cached(span) => (State::Cached, Some(span)),
        Use::Unswept(span) => (State::Unswept, Some(span)),
        Use::SetAside => (State::SetAside, None),
        Use::SetAsideReleased => (State::SetAsideReleased, None),
        Use::Retained => (State::Retained, None),
        Use::Released => (State::Released, None),
        Use::Untouched => (State::Untouched, None),
        Use::Padding => (State::Padding, None),
        Use::Stacks => (State::Stacks, None),
    };
    let bytes = run.bytes as u64;
    let slot_bytes = |span: Occupancy| match span.class.bytes() {
        0 => bytes,
        small => small as u64,
    };
    let count = |of: fn(&Occupancy) -> usize| span.as_ref().map_or(0, of) as u16;
    Run {
        address: run.address as u64,
        bytes,
        state,
        class: count(|span| span.class.index()) as u8,
        slot_bytes: span.map_or(0, slot_bytes),
        slots: count(|span| span.slots),
        live: count(|span| span.live),
        dead: count(|span| span.dead),
        waiting: count(|span| span.waiting),
        opened: span.map_or(0, |span| span.opened),
        left: span.and_then(|span| span.left),
    }
}
