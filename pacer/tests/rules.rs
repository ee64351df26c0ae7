//! When a cycle begins, and where it should end, in each version of Go.

use goheap_pacer::{Config, Controller, CycleWork, GO_ROOTS, Memory, NEVER, Rules};

const MIB: u64 = 1 << 20;

fn controller(minor: u8, gc_percent: i32) -> Controller {
    let config = Config {
        gc_percent,
        memory_limit: i64::MAX,
        least_heap: Rules::least_heap(minor),
    };
    let mut controller = Controller::with_rules(config, Rules::go(minor));
    controller.set_scannable_roots(GO_ROOTS);
    controller.commit(0, true);
    controller
}

/// One cycle that lets the heap overshoot its trigger by so many bytes, and finds `marked` live.
fn cycle(c: &mut Controller, overshoot: u64, marked: u64) {
    let at = c.trigger(Memory::default()).trigger;
    c.start_cycle(at);
    c.end_cycle(Memory::default(), CycleWork::modelled(at + overshoot));
    c.reset_live(marked, GO_ROOTS);
    c.commit(marked, true);
}

fn after_first_cycle(minor: u8, marked: u64) -> Controller {
    let mut c = controller(minor, 100);
    cycle(&mut c, 0, marked);
    c
}

#[test]
fn up_to_go1_4_a_cycle_stops_the_world_at_twice_what_is_live_however_little_that_is() {
    for minor in 1..=4 {
        assert!(!Rules::go(minor).concurrent());
        for live in [1_000, 3 * MIB, 100 * MIB] {
            let c = after_first_cycle(minor, live);
            let due = c.trigger(Memory::default());
            assert_eq!((due.trigger, due.goal), (2 * live, 2 * live), "go1.{minor}");
        }
    }
}

#[test]
fn from_go1_5_on_the_least_heap_is_four_mebibytes() {
    for minor in 5..=27 {
        let c = after_first_cycle(minor, 1_000);
        let due = c.trigger(Memory::default());
        assert!(due.goal >= 4 * MIB, "go1.{minor}: {due:?}");
        assert!(Rules::go(minor).concurrent());
    }
    let c = controller(8, 50);
    assert_eq!(
        c.trigger(Memory::default()).trigger,
        2 * MIB,
        "it scales with GOGC"
    );
}

#[test]
fn up_to_go1_17_the_least_heap_bounds_the_trigger_and_later_the_goal() {
    let first = |minor| controller(minor, 100).trigger(Memory::default());
    for minor in 5..=17 {
        assert_eq!(first(minor).trigger, 4 * MIB, "go1.{minor}");
        assert!(first(minor).goal > 4 * MIB, "go1.{minor}");
    }
    for minor in 18..=27 {
        assert_eq!(first(minor).goal, 4 * MIB, "go1.{minor}");
        assert!(first(minor).trigger < 4 * MIB, "go1.{minor}");
    }
}

#[test]
fn roots_count_from_go1_18_on() {
    for minor in 1..=27 {
        let goal = after_first_cycle(minor, 100 * MIB).goal(Memory::default());
        let roots = if minor < 18 { 0 } else { GO_ROOTS };
        assert_eq!(goal, 200 * MIB + roots, "go1.{minor}");
    }
}

#[test]
fn a_feedback_loop_moves_the_trigger_down_when_cycles_overshoot_and_up_again() {
    for minor in [5, 10, 14, 17] {
        let mut c = after_first_cycle(minor, 100 * MIB);
        let trigger = |c: &Controller| c.trigger(Memory::default()).trigger;
        for _ in 0..20 {
            cycle(&mut c, 40 * MIB, 100 * MIB);
        }
        let early = trigger(&c);
        assert!(early < 165 * MIB, "go1.{minor}: {early}");
        for _ in 0..20 {
            cycle(&mut c, MIB, 100 * MIB);
        }
        let late = trigger(&c);
        assert!(late > 190 * MIB && late <= 195 * MIB, "go1.{minor}: {late}");
    }
}

#[test]
fn from_go1_14_to_go1_17_a_trigger_is_at_least_three_fifths_of_the_way() {
    for (minor, least) in [(13, 100), (14, 160), (17, 160)] {
        let mut c = after_first_cycle(minor, 100 * MIB);
        for _ in 0..20 {
            cycle(&mut c, 300 * MIB, 100 * MIB);
        }
        let due = c.trigger(Memory::default());
        assert_eq!(due.trigger, least * MIB, "go1.{minor}");
    }
}

