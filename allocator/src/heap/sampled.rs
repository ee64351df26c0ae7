//! Objects sampled for the heap profile: their slots are taken apart from others, their records hang on
//! their spans, and the sweep that frees an object forgets its record.

use super::Heap;
use crate::PAGE;
use crate::cache::Cache;
use crate::central::Lists;
use crate::meta::Kind;
use crate::os::Os;
use crate::sample::{Counts, Rate, Record, Stack, Table};
use crate::size_class::SizeClass;
use crate::span::{SHARED, Span};
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::Ordering::Relaxed;

/// A slot for an object.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// Where it is.
    pub at: NonNull<u8>,
    /// Whether the object is to be sampled: by [`Heap::sample`], when nothing else is left to do.
    pub sampled: bool,
    /// Whether it is to be guarded.
    pub guarded: bool,
}

/// The moment that a profile is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The last completed cycle.
    LastCycle,
    /// When [`Heap::mark_peak`] was called last.
    Peak,
}

/// A site: objects of one slot size that one stack called for. Exact as far as samples go; what they
/// stand for is for others to estimate.
#[derive(Debug)]
pub struct SiteView<'a> {
    /// Return addresses, the innermost first.
    pub stack: &'a [usize],
    /// Bytes of a slot of its objects; of large ones, their spans'.
    pub slot_bytes: usize,
    /// Sampled objects, as of the last completed cycle; before there was one, as of now.
    pub counts: Counts,
    /// Bytes of span that its sampled objects keep from going idle, each sharing its span with all
    /// other live ones there. As of now.
    pub held: f64,
}

/// In the place of a thread's last stack while it is made.
const IN_USE: *mut Stack = core::ptr::dangling_mut();

#[cold]
#[inline(never)]
fn with_a_stack(f: impl FnOnce(&mut Stack)) {
    f(&mut Stack::new());
}

impl<O: Os> Heap<O> {
    /// Sets how many bytes are allocated from one sample to the next, on average, for caches to come and large
    /// objects; 0: none is sampled, 1: all are. `seed` is where random numbers begin.
    pub fn set_sample_rate(&self, bytes: u64, seed: u64) {
        self.rate.set(bytes, seed);
        let lists = self.central.class(SizeClass::LARGE).lock();
        let ahead = self.rate.random().bytes_ahead(bytes);
        self.large.sample_ahead.set(ahead);
        drop(lists);
    }

    /// How often objects are sampled.
    pub fn sample_rate(&self) -> &Rate {
        &self.rate
    }

    /// Takes a slot of `class`, from the bin or, where that ended before the one that is to be sampled, that
    /// one. `None`: first it takes [`Heap::next_word`] or [`Heap::take_span`].
    ///
    /// # Safety
    /// The calling thread owns `cache`.
    #[inline]
    pub unsafe fn take(&self, cache: &Cache, class: SizeClass) -> Option<Slot> {
        // SAFETY: the caller's contract.
        match unsafe { cache.alloc(class) } {
            Some(at) => Some(Slot {
                at,
                sampled: false,
                guarded: false,
            }),
            None if cache.held[class.index()].rest.load(Relaxed) != 0 => {
                self.take_sampled(cache, class)
            }
            None => None,
        }
    }

    /// Takes the slot that the bin ended before, and fills the bin with what follows.
    #[cold]
    fn take_sampled(&self, cache: &Cache, class: SizeClass) -> Option<Slot> {
        let c = class.index();
        let held = &cache.held[c];
        let rest = held.rest.load(Relaxed);
        let slot = rest.trailing_zeros() as usize;
        let at = cache.base[c].load(Relaxed) + slot * class.bytes();
        let guarded = held.guards.get();
        held.distance
            .redraw(&cache.random, self.rate.get(), class.bytes());
        held.guards
            .set(held.distance.or_guard(&cache.random, &self.rate));
        let follow = rest & (rest - 1);
        held.rest.store(0, Relaxed);
        let bin = held.before_sampled(follow, follow.count_ones());
        cache.free[c].store(bin, Relaxed);
        let at = NonNull::new(core::ptr::with_exposed_provenance_mut(at))?;
        Some(Slot {
            at,
            sampled: !guarded,
            guarded,
        })
    }

