//! Deaths on their way from a log into the spans, and what is counted of them: `src/death_log.rs`, under the steps
//! of `Heap::flush`, `Heap::close_epoch`, `Heap::release_cache` and `Heap::totals`.

use crate::Flaw::{self, Nothing};
use crate::death_log::DeathLog;
use crate::mask::Mask;
use crate::sync::{AtomicU16, AtomicUsize};
use crate::{each_ordering_is_needed, holds_only_whole};
use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicU8;
use loom::sync::atomic::Ordering::Relaxed;
use loom::sync::{Arc, Mutex};
use loom::thread;

const OLD_TAG: u8 = 1;
const NEW_TAG: u8 = 2;
/// What no entry is.
const UNWRITTEN: usize = 9;

/// The words of a log.
pub struct Words<const N: usize> {
    room: AtomicUsize,
    entries: [AtomicUsize; N],
}

impl<const N: usize> Words<N> {
    pub fn new() -> Self {
        let words = Self {
            room: AtomicUsize::new(N),
            entries: [const { AtomicUsize::new(UNWRITTEN) }; N],
        };
        // Before others can reach them.
        words.room.load(Relaxed);
        words
            .entries
            .iter()
            .for_each(|entry| assert_eq!(entry.load(Relaxed), UNWRITTEN));
        words
    }

    pub fn log(&self) -> DeathLog<'_, N> {
        DeathLog {
            room: &self.room,
            entries: &self.entries,
        }
    }

    pub fn push(&self, object: usize) {
        // SAFETY: each model has one owner of a log at a time; what it does if not is what one shows.
        assert!(unsafe { self.log().push(object) }, "the log is full");
    }
}

