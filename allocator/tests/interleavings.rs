//! What two threads can see of each other, in every order that the memory model allows.
//!
//! Each protocol between threads is here once more, small: the same steps in the same order with the
//! same orderings on as few words as show it. loom runs through all interleavings and all that relaxed
//! loads may see. To show that a model can fail, each is also run with one step changed at a time
//! ([`Broken`]): that must fail, or the model is of no use.
//!
//! Not shown, since loom does not model it: loads that see stores of a later time, and stores that take
//! effect in another order than they ran.

use loom::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use loom::sync::atomic::{AtomicU8, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;
use std::panic::catch_unwind;

/// What is done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    Nothing,
    SweepLoadsRelaxed,
    TakeIsRelaxed,
    SweepReadsBytesFirst,
    TakeClearsAfterwards,
    LengthIsRelaxed,
    DrainIsRelaxed,
    LengthComesFirst,
    RestartWithoutLock,
    TagOutsideLock,
    DeathsTakenOutsideLock,
    ReturnMarksAfterwards,
    SnapshotReadsBeforeLock,
    ClearsInTwoSteps,
}

use Broken::*;

impl Broken {
    fn or_relaxed(self, flaw: Broken, right: Ordering) -> Ordering {
        if self == flaw { Relaxed } else { right }
    }
}

/// Runs the model as it is, which must hold, and with each of these flaws, which must fail.
fn holds_only_whole(model: fn(Broken), flaws: &[Broken]) {
    loom::model(move || model(Nothing));
    for &flaw in flaws {
        let run = catch_unwind(move || loom::model(move || model(flaw)));
        assert!(run.is_err(), "{flaw:?} went unseen");
    }
}

const OLD_TAG: u8 = 1;
const NEW_TAG: u8 = 2;
const FREE: u8 = 3;

/// A span of one slot: `Span::take_word` and `Span::sweep`.
struct Span {
    word: AtomicU64,
    death: AtomicU8,
}

impl Span {
    fn new(word: u64, death: u8) -> Arc<Self> {
        Arc::new(Self {
            word: AtomicU64::new(word),
            death: AtomicU8::new(death),
        })
    }

    fn take(&self, broken: Broken) -> bool {
        if self.word.load(Acquire) != 0 {
            return false;
        }
        if broken != TakeClearsAfterwards {
            self.death.store(0, Relaxed);
        }
        let order = broken.or_relaxed(TakeIsRelaxed, AcqRel);
        let taken = self.word.compare_exchange(0, 1, order, Relaxed).is_ok();
        if broken == TakeClearsAfterwards {
            self.death.store(0, Relaxed);
        }
        taken
    }

    fn sweep(&self, tag: u8, broken: Broken) {
        let early = self.death.load(Relaxed) == tag;
        let taken = self
            .word
            .load(broken.or_relaxed(SweepLoadsRelaxed, Acquire));
        let condemned = match broken {
            SweepReadsBytesFirst => early,
            _ => self.death.load(Relaxed) == tag,
        };
        if condemned && taken != 0 {
            self.word.fetch_and(0, Release);
        }
    }
}

/// The slot is free since an earlier sweep, whose tag its death byte still bears, and the same tag is
/// condemned again. A cache takes the slot while this sweep passes by.
#[test]
fn a_slot_just_taken_is_not_swept_for_its_last_life() {
    let model = |broken| {
        let span = Span::new(0, OLD_TAG);
        let sweeper = {
            let span = Arc::clone(&span);
            thread::spawn(move || span.sweep(OLD_TAG, broken))
        };
        let taken = span.take(broken);
        sweeper.join().expect("the sweeper ends");
        assert!(taken);
        assert_eq!(span.word.load(Relaxed), 1, "a living object was swept");
        assert_eq!(span.death.load(Relaxed), 0);
    };
    let flaws = [
        SweepLoadsRelaxed,
        TakeIsRelaxed,
        SweepReadsBytesFirst,
        TakeClearsAfterwards,
    ];
    holds_only_whole(model, &flaws);
}

