//! A run of pages that holds objects of one class, or one large object.
//!
//! A span's header, its *allocation words* and its *death bytes* lie in one
//! block of the heap's own memory, out of reach of an overflow from an object:
//!
//! ```text
//! | header, 64 bytes | a byte a slot | a bit a slot, 64 a word | class 2: the way to its masks | tenure |
//! ```
//! - An **allocation word** has a bit set for each slot that is not to be had:
//!   allocated, waiting in a cache, or beyond the last slot. A cache takes a
//!   whole word by swapping in all ones and then hands its slots out alone; a
//!   sweep gives slots back by clearing bits. So one may sweep a span that
//!   another thread allocates from.
//! - A **death byte** is 0 while the slot's object lives or waits in a cache, and
//!   the tag of the epoch in which it was freed from then on: still, when a sweep
//!   has made the slot free, until a cache takes it. So one look at it tells
//!   whether an address may be freed. Being a byte, any thread writes it by a plain store.
//!
//! What makes a slot free at a sweep is one question, `Span::condemned`,
//! answered from the death bytes.

mod dead;
mod death_bytes;
mod entry;
mod list;
mod mask;
mod misuse;
mod plot;
mod rarity;
mod shared;
mod slot;
mod tenure;
mod word;

pub use death_bytes::Tag;
pub use entry::Entry;
pub use list::SpanList;
pub(crate) use mask::Mask;
pub use misuse::Misuse;
pub use plot::{Grave, Plot};
pub(crate) use shared::{MASKS, SHARED};
pub(crate) use word::Word;

use crate::PAGE;
use crate::prefetch;
use crate::sample::Record;
use crate::size_class::SizeClass;
use core::ptr::with_exposed_provenance;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicUsize};
pub(crate) use death_bytes::FREE;
use death_bytes::{GROUP, fill, fill_some, matches};
use slot::{magic_of, slot_at};
use tenure::Tenure;

/// Where a span is. It changes only under its class's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// In no use: its block is spare.
    Spare = 0,
    /// In a thread's cache.
    Cached = 1,
    /// In the central list of spans with free slots.
    Partial = 2,
    /// In the central list of spans without.
    Full = 3,
}

impl State {
    fn from_raw(raw: u8) -> State {
        match raw {
            1 => State::Cached,
            2 => State::Partial,
            3 => State::Full,
            _ => State::Spare,
        }
    }
}

/// What a sweep found in a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swept {
    /// Slots freed.
    pub freed: usize,
    /// Slots still taken.
    pub taken: usize,
}

/// A span's header.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Span {
    base: AtomicUsize,
    /// Bytes of a slot; of a large object, its span's.
    bytes: AtomicUsize,
    first_page: AtomicU32,
    pages: AtomicU32,
    /// See [`magic_of`].
    magic: AtomicU32,
    /// The sweep that has seen this span last.
    pub(crate) swept: AtomicU32,
    slots: u16,
    /// Where the allocation words begin in the block, in groups of death bytes.
    words: u8,
    class: SizeClass,
    pub(crate) state: AtomicU8,
    dirty: AtomicU8,
    /// How many slots were taken when it was filed, or lent to a cache. Written and read under the class's lock.
    filed: AtomicU16,
    /// Of its objects that were sampled for the heap profile: null in most spans, and all that a sweep
    /// of these looks at.
    pub(crate) records: AtomicPtr<Record>,
    next: AtomicPtr<Span>,
    pub(crate) prev: AtomicPtr<Span>,
}

const _: () = assert!(size_of::<Span>() == 64);

/// A death byte wherever in a span's pages a slot could begin, though the last ones be cut short: those
/// stay [`FREE`].
const fn death_bytes(class: SizeClass) -> usize {
    let slots = match class.bytes() {
        0 => 1,
        bytes => (class.pages() * PAGE).div_ceil(bytes),
    };
    slots.next_multiple_of(GROUP)
}

