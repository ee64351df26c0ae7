//! Deaths: from a thread's log into spans, and the close of an epoch.

use super::Heap;
use super::report::report_and_abort;
use super::watch::poison;
use crate::PAGE_SHIFT;
use crate::cache::{Cache, Drained};
use crate::os::Os;
use crate::span::{Entry, Grave, Misuse, Plot, Span, Tag};
use crate::tiny::BLOCK;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

/// How many deaths ahead: enough to have their cache misses overlap, few enough that what is fetched
/// early is still there when it is used.
const AHEAD: usize = 32;
/// The spans of a heap of so many bytes have their death bytes in a near cache as it is.
const NEAR: u64 = 16 << 20;

/// Deaths that tell in what order the others of a log come.
const FEW: usize = 32;

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

/// Whether deaths follow each other in one page, as the first few tell: nearly all do, where what was allocated in a row is
/// freed in a row. Where fewer do, to look at each costs less than to ask whether it is one of these, which a processor
/// guesses wrong.
fn in_runs(entries: &[AtomicUsize]) -> bool {
    let page = |entry: &AtomicUsize| entry.load(Relaxed) >> PAGE_SHIFT;
    let first = &entries[..entries.len().min(FEW)];
    let same = first.windows(2).filter(|w| page(&w[0]) == page(&w[1]));
    same.count() * 8 >= first.len() * 7
}

/// Writes down a death if its page told where; else, or where one is written already, it is a
/// [rarity](bury_rarity) in `span`.
#[inline(always)]
fn bury_in(
    grave: Option<Grave>,
    span: impl FnOnce() -> *const Span,
    address: usize,
    tag: Tag,
    all: &mut Deaths,
) {
    // SAFETY: a plot's.
    if !grave.is_some_and(|grave| unsafe { grave.bury(tag) }) {
        bury_rarity(span(), address, tag, all);
    }
}

/// Buries a tiny object or a large one, if nothing is wrong. `all` was counted as if it were any other.
#[cold]
#[inline(never)]
fn bury_rarity(span: *const Span, address: usize, tag: Tag, all: &mut Deaths) {
    // SAFETY: an entry of the table is a header, which lives for ever, or null.
    let Some(span) = (unsafe { span.as_ref() }) else {
        refuse(None, address)
    };
    match span.bury_shared(address, tag) {
        Some(true) => {}
        // Others in its block live.
        Some(false) => {
            all.bytes = all.bytes.wrapping_sub(BLOCK as u64);
            all.objects -= 1;
        }
        None if span.bury_large(address, tag) => {
            all.bytes = all.bytes.wrapping_add(span.slot_bytes() as u64);
        }
        None => refuse(Some(span), address),
    }
}

/// Out of line, so that what is seldom wrong needs no room for saying so.
#[cold]
#[inline(never)]
fn refuse(span: Option<&Span>, address: usize) -> ! {
    let misuse = span.map_or(Misuse::Foreign, |span| span.what_is_wrong(address));
    report_and_abort(address, misuse)
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
        cache.death_log().restart();
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
        let entries = cache.death_log().since(drained.upto);
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

    /// Writes deaths into their spans; returns what died.
    fn bury(&self, entries: &[AtomicUsize], tag: Tag) -> Deaths {
        let mut all = Deaths {
            bytes: 0,
            objects: entries.len() as u64,
        };
        let far = self.pages.bytes.in_use.get() > NEAR;
        let bytes = match (far, in_runs(entries)) {
            (false, true) => self.bury_near::<true>(entries, tag, &mut all),
            (false, false) => self.bury_near::<false>(entries, tag, &mut all),
            (true, true) => self.bury_far::<true>(entries, tag, &mut all),
            (true, false) => self.bury_far::<false>(entries, tag, &mut all),
        };
        all.bytes = all.bytes.wrapping_add(bytes);
        all
    }

    fn bury_near<const RUNS: bool>(
        &self,
        entries: &[AtomicUsize],
        tag: Tag,
        all: &mut Deaths,
    ) -> u64 {
        self.each_grave::<RUNS>(entries, |plot, grave, address| {
            bury_in(grave, || plot.span(), address, tag, all);
        })
    }

    /// In a large heap the byte that each death will touch is asked for some deaths ahead.
    fn bury_far<const RUNS: bool>(
        &self,
        entries: &[AtomicUsize],
        tag: Tag,
        all: &mut Deaths,
    ) -> u64 {
        let span_of = |address| self.arena.span_of(address).cast_const();
        let mut ahead = [(None, 0); AHEAD];
        let mut found = 0;
        let bytes = self.each_grave::<RUNS>(entries, |_, grave, address| {
            if let Some(grave) = grave {
                grave.prefetch();
            }
            let (earlier, its) = core::mem::replace(&mut ahead[found % AHEAD], (grave, address));
            if found >= AHEAD {
                bury_in(earlier, || span_of(its), its, tag, all);
            }
            found += 1;
        });
        for last in found.saturating_sub(AHEAD)..found {
            let (grave, address) = ahead[last % AHEAD];
            bury_in(grave, || span_of(address), address, tag, all);
        }
        bytes
    }

    /// Calls `found` with each of these deaths, its page, and where it is to be written if the page tells; returns the
    /// bytes of their slots, but for large objects'. In `RUNS` deaths that follow each other in one page share a
    /// look-up.
    #[inline(always)]
    fn each_grave<const RUNS: bool>(
        &self,
        entries: &[AtomicUsize],
        mut found: impl FnMut(&Plot, Option<Grave>, usize),
    ) -> u64 {
        let view = self.arena.view();
        let mut bytes = 0;
        let mut plot = Plot::NOWHERE;
        for entry in entries {
            let address = entry.load(Relaxed);
            if !RUNS || !plot.holds(address) {
                let entry = match view.entry_of(address) {
                    Some(entry) => entry,
                    None => self.entry_elsewhere(address),
                };
                plot = Plot::new(entry, address);
            }
            bytes += plot.bytes();
            // SAFETY: the address is in the page that the plot is of.
            found(&plot, unsafe { plot.grave(address) }, address);
        }
        bytes
    }

    #[cold]
    #[inline(never)]
    fn entry_elsewhere(&self, address: usize) -> Entry {
        self.arena.entry_of(address)
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