    /// Whether a large object is to be sampled. Callers hold its class's lock.
    pub(super) fn large_is_sampled(&self, bytes: usize) -> bool {
        let (ahead, bytes) = (self.large.sample_ahead.get(), bytes as u64);
        let sampled = ahead < bytes;
        let next = if sampled {
            self.rate.random().bytes_ahead(self.rate.get())
        } else {
            ahead - bytes
        };
        self.large.sample_ahead.set(next);
        sampled
    }

    /// Runs `f` with the last stack that was sampled in the thread whose `cache` this is, for it to be known again or made anew.
    /// Without a cache, or where the thread is at that already, with a stack for this once.
    pub fn with_last_stack(&self, cache: Option<&Cache>, f: impl FnOnce(&mut Stack)) {
        let Some(cache) = cache else {
            return with_a_stack(f);
        };
        let last = cache.last_stack.swap(IN_USE, Relaxed);
        let stack = if last.is_null() {
            self.make_stack()
        } else {
            last
        };
        if stack == IN_USE || stack.is_null() {
            cache.last_stack.store(last, Relaxed);
            return with_a_stack(f);
        }
        // SAFETY: metadata is never unmapped, and nobody else finds it before it is put back.
        f(unsafe { &mut *stack });
        cache.last_stack.store(stack, Relaxed);
    }

    #[cold]
    fn make_stack(&self) -> *mut Stack {
        let bytes = self.meta.take(&self.os, Kind::Profile, size_of::<Stack>());
        let Ok(stack) = bytes else { return null_mut() };
        let stack = stack.as_ptr().cast::<Stack>();
        // SAFETY: fresh metadata, aligned and long enough.
        unsafe { Stack::make_at(stack) };
        stack
    }

    /// Writes down that the object at `address`, which nobody else knows yet, was sampled: `requested` bytes, called
    /// for by `stack`. Where there is no memory for that, the sample is lost. Takes locks, so the calling thread holds none.
    pub fn sample(&self, address: usize, requested: usize, stack: &mut Stack) {
        // SAFETY: an entry of the table is a header, which lives for ever, or null.
        let Some(span) = (unsafe { self.arena.span_of(address).as_ref() }) else {
            return;
        };
        let lists = self.central.class(span.class()).lock();
        let object = (address, span.slot_bytes(), requested as u64);
        let cycle = self.progress.epoch();
        let mut table = self.samples.lock();
        let made = table.record(&self.os, &self.meta, cycle, stack, object);
        drop(table);
        if let Ok(record) = made {
            // SAFETY: fresh, and not yet to be found by others.
            unsafe { (*record).next = span.records.load(Relaxed) };
            span.records.store(record, Relaxed);
        }
        drop(lists);
    }

    /// Forgets the records of objects in `span` that a sweep is about to free.
    #[cold]
    #[inline(never)]
    pub(super) fn forget_condemned(&self, lists: &Lists, span: &Span) {
        let condemned =
            |address| span.death(span.slot_of(address)).load(Relaxed) == lists.condemned.0;
        if span.has_deaths(lists.condemned) {
            self.forget(span, lists.epoch, false, condemned);
        }
    }

    /// Forgets the record of the slot at `address`, which was freed at once, if it has one.
    #[cold]
    #[inline(never)]
    pub(super) fn forget_freed(&self, lists: &Lists, span: &Span, address: usize) {
        let slot = span.slot_of(address);
        self.forget(span, lists.epoch, true, |at| span.slot_of(at) == slot);
    }

