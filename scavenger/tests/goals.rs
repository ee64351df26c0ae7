//! How much is retained, and what an allocation has to hand back.

use goheap_scavenger::{AllocationInputs, Assist, GoalInputs, Goals, Policy};

const MIB: u64 = 1 << 20;
const NONE: u64 = u64::MAX;

/// A heap whose goal is what it was, all of its spans in use and nothing idle.
fn steady() -> GoalInputs {
    GoalInputs {
        memory_limit: i64::MAX,
        mapped_ready: 110 * MIB,
        heap_goal: 80 * MIB,
        last_heap_goal: 80 * MIB,
        last_heap_in_use: 100 * MIB,
        heap_retained: 100 * MIB,
        physical_page: 4096,
        retain_percent: 10,
    }
}

#[test]
fn a_steady_heap_keeps_a_tenth_more_than_it_had_in_use() {
    assert_eq!(Goals::compute(&steady(), &Policy::NEWEST), Goals::NONE);
    let bloated = GoalInputs {
        heap_retained: 200 * MIB,
        ..steady()
    };
    assert_eq!(
        Goals::compute(&bloated, &Policy::NEWEST),
        Goals {
            gc_percent: 110 * MIB,
            memory_limit: NONE
        }
    );
}

#[test]
fn the_goal_follows_the_heaps_goal() {
    let burst_over = GoalInputs {
        heap_goal: 8 * MIB,
        ..steady()
    };
    assert_eq!(
        Goals::compute(&burst_over, &Policy::NEWEST).gc_percent,
        11 * MIB
    );
    let growing = GoalInputs {
        heap_goal: 160 * MIB,
        heap_retained: 300 * MIB,
        ..steady()
    };
    assert_eq!(
        Goals::compute(&growing, &Policy::NEWEST).gc_percent,
        220 * MIB
    );
}

#[test]
fn nothing_is_scavenged_for_the_heap_before_its_second_cycle() {
    let first = GoalInputs {
        last_heap_goal: 0,
        heap_retained: 1 << 40,
        ..steady()
    };
    assert_eq!(Goals::compute(&first, &Policy::NEWEST), Goals::NONE);
    let limited = GoalInputs {
        memory_limit: 64 << 20,
        ..first
    };
    assert_eq!(
        Goals::compute(&limited, &Policy::NEWEST).memory_limit,
        63_753_420
    );
}

#[test]
fn a_goal_is_whole_pages_and_less_than_one_is_not_worth_it() {
    let pages = |heap_retained| {
        Goals::compute(
            &GoalInputs {
                last_heap_in_use: 10 * 16384 + 1,
                heap_retained,
                physical_page: 16384,
                ..steady()
            },
            &Policy::NEWEST,
        )
        .gc_percent
    };
    assert_eq!(pages(12 * 16384), NONE);
    assert_eq!(pages(13 * 16384 - 1), NONE);
    assert_eq!(pages(13 * 16384), 12 * 16384);
}

#[test]
fn the_tenth_is_a_knob() {
    let retain = |retain_percent| {
        let inputs = GoalInputs {
            heap_retained: 900 * MIB,
            retain_percent,
            ..steady()
        };
        Goals::compute(&inputs, &Policy::NEWEST).gc_percent
    };
    assert_eq!(
        (retain(0), retain(50), retain(300)),
        (100 * MIB, 150 * MIB, 400 * MIB)
    );
    assert_eq!(retain(u64::MAX), NONE);
}

#[test]
fn the_limits_goal_is_a_twentieth_below_the_limit() {
    let limit = |mapped_ready| {
        let inputs = GoalInputs {
            memory_limit: 1000 << 20,
            mapped_ready,
            ..steady()
        };
        Goals::compute(&inputs, &Policy::NEWEST).memory_limit
    };
    assert_eq!(limit(950 * MIB), NONE);
    assert_eq!(limit(950 * MIB + 1), 950 * MIB);
    let negative = GoalInputs {
        memory_limit: -1,
        ..steady()
    };
    assert_eq!(Goals::compute(&negative, &Policy::NEWEST).memory_limit, 0);
}

#[test]
fn goals_are_met_when_both_are() {
    let goals = Goals {
        gc_percent: 100,
        memory_limit: 1000,
    };
    assert!(goals.met(100, 1000));
    assert!(!goals.met(101, 1000));
    assert_eq!(goals.excess(107, 1000), 7);
    assert_eq!(goals.excess(107, 1009), 9);
    assert!(!goals.met(100, 1001));
    assert!(Goals::NONE.met(u64::MAX, u64::MAX));
}