/// A thread that ends gives an unused slot back, `Span::return_word`; another takes it.
#[test]
fn a_slot_that_an_ending_thread_gives_back_starts_a_life_of_its_own() {
    let model = |broken| {
        let span = Span::new(1, 0);
        let ending = {
            let span = Arc::clone(&span);
            thread::spawn(move || {
                if broken == ReturnMarksAfterwards {
                    span.word.fetch_and(0, Release);
                    span.death.store(FREE, Relaxed);
                } else {
                    span.death.store(FREE, Relaxed);
                    span.word.fetch_and(0, Release);
                }
            })
        };
        let taken = span.take(Nothing);
        ending.join().expect("the thread ends");
        let death = span.death.load(Relaxed);
        assert_eq!(taken, death == 0, "a living object's death byte is {death}");
    };
    holds_only_whole(model, &[ReturnMarksAfterwards]);
}

/// A cache's log of two entries, and what draining it changes: `Cache::log`, `Heap::drain`,
/// `Heap::flush`. A death byte for each of two objects. (The cache's log counts its room down; that is the
/// same.)
struct Log {
    entries: [AtomicUsize; 2],
    len: AtomicUsize,
    drained: Mutex<Drained>,
    /// Where a tag outside the lock would stand.
    tag: AtomicU8,
    deaths: [AtomicU8; 2],
}

struct Drained {
    upto: usize,
    tag: u8,
    /// Deaths written down with this tag.
    count: usize,
}

impl Log {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            entries: [AtomicUsize::new(9), AtomicUsize::new(9)],
            len: AtomicUsize::new(0),
            drained: Mutex::new(Drained {
                upto: 0,
                tag: OLD_TAG,
                count: 0,
            }),
            tag: AtomicU8::new(OLD_TAG),
            deaths: [AtomicU8::new(0), AtomicU8::new(0)],
        })
    }

    fn log(&self, object: usize, broken: Broken) {
        let n = self.len.load(Relaxed);
        let publish = || {
            let order = broken.or_relaxed(LengthIsRelaxed, Release);
            self.len.store(n + 1, order);
        };
        if broken == LengthComesFirst {
            publish();
            self.entries[n].store(object, Relaxed);
        } else {
            self.entries[n].store(object, Relaxed);
            publish();
        }
    }

    fn drain(&self, drained: &mut Drained, broken: Broken) {
        let n = self.len.load(broken.or_relaxed(DrainIsRelaxed, Acquire));
        for entry in self.entries.get(drained.upto..n).unwrap_or(&[]) {
            let object = entry.load(Relaxed);
            assert!(object < 2, "an entry was read before it was written");
            let tag = match broken {
                TagOutsideLock => self.tag.load(Relaxed),
                _ => drained.tag,
            };
            let before = self.deaths[object].swap(tag, Relaxed);
            assert_eq!(before, 0, "a death was dealt with twice");
            drained.count += 1;
        }
        drained.upto = drained.upto.max(n);
    }

    fn flush(&self, broken: Broken) {
        let mut drained = self.drained.lock().expect("no panic");
        self.drain(&mut drained, broken);
        if broken == RestartWithoutLock {
            drained.upto = 0;
            drop(drained);
            self.len.store(0, Relaxed);
        } else {
            self.len.store(0, Relaxed);
            drained.upto = 0;
        }
    }

    /// `Heap::close_epoch` for this log: how many died in the epoch that ends.
    fn close(&self, broken: Broken) -> usize {
        if broken == TagOutsideLock {
            self.tag.store(NEW_TAG, Relaxed);
        }
        let mut drained = self.drained.lock().expect("no panic");
        self.drain(&mut drained, broken);
        if broken == DeathsTakenOutsideLock {
            let count = drained.count;
            drop(drained);
            let mut drained = self.drained.lock().expect("no panic");
            drained.count = 0;
            drained.tag = NEW_TAG;
            return count;
        }
        drained.tag = NEW_TAG;
        std::mem::take(&mut drained.count)
    }

    fn died_with(&self, tag: u8) -> usize {
        let deaths = self.deaths.iter();
        deaths.filter(|death| death.load(Relaxed) == tag).count()
    }
}