const fn words_offset(class: SizeClass) -> usize {
    size_of::<Span>() + death_bytes(class)
}

impl Span {
    /// Bytes of the block for a span of `class`, header, words and death bytes.
    pub const fn block_bytes(class: SizeClass) -> usize {
        words_offset(class)
            + class.slots().div_ceil(64) * 8
            + Self::shared_bytes(class)
            + size_of::<Tenure>()
    }

    /// Makes the zeroed memory at `block` the spare block of a span of `class`.
    ///
    /// # Safety
    /// `block` is 64-byte-aligned, [`Span::block_bytes`] long, zeroed, and lives for ever.
    pub unsafe fn format(block: *mut Span, class: SizeClass) {
        let _ = block.expose_provenance();
        // SAFETY: the memory is the caller's to give; the rest of the header is valid as zeroes.
        unsafe {
            (&raw mut (*block).class).write(class);
            (&raw mut (*block).slots).write(class.slots() as u16);
            (&raw mut (*block).words).write((words_offset(class) / GROUP) as u8);
            block
                .cast::<u8>()
                .add(size_of::<Span>())
                .write_bytes(FREE, death_bytes(class));
        }
    }

    /// Puts a spare block to use for these pages: all slots free, as their death bytes say since they
    /// were formatted or swept.
    pub fn open(&self, base: usize, first_page: usize, pages: usize, dirty: bool, epoch: u32) {
        let bytes = if self.class == SizeClass::LARGE {
            pages * PAGE
        } else {
            self.class.bytes()
        };
        let magic = magic_of(self.class);
        self.base.store(base, Relaxed);
        self.bytes.store(bytes, Relaxed);
        self.first_page.store(first_page as u32, Relaxed);
        self.pages.store(pages as u32, Relaxed);
        self.magic.store(magic, Relaxed);
        self.dirty.store(u8::from(dirty), Relaxed);
        self.swept.store(epoch, Relaxed);
        self.enter(epoch);
        for (i, w) in self.words().iter().enumerate() {
            let in_word = self.slots_in(i);
            w.open(if in_word == 64 {
                0
            } else {
                u64::MAX << in_word
            });
        }
    }

    /// A large object has this many pages from now on. Callers hold the class's lock.
    pub fn extend(&self, pages: usize, dirty: bool) {
        debug_assert_eq!(self.class, SizeClass::LARGE);
        self.bytes.store(pages * PAGE, Relaxed);
        self.pages.store(pages as u32, Relaxed);
        self.dirty.fetch_or(u8::from(dirty), Relaxed);
    }

    /// Address of the first slot.
    #[inline(always)]
    pub fn base(&self) -> usize {
        self.base.load(Relaxed)
    }

    /// Bytes of a slot.
    #[inline(always)]
    pub fn slot_bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// Number of the first page.
    pub fn first_page(&self) -> usize {
        self.first_page.load(Relaxed) as usize
    }

    /// Pages of this span.
    pub fn pages(&self) -> usize {
        self.pages.load(Relaxed) as usize
    }

    /// Slots of this span.
    #[inline(always)]
    pub fn slots(&self) -> usize {
        self.slots as usize
    }

    /// The class of its objects.
    pub fn class(&self) -> SizeClass {
        self.class
    }

    /// Whether free slots may hold old contents.
    #[inline]
    pub fn is_dirty(&self) -> bool {
        self.dirty.load(Relaxed) != 0
    }

    /// The sweep that saw this span last.
    pub fn swept(&self) -> u32 {
        self.swept.load(Relaxed)
    }

    /// Where it is.
    pub fn state(&self) -> State {
        State::from_raw(self.state.load(Relaxed))
    }

    /// The number of words.
    #[inline(always)]
    pub fn word_count(&self) -> usize {
        self.slots().div_ceil(64)
    }

    /// The slots that word `word` stands for.
    #[inline(always)]
    pub fn slots_in(&self, word: usize) -> usize {
        (self.slots() - word * 64).min(64)
    }

