//! The spans of one class (Go: `mcentral.go`).
//!
//! Each span of the class is in one list: in a thread's cache, with free slots,
//! or without. Of each list there are two, and they change roles when a sweep
//! starts: the one that holds the spans this sweep has seen, and the one that
//! holds the rest. So a sweep starts for all spans at the cost of one store.
//!
//! The class's lock guards the lists, the state of its spans, and sweeping them.

use crate::counters::Counter;
use crate::lock::{Lock, Rank};
use crate::size_class::{CLASSES, SizeClass};
use crate::span::{Span, SpanList, State, Tag};
use crossbeam_utils::CachePadded;

/// Spans of one class, in two lists each.
#[derive(Debug)]
pub struct Lists {
    /// The sweep that is under way, or the last one.
    pub epoch: u32,
    /// Deaths with this tag are freed by it.
    pub condemned: Tag,
    partial: [SpanList; 2],
    full: [SpanList; 2],
    cached: [SpanList; 2],
    /// Blocks of spans that went back to the page heap.
    pub spare: SpanList,
    /// Spans that were made.
    pub blocks: u64,
}

impl Lists {
    const fn new() -> Self {
        Self {
            epoch: 0,
            condemned: Tag::FIRST.other(),
            partial: [SpanList::new(), SpanList::new()],
            full: [SpanList::new(), SpanList::new()],
            cached: [SpanList::new(), SpanList::new()],
            spare: SpanList::new(),
            blocks: 0,
        }
    }

    fn swept(&self) -> usize {
        (self.epoch & 1) as usize
    }

    /// Makes all spans unswept, and deaths of `condemned` free. Returns how many spans that concerns.
    pub fn start_sweep(&mut self, epoch: u32, condemned: Tag) -> usize {
        let all = self.swept();
        self.epoch = epoch;
        self.condemned = condemned;
        self.partial[all].len() + self.full[all].len() + self.cached[all].len()
    }

    /// Whether this sweep has yet to see `span`.
    pub fn is_unswept(&self, span: &Span) -> bool {
        span.swept() != self.epoch
    }

    /// Takes `span` out of the list it is in.
    pub fn unlink(&mut self, span: &'static Span) {
        let side = (span.swept() & 1) as usize;
        match span.state() {
            State::Cached => self.cached[side].remove(span),
            State::Partial => self.partial[side].remove(span),
            State::Full => self.full[side].remove(span),
            State::Spare => {}
        }
    }

    /// Puts a span that is in no list, and swept, where it belongs.
    pub fn file(&mut self, span: &'static Span, taken: usize) {
        let side = self.swept();
        span.file(taken);
        if taken == span.slots() {
            self.full[side].push(span, State::Full);
        } else {
            self.partial[side].push(span, State::Partial);
        }
    }

    /// Puts a span that is in no list, and swept, among those in caches.
    pub fn lend(&mut self, span: &'static Span) {
        let side = self.swept();
        self.cached[side].push(span, State::Cached);
    }

    /// Takes a swept span that has free slots.
    pub fn pop_partial(&mut self) -> Option<&'static Span> {
        let side = self.swept();
        self.partial[side].pop()
    }

    /// Asks for what the next [`Lists::pop_partial`], and taking slots from what it returns, will touch.
    pub fn prefetch_partial(&self) {
        self.partial[self.swept()].prefetch();
    }

    /// Takes an unswept span that had free slots when it was last seen.
    pub fn pop_unswept_partial(&mut self) -> Option<&'static Span> {
        let side = 1 - self.swept();
        self.partial[side].pop()
    }

    /// Takes an unswept span that had no free slots when it was last seen.
    pub fn pop_unswept_full(&mut self) -> Option<&'static Span> {
        let side = 1 - self.swept();
        self.full[side].pop()
    }

    /// Takes an unswept span that sits in a thread's cache; it must be [lent](Self::lend) again.
    pub fn pop_unswept_cached(&mut self) -> Option<&'static Span> {
        let side = 1 - self.swept();
        self.cached[side].pop()
    }

    /// Each list of spans in use: their state, and the parity of the sweep that has seen them.
    pub(crate) fn all(&self) -> impl Iterator<Item = (State, u32, &SpanList)> {
        let states = [
            (State::Cached, &self.cached),
            (State::Partial, &self.partial),
            (State::Full, &self.full),
        ];
        let sides = [0, 1];
        states
            .into_iter()
            .flat_map(move |(state, pair)| sides.map(|i| (state, i, &pair[i as usize])))
    }

    /// All spans in use.
    pub fn iter(&self) -> impl Iterator<Item = &'static Span> {
        let lists = [&self.cached, &self.partial, &self.full];
        lists.into_iter().flatten().flat_map(SpanList::iter)
    }

    /// How many spans are in use.
    pub fn len(&self) -> usize {
        [&self.cached, &self.partial, &self.full]
            .into_iter()
            .flatten()
            .map(SpanList::len)
            .sum()
    }

    /// Whether no span is in use.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What is counted of a class. Written under its lock, and read without.
#[derive(Debug)]
pub struct Counts {
    /// Spans in use.
    pub spans: Counter,
    /// Objects that sweeps freed since the start.
    pub freed: Counter,
    /// Bytes of their slots.
    pub freed_bytes: Counter,
    /// Bytes of objects that the heap was told of since the start: see [`Heap::heard`](crate::Heap::heard).
    pub told_bytes: Counter,
}

impl Counts {
    /// Tells of objects of so many bytes. Callers hold the class's lock.
    pub fn tell(&self, bytes: usize) {
        self.told_bytes.set(self.told_bytes.get() + bytes as u64);
    }

    /// Objects freed. Callers hold the class's lock.
    pub fn free(&self, objects: usize, bytes: usize) {
        self.freed.set(self.freed.get() + objects as u64);
        self.freed_bytes.set(self.freed_bytes.get() + bytes as u64);
    }
}

/// A class, in cache lines of its own: threads that allocate from different ones share nothing here.
#[derive(Debug)]
struct Class {
    lists: Lock<Lists>,
    counts: Counts,
}

/// The central lists of all classes.
#[derive(Debug)]
pub struct Central([CachePadded<Class>; CLASSES]);

impl Central {
    /// No spans.
    pub const fn new() -> Self {
        const fn class(number: usize) -> CachePadded<Class> {
            CachePadded::new(Class {
                lists: Lock::new(Rank::Class(number as u8), Lists::new()),
                counts: Counts {
                    spans: Counter::new(),
                    freed: Counter::new(),
                    freed_bytes: Counter::new(),
                    told_bytes: Counter::new(),
                },
            })
        }
        let mut classes = [const { class(0) }; CLASSES];
        let mut c = 1;
        while c < CLASSES {
            classes[c] = class(c);
            c += 1;
        }
        Self(classes)
    }

    /// The lists of `class`.
    #[inline]
    pub fn class(&self, class: SizeClass) -> &Lock<Lists> {
        &self.0[class.index()].lists
    }

    /// What is counted of `class`.
    #[inline]
    pub fn counts(&self, class: SizeClass) -> &Counts {
        &self.0[class.index()].counts
    }

    /// What is counted of each class.
    pub fn all_counts(&self) -> impl Iterator<Item = &Counts> {
        self.0.iter().map(|class| &class.counts)
    }
}

impl Default for Central {
    fn default() -> Self {
        Self::new()
    }
}