/// A cache's log, and what draining it changes. A death byte for each of two objects.
struct Cache {
    words: Words<2>,
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

impl Cache {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            words: Words::new(),
            drained: Mutex::new(Drained {
                upto: 0,
                tag: OLD_TAG,
                count: 0,
            }),
            tag: AtomicU8::new(OLD_TAG),
            deaths: [AtomicU8::new(0), AtomicU8::new(0)],
        })
    }

    fn drain(&self, drained: &mut Drained, flaw: Flaw) {
        let entries = self.words.log().since(drained.upto);
        for entry in entries {
            let object = entry.load(Relaxed);
            assert!(object < 2, "an entry was read before it was written");
            let tag = match flaw {
                Flaw::TagOutsideLock => self.tag.load(Relaxed),
                _ => drained.tag,
            };
            let before = self.deaths[object].swap(tag, Relaxed);
            assert_eq!(before, 0, "a death was dealt with twice");
            drained.count += 1;
        }
        drained.upto += entries.len();
    }

    fn flush(&self, flaw: Flaw) {
        let mut drained = self.drained.lock().expect("no panic");
        self.drain(&mut drained, flaw);
        if flaw == Flaw::RestartWithoutLock {
            drained.upto = 0;
            drop(drained);
            self.words.log().restart();
        } else {
            self.words.log().restart();
            drained.upto = 0;
        }
    }

    /// `Heap::close_epoch` for this log: how many died in the epoch that ends.
    fn close(&self, flaw: Flaw) -> usize {
        if flaw == Flaw::TagOutsideLock {
            self.tag.store(NEW_TAG, Relaxed);
        }
        let mut drained = self.drained.lock().expect("no panic");
        self.drain(&mut drained, flaw);
        if flaw == Flaw::DeathsTakenOutsideLock {
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

    /// Each of the objects that died did so once, and `closed` of them before the epoch closed.
    fn assert_counted(&self, died: usize, closed: usize) {
        let after = self.drained.lock().expect("no panic").count;
        assert_eq!(closed + after, died, "a death was lost, or counted twice");
        let with = |tag| {
            let deaths = self.deaths.iter();
            deaths.filter(|death| death.load(Relaxed) == tag).count()
        };
        assert_eq!((with(OLD_TAG), with(NEW_TAG)), (closed, after));
    }
}

/// The owner logs and flushes while another thread drains the log for the end of an epoch.
fn a_death_is_dealt_with_once_and_counts_for_the_epoch_whose_tag_it_bears(flaw: Flaw) {
    let cache = Cache::new();
    let closing = {
        let cache = Arc::clone(&cache);
        thread::spawn(move || cache.close(flaw))
    };
    cache.words.push(0);
    cache.flush(flaw);
    cache.words.push(1);
    let closed = closing.join().expect("the other thread ends");
    cache.flush(flaw);
    cache.assert_counted(2, closed);
}

/// A thread frees an object and ends; if it has ended by then, a new one has its cache, and frees another. A third
/// closes the epoch.
fn a_cache_goes_from_an_ending_thread_to_a_new_one_with_an_empty_log(flaw: Flaw) {
    let cache = Cache::new();
    // The registry: whether the cache is spare.
    let spare = Arc::new(Mutex::new(false));
    let ending = {
        let (cache, spare) = (Arc::clone(&cache), Arc::clone(&spare));
        thread::spawn(move || {
            cache.words.push(0);
            if flaw == Flaw::HandedOnBeforeFlush {
                *spare.lock().expect("no panic") = true;
                cache.flush(flaw);
            } else {
                cache.flush(flaw);
                *spare.lock().expect("no panic") = true;
            }
        })
    };
    let new = {
        let (cache, spare) = (Arc::clone(&cache), Arc::clone(&spare));
        thread::spawn(move || {
            let given = std::mem::take(&mut *spare.lock().expect("no panic"));
            if given {
                cache.words.push(1);
            }
            usize::from(given)
        })
    };
    let closed = cache.close(flaw);
    ending.join().expect("the ending thread ends");
    let died = 1 + new.join().expect("the new thread ends");
    cache.flush(flaw);
    cache.assert_counted(died, closed);
}

/// A thread writes to an object and frees it. Another drains the log, and fills the object, as `GOHEAP_POISON` has it.
fn who_drains_a_death_may_touch_the_object() {
    let log = Arc::new((Words::<1>::new(), UnsafeCell::new(0)));
    // SAFETY: whoever has the object has its memory; loom says if not.
    let touch = |object: &UnsafeCell<u8>| object.with_mut(|byte| unsafe { *byte += 1 });
    let freeing = {
        let log = Arc::clone(&log);
        thread::spawn(move || {
            touch(&log.1);
            log.0.push(0);
        })
    };
    if !log.0.log().since(0).is_empty() {
        touch(&log.1);
    }
    freeing.join().expect("the thread ends");
}

/// A thread takes a slot, hands the object out and logs its death; a second one drains the log and sweeps;
/// a third reads the counters under the class's lock.
fn a_snapshot_never_has_more_freed_than_allocated(flaw: Flaw) {
    let (words, taken) = (Arc::new(Words::<1>::new()), Arc::new(AtomicUsize::new(0)));
    taken.load(Relaxed);
    let freed = Arc::new(Mutex::new(0));
    let owner = {
        let (words, taken) = (Arc::clone(&words), Arc::clone(&taken));
        thread::spawn(move || {
            taken.store(1, Relaxed);
            words.push(0);
        })
    };
    let sweeper = {
        let freed = Arc::clone(&freed);
        thread::spawn(move || {
            let dead = words.log().since(0).len();
            *freed.lock().expect("no panic") += dead;
        })
    };
    let early = taken.load(Relaxed);
    let freed = freed.lock().expect("no panic");
    let allocated = match flaw {
        Flaw::SnapshotReadsBeforeLock => early,
        _ => taken.load(Relaxed),
    };
    assert!(*freed <= allocated, "{} freed of {allocated}", *freed);
    drop(freed);
    owner.join().expect("the owner ends");
    sweeper.join().expect("the sweeper ends");
}

/// Two objects share a block. Two threads write their deaths down, `Span::bury_shared`, while the one that
/// filled the block leaves it, `Heap::leave_shared`.
fn of_those_who_clear_a_shared_blocks_mask_one_sees_it_die(flaw: Flaw) {
    let mask = Arc::new(Mask(AtomicU16::new(0)));
    mask.open();
    let bury = move |mask: &Mask, bit: u16| match flaw {
        Flaw::ClearsInTwoSteps => {
            let before = mask.0.load(Relaxed);
            mask.0.store(before & !bit, Relaxed);
            before == bit
        }
        _ => mask.bury(bit).expect("the object lives"),
    };
    let starts = [1 << 0, 1 << 8];
    let deaths = starts.map(|bit| {
        let mask = Arc::clone(&mask);
        thread::spawn(move || bury(&mask, bit))
    });
    let left = mask.close(starts[0] | starts[1]);
    let seen = deaths.map(|death| death.join().expect("the thread ends"));
    let seen = usize::from(left) + seen.into_iter().filter(|&last| last).count();
    assert_eq!(seen, 1, "nobody saw it, or two did");
    assert_eq!(mask.bury(starts[0]), None, "it is dead");
}

#[test]
fn deaths_are_dealt_with_in_steps_of_this_order() {
    let flaws = [
        Flaw::RestartWithoutLock,
        Flaw::TagOutsideLock,
        Flaw::DeathsTakenOutsideLock,
    ];
    holds_only_whole(
        a_death_is_dealt_with_once_and_counts_for_the_epoch_whose_tag_it_bears,
        &flaws,
    );
    holds_only_whole(
        a_cache_goes_from_an_ending_thread_to_a_new_one_with_an_empty_log,
        &[Flaw::HandedOnBeforeFlush],
    );
    holds_only_whole(
        a_snapshot_never_has_more_freed_than_allocated,
        &[Flaw::SnapshotReadsBeforeLock],
    );
    holds_only_whole(
        of_those_who_clear_a_shared_blocks_mask_one_sees_it_die,
        &[Flaw::ClearsInTwoSteps],
    );
}

#[test]
fn each_ordering_of_the_death_log_is_needed() {
    let source = include_str!("../../src/death_log.rs");
    let models = [
        || a_death_is_dealt_with_once_and_counts_for_the_epoch_whose_tag_it_bears(Nothing),
        || a_cache_goes_from_an_ending_thread_to_a_new_one_with_an_empty_log(Nothing),
        who_drains_a_death_may_touch_the_object,
        || a_snapshot_never_has_more_freed_than_allocated(Nothing),
    ];
    each_ordering_is_needed("src/death_log.rs", source, &models);
}
