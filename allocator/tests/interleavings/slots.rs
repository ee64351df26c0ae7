//! Slots of a span between caches and sweeps: `src/span/word.rs`.

use crate::Flaw::{self, Nothing};
use crate::sync::AtomicU64;
use crate::word::Word;
use crate::{each_ordering_is_needed, holds_only_whole};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::AtomicU8;
use loom::sync::atomic::Ordering::Relaxed;
use loom::thread;

const TAG: u8 = 1;
const FREE: u8 = 3;

/// A span of two slots, with their death bytes and their memory.
struct Span {
    word: Word,
    deaths: [AtomicU8; 2],
    memory: [UnsafeCell<u8>; 2],
}

impl Span {
    fn new(taken: u64, deaths: [u8; 2]) -> Arc<Self> {
        let word = Word(AtomicU64::new(!0b11 | taken));
        word.glance();
        Arc::new(Self {
            word,
            deaths: deaths.map(AtomicU8::new),
            memory: [UnsafeCell::new(0), UnsafeCell::new(0)],
        })
    }

    fn set_deaths(&self, slots: u64, to: u8) {
        for (i, death) in self.deaths.iter().enumerate() {
            if slots >> i & 1 != 0 {
                death.store(to, Relaxed);
            }
        }
    }

    fn condemned(&self) -> u64 {
        let bytes = self.deaths.iter().enumerate();
        bytes
            .map(|(i, death)| u64::from(death.load(Relaxed) == TAG) << i)
            .sum()
    }

    fn take(&self, flaw: Flaw) -> u64 {
        if flaw == Flaw::TakeClearsAfterwards {
            let taken = self.word.take(true, |_| {});
            self.set_deaths(taken, 0);
            return taken;
        }
        self.word.take(true, |free| self.set_deaths(free, 0))
    }

    fn sweep(&self, flaw: Flaw) {
        let early = self.condemned();
        self.word.sweep(true, || match flaw {
            Flaw::SweepReadsBytesFirst => early,
            _ => self.condemned(),
        });
    }

    fn use_memory(&self, slots: u64) {
        for (i, memory) in self.memory.iter().enumerate() {
            if slots >> i & 1 != 0 {
                // SAFETY: whoever has the slot has its memory; loom says if not.
                memory.with_mut(|byte| unsafe { *byte += 1 });
            }
        }
    }
}

/// Slot 0 is free since an earlier sweep, whose tag its death byte still bears, and the same tag is
/// condemned again. A cache takes the slot while this sweep passes by.
fn a_slot_just_taken_is_not_swept_for_its_last_life(flaw: Flaw) {
    let span = Span::new(0b10, [TAG, 0]);
    let sweeper = {
        let span = Arc::clone(&span);
        thread::spawn(move || span.sweep(flaw))
    };
    let taken = span.take(flaw);
    sweeper.join().expect("the sweeper ends");
    assert_eq!(taken, 0b01);
    assert_eq!(span.word.glance(), u64::MAX, "a living object was swept");
    assert_eq!(span.deaths[0].load(Relaxed), 0);
}

/// A thread that ends gives slot 0 back unused; another takes it.
fn a_slot_given_back_starts_a_life_of_its_own(flaw: Flaw) {
    let span = Span::new(0b11, [0, 0]);
    let ending = {
        let span = Arc::clone(&span);
        thread::spawn(move || {
            if flaw == Flaw::ReturnMarksAfterwards {
                span.word.give_back(0b01, || {});
                span.set_deaths(0b01, FREE);
            } else {
                span.word.give_back(0b01, || span.set_deaths(0b01, FREE));
            }
        })
    };
    let taken = span.take(Nothing);
    ending.join().expect("the thread ends");
    let death = span.deaths[0].load(Relaxed);
    assert_eq!(
        taken != 0,
        death == 0,
        "a living object's death byte is {death}"
    );
}

/// A thread that has freed the object in slot 1, and written that down, sweeps. Another, whose cache has the span, takes
/// what is free, slot 0 in any case, and writes to it.
fn memory_passes_from_one_life_to_the_next() {
    let span = Span::new(0b10, [FREE, 0]);
    let sweeper = {
        let span = Arc::clone(&span);
        thread::spawn(move || {
            span.use_memory(0b10);
            span.set_deaths(0b10, TAG);
            span.sweep(Nothing);
        })
    };
    let taken = span.take(Nothing);
    span.use_memory(taken);
    sweeper.join().expect("the sweeper ends");
    assert_eq!(taken & 0b01, 0b01);
}

/// A large object's span is made, or a cache takes a span from its list, while somebody looks through the heap without
/// a lock.
fn what_is_taken_has_no_death_byte_of_an_earlier_life(large: bool) {
    let span = Span::new(0, [TAG, TAG]);
    let looking = {
        let span = Arc::clone(&span);
        thread::spawn(move || {
            if span.word.taken() == u64::MAX {
                assert_eq!(span.condemned(), 0);
            }
        })
    };
    if large {
        span.set_deaths(0b11, 0);
        span.word.take_unlisted();
    } else {
        span.word.take(false, |free| span.set_deaths(free, 0));
    }
    looking.join().expect("the thread ends");
}

#[test]
fn slots_change_hands_in_steps_of_this_order() {
    let flaws = [Flaw::SweepReadsBytesFirst, Flaw::TakeClearsAfterwards];
    holds_only_whole(a_slot_just_taken_is_not_swept_for_its_last_life, &flaws);
    let flaws = [Flaw::ReturnMarksAfterwards];
    holds_only_whole(a_slot_given_back_starts_a_life_of_its_own, &flaws);
}

#[test]
fn each_ordering_of_the_allocation_word_is_needed() {
    let source = include_str!("../../src/span/word.rs");
    let models = [
        || a_slot_just_taken_is_not_swept_for_its_last_life(Nothing),
        || a_slot_given_back_starts_a_life_of_its_own(Nothing),
        memory_passes_from_one_life_to_the_next,
        || what_is_taken_has_no_death_byte_of_an_earlier_life(true),
        || what_is_taken_has_no_death_byte_of_an_earlier_life(false),
    ];
    each_ordering_is_needed("span/word.rs", source, &models);
}
