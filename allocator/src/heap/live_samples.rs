//! What samples tell of objects in use, for who explains where memory is.
//!
//! A record knows what its object asked for, and its span how much the slot takes: the difference is rounding.

use super::Heap;
use crate::PAGE;
use crate::os::Os;
use crate::sample::Table;
use crate::size_class::SizeClass;
use crate::span::{SHARED, Span};
use core::sync::atomic::Ordering::Relaxed;

/// Physical pages that are asked for at once.
const AT_ONCE: usize = 1024;

/// An object that was sampled, and that nobody has freed. In bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveSample {
    /// Its size class.
    pub class: SizeClass,
    /// Its slot; of a large object, its span.
    pub slot_bytes: usize,
    /// Of these, what is in memory. Of a small object, all.
    pub resident: usize,
    /// Of these, what was asked for. A block that tiny objects share counts as asked for whole.
    pub requested: usize,
}

impl<O: Os> Heap<O> {
    /// Calls `with` for each live object that was sampled. `ask` says of physical pages from an address on which are in
    /// memory. Neither may allocate from this heap, nor wait for who does: samples wait meanwhile. Costs a
    /// look at each sampled object, and at each page of the large ones.
    pub fn for_each_live_sample(
        &self,
        ask: impl Fn(usize, &mut [bool]),
        mut with: impl FnMut(LiveSample),
    ) {
        self.samples.lock().for_each_record(|record, _| {
            // A record is forgotten under the table's lock before its slot is freed, so the span is there.
            // SAFETY: an entry of the table is a header, which lives for ever, or null.
            let Some(span) = (unsafe { self.arena.span_of(record.address).as_ref() }) else {
                return;
            };
            let slot_bytes = span.slot_bytes();
            let asked_for = (record.requested as usize).min(slot_bytes);
            let death = span.death(span.slot_of(record.address)).load(Relaxed);
            let (resident, requested) = match death {
                SHARED => (slot_bytes, slot_bytes),
                0 if span.class() == SizeClass::LARGE => self.resident(&ask, span, asked_for),
                0 => (slot_bytes, asked_for),
                _ => return,
            };
            with(LiveSample {
                class: span.class(),
                slot_bytes,
                resident,
                requested,
            });
        });
    }

    /// Of a large object, what is in memory, and how much of that is within its first bytes.
    fn resident(
        &self,
        ask: &impl Fn(usize, &mut [bool]),
        span: &Span,
        first: usize,
    ) -> (usize, usize) {
        let physical = self.os.physical_page();
        let piece = physical.min(PAGE);
        let (mut all, mut within) = (0, 0);
        let mut pages = [false; AT_ONCE];
        for from in (0..span.slot_bytes()).step_by(AT_ONCE * piece) {
            let upto = span.slot_bytes().min(from + AT_ONCE * piece);
            // Physical pages may be larger than the heap's: the first may begin before.
            let at = (span.base() + from) & !(physical - 1);
            let count = (span.base() + upto - at).div_ceil(physical);
            ask(at, &mut pages[..count]);
            for piece_at in (from..upto).step_by(piece) {
                if pages[(span.base() + piece_at - at) / physical] {
                    all += piece;
                    within += first.saturating_sub(piece_at).min(piece);
                }
            }
        }
        (all, within)
    }

    /// Calls `with` for each site, with the bytes of a slot of its objects, and how many sampled ones were in use as of the
    /// last completed cycle: what the heap profile shows. The same holds as for
    /// [`for_each_live_sample`](Heap::for_each_live_sample).
    pub fn for_each_count_in_use(&self, mut with: impl FnMut(usize, u64)) {
        let cycle = self.published_cycle();
        self.samples.lock().for_each_site(|site| {
            let counts = Table::counts(site, cycle);
            with(site.slot_bytes, counts.allocs - counts.frees);
        });
    }
}
