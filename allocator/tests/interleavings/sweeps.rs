//! Spans between a cache, the central lists and those who sweep, and the end of a sweep: `src/heap/progress.rs` and
//! `src/span/word.rs`, under the steps of `Heap::start_sweep`, `sweep_some`, `reclaim_chunk` and `put_back`.

use crate::Flaw::{self, Nothing};
use crate::progress::Progress;
use crate::sync::AtomicU64;
use crate::word::Word;
use crate::{each_ordering_is_needed, holds_only_whole};
use loom::sync::atomic::Ordering::Relaxed;
use loom::sync::atomic::{AtomicU8, AtomicU32};
use loom::sync::{Arc, Mutex};
use loom::thread;

/// The tag whose deaths the sweep under way frees.
const TAG: u8 = 1;
const FREE: u8 = 3;

/// Sweep 1 has one span to see.
fn sweep_of_one_span() -> Arc<Progress> {
    let progress = Progress::new();
    let epoch = progress.begin();
    progress.add(1);
    progress.begun(epoch);
    Arc::new(progress)
}

/// One thread sweeps the last span and counts what it freed, another starts the next sweep, of no span, once that is
/// done, and a third asks whether sweeping is done.
fn who_sees_the_sweep_done_sees_what_was_counted() {
    let (progress, freed) = (sweep_of_one_span(), Arc::new(AtomicU64::new(0)));
    freed.load(Relaxed);
    let sweeper = {
        let (progress, freed) = (Arc::clone(&progress), Arc::clone(&freed));
        thread::spawn(move || {
            freed.store(1, Relaxed);
            progress.saw(1, 1);
        })
    };
    let starter = {
        let progress = Arc::clone(&progress);
        thread::spawn(move || {
            if progress.is_done() {
                let epoch = progress.begin();
                progress.begun(epoch);
            }
        })
    };
    if progress.is_done() {
        assert_eq!(freed.load(Relaxed), 1);
    }
    sweeper.join().expect("the sweeper ends");
    starter.join().expect("the starter ends");
    assert!(progress.is_done());
}

/// Which sweep has seen a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    LastSweep,
    /// The sweep under way knows of it.
    NoneYet,
    ThisSweep,
}

/// A sweep starts class by class, while somebody sweeps already what there is, and asks whether it is done.
fn a_sweep_is_not_done_before_all_is_known_and_swept(flaw: Flaw) {
    let progress = Arc::new(Progress::new());
    progress.begun(progress.begin());
    // Of each class, what has become of its one span.
    let classes = Arc::new([Mutex::new(Of::LastSweep), Mutex::new(Of::LastSweep)]);
    let starter = {
        let (progress, classes) = (Arc::clone(&progress), Arc::clone(&classes));
        thread::spawn(move || {
            let epoch = progress.begin();
            if flaw == Flaw::BegunBeforeAllIsKnown {
                progress.begun(epoch);
            }
            for class in classes.iter() {
                let mut span = class.lock().expect("no panic");
                *span = Of::NoneYet;
                progress.add(1);
            }
            if flaw != Flaw::BegunBeforeAllIsKnown {
                progress.begun(epoch);
            }
        })
    };
    let sweep = || {
        for class in classes.iter() {
            let mut span = class.lock().expect("no panic");
            if *span == Of::NoneYet {
                *span = Of::ThisSweep;
                progress.saw(1, 1);
            }
        }
    };
    let all_seen = || {
        let mut classes = classes.iter();
        classes.all(|class| *class.lock().expect("no panic") == Of::ThisSweep)
    };
    sweep();
    // The number of the sweep first: else it may be the last one that was done.
    if progress.epoch() == 2 && progress.is_done() {
        assert!(all_seen(), "done with spans unswept");
    }
    starter.join().expect("the starter ends");
    assert_eq!(progress.is_done(), all_seen());
    sweep();
    assert!(progress.is_done());
}

