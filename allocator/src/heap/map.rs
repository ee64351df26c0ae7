//! The heap as a map: what each stretch of its address space is, and how full the spans are.

use super::Heap;
use super::walk::What;
use crate::os::Os;
use crate::size_class::SizeClass;
use crate::span::{Span, State};

/// What a stretch of pages is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// A span in a central list, which the last sweep has seen.
    InUse(Occupancy),
    /// A span that a thread allocates from.
    Cached(Occupancy),
    /// A span that the sweep under way has yet to see.
    Unswept(Occupancy),
    /// Set aside by a thread for its next spans; backed by memory.
    SetAside,
    /// The same, released.
    SetAsideReleased,
    /// Idle, and backed by memory.
    Retained,
    /// Idle, and handed back to the system.
    Released,
    /// Idle, and never used since the heap grew by it.
    Untouched,
    /// Left out for good at the heap's start.
    Padding,
    /// Stacks of the background threads.
    Stacks,
}

/// How full a span is. What is neither of the three is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occupancy {
    /// The class of its objects.
    pub class: SizeClass,
    /// Slots it has.
    pub slots: usize,
    /// Of these, objects that nobody has freed.
    pub live: usize,
    /// Objects that were freed, and that no sweep has reclaimed.
    pub dead: usize,
    /// Slots that its thread has at hand.
    pub waiting: usize,
    /// The cycle after which it was opened: no object in it is older.
    pub opened: u32,
    /// The cycle after which the last object was allocated in it, at the latest: none is younger. `None` if a
    /// thread still allocates from it.
    pub left: Option<u32>,
}

/// Pages in a row that are one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Address of the first.
    pub address: usize,
    /// Bytes of them all.
    pub bytes: usize,
    /// What they are.
    pub used: Use,
}

impl<O: Os> Heap<O> {
    /// Calls `with` for each run of the heap's address space, by address, while threads go on; see `walk.rs`. What
    /// threads have freed before is dead in it. No lock of the heap is held while `with` runs. Costs a look at
    /// each page and each death byte: some three milliseconds for 100 MiB of small objects.
    pub fn map(&self, mut with: impl FnMut(Run)) {
        self.drain_all();
        let epoch = self.progress.epoch();
        self.walk(|stretch| {
            let range = self.range_of(&stretch);
            let used = match stretch.what {
                What::Span(span) => self.span_in_use(span, epoch),
                What::SetAside { released: false } => Use::SetAside,
                What::SetAside { released: true } => Use::SetAsideReleased,
                What::Retained => Use::Retained,
                What::Released => Use::Released,
                What::Untouched => Use::Untouched,
                What::Padding => Use::Padding,
                What::Stacks => Use::Stacks,
            };
            with(Run {
                address: range.start,
                bytes: range.len(),
                used,
            });
        });
    }

    fn span_in_use(&self, span: &Span, epoch: u32) -> Use {
        let state = span.state();
        let census = self.census(span);
        let occupancy = Occupancy {
            class: span.class(),
            slots: span.slots(),
            live: census.live,
            dead: census.dead,
            waiting: census.waiting,
            opened: span.opened(),
            left: (state != State::Cached).then(|| span.left()),
        };
        match state {
            State::Cached => Use::Cached(occupancy),
            _ if span.swept() != epoch => Use::Unswept(occupancy),
            _ => Use::InUse(occupancy),
        }
    }

    /// Counts the slots of a span.
    pub(super) fn census(&self, span: &Span) -> Census {
        let bin = self.bin_of(span);
        let (mut live, mut dead) = (0, 0);
        for word in 0..span.word_count() {
            let (taken, died) = span.taken_and_dead(word);
            let beyond = 64 - span.slots_in(word);
            dead += died.count_ones() as usize;
            live += ((taken & !died).count_ones() as usize).saturating_sub(beyond);
        }
        let waiting = bin.map_or(0, |bin| bin.free.count_ones() as usize);
        let waiting = waiting.min(live);
        Census {
            live: live - waiting,
            dead,
            waiting,
        }
    }
}

/// A span's slots that are not free.
pub(super) struct Census {
    pub live: usize,
    pub dead: usize,
    pub waiting: usize,
}