#[test]
fn go1_18_and_go1_19_smooth_what_later_versions_take_the_largest_of() {
    let runway = |minor| {
        let mut c = after_first_cycle(minor, 100 * MIB);
        cycle(&mut c, 20 * MIB, 100 * MIB);
        let at_once = c.runway();
        for _ in 0..5 {
            cycle(&mut c, MIB, 100 * MIB);
        }
        (at_once, c.runway())
    };
    let (smoothed, after_smooth) = runway(19);
    let (largest, after_largest) = runway(20);
    assert!(smoothed < largest, "{smoothed} {largest}");
    assert!(after_smooth < smoothed && after_largest <= largest);
}

#[test]
fn a_limit_counts_from_go1_19_on_with_one_mebibyte_then_three_percent_of_head_room() {
    for minor in 1..=27 {
        let config = Config {
            gc_percent: -1,
            memory_limit: (200 * MIB) as i64,
            least_heap: 4 * MIB,
        };
        let mut c = Controller::with_rules(config, Rules::go(minor));
        c.commit(0, true);
        let goal = c.goal(Memory::default());
        match minor {
            ..=18 => {
                assert_eq!((goal, c.memory_limit()), (NEVER, i64::MAX), "go1.{minor}");
                assert_eq!(c.set_memory_limit(1), i64::MAX);
                assert_eq!(c.goal(Memory::default()), NEVER);
            }
            19..=20 => assert_eq!(goal, 199 * MIB, "go1.{minor}"),
            _ => assert_eq!(goal, 200 * MIB - 200 * MIB / 100 * 3, "go1.{minor}"),
        }
    }
}

#[test]
fn collection_can_be_off_in_every_version() {
    for minor in 1..=27 {
        let due = controller(minor, -1).trigger(Memory::default());
        assert!(due.trigger > 1 << 62, "go1.{minor}: {due:?}");
    }
}

#[test]
fn the_newest_rules_are_those_of_the_newest_version() {
    for minor in 21..=27 {
        assert_eq!(Rules::go(minor), Rules::NEWEST);
    }
}

/// A cycle in which `allocated` bytes come while `scanned` are scanned, at Go's quarter of the processors.
fn measured(c: &mut Controller, allocated: u64, scanned: u64) -> f64 {
    measured_at(c, 0.25, allocated, scanned)
}

/// The same at this share of the processors.
fn measured_at(c: &mut Controller, utilization: f64, allocated: u64, scanned: u64) -> f64 {
    let at = c.trigger(Memory::default()).trigger;
    c.start_cycle(at);
    let work = CycleWork {
        heap_live: at + allocated,
        scan_work: scanned,
        utilization,
        idle_utilization: 0.0,
    };
    c.end_cycle(Memory::default(), work);
    c.reset_live(10 * MIB, GO_ROOTS);
    c.commit(10 * MIB, true);
    c.cons_mark()
}

#[test]
fn go1_18_and_1_19_smooth_what_they_measure_by_a_controller() {
    for minor in [18, 19] {
        let mut c = controller(minor, 100);
        // Three bytes allocated for one scanned, at a quarter of the processors: 1 for the controller. Its
        // proportional part is 0.9 of the error, its integral grows by 0.9 / 4 of it.
        let (mut estimate, mut integral) = (0.0, 0.0);
        for current in [1.0, 1.0, 1.0, 0.5, 2.0] {
            let found = measured(&mut c, (current * 3.0 * MIB as f64) as u64, MIB);
            let error = current - estimate;
            estimate = f64::max(0.9 * error + integral, 0.0);
            integral += 0.225 * error;
            assert!(
                (found - estimate).abs() < 1e-9,
                "go1.{minor}: {found}, not {estimate}"
            );
        }
    }
}

#[test]
fn from_go1_20_on_the_largest_of_five_measurements_counts() {
    for minor in 20..=27 {
        let mut c = controller(minor, 100);
        assert_eq!(measured(&mut c, 6 * MIB, MIB), 2.0);
        for _ in 0..4 {
            assert_eq!(measured(&mut c, 3 * MIB, MIB), 2.0, "go1.{minor}");
        }
        assert_eq!(measured(&mut c, 3 * MIB, MIB), 1.0, "go1.{minor}");
        // A cycle in which nothing was allocated says nothing.
        (0..6).for_each(|_| assert_eq!(measured(&mut c, 0, MIB), 1.0));
    }
}

/// Go 1.27.3, `endCycle`: only a cycle without allocation is left out.
#[test]
fn a_cycle_that_took_no_time_is_a_measurement_of_zero() {
    let mut c = controller(27, 100);
    assert_eq!(measured(&mut c, 6 * MIB, MIB), 2.0);
    let later: Vec<f64> = (0..5).map(|_| measured_at(&mut c, 0.0, MIB, MIB)).collect();
    assert_eq!(later, [2.0, 2.0, 2.0, 2.0, 0.0]);
}

