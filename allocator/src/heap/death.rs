//! Deaths: from a thread's log into spans, and the close of an epoch.

use super::Heap;
use super::report::report_and_abort;
use super::watch::poison;
use crate::PAGE;
use crate::cache::{Cache, Drained};
use crate::os::Os;
use crate::prefetch;
use crate::span::{Misuse, Plot, Span, Tag};
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

/// Deaths dealt with at a time: enough to have their cache misses overlap, few
/// enough that what is fetched early is still there when it is used.
const GROUP: usize = 32;
/// The spans of a heap of so many bytes have their headers in a near cache as it is.
const NEAR: u64 = 16 << 20;

/// What died in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deaths {
    /// Bytes, by slot size.
    pub bytes: u64,
    /// Objects.
    pub objects: u64,
}

impl Deaths {
    /// Nothing.
    pub const NONE: Self = Self {
        bytes: 0,
        objects: 0,
    };
}

impl<O: Os> Heap<O> {
    /// Empties the calling thread's log into the spans.
    ///
    /// # Safety
    /// The calling thread owns `cache`.
    pub unsafe fn flush(&self, cache: &Cache) {
        if self.is_watched() {
            return;
        }
        let mut drained = cache.drained.lock();
        self.drain(cache, &mut drained);
        cache.restart_log();
        drained.upto = 0;
    }

    /// Frees for a thread whose log is full: empties it first. In a [watched](Heap::watch) heap, where logs
    /// have no room, the death is dealt with at once.
    ///
    /// # Safety
    /// The calling thread owns `cache`.
    #[cold]
    pub unsafe fn free(&self, cache: &Cache, address: usize) {
        if self.is_watched() {
            return self.free_watched(cache, address);
        }
        // SAFETY: the caller's contract.
        unsafe {
            while !cache.log(address) {
                self.flush(cache);
            }
        }
    }

    fn free_watched(&self, cache: &Cache, address: usize) {
        let mut drained = cache.drained.lock();
        let entry = [AtomicUsize::new(address)];
        let bytes = self.deal_with(&entry, &mut drained);
        // No sweep frees what died now before it has waited for this lock.
        if self.poisons() {
            // A block that tiny objects share dies as a whole.
            let slot = self
                .span_at(address)
                .map_or(address, |s| s.slot_start(address));
            // SAFETY: the object's own memory, and nobody's now.
            unsafe { poison::fill(slot, bytes as usize) };
        }
    }

    /// Writes every death logged so far into its span. Stops nobody, as [`Heap::close_epoch`].
    pub(super) fn drain_all(&self) {
        self.for_each_cache(|cache| self.drain(cache, &mut cache.drained.lock()));
    }

    /// Deals with what the log has got; its owner may go on writing.
    pub(super) fn drain(&self, cache: &Cache, drained: &mut Drained) {
        let entries = cache.logged(drained.upto);
        self.deal_with(entries, drained);
        drained.upto += entries.len();
    }

    /// Writes deaths down, or carries them out if that is to be; returns the bytes written down.
    fn deal_with(&self, entries: &[AtomicUsize], drained: &mut Drained) -> u64 {
        if self.eager.load(Relaxed) {
            self.free_at_once(entries);
            return 0;
        }
        let deaths = self.bury(entries, drained.tag);
        drained.deaths.bytes += deaths.bytes;
        drained.deaths.objects += deaths.objects;
        deaths.bytes
    }

    /// Writes deaths into their spans; returns what died. In a large heap, what they will touch is
    /// asked for a group at a time: the spans' headers two groups ahead, and one ahead, where these
    /// say, the death bytes.
    fn bury(&self, entries: &[AtomicUsize], tag: Tag) -> Deaths {
        if self.pages.bytes.in_use.get() <= NEAR {
            return self.bury_group(entries, tag);
        }
        let groups = || entries.chunks(GROUP).map(Some);
        let headers = groups().chain([None, None]);
        let deaths = [None].into_iter().chain(groups()).chain([None]);
        let graves = [None, None].into_iter().chain(groups());
        let mut all = Deaths::NONE;
        for ((header, death), grave) in headers.zip(deaths).zip(graves) {
            self.prefetch_headers(header.unwrap_or_default());
            self.prefetch_deaths(death.unwrap_or_default());
            let deaths = self.bury_group(grave.unwrap_or_default(), tag);
            all.bytes += deaths.bytes;
            all.objects += deaths.objects;
        }
        all
    }

    fn prefetch_headers(&self, group: &[AtomicUsize]) {
        let view = self.arena.view();
        for entry in group {
            prefetch::for_read(view.span_of(entry.load(Relaxed)));
        }
    }

    fn prefetch_deaths(&self, group: &[AtomicUsize]) {
        let view = self.arena.view();
        for entry in group {
            let address = entry.load(Relaxed);
            // SAFETY: an entry of the table is a header, which lives for ever, or null.
            if let Some(span) = unsafe { view.span_of(address).as_ref() } {
                span.prefetch_death(address);
            }
        }
    }

    /// Deaths that follow each other in one page, most do, share a look-up.
    fn bury_group(&self, group: &[AtomicUsize], tag: Tag) -> Deaths {
        let view = self.arena.view();
        let (mut bytes, mut spared) = (0, 0);
        let mut plot = Plot::NOWHERE;
        let mut last = usize::MAX;
        for entry in group {
            let address = entry.load(Relaxed);
            if (address ^ last) >= PAGE {
                // SAFETY: an entry of the table is a header, which lives for ever, or null.
                plot = match unsafe { view.span_of(address).as_ref() } {
                    Some(span) => span.plot(tag),
                    None => self.span_elsewhere(address).plot(tag),
                };
            }
            last = address;
            // SAFETY: the address is in the page that the span was found by.
            if !unsafe { plot.bury(address, tag) } && !bury_rarity(plot.span(), address, tag) {
                spared += 1;
                continue;
            }
            bytes += plot.span().slot_bytes() as u64;
        }
        Deaths {
            bytes,
            objects: (group.len() - spared) as u64,
        }
    }

    #[cold]
    #[inline(never)]
    fn span_elsewhere(&self, address: usize) -> &Span {
        // SAFETY: as in `bury_group`.
        match unsafe { self.arena.span_of(address).as_ref() } {
            Some(span) => span,
            None => report_and_abort(address, Misuse::Foreign),
        }
    }

    /// Closes the epoch: every death logged so far counts for the next sweep, every later one
    /// for the sweep after it. Returns the tag that is condemned and what died with it.
    /// Stops nobody: a thread that frees meanwhile waits for its own log at the most.
    ///
    /// Callers have seen to it that all spans are swept.
    pub fn close_epoch(&self) -> (Tag, Deaths) {
        let mut registry = self.registry.lock();
        let condemned = registry.tag;
        registry.tag = condemned.other();
        let mut all = Deaths::NONE;
        self.for_each_cache(|cache| {
            let mut drained = cache.drained.lock();
            self.drain(cache, &mut drained);
            let deaths = core::mem::replace(&mut drained.deaths, Deaths::NONE);
            all.bytes += deaths.bytes;
            all.objects += deaths.objects;
            drained.tag = condemned.other();
        });
        registry.died += all.bytes;
        (condemned, all)
    }
}

/// Buries what a [`Plot`](crate::span::Plot) would not: a large object or a tiny one, if nothing is wrong.
/// Whether its slot died.
#[cold]
#[inline(never)]
fn bury_rarity(span: &Span, address: usize, tag: Tag) -> bool {
    match span.bury_rarity(address, tag) {
        Ok(died) => died,
        Err(misuse) => report_and_abort(address, misuse),
    }
}
