//! What GOGC, the memory limit and the least heap do to goal and trigger, in
//! figures; and that no figure, however odd, does harm.

use goheap_pacer::{Config, Controller, CycleWork, Memory, NEVER, Trigger};

const MIB: u64 = 1 << 20;
const NO_MEMORY: Memory = Memory {
    heap_free: 0,
    heap_alloc: 0,
    mapped_ready: 0,
};

fn controller(gc_percent: i32, memory_limit: i64) -> Controller {
    Controller::new(Config {
        gc_percent,
        memory_limit,
        least_heap: 4 * MIB,
    })
}

/// A controller after a cycle that found so much live, everything swept.
fn after_cycle(gc_percent: i32, memory_limit: i64, marked: u64) -> Controller {
    let mut pacer = controller(gc_percent, memory_limit);
    pacer.start_cycle(marked);
    pacer.end_cycle(
        NO_MEMORY,
        CycleWork {
            heap_live: marked,
            ..CycleWork::default()
        },
    );
    pacer.reset_live(marked, 0);
    pacer.commit(marked, true);
    pacer
}

#[test]
fn a_static_controller_is_ready_without_a_commit() {
    static PACER: Controller = Controller::new(Config {
        gc_percent: 100,
        memory_limit: i64::MAX,
        least_heap: 4 * MIB,
    });
    let mut committed = PACER.clone();
    committed.commit(0, true);
    let first = Trigger {
        trigger: 4 * MIB / 64 * 61,
        goal: 4 * MIB,
    };
    assert_eq!(PACER.trigger(NO_MEMORY), first);
    assert_eq!(committed.trigger(NO_MEMORY), first);
    assert_eq!(
        (
            PACER.last_heap_goal(),
            PACER.heap_marked(),
            PACER.triggered()
        ),
        (0, 0, None)
    );
}

#[test]
fn the_least_heap_follows_gogc() {
    for (gc_percent, goal) in [(100, 4 * MIB), (200, 8 * MIB), (50, 2 * MIB), (0, 0)] {
        assert_eq!(
            controller(gc_percent, i64::MAX).goal(NO_MEMORY),
            goal,
            "GOGC={gc_percent}"
        );
    }
}

#[test]
fn the_least_heap_is_a_knob() {
    let pacer = Controller::new(Config {
        gc_percent: 200,
        memory_limit: i64::MAX,
        least_heap: 64 * MIB,
    });
    assert_eq!(pacer.goal(NO_MEMORY), 128 * MIB);
    // It is also the room left on a large heap, and does not follow GOGC there.
    assert_eq!(pacer.trigger(NO_MEMORY).trigger, 122 * MIB);
    let none = Controller::new(Config {
        gc_percent: 100,
        memory_limit: i64::MAX,
        least_heap: 0,
    });
    assert_eq!(
        none.trigger(NO_MEMORY),
        Trigger {
            trigger: 0,
            goal: 0
        }
    );
}

#[test]
fn a_change_of_gogc_takes_effect_at_the_commit() {
    let mut pacer = after_cycle(100, i64::MAX, 100 * MIB);
    assert_eq!(pacer.set_gc_percent(50), 100);
    assert_eq!(pacer.goal(NO_MEMORY), 200 * MIB);
    pacer.commit(100 * MIB, true);
    assert_eq!(pacer.goal(NO_MEMORY), 150 * MIB);
    assert_eq!(pacer.set_gc_percent(-7), 50);
    assert_eq!(pacer.gc_percent(), -1);
}

#[test]
fn gogc_off_and_no_limit_never_collects() {
    let pacer = after_cycle(-1, i64::MAX, 100 * MIB);
    let Trigger { trigger, goal } = pacer.trigger(NO_MEMORY);
    assert!(trigger > 1 << 62 && goal > trigger);
}

#[test]
fn a_negative_limit_only_asks() {
    let mut pacer = controller(100, 64 << 20);
    assert_eq!(pacer.set_memory_limit(-1), 64 << 20);
    assert_eq!(pacer.set_memory_limit(32 << 20), 64 << 20);
    assert_eq!(pacer.memory_limit(), 32 << 20);
    assert_eq!(controller(100, -1).memory_limit(), i64::MAX);
}

#[test]
fn the_limit_leaves_three_percent_and_at_least_a_mebibyte() {
    for (limit, goal) in [
        (1000 * MIB, 1000 * MIB - 1000 * MIB / 100 * 3),
        (10 * MIB, 9 * MIB),
        (2 * MIB, MIB),
        (MIB + 1, MIB),
        (1, MIB),
        (0, 0),
    ] {
        assert_eq!(
            controller(-1, limit as i64).goal(NO_MEMORY),
            goal,
            "limit {limit}"
        );
    }
}

#[test]
fn what_cannot_become_objects_is_taken_off_the_limit_and_excess_twice() {
    let pacer = controller(-1, 1000 << 20);
    let goal_of = |room| room - room / 100 * 3;
    let used = |heap_free, heap_alloc, mapped_ready| {
        pacer.goal(Memory {
            heap_free: heap_free * MIB,
            heap_alloc: heap_alloc * MIB,
            mapped_ready: mapped_ready * MIB,
        })
    };
    assert_eq!(used(0, 300, 400), goal_of(900 * MIB));
    assert_eq!(
        used(200, 300, 600),
        goal_of(900 * MIB),
        "idle pages become objects"
    );
    assert_eq!(
        used(0, 1000, 1100),
        goal_of(800 * MIB),
        "100 of overhead, 100 over"
    );
    assert_eq!(used(0, 0, 1000), 0, "no room at all");
    // Read at different times, the figures may contradict each other.
    assert_eq!(used(600, 600, 1000), goal_of(1000 * MIB));
}