/// Looks where the sweep under way is, as `Heap::sweep_some` does, until it has swept a span or there is none.
fn sweep_some(progress: &Progress, classes: &[Mutex<Of>; 2], flaw: Flaw) -> bool {
    while let Some(number) = progress.class() {
        let mut span = classes[number].lock().expect("no panic");
        if *span == Of::NoneYet {
            *span = Of::ThisSweep;
            progress.saw(1, 1);
            return true;
        }
        if flaw == Flaw::ClassLeftWithoutLock {
            drop(span);
        }
        progress.leave_class(number);
    }
    false
}

/// A thread is at a class without unswept spans while another ends the sweep, and begins the next.
fn a_new_sweep_passes_over_no_class(flaw: Flaw) {
    let progress = Arc::new(Progress::new());
    let epoch = progress.begin();
    progress.add(1);
    progress.begun(epoch);
    let classes = Arc::new([Mutex::new(Of::ThisSweep), Mutex::new(Of::NoneYet)]);
    let other = {
        let (progress, classes) = (Arc::clone(&progress), Arc::clone(&classes));
        thread::spawn(move || _ = sweep_some(&progress, &classes, flaw))
    };
    // As `Heap::sweep_some_of` does.
    let mut span = classes[1].lock().expect("no panic");
    if *span == Of::NoneYet {
        *span = Of::ThisSweep;
        progress.saw(1, 1);
    }
    drop(span);
    let epoch = progress.begin();
    for class in classes.iter() {
        let mut span = class.lock().expect("no panic");
        *span = Of::NoneYet;
        progress.add(1);
    }
    progress.begun(epoch);
    other.join().expect("the other ends");
    while sweep_some(&progress, &classes, flaw) {}
    assert!(progress.is_done(), "nobody finds what is unswept");
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Cached,
    /// In the list of spans that the sweep has yet to see.
    Unswept,
    /// In the list of those that it has seen.
    Swept,
    Closed,
}

/// What a class's lock guards, of one span.
struct Lists {
    place: Place,
    swept: bool,
    sweeps: usize,
    freed: u32,
}

/// A span of three slots.
struct Span {
    lists: Mutex<Lists>,
    /// A copy of `swept` for who looks without the lock.
    epoch: AtomicU32,
    word: Word,
    deaths: [AtomicU8; 3],
}

const NONE_TAKEN: u64 = !0b111;

impl Span {
    fn new(place: Place, taken: u64, deaths: [u8; 3]) -> Arc<Self> {
        let word = Word(AtomicU64::new(NONE_TAKEN | taken));
        word.glance();
        Arc::new(Self {
            lists: Mutex::new(Lists {
                place,
                swept: false,
                sweeps: 0,
                freed: 0,
            }),
            epoch: AtomicU32::new(0),
            word,
            deaths: deaths.map(AtomicU8::new),
        })
    }

    fn condemned(&self) -> u64 {
        let bytes = self.deaths.iter().enumerate();
        bytes
            .map(|(i, death)| u64::from(death.load(Relaxed) == TAG) << i)
            .sum()
    }

    fn set_deaths(&self, slots: u64, to: u8) {
        for (i, death) in self.deaths.iter().enumerate() {
            if slots >> i & 1 != 0 {
                death.store(to, Relaxed);
            }
        }
    }

    /// `Heap::sweep_unlisted`.
    fn sweep(&self, lists: &mut Lists, shared: bool) {
        let (_, freed) = self.word.sweep(shared, || self.condemned());
        lists.swept = true;
        self.epoch.store(1, Relaxed);
        lists.sweeps += 1;
        lists.freed += freed.count_ones();
    }

    /// It is in no cache and swept.
    fn file(&self, lists: &mut Lists) {
        lists.place = match self.word.glance() {
            NONE_TAKEN => Place::Closed,
            _ => Place::Swept,
        };
    }

    /// The owner of the cache takes what is free, hands out one slot and gives the span back.
    fn use_and_put_back(&self, flaw: Flaw) -> u64 {
        let free = self.word.take(true, |free| self.set_deaths(free, 0));
        let object = free & free.wrapping_neg();
        let mut lists = self.lists.lock().expect("no panic");
        let unused = free & !object;
        self.word
            .give_back(unused, || self.set_deaths(unused, FREE));
        if !lists.swept && flaw != Flaw::PutBackUnswept {
            self.sweep(&mut lists, false);
        }
        self.file(&mut lists);
        object
    }

