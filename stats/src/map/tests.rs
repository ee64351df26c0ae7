//! Runs as words, sums, free runs, ages.

use core::sync::atomic::AtomicU64;

use proptest::prelude::*;

use super::*;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// A span of eight objects of 1024 bytes.
fn span(address: u64, live: u16, dead: u16) -> Run {
    Run {
        class: 31,
        slot_bytes: 1024,
        slots: 8,
        live,
        dead,
        left: Some(0),
        ..Run::idle(address, 8 * KIB, State::InUse)
    }
}

/// Ten cycles, a second apart, from second 1 on.
fn moment() -> Moment {
    let mut ends_ns = [0; KNOWN_CYCLES];
    for (i, end) in ends_ns.iter_mut().take(10).enumerate() {
        *end = (i as u64 + 1) * 1_000_000_000;
    }
    Moment {
        taken_ns: 10_500_000_000,
        started_ns: 0,
        cycle: 10,
        ends_ns,
    }
}

#[test]
fn a_small_object_in_ten_free_megabytes_leaves_none_for_ten() {
    let hole = [
        Run::idle(0, 5 * MIB, State::Retained),
        span(5 * MIB, 1, 0),
        Run::idle(5 * MIB + 8 * KIB, 3 * MIB, State::Released),
        Run::idle(8 * MIB + 8 * KIB, 2 * MIB, State::Untouched),
    ];
    let cut = Fragmentation::of(&moment(), &hole);
    assert_eq!((cut.free, cut.largest_free_run), (10 * MIB, 5 * MIB));
    assert_eq!(cut.usable_for(10 * MIB), 0);
    assert_eq!(cut.usable_for(5 * MIB), 10 * MIB);
    assert_eq!(cut.usable_for(5 * MIB + 1), 0);
    assert_eq!((cut.sparse_spans, cut.lone_spans), (1, 1));
    assert_eq!((cut.sparse_bytes, cut.sparse_live), (8 * KIB, KIB));

    let whole = [Run::idle(0, 10 * MIB, State::Retained)];
    let whole = Fragmentation::of(&moment(), &whole);
    assert_eq!(whole.usable_for(10 * MIB), 10 * MIB);
}

#[test]
fn pages_that_a_thread_has_set_aside_and_gaps_end_a_free_run() {
    let runs = [
        Run::idle(0, MIB, State::Retained),
        Run::idle(MIB, 64 * KIB, State::SetAside),
        Run::idle(MIB + 64 * KIB, MIB, State::Released),
        Run::idle(8 * MIB, MIB, State::Released),
    ];
    let cut = Fragmentation::of(&moment(), &runs);
    assert_eq!(cut.free_runs, [(MIB, 3)].into());
    assert_eq!(cut.idle(), 3 * MIB + 64 * KIB);
    assert_eq!(cut.released(), 2 * MIB);
}

/// HeapInuse and HeapIdle are the heap between them; stacks are beside it (StackSys).
#[test]
fn each_state_counts_as_one_of_memstats_figures() {
    let runs = State::ALL.map(|state| Run::idle(0, 8 * KIB, state));
    let all = Fragmentation::of(&moment(), &runs);
    let beside = all.bytes(State::Stacks);
    assert_eq!(beside, 8 * KIB);
    assert_eq!(
        all.in_use() + all.idle() + beside,
        8 * KIB * runs.len() as u64
    );
    assert_eq!(all.in_use(), 3 * 8 * KIB, "in use, cached, and unswept");
}

#[test]
fn a_large_object_has_a_span_of_its_own_which_is_never_sparse() {
    let large = Run {
        slots: 1,
        ..span(0, 1, 0)
    };
    assert!(span(0, 1, 0).is_sparse() && !large.is_sparse());
    // One that was read while it changed is full at most.
    let cut = Fragmentation::of(&moment(), &[span(0, 9, 0)]);
    assert_eq!(cut.classes[0].occupancy[TENTHS - 1], 1);
    // Large objects have no size in common.
    let cut = Fragmentation::of(&moment(), &[Run { class: 0, ..large }]);
    assert_eq!((cut.classes[0].class, cut.classes[0].slot_bytes), (0, 0));
    assert_eq!(span(0, 3, 4).free(), 1);
    assert_eq!(span(0, 8, 0).free(), 0);
}

#[test]
fn spans_are_counted_by_class_and_by_the_tenth_to_which_they_are_full() {
    let mut cached = span(32 * KIB, 2, 0);
    cached.state = State::Cached;
    cached.waiting = 2;
    let runs = [
        span(0, 8, 0),
        span(8 * KIB, 7, 1),
        span(16 * KIB, 0, 8),
        cached,
    ];
    let cut = Fragmentation::of(&moment(), &runs);
    let [class] = &cut.classes[..] else {
        panic!("{:?}", cut.classes)
    };
    assert_eq!((class.spans, class.bytes), (4, 32 * KIB));
    assert_eq!((class.class, class.slot_bytes), (31, 1024));
    let runs_of = |state: State| cut.states[state as usize].runs;
    assert_eq!((runs_of(State::InUse), runs_of(State::Cached)), (3, 1));
    assert!(cut.free_runs.is_empty());
    let parts = [class.live, class.dead, class.waiting, class.free];
    assert_eq!(parts, [17 * KIB, 9 * KIB, 2 * KIB, 4 * KIB]);
    assert_eq!(class.occupancy, [1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1]);
    assert_eq!(
        cut.sparse_spans, 0,
        "neither dead ones nor a thread's count"
    );
}