#[test]
fn a_goal_never_falls_below_what_is_live() {
    let pacer = after_cycle(100, 50 << 20, 100 * MIB);
    let over = Memory {
        heap_free: 0,
        heap_alloc: 100 * MIB,
        mapped_ready: 110 * MIB,
    };
    let due = Trigger {
        trigger: 100 * MIB,
        goal: 100 * MIB,
    };
    assert_eq!(pacer.trigger(over), due);
    assert_eq!(pacer.trigger(NO_MEMORY), due);
}

#[test]
fn an_unfinished_sweep_moves_goal_and_trigger_but_not_under_a_limit() {
    let mut pacer = after_cycle(100, i64::MAX, 100 * MIB);
    pacer.commit(250 * MIB, false);
    assert_eq!(
        pacer.trigger(NO_MEMORY),
        Trigger {
            trigger: 251 * MIB,
            goal: 251 * MIB
        }
    );
    pacer.set_memory_limit(0);
    assert_eq!(
        pacer.trigger(NO_MEMORY),
        Trigger {
            trigger: 100 * MIB,
            goal: 100 * MIB
        }
    );
}

/// As in Go: the limit decides only where its goal is the lower one.
#[test]
fn a_goal_that_limit_and_gogc_agree_on_is_gogcs() {
    let mut pacer = after_cycle(0, 0, 100 * MIB);
    assert_eq!(pacer.goal(NO_MEMORY), 100 * MIB);
    pacer.commit(100 * MIB, false);
    assert_eq!(pacer.goal(NO_MEMORY), 101 * MIB);
}

#[test]
fn a_cycle_that_begins_late_gets_a_little_runway() {
    let mut pacer = after_cycle(100, i64::MAX, 100 * MIB);
    pacer.start_cycle(300 * MIB);
    assert_eq!(pacer.triggered(), Some(300 * MIB));
    assert_eq!(pacer.goal(NO_MEMORY), 300 * MIB + (64 << 10));
    pacer.reset_live(100 * MIB, 0);
    assert_eq!(pacer.triggered(), None);
    assert_eq!(pacer.goal(NO_MEMORY), 200 * MIB);
}

#[test]
fn the_last_goal_outlives_a_change_of_gogc() {
    let mut pacer = after_cycle(100, i64::MAX, 100 * MIB);
    pacer.start_cycle(190 * MIB);
    pacer.end_cycle(
        NO_MEMORY,
        CycleWork {
            heap_live: 190 * MIB,
            ..CycleWork::default()
        },
    );
    pacer.set_gc_percent(10);
    pacer.commit(190 * MIB, false);
    assert_eq!(pacer.last_heap_goal(), 200 * MIB);
}

#[test]
fn a_rate_that_is_no_number_is_left_out() {
    let mut pacer = after_cycle(100, i64::MAX, 100 * MIB);
    let mut cycle = |scan_work, utilization, idle_utilization| {
        pacer.start_cycle(190 * MIB);
        let work = CycleWork {
            heap_live: 200 * MIB,
            scan_work,
            utilization,
            idle_utilization,
        };
        pacer.end_cycle(NO_MEMORY, work);
        pacer.reset_live(100 * MIB, 100 * MIB);
        pacer.commit(100 * MIB, true);
        pacer.cons_mark()
    };
    let good = cycle(100 * MIB, 0.25, 0.0);
    assert!((good - 0.1 / 3.0).abs() < 1e-12, "{good}");
    for (scan_work, utilization, idle_utilization) in [
        (0, 0.25, 0.0),
        (0, 0.0, 0.0),
        (100 * MIB, 1.0, 0.0),
        (100 * MIB, 1.5, 0.0),
        (100 * MIB, f64::NAN, 0.0),
        (100 * MIB, 0.25, f64::NAN),
        (100 * MIB, 0.25, f64::INFINITY),
        (100 * MIB, f64::INFINITY, 0.0),
        (100 * MIB, -1.0, 0.0),
    ] {
        for _ in 0..5 {
            let got = cycle(scan_work, utilization, idle_utilization);
            assert_eq!(got, good, "{scan_work}, {utilization}, {idle_utilization}");
        }
    }
}

#[test]
fn sums_and_products_saturate() {
    let mut pacer = after_cycle(i32::MAX, i64::MAX, u64::MAX / 2);
    pacer.set_scannable_roots(u64::MAX);
    pacer.start_cycle(u64::MAX - 1);
    let work = CycleWork {
        heap_live: u64::MAX,
        scan_work: 1,
        utilization: 0.999_999,
        idle_utilization: 1e300,
    };
    pacer.end_cycle(
        Memory {
            heap_free: u64::MAX,
            heap_alloc: u64::MAX,
            mapped_ready: u64::MAX,
        },
        work,
    );
    pacer.reset_live(u64::MAX, u64::MAX);
    pacer.commit(u64::MAX, false);
    assert_eq!(pacer.runway(), u64::MAX);
    let Trigger { trigger, goal } = pacer.trigger(NO_MEMORY);
    assert_eq!((trigger, goal), (NEVER, NEVER));
}

#[test]
fn ending_a_cycle_that_never_began_only_keeps_the_goal() {
    let mut pacer = controller(100, i64::MAX);
    let work = CycleWork {
        heap_live: 9 * MIB,
        scan_work: MIB,
        utilization: 0.5,
        idle_utilization: 0.0,
    };
    pacer.end_cycle(NO_MEMORY, work);
    assert_eq!(pacer.last_heap_goal(), 4 * MIB);
    assert_eq!(pacer.cons_mark(), 0.0);
}