#[test]
fn odd_figures_are_nothing_to_do() {
    let huge = GoalInputs {
        memory_limit: i64::MAX,
        mapped_ready: 0,
        heap_goal: u64::MAX,
        last_heap_goal: 1,
        last_heap_in_use: u64::MAX,
        heap_retained: u64::MAX,
        physical_page: 4096,
        retain_percent: u64::MAX,
    };
    assert_eq!(Goals::compute(&huge, &Policy::NEWEST), Goals::NONE);
    for physical_page in [0, 1, 3, u64::MAX] {
        let goals = Goals::compute(
            &GoalInputs {
                physical_page,
                retain_percent: 0,
                ..huge
            },
            &Policy::NEWEST,
        );
        assert_eq!(goals, Goals::NONE, "{physical_page}");
    }
    let odd_page = GoalInputs {
        physical_page: 0,
        heap_retained: 200 * MIB,
        ..steady()
    };
    assert_eq!(
        Goals::compute(&odd_page, &Policy::NEWEST).gc_percent,
        110 * MIB
    );
}

/// An allocation that fits in all goals.
fn modest() -> AllocationInputs {
    AllocationInputs {
        growth: 0,
        scavenged_taken: 0,
        heap_retained: 90 * MIB,
        mapped_ready: 100 * MIB,
        memory_limit: i64::MAX,
        limiting: false,
    }
}

#[test]
fn an_allocation_within_the_goals_owes_nothing() {
    assert_eq!(Goals::NONE.assist(&modest()), Assist::default());
    let grown = AllocationInputs {
        growth: 4 * MIB,
        scavenged_taken: 4 * MIB,
        ..modest()
    };
    assert_eq!(Goals::NONE.assist(&grown), Assist::default());
    let goals = Goals {
        gc_percent: 94 * MIB,
        ..Goals::NONE
    };
    assert_eq!(goals.assist(&grown), Assist::default());
}

#[test]
fn a_growth_hands_back_what_it_exceeds_the_goal_by_and_at_most_itself() {
    let grown = AllocationInputs {
        growth: 4 * MIB,
        ..modest()
    };
    let owed = |gc_percent| {
        Goals {
            gc_percent,
            ..Goals::NONE
        }
        .assist(&grown)
    };
    assert_eq!(
        owed(93 * MIB),
        Assist {
            bytes: MIB,
            forced: false
        }
    );
    assert_eq!(
        owed(50 * MIB),
        Assist {
            bytes: 4 * MIB,
            forced: false
        }
    );
    let reused = AllocationInputs {
        scavenged_taken: 4 * MIB,
        ..modest()
    };
    let goals = Goals {
        gc_percent: 50 * MIB,
        ..Goals::NONE
    };
    assert_eq!(goals.assist(&reused), Assist::default(), "no growth");
}

#[test]
fn memory_that_breaks_the_limit_is_handed_back_by_force() {
    let near = AllocationInputs {
        scavenged_taken: 3 * MIB,
        memory_limit: 102 << 20,
        ..modest()
    };
    assert_eq!(
        Goals::NONE.assist(&near),
        Assist {
            bytes: MIB,
            forced: true
        }
    );
    let exact = AllocationInputs {
        scavenged_taken: 2 * MIB,
        ..near
    };
    assert_eq!(Goals::NONE.assist(&exact), Assist::default());
    // The larger debt counts, and dense chunks are not spared for either.
    let goals = Goals {
        gc_percent: 50 * MIB,
        ..Goals::NONE
    };
    let both = AllocationInputs {
        growth: 4 * MIB,
        ..near
    };
    assert_eq!(
        goals.assist(&both),
        Assist {
            bytes: 4 * MIB,
            forced: true
        }
    );
}

#[test]
fn the_cpu_limiter_puts_the_limit_off_but_not_the_heaps_goal() {
    let over = AllocationInputs {
        growth: 4 * MIB,
        scavenged_taken: 8 * MIB,
        memory_limit: 100 << 20,
        limiting: true,
        ..modest()
    };
    assert_eq!(Goals::NONE.assist(&over), Assist::default());
    let goals = Goals {
        gc_percent: 50 * MIB,
        ..Goals::NONE
    };
    assert_eq!(
        goals.assist(&over),
        Assist {
            bytes: 4 * MIB,
            forced: false
        }
    );
}

#[test]
fn debts_saturate() {
    let everything = AllocationInputs {
        growth: u64::MAX,
        scavenged_taken: u64::MAX,
        heap_retained: u64::MAX,
        mapped_ready: u64::MAX,
        memory_limit: -1,
        limiting: false,
    };
    assert_eq!(
        Goals::NONE.assist(&everything),
        Assist {
            bytes: u64::MAX,
            forced: true
        }
    );
    let goals = Goals {
        gc_percent: 0,
        memory_limit: 0,
    };
    assert_eq!(
        goals.assist(&everything),
        Assist {
            bytes: u64::MAX,
            forced: true
        }
    );
}
