//! A run of pages that holds objects of one class, or one large object.
//!
//! A span's header, its *allocation words* and its *death bytes* lie in one
//! block of the heap's own memory, out of reach of an overflow from an object:
//!
//! ```text
//! | header, 64 bytes | a bit a slot, 64 a word | a byte a slot |
//! ```
//! - An **allocation word** has a bit set for each slot that is not to be had:
//!   allocated, waiting in a cache, or beyond the last slot. A cache takes a
//!   whole word by swapping in all ones and then hands its slots out alone; a
//!   sweep gives slots back by clearing bits. So one may sweep a span that
//!   another thread allocates from.
//! - A **death byte** is 0, or the tag of the epoch in which the slot's object
//!   was freed. Being a byte, any thread writes it by a plain store.
//!
//! What makes a slot free at a sweep is one question, [`Span::condemned`],
//! answered from the death bytes.

mod death_bytes;
mod list;

pub use death_bytes::Tag;
pub use list::SpanList;

use crate::PAGE;
use crate::size_class::SizeClass;
use core::ptr::with_exposed_provenance;
use core::sync::atomic::Ordering::{AcqRel, Relaxed, Release};
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize};
use death_bytes::{ALL, GROUP, clear, matches};

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

/// What is wrong with a freed address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// No span of this heap holds it.
    Foreign,
    /// It lies inside an object that starts at `start`, or in a span's unused tail.
    Interior {
        /// Where the slot that holds it starts.
        start: usize,
        /// Bytes of the slot.
        bytes: usize,
        /// The slot's class.
        class: SizeClass,
    },
    /// The slot is not allocated: never was, or was swept since it was freed.
    NotAllocated {
        /// Bytes of the slot.
        bytes: usize,
        /// The slot's class.
        class: SizeClass,
    },
    /// The object was freed before.
    DoubleFree {
        /// Bytes of the slot.
        bytes: usize,
        /// The slot's class.
        class: SizeClass,
    },
}

/// A span's header.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Span {
    base: AtomicUsize,
    /// Bytes of a slot; of a large object, its span's.
    bytes: AtomicUsize,
    first_page: AtomicUsize,
    pages: AtomicU32,
    /// 2³² / bytes, rounded up: turns a division into a multiplication. 1 for large objects.
    magic: AtomicU32,
    slots: u16,
    /// Where the death bytes begin in the block.
    deaths: u16,
    class: SizeClass,
    state: AtomicU8,
    /// Whether a death of each tag was written since the last sweep of that tag.
    seen: [AtomicU8; 2],
    dirty: AtomicU8,
    /// The sweep that has seen this span last.
    swept: AtomicU32,
    next: AtomicPtr<Span>,
    prev: AtomicPtr<Span>,
}

const _: () = assert!(size_of::<Span>() == 64);