/// The owner logs and flushes while another thread drains the log for the end of an epoch.
#[test]
fn a_death_is_dealt_with_once_and_counts_for_the_epoch_whose_tag_it_bears() {
    let model = |broken| {
        let log = Log::new();
        let closing = {
            let log = Arc::clone(&log);
            thread::spawn(move || log.close(broken))
        };
        log.log(0, broken);
        log.flush(broken);
        log.log(1, broken);
        let closed = closing.join().expect("the other thread ends");
        log.flush(broken);
        let after = log.drained.lock().expect("no panic").count;
        assert_eq!(closed + after, 2, "a death was lost, or counted twice");
        assert_eq!(log.died_with(OLD_TAG), closed);
        assert_eq!(log.died_with(NEW_TAG), after);
    };
    let flaws = [
        LengthIsRelaxed,
        DrainIsRelaxed,
        LengthComesFirst,
        RestartWithoutLock,
        TagOutsideLock,
        DeathsTakenOutsideLock,
    ];
    holds_only_whole(model, &flaws);
}

/// A thread takes a slot, hands the object out and logs its death; a second one drains the log and sweeps;
/// a third reads the counters under the class's lock, `Heap::totals`.
#[test]
fn a_snapshot_never_has_more_freed_than_allocated() {
    let model = |broken| {
        let (log, taken) = (Log::new(), Arc::new(AtomicUsize::new(0)));
        let freed = Arc::new(Mutex::new(0));
        let owner = {
            let (log, taken) = (Arc::clone(&log), Arc::clone(&taken));
            thread::spawn(move || {
                taken.store(1, Relaxed);
                log.log(0, broken);
            })
        };
        let sweeper = {
            let (log, freed) = (Arc::clone(&log), Arc::clone(&freed));
            thread::spawn(move || {
                let n = log.len.load(broken.or_relaxed(DrainIsRelaxed, Acquire));
                *freed.lock().expect("no panic") += n;
            })
        };
        let early = taken.load(Relaxed);
        let freed = freed.lock().expect("no panic");
        let allocated = match broken {
            SnapshotReadsBeforeLock => early,
            _ => taken.load(Relaxed),
        };
        assert!(*freed <= allocated, "{} freed of {allocated}", *freed);
        drop(freed);
        owner.join().expect("the owner ends");
        sweeper.join().expect("the sweeper ends");
    };
    let flaws = [LengthIsRelaxed, DrainIsRelaxed, SnapshotReadsBeforeLock];
    holds_only_whole(model, &flaws);
}

/// Two objects share a block. Two threads write their deaths down, `Span::bury_shared`, while the one that
/// filled the block leaves it, `Heap::leave_shared`: at the offset of the third bit none ever started.
#[test]
fn of_those_who_clear_a_shared_blocks_mask_one_sees_it_die() {
    let model = |broken| {
        let mask = Arc::new(AtomicU16::new(0b111));
        let clear = move |mask: &AtomicU16, bits: u16| {
            let before = match broken {
                ClearsInTwoSteps => {
                    let before = mask.load(Relaxed);
                    mask.store(before & !bits, Relaxed);
                    before
                }
                _ => mask.fetch_and(!bits, Relaxed),
            };
            usize::from(before & !bits == 0)
        };
        let deaths = [0b001, 0b010].map(|bit| {
            let mask = Arc::clone(&mask);
            thread::spawn(move || clear(&mask, bit))
        });
        let left = clear(&mask, 0b100);
        let seen = deaths.map(|death| death.join().expect("the thread ends"));
        assert_eq!(
            left + seen.iter().sum::<usize>(),
            1,
            "nobody saw it, or two did"
        );
    };
    holds_only_whole(model, &[ClearsInTwoSteps]);
}