    /// Takes records off `span`; callers hold its class's lock.
    fn forget(&self, span: &Span, cycle: u32, at_once: bool, which: impl Fn(usize) -> bool) {
        let mut kept = null_mut::<Record>();
        let mut at = span.records.load(Relaxed);
        let mut table = self.samples.lock();
        // SAFETY: records are never unmapped; those of a span are under its class's lock.
        while let Some(record) = unsafe { at.as_mut() } {
            let this = at;
            at = record.next;
            if which(record.address) {
                // SAFETY: it hung on the span, and does no longer.
                unsafe { table.forget(this, cycle, at_once) };
            } else {
                record.next = kept;
                kept = this;
            }
        }
        span.records.store(kept, Relaxed);
    }

    /// How many sites there are, and return addresses in all their stacks.
    pub fn sites(&self) -> (usize, usize) {
        let table = self.samples.lock();
        (table.sites, table.frames)
    }

    /// Calls `f` with each site until it returns `false`. It must not allocate from this heap, nor wait for who
    /// does: samples wait meanwhile. Costs a look at each site, and at the words of the span of each
    /// sampled object that is kept.
    pub fn for_each_site(&self, moment: Moment, mut f: impl FnMut(SiteView) -> bool) {
        let cycle = self.published_cycle();
        let mut table = self.samples.lock();
        if moment == Moment::LastCycle {
            self.share_spans(&mut table);
        }
        let mut more = true;
        table.for_each_site(|site| {
            if more {
                let (counts, held) = match moment {
                    Moment::LastCycle => (Table::counts(site, cycle), site.held),
                    Moment::Peak => site.peak,
                };
                more = f(SiteView {
                    stack: site.stack(),
                    slot_bytes: site.slot_bytes,
                    counts,
                    held,
                });
            }
        });
    }

    /// The cycle with which counts are published; `None` before there was one.
    pub(super) fn published_cycle(&self) -> Option<u32> {
        match (self.progress.epoch(), self.progress.is_done()) {
            // Nothing is published before the first cycle is swept.
            (0, _) | (1, false) => None,
            (epoch, true) => Some(epoch.wrapping_add(1)),
            (epoch, false) => Some(epoch),
        }
    }

    /// Keeps what is known of each site for a profile of this moment, in which the heap is larger than ever
    /// before. Allocates nothing; takes as long as [`Heap::for_each_site`].
    pub fn mark_peak(&self) {
        let mut table = self.samples.lock();
        self.share_spans(&mut table);
        table.for_each_site(|site| site.peak = (site.cycles.all(), site.held));
    }

    /// A large object grew where it is by `added` bytes, which are sampled as any: so it is sampled with the probability of one of
    /// its size. One that was is written down anew when it has grown by 1/16 since, or by what lies between two samples. Callers hold its
    /// class's lock. Returns whether it is to be.
    pub(super) fn sample_again(&self, lists: &Lists, span: &Span, added: usize) -> bool {
        // SAFETY: records of a span are under its class's lock; sites are never unmapped.
        let then = unsafe {
            let record = span.records.load(Relaxed).as_ref();
            record.map(|record| (*record.site).slot_bytes)
        };
        let Some(then) = then else {
            return self.large_is_sampled(added);
        };
        let grown = (span.slot_bytes() - then) as u64;
        let much = grown > (then as u64 / 16).min(self.rate.get());
        if much {
            self.forget(span, lists.epoch, true, |_| true);
        }
        much
    }

    /// Says of each site how much its survivors keep from going idle. A live object keeps its span's pages
    /// together with all others that live there, each an equal share; so shares add up to the spans
    /// that hold anything live. Reads what others may be changing: what is in motion is off by a word.
    fn share_spans(&self, table: &mut Table) {
        table.for_each_site(|site| site.held = 0.0);
        table.for_each_record(|record, site| {
            // A record is forgotten under the table's lock before its slot is freed, so the span is there.
            // SAFETY: an entry of the table is a header, which lives for ever, or null.
            let Some(span) = (unsafe { self.arena.span_of(record.address).as_ref() }) else {
                return;
            };
            let death = span.death(span.slot_of(record.address)).load(Relaxed);
            if !matches!(death, 0 | SHARED) {
                return;
            }
            let live = self.census(span).live.max(1);
            site.held += (span.pages() * PAGE) as f64 / live as f64;
        });
    }
}