impl Span {
    /// Bytes of the block for a span of `class`, header, words and death bytes.
    pub const fn block_bytes(class: SizeClass) -> usize {
        let slots = class.slots();
        size_of::<Span>() + slots.div_ceil(64) * 8 + slots.next_multiple_of(GROUP)
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
            let deaths = size_of::<Span>() + class.slots().div_ceil(64) * 8;
            (&raw mut (*block).deaths).write(deaths as u16);
        }
    }

    /// Puts a spare block to use for these pages: all slots free, nothing dead.
    pub fn open(&self, base: usize, first_page: usize, pages: usize, dirty: bool, epoch: u32) {
        let bytes = if self.class == SizeClass::LARGE {
            pages * PAGE
        } else {
            self.class.bytes()
        };
        let magic = magic_of(self.class);
        self.base.store(base, Relaxed);
        self.bytes.store(bytes, Relaxed);
        self.first_page.store(first_page, Relaxed);
        self.pages.store(pages as u32, Relaxed);
        self.magic.store(magic, Relaxed);
        self.dirty.store(u8::from(dirty), Relaxed);
        self.swept.store(epoch, Relaxed);
        self.seen.iter().for_each(|s| s.store(0, Relaxed));
        let slots = self.slots();
        for (i, w) in self.words().iter().enumerate() {
            let in_word = (slots - i * 64).min(64);
            w.store(
                if in_word == 64 {
                    0
                } else {
                    u64::MAX << in_word
                },
                Relaxed,
            );
        }
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
        self.first_page.load(Relaxed)
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

    #[inline(always)]
    fn words(&self) -> &[AtomicU64] {
        // SAFETY: the block, exposed by `format`, holds the words behind the header for ever.
        unsafe { core::slice::from_raw_parts(self.word_at(0), self.word_count()) }
    }

    #[inline(always)]
    fn block_at<T>(&self, offset: usize) -> *const T {
        with_exposed_provenance(core::ptr::from_ref(self).addr() + offset)
    }

    #[inline(always)]
    fn word_at(&self, slot: usize) -> *const AtomicU64 {
        self.block_at(size_of::<Span>() + slot / 64 * 8)
    }

    /// Address of a slot's death byte, to prefetch.
    #[inline(always)]
    pub fn death_at(&self, slot: usize) -> *const AtomicU8 {
        self.block_at(usize::from(self.deaths) + slot)
    }

    #[inline(always)]
    fn death(&self, slot: usize) -> &AtomicU8 {
        debug_assert!(slot < self.slots().next_multiple_of(GROUP));
        // SAFETY: the block, exposed by `format`, holds a death byte a slot for ever.
        unsafe { &*self.death_at(slot) }
    }

    /// The slot that holds `address`, rounded down.
    #[inline(always)]
    fn slot_of(&self, address: usize) -> usize {
        slot_at(address.wrapping_sub(self.base()), self.magic.load(Relaxed)).0
    }

    /// Slots that are allocated or wait in a cache.
    pub fn taken(&self) -> usize {
        let bits: u32 = self
            .words()
            .iter()
            .map(|w| w.load(Relaxed).count_ones())
            .sum();
        bits as usize - (self.word_count() * 64 - self.slots())
    }

    /// Takes all free slots of word `word`: a bit for each.
    #[inline]
    pub fn take_word(&self, word: usize) -> u64 {
        let w = &self.words()[word];
        if w.load(Relaxed) == u64::MAX {
            return 0;
        }
        // Acquire: pairs with Release in `sweep`; the death bytes of these slots are clear.
        !w.swap(u64::MAX, AcqRel)
    }

    /// Gives the slots in `bits` of word `word` back, unused.
    pub fn return_word(&self, word: usize, bits: u64) {
        // Release: pairs with Acquire in `take_word`.
        self.words()[word].fetch_and(!bits, Release);
    }

    /// Writes down that the object at `address` died in the epoch of `tag`; returns its bytes.
    ///
    /// # Errors
    /// What is wrong with the address. The object is untouched then.
    ///
    /// # Safety
    /// The address lies in this span's pages.
    #[inline(always)]
    pub unsafe fn bury(&self, address: usize, tag: Tag) -> Result<usize, Misuse> {
        // SAFETY: the caller's contract.
        if !unsafe { self.plot().bury(address, tag) } {
            return Err(self.what_is_wrong(address));
        }
        self.seen[tag.index()].store(1, Relaxed);
        Ok(self.slot_bytes())
    }

    /// [Buries](Span::bury) all of `addresses`; returns their bytes.
    ///
    /// # Errors
    /// The first address that something is wrong with, and what. Those before it are buried.
    ///
    /// # Safety
    /// The addresses lie in this span's pages.
    pub unsafe fn bury_all(
        &self,
        addresses: &[AtomicUsize],
        tag: Tag,
    ) -> Result<u64, (usize, Misuse)> {
        self.seen[tag.index()].store(1, Relaxed);
        let plot = self.plot();
        for address in addresses {
            let address = address.load(Relaxed);
            // SAFETY: the caller's contract.
            if !unsafe { plot.bury(address, tag) } {
                return Err((address, self.what_is_wrong(address)));
            }
        }
        Ok(addresses.len() as u64 * self.slot_bytes() as u64)
    }

    #[inline(always)]
    fn plot(&self) -> Plot {
        Plot {
            base: self.base(),
            magic: self.magic.load(Relaxed),
            slots: self.slots(),
            words: self.word_at(0),
            deaths: self.death_at(0),
        }
    }

    #[cold]
    fn what_is_wrong(&self, address: usize) -> Misuse {
        let (class, bytes) = (self.class, self.slot_bytes());
        let slot = self.slot_of(address).min(self.slots() - 1);
        let start = self.base() + slot * bytes;
        if start != address {
            Misuse::Interior {
                start,
                bytes,
                class,
            }
        } else if self.death(slot).load(Relaxed) != 0 {
            Misuse::DoubleFree { bytes, class }
        } else {
            Misuse::NotAllocated { bytes, class }
        }
    }

    /// Whether anything died here in the epoch of `tag`.
    pub fn has_deaths(&self, tag: Tag) -> bool {
        self.seen[tag.index()].load(Relaxed) != 0
    }

    /// The slots of word `word` that a sweep for `tag` frees, a bit for each; their death bytes
    /// are cleared.
    fn condemned(&self, word: usize, tag: Tag) -> u64 {
        let from = word * 64;
        let end = (from + 64).min(self.slots().next_multiple_of(GROUP));
        let mut bits = 0;
        for at in (from..end).step_by(GROUP) {
            let group = matches(self.death_at(at), tag);
            if group == ALL {
                clear(self.death_at(at));
            } else {
                let mut rest = group;
                while rest != 0 {
                    self.death(at + rest.trailing_zeros() as usize)
                        .store(0, Relaxed);
                    rest &= rest - 1;
                }
            }
            bits |= u64::from(group) << (at - from);
        }
        bits
    }

    /// Frees the slots whose objects died in the epoch of `tag`; returns how many.
    /// Callers hold the class's lock.
    pub fn sweep(&self, tag: Tag, epoch: u32) -> usize {
        self.swept.store(epoch, Relaxed);
        // No death of a closed epoch is written any more, so nobody else stores this.
        if !self.has_deaths(tag) {
            return 0;
        }
        self.seen[tag.index()].store(0, Relaxed);
        let mut freed = 0;
        for (i, word) in self.words().iter().enumerate() {
            let condemned = self.condemned(i, tag);
            if condemned == 0 {
                continue;
            }
            self.dirty.store(1, Relaxed);
            // Release: pairs with Acquire in `take_word`.
            word.fetch_and(!condemned, Release);
            freed += condemned.count_ones() as usize;
        }
        freed
    }

    /// Frees one slot at once, without waiting for a cycle; callers hold the class's lock.
    ///
    /// # Errors
    /// What is wrong with the address.
    pub fn free_now(&self, address: usize) -> Result<usize, Misuse> {
        let slot = self.slot_of(address);
        // SAFETY: callers found this span by the address.
        let bytes = unsafe { self.bury(address, Tag::FIRST) }?;
        self.death(slot).store(0, Relaxed);
        self.dirty.store(1, Relaxed);
        self.words()[slot / 64].fetch_and(!(1 << (slot % 64)), Release);
        Ok(bytes)
    }
}