    #[inline(always)]
    pub(crate) fn words(&self) -> &[Word] {
        // SAFETY: the block, exposed by `format`, holds the words behind the death bytes for ever.
        unsafe {
            core::slice::from_raw_parts(
                self.block_at(usize::from(self.words) * GROUP),
                self.word_count(),
            )
        }
    }

    /// How many death bytes there are.
    pub(crate) fn death_bytes(&self) -> usize {
        usize::from(self.words) * GROUP - size_of::<Span>()
    }

    #[inline(always)]
    fn block_at<T>(&self, offset: usize) -> *const T {
        with_exposed_provenance(core::ptr::from_ref(self).addr() + offset)
    }

    #[inline(always)]
    fn death_at(&self, slot: usize) -> *const AtomicU8 {
        self.block_at(size_of::<Span>() + slot)
    }

    #[inline(always)]
    pub(crate) fn death(&self, slot: usize) -> &AtomicU8 {
        debug_assert!(slot < self.death_bytes());
        // SAFETY: the block, exposed by `format`, holds a death byte a slot for ever.
        unsafe { &*self.death_at(slot) }
    }

    /// The slot that holds `address`, rounded down.
    #[inline(always)]
    pub(crate) fn slot_of(&self, address: usize) -> usize {
        slot_at(address.wrapping_sub(self.base()), self.magic.load(Relaxed)).0
    }

    /// Where the slot that holds `address` starts.
    pub(crate) fn slot_start(&self, address: usize) -> usize {
        self.base() + self.slot_of(address) * self.slot_bytes()
    }

    /// Bits of the last word that stand for no slot.
    #[inline(always)]
    fn beyond(&self) -> usize {
        self.word_count() * 64 - self.slots()
    }

    /// Slots that are allocated or wait in a cache.
    pub fn taken(&self) -> usize {
        let words = self.words().iter();
        let bits: usize = words.map(|w| count_ones(w.glance())).sum();
        bits - self.beyond()
    }

    /// The span is filed in a list, or lent to a cache, with so many slots taken.
    pub(crate) fn file(&self, taken: usize) {
        self.filed.store(taken as u16, Relaxed);
    }

    /// How many slots were taken when it was filed or lent. While it is filed that is how many are: nobody takes one
    /// then, and whoever frees one files it anew.
    pub(crate) fn filed(&self) -> usize {
        usize::from(self.filed.load(Relaxed))
    }

    /// Takes all free slots of word `word`: a bit for each. Only whoever holds the span may. `shared` says that a
    /// sweep may free slots meanwhile; without, callers hold the class's lock.
    #[inline]
    pub fn take_word(&self, word: usize, shared: bool) -> u64 {
        self.words()[word].take(shared, |free| self.set_deaths(word, free, 0))
    }

    /// Takes the one slot of a large object's span, which is in no list yet.
    pub fn take_unlisted(&self) {
        self.death(0).store(0, Relaxed);
        self.words()[0].take_unlisted();
    }

    /// Asks for what [`Span::take_word`] of `word` will touch.
    #[inline(always)]
    pub fn prefetch_word(&self, word: usize) {
        prefetch::for_read(self.death_at(word * 64));
    }

    /// Gives the slots in `bits` of word `word` back, unused.
    pub fn return_word(&self, word: usize, bits: u64) {
        self.words()[word].give_back(bits, || self.set_deaths(word, bits, FREE));
    }

    /// Sets the death bytes of the slots in `bits` of word `word`, which are the caller's alone.
    #[inline(always)]
    fn set_deaths(&self, word: usize, bits: u64, to: u8) {
        let first = self.death_at(word * 64);
        let slots = self.slots_in(word);
        // SAFETY: as far as there are bits, slots of this word.
        if !unsafe { fill_some(first, to, bits) } {
            self.set_each_death(first, slots, bits, to);
        }
    }