#[test]
fn where_feedback_sets_the_trigger_it_is_bounded_by_shares_of_gogc() {
    let live = 100 * MIB;
    let trigger = |percent| {
        let mut c = controller(17, percent);
        cycle(&mut c, 0, live);
        let due = c.trigger(Memory::default());
        assert_eq!(c.goal(Memory::default()), due.goal);
        due.trigger as f64 / live as f64 - 1.0
    };
    // The first ratio, 7/8, is below 60 % of GOGC=300 and above 95 % of GOGC=50.
    assert!((trigger(300) - 1.8).abs() < 0.001, "{}", trigger(300));
    assert!((trigger(50) - 0.475).abs() < 0.001, "{}", trigger(50));
}

#[test]
fn where_feedback_sets_the_trigger_an_unfinished_sweep_moves_it_up() {
    for minor in 5..=17 {
        let mut c = after_first_cycle(minor, 10 * MIB);
        c.commit(30 * MIB, false);
        let due = c.trigger(Memory::default());
        assert_eq!((due.trigger, due.goal), (31 * MIB, 31 * MIB), "go1.{minor}");
    }
}

/// Cycles are forced with GOGC off, too: they teach as much as with no growth allowed.
#[test]
fn where_feedback_sets_the_trigger_gogc_off_allows_no_growth() {
    let after = |percent| {
        let mut c = after_first_cycle(17, 100 * MIB);
        c.set_gc_percent(percent);
        c.start_cycle(110 * MIB);
        c.end_cycle(Memory::default(), CycleWork::modelled(120 * MIB));
        c.reset_live(100 * MIB, GO_ROOTS);
        c.set_gc_percent(100);
        c.commit(100 * MIB, true);
        c.trigger(Memory::default()).trigger
    };
    assert_eq!(after(-1), after(0));
    assert!(after(0) < after(100));
}

/// `mallocgc` has them from Go 1.2 on.
#[test]
fn tiny_objects_share_blocks_from_go1_2_on() {
    let minors: Vec<u8> = (0..=27).filter(|&minor| Rules::tiny(minor)).collect();
    assert_eq!(minors, (2..=27).collect::<Vec<u8>>());
}

#[test]
fn where_feedback_sets_the_trigger_the_goal_is_not_below_it() {
    for minor in 5..=17 {
        let c = after_first_cycle(minor, 1_000);
        assert_eq!(c.goal(Memory::default()), 4 * MIB, "go1.{minor}");
    }
}

#[test]
fn gogc_is_what_was_set_last() {
    let mut c = controller(27, 100);
    assert_eq!(c.gc_percent(), 100);
    assert_eq!(c.set_gc_percent(40), 100);
    assert_eq!(c.gc_percent(), 40);
}

#[test]
fn while_a_cycle_runs_its_goal_is_well_ahead_of_where_it_began() {
    for minor in 5..=27 {
        let mut c = after_first_cycle(minor, 100 * MIB);
        let goal = c.goal(Memory::default());
        let ahead = if minor <= 17 { MIB } else { 64 << 10 };
        c.start_cycle(goal - ahead);
        assert_eq!(c.goal(Memory::default()), goal, "go1.{minor}");
        c.end_cycle(Memory::default(), CycleWork::modelled(goal));
        c.start_cycle(goal - ahead + 1);
        assert_eq!(c.goal(Memory::default()), goal + 1, "go1.{minor}");
        // One that began late, too.
        c.end_cycle(Memory::default(), CycleWork::modelled(goal));
        c.start_cycle(goal + 10 * MIB);
        let late = goal + 10 * MIB + ahead;
        assert_eq!(c.goal(Memory::default()), late, "go1.{minor}");
        c.end_cycle(Memory::default(), CycleWork::modelled(late));
        c.reset_live(100 * MIB, GO_ROOTS);
        c.commit(100 * MIB, true);
        assert_eq!(c.goal(Memory::default()), goal, "go1.{minor}");
    }
}

#[test]
fn go1_5_was_the_first_to_use_all_processors_and_go1_25_to_mind_a_quota_of_theirs() {
    for minor in 1..=27 {
        let (one, quota) = (minor <= 4, minor >= 25);
        assert_eq!(Rules::processors(minor), u32::from(one), "go1.{minor}");
        assert_eq!(Rules::minds_quota(minor), quota, "go1.{minor}");
    }
}