#[test]
fn ages_lie_between_a_spans_opening_and_the_last_time_that_it_was_allocated_from() {
    let age = |opened, left| {
        moment().age(&Run {
            opened,
            left,
            ..span(0, 1, 0)
        })
    };
    // Opened after cycle 4, at 4 s or later; allocated from until cycle 7 ended, at 7 s.
    let between = Age {
        least_cycles: 4,
        most_cycles: 6,
        least_seconds: 3.5,
        most_seconds: 6.5,
    };
    assert_eq!(age(4, Some(6)), between);
    let new = age(10, Some(10));
    assert_eq!((new.least_cycles, new.least_seconds), (0, 0.0));
    assert_eq!((new.most_cycles, new.most_seconds), (0, 0.5));
    let first = age(0, None);
    assert_eq!((first.least_cycles, first.most_cycles), (0, 10));
    assert_eq!((first.least_seconds, first.most_seconds), (0.0, 10.5));
    let started = Moment {
        started_ns: 250_000_000,
        ..moment()
    };
    let first = started.age(&span(0, 1, 0));
    assert_eq!((first.most_cycles, first.most_seconds), (10, 10.25));
}

#[test]
fn what_is_too_long_ago_is_as_old_as_the_program_at_most_and_as_what_is_known_at_least() {
    let mut moment = moment();
    moment.cycle = 1000;
    for number in 745..=1000_u64 {
        moment.ends_ns[(number as usize - 1) % KNOWN_CYCLES] = number * 1_000_000_000;
    }
    moment.taken_ns = 1_000_000_000_000;
    let age = |opened, left| {
        moment.age(&Run {
            opened,
            left: Some(left),
            ..span(0, 1, 0)
        })
    };
    let old = age(3, 5);
    assert_eq!((old.least_cycles, old.most_cycles), (995, 997));
    assert_eq!((old.least_seconds, old.most_seconds), (255.0, 1000.0));
    // The oldest cycle whose end is known, and the one before.
    assert_eq!(age(745, 1000).most_seconds, 255.0);
    assert_eq!(age(744, 1000).most_seconds, 1000.0);
}

#[test]
fn the_oldest_sparse_spans_come_first() {
    let runs: Vec<Run> = (0..40)
        .map(|n| Run {
            opened: n as u32 % 10,
            left: Some(n as u32 % 10),
            ..span(n * 8 * KIB, 1 + n as u16 % 2, 0)
        })
        .collect();
    let cut = Fragmentation::of(&moment(), &runs);
    assert_eq!(cut.sparse_spans, 40);
    assert_eq!(cut.oldest.len(), 16);
    let ages: Vec<u32> = cut.oldest.iter().map(|of| of.age.least_cycles).collect();
    assert_eq!(ages, [10, 10, 10, 10, 9, 9, 9, 9, 8, 8, 8, 8, 7, 7, 7, 7]);
}

#[test]
fn runs_that_do_not_fit_a_sheet_are_counted() {
    let words: Vec<AtomicU64> = (0..Sheet::bytes(2) / 8)
        .map(|_| AtomicU64::new(0))
        .collect();
    let mut sheet = Sheet::new(&words);
    (0..3).for_each(|n| sheet.add(&span(n * 8 * KIB, 1, 0)));
    sheet.finish(&moment());
    assert_eq!(Sheet::new(&words).read(), Err(3));
    assert_eq!(Sheet::new(&[]).read().unwrap_err(), 0);
}

proptest! {
    #[test]
    fn runs_read_back_as_they_were_written(
        address in (0u64..1 << 34).prop_map(|page| page * 8192),
        pages in 1u64..1 << 32,
        state in 0..State::ALL.len(),
        class in 1u8..68,
        slot in 1u64..=4096,
        slots: [u16; 4],
        opened: u32,
        left in proptest::option::of(0..u32::MAX),
    ) {
        let run = Run {
            address,
            bytes: pages * 8192,
            state: State::ALL[state],
            class,
            slot_bytes: slot * 8,
            slots: slots[0],
            live: slots[1],
            dead: slots[2],
            waiting: slots[3],
            opened,
            left,
        };
        let large = Run {
            class: 0,
            slot_bytes: run.bytes,
            state: State::Unswept,
            ..run
        };
        let idle = Run::idle(address, run.bytes, State::Released);
        let runs = vec![run, large, idle];
        let words: Vec<AtomicU64> = (0..Sheet::bytes(3) / 8).map(|_| AtomicU64::new(0)).collect();
        let mut sheet = Sheet::new(&words);
        runs.iter().for_each(|run| sheet.add(run));
        sheet.finish(&moment());
        prop_assert_eq!(Sheet::new(&words).read(), Ok((moment(), runs)));
    }

    #[test]
    fn free_memory_is_all_usable_for_a_page_and_never_more_for_more(
        lengths in proptest::collection::vec((1u64..5000, any::<bool>()), 0..60),
        request in 1u64..40 << 20,
    ) {
        let mut at = 0;
        let mut runs = Vec::new();
        for (pages, free) in lengths {
            let bytes = pages * 8192;
            let state = if free { State::Released } else { State::SetAside };
            runs.push(Run::idle(at, bytes, state));
            at += bytes;
        }
        let cut = Fragmentation::of(&moment(), &runs);
        prop_assert_eq!(cut.usable_for(1), cut.free);
        prop_assert!(cut.usable_for(request) >= cut.usable_for(request + 8192));
        prop_assert_eq!(cut.usable_for(cut.largest_free_run + 1), 0);
        prop_assert_eq!(cut.usable_for(request) > 0, request <= cut.largest_free_run);
    }
}