/// 2³² by the bytes of a slot, rounded up; 1 for large objects, which have one slot.
const fn magic_of(class: SizeClass) -> u32 {
    match class.bytes() {
        0 => 1,
        bytes => u32::MAX / bytes as u32 + 1,
    }
}

/// What burying needs of a span, held together for many deaths.
#[derive(Clone, Copy)]
struct Plot {
    base: usize,
    magic: u32,
    slots: usize,
    words: *const AtomicU64,
    deaths: *const AtomicU8,
}

impl Plot {
    /// Writes a death down. `false`: something is wrong with the address, and nothing was written.
    ///
    /// # Safety
    /// The address lies in the span's pages.
    #[inline(always)]
    unsafe fn bury(&self, address: usize, tag: Tag) -> bool {
        let (slot, exact) = slot_at(address.wrapping_sub(self.base), self.magic);
        if slot >= self.slots {
            return false;
        }
        // SAFETY: below the number of slots, there is a word and a death byte.
        let (word, death) = unsafe { (&*self.words.add(slot / 64), &*self.deaths.add(slot)) };
        let allocated = word.load(Relaxed) >> (slot % 64) & 1 != 0;
        if !allocated || !exact || death.load(Relaxed) != 0 {
            return false;
        }
        death.store(tag.0, Relaxed);
        true
    }
}

/// The slot at `offset` of a span, and whether it begins there. With `magic` = ⌈2³²/bytes⌉ the
/// product's upper half is the quotient, and its lower half is below `magic` just where nothing is
/// left over, for any offset in a span of small objects. A large object's magic is 1.
#[inline(always)]
fn slot_at(offset: usize, magic: u32) -> (usize, bool) {
    let product = (offset as u64).wrapping_mul(u64::from(magic));
    ((product >> 32) as usize, (product as u32) < magic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_multiplication_finds_the_slot_and_whether_it_begins_there() {
        for class in SizeClass::all().skip(1) {
            let bytes = class.bytes();
            let magic = magic_of(class);
            for offset in 0..class.pages() * PAGE {
                let want = (offset / bytes, offset % bytes == 0);
                assert_eq!(slot_at(offset, magic), want, "{class:?} {offset}");
            }
        }
        let magic = magic_of(SizeClass::LARGE);
        assert_eq!(slot_at(0, magic), (0, true));
        assert!(!slot_at(8, magic).1 && slot_at(1 << 32, magic).0 > 0);
    }
}
