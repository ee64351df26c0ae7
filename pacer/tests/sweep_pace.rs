//! The sweep is done in time, by those who allocate.

#[path = "simulation/random.rs"]
mod random;

use goheap_pacer::SweepPace;
use random::Random;

const MIB: u64 = 1 << 20;
const PAGE: u64 = 8 << 10;

#[test]
fn pages_are_spread_over_the_way_to_a_mebibyte_before_the_trigger() {
    let pace = SweepPace::plan(200 * MIB, 100 * MIB, 1000, 10_900);
    assert_eq!(pace.pages_per_byte, 9900.0 / (99 * MIB) as f64);
    assert_eq!(
        (pace.heap_live_basis, pace.pages_swept_basis),
        (100 * MIB, 1000)
    );
    assert!(!pace.is_done());
    assert_eq!(pace.pages_target(100 * MIB, 0, 0), 0);
    assert_eq!(pace.pages_target(101 * MIB, 0, 0), 100);
    assert_eq!(pace.pages_target(101 * MIB, MIB, 30), 170);
    assert_eq!(pace.debt(101 * MIB, MIB, 30, 1070), 100);
    assert_eq!(pace.debt(101 * MIB, MIB, 30, 1170), 0);
}

#[test]
fn nothing_left_to_sweep_owes_nothing() {
    for pace in [
        SweepPace::DONE,
        SweepPace::plan(200 * MIB, 100 * MIB, 500, 500),
        SweepPace::plan(200 * MIB, 100 * MIB, 501, 500),
    ] {
        assert_eq!(pace, SweepPace::DONE);
        assert!(pace.is_done());
        assert!(pace.pages_target(u64::MAX, u64::MAX, 0) <= 0);
        assert_eq!(pace.debt(u64::MAX, u64::MAX, 0, 0), 0);
    }
}

#[test]
fn a_trigger_at_hand_makes_the_next_page_of_allocation_sweep_it_all() {
    for (trigger, live) in [(MIB, 0), (5, 10 * MIB), (0, u64::MAX), (10 * MIB, 10 * MIB)] {
        let pace = SweepPace::plan(trigger, live, 0, 500);
        assert_eq!(pace.pages_target(live, PAGE, 0), 500, "{trigger}, {live}");
    }
}

#[test]
fn a_live_heap_read_before_the_plan_owes_for_its_span_alone() {
    let pace = SweepPace::plan(200 * MIB, 100 * MIB, 0, 9900);
    assert_eq!(pace.pages_target(90 * MIB, MIB, 0), 100);
}

#[test]
fn odd_figures_saturate() {
    let pace = SweepPace::plan(0, 0, 0, u64::MAX);
    assert_eq!(pace.pages_target(u64::MAX, u64::MAX, 0), i64::MAX);
    assert_eq!(pace.pages_target(0, 0, u64::MAX), -i64::MAX);
    assert_eq!(pace.debt(u64::MAX, 0, 0, 0), i64::MAX as u64);
    let nonsense = SweepPace {
        pages_per_byte: f64::NAN,
        ..pace
    };
    assert_eq!(nonsense.pages_target(u64::MAX, u64::MAX, 0), 0);
    let negative = SweepPace {
        pages_per_byte: f64::NEG_INFINITY,
        ..pace
    };
    assert_eq!(negative.debt(u64::MAX, u64::MAX, u64::MAX, 0), 0);
}

/// Spans of all sizes are taken, each after paying what it owes, with the plan
/// remade now and then: all is swept before the trigger is reached.
#[test]
fn paying_at_each_allocation_is_done_before_the_trigger() {
    for seed in 1..=200 {
        let mut random = Random(seed);
        let mut live = random.next() % (1 << 30);
        let trigger = live + 2 * MIB + random.next() % (1 << (21 + seed % 10));
        let in_use = 1 + random.next() % (1 << (seed % 20));
        let (mut swept, mut paid) = (0, 0);
        let mut pace = SweepPace::plan(trigger, live, swept, in_use);
        while live < trigger {
            let span = PAGE * (1.0 + 4.0 * random.unit()) as u64;
            let debt = pace.debt(live, span, 0, swept);
            paid += u64::from(debt > 0);
            swept = (swept + debt).min(in_use);
            live += span;
            if random.next().is_multiple_of(50) {
                pace = SweepPace::plan(trigger, live, swept, in_use);
            }
        }
        assert_eq!(swept, in_use, "seed {seed}: pages left at the trigger");
        assert!(paid > 0);
    }
}
