//! A large object that grows where it is. Go has no counterpart: there a slice that grows is copied.

use super::{Heap, Refill};
use crate::os::Os;
use crate::size_class::SizeClass;
use crate::{PAGE, pages_for};

impl<O: Os> Heap<O> {
    /// Lets the large object at `address` take as many of the pages behind it as `bytes` need. `None`: it
    /// is no large object, has these pages already, or somebody else has one of those behind it. For the
    /// counters that is an allocation of what is new, though no object more; for the heap profile, as if it had been
    /// moved. Returns what it cost, and whether it is to be sampled anew.
    ///
    /// # Safety
    /// The object is live, and the caller's: nobody frees it meanwhile.
    pub unsafe fn grow_large(&self, address: usize, bytes: usize) -> Option<(Refill, bool)> {
        // SAFETY: an entry of the table is a header, which lives for ever, or null.
        let span = unsafe { self.arena.span_of(address).as_ref() }?;
        let (first, old) = (span.first_page(), span.pages());
        let more = pages_for(bytes)?
            .checked_sub(old)
            .filter(|&more| more > 0)?;
        if span.class() != SizeClass::LARGE || span.base() != address {
            return None;
        }
        // Whoever looks at the class's spans, as a sweep does, finds this one before or after.
        let lists = self.central.class(SizeClass::LARGE).lock();
        let run = self.pages.take_at(first + old, more)?;
        span.extend(old + more, run.dirty);
        self.arena.set_spans(run.first, more, Some(span));
        self.central.counts(SizeClass::LARGE).tell(more * PAGE);
        let sampled = self.sample_again(&lists, span, more * PAGE);
        drop(lists);
        self.live().add(more * PAGE);
        Some((run.into(), sampled))
    }
}