    #[inline(never)]
    fn set_each_death(&self, first: *const AtomicU8, slots: usize, bits: u64, to: u8) {
        let mut rest = bits;
        // Where live slots lie between free ones, whether a group is free as a whole is hard for the processor to
        // guess, and costs more than it saves.
        if bits == u64::MAX >> (64 - slots) {
            let whole = slots / GROUP * GROUP;
            for at in (0..whole).step_by(GROUP) {
                // SAFETY: a group of this word.
                fill(unsafe { first.add(at) }, to);
            }
            rest = bits.checked_shr(whole as u32).unwrap_or(0) << (whole % 64);
        }
        while rest != 0 {
            // SAFETY: a slot of this word.
            let death = unsafe { &*first.add(rest.trailing_zeros() as usize) };
            death.store(to, Relaxed);
            rest &= rest - 1;
        }
    }

    /// Whether anything died here in the epoch of `tag` that no sweep has freed.
    pub fn has_deaths(&self, tag: Tag) -> bool {
        let mut words = self.words().iter().enumerate();
        words.any(|(i, word)| word.taken() & self.condemned(i, tag) != 0)
    }

    /// The slots of word `word` whose objects died in the epoch of `tag`, a bit for each. Some may be
    /// free since an earlier sweep.
    #[inline(always)]
    fn condemned(&self, word: usize, tag: Tag) -> u64 {
        let first = self.death_at(word * 64);
        // SAFETY: death bytes of this word.
        let group = |i| u64::from(matches(unsafe { first.add(i * GROUP) }, tag)) << (i * GROUP);
        match self.death_bytes() / GROUP - word * 4 {
            4.. => group(0) | group(1) | group(2) | group(3),
            fewer => (0..fewer).fold(0, |bits, i| bits | group(i)),
        }
    }

    /// Frees the slots whose objects died in the epoch of `tag`. Callers hold the class's lock;
    /// `shared` says that a cache may take words meanwhile.
    pub fn sweep(&self, tag: Tag, epoch: u32, shared: bool) -> Swept {
        self.swept.store(epoch, Relaxed);
        let (mut freed, mut kept) = (0, 0);
        for (i, word) in self.words().iter().enumerate() {
            let (taken, condemned) = word.sweep(shared, || self.condemned(i, tag));
            let dead = count_ones(condemned);
            kept += count_ones(taken) - dead;
            freed += dead;
        }
        if freed > 0 {
            self.dirty.store(1, Relaxed);
        }
        Swept {
            freed,
            taken: kept - self.beyond(),
        }
    }

    /// Frees an object at once, without waiting for a cycle; callers hold the class's lock. `false`: others
    /// share its slot and live.
    ///
    /// # Errors
    /// What is wrong with the address.
    ///
    /// # Safety
    /// The address lies in this span's pages.
    pub unsafe fn free_now(&self, address: usize) -> Result<bool, Misuse> {
        let page = (address - self.base()) / PAGE;
        let plot = Plot::new(Entry::new(self).further(page), address);
        let tag = Tag::FIRST;
        // SAFETY: the caller's contract; a plot's grave.
        let plain = unsafe { plot.grave(address).is_some_and(|grave| grave.bury(tag)) };
        if !plain {
            match self.bury_shared(address, tag) {
                Some(true) => {}
                Some(false) => return Ok(false),
                None if self.bury_large(address, tag) => {}
                None => return Err(self.what_is_wrong(address)),
            }
        }
        let slot = self.slot_of(address);
        self.dirty.store(1, Relaxed);
        self.words()[slot / 64].clear(1 << (slot % 64));
        Ok(true)
    }
}

/// Most words are all ones or all zeroes, and counting takes a dozen instructions where the target
/// has none for it.
#[inline(always)]
fn count_ones(word: u64) -> usize {
    match word {
        0 => 0,
        u64::MAX => 64,
        _ => word.count_ones() as usize,
    }
}