    /// `Heap::sweep_some`.
    fn sweep_some(&self, flaw: Flaw) {
        let mut lists = self.lists.lock().expect("no panic");
        let cached = lists.place == Place::Cached && !lists.swept;
        if !cached && lists.place != Place::Unswept {
            return;
        }
        self.sweep(&mut lists, cached && flaw != Flaw::CachedIsSweptAlone);
        if !cached {
            self.file(&mut lists);
        }
    }

    /// `Heap::reclaim_chunk`.
    fn reclaim(&self, flaw: Flaw) {
        if self.epoch.load(Relaxed) == 1 {
            return;
        }
        let mut lists = self.lists.lock().expect("no panic");
        if lists.place == Place::Unswept || flaw == Flaw::ReclaimTrustsItsFirstLook {
            self.sweep(&mut lists, false);
            self.file(&mut lists);
        }
    }
}

/// Slot 0 is condemned, slot 1 an object that another thread's log has, slot 2 free. The owner takes what is free and
/// gives the span back, while it is swept and the object in slot 1 dies in the next epoch.
fn a_span_goes_from_a_cache_to_the_lists_swept_once_and_loses_no_object(flaw: Flaw) {
    let span = Span::new(Place::Cached, 0b011, [TAG, 0, FREE]);
    let sweeper = {
        let span = Arc::clone(&span);
        thread::spawn(move || span.sweep_some(flaw))
    };
    let elsewhere = {
        let span = Arc::clone(&span);
        thread::spawn(move || span.set_deaths(0b010, TAG + 1))
    };
    let object = span.use_and_put_back(flaw);
    sweeper.join().expect("the sweeper ends");
    elsewhere.join().expect("the thread ends");
    let lists = span.lists.lock().expect("no panic");
    assert_eq!(
        (lists.place, lists.swept, lists.sweeps),
        (Place::Swept, true, 1)
    );
    assert_eq!(lists.freed, 1, "what was condemned is free once");
    assert_eq!(
        span.word.glance(),
        NONE_TAKEN | 0b010 | object,
        "others lived"
    );
    assert_eq!(
        span.deaths[1].load(Relaxed),
        TAG + 1,
        "it waits for the next sweep"
    );
}

/// All of a listed span is condemned; two threads come upon it.
fn a_dead_span_is_swept_and_closed_by_one(flaw: Flaw) {
    let span = Span::new(Place::Unswept, 0b111, [TAG; 3]);
    let reclaimer = {
        let span = Arc::clone(&span);
        thread::spawn(move || span.reclaim(flaw))
    };
    span.sweep_some(flaw);
    reclaimer.join().expect("the reclaimer ends");
    let lists = span.lists.lock().expect("no panic");
    assert_eq!(
        (lists.place, lists.sweeps, lists.freed),
        (Place::Closed, 1, 3)
    );
}

#[test]
fn spans_are_swept_in_steps_of_this_order() {
    holds_only_whole(
        a_span_goes_from_a_cache_to_the_lists_swept_once_and_loses_no_object,
        &[Flaw::CachedIsSweptAlone, Flaw::PutBackUnswept],
    );
    holds_only_whole(
        a_dead_span_is_swept_and_closed_by_one,
        &[Flaw::ReclaimTrustsItsFirstLook],
    );
    holds_only_whole(
        a_sweep_is_not_done_before_all_is_known_and_swept,
        &[Flaw::BegunBeforeAllIsKnown],
    );
    holds_only_whole(
        a_new_sweep_passes_over_no_class,
        &[Flaw::ClassLeftWithoutLock],
    );
}

#[test]
fn each_ordering_of_a_sweeps_progress_is_needed() {
    let source = include_str!("../../src/heap/progress.rs");
    let models = [who_sees_the_sweep_done_sees_what_was_counted, || {
        a_sweep_is_not_done_before_all_is_known_and_swept(Nothing)
    }];
    each_ordering_is_needed("heap/progress.rs", source, &models);
}
