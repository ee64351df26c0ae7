//! Whole cycles: the pacer settles where it should, and comes back when the
//! program changes its ways.

mod simulation;

use simulation::{
    Cycle, GO_LEAST_HEAP, Random, Workload, constant, noise, ramp, run, square, step,
};

/// The collector's share with nobody helping.
const BACKGROUND: f64 = 0.25;

#[track_caller]
fn assert_near(what: &str, got: f64, wanted: f64, margin: f64) {
    assert!(
        (got - wanted).abs() <= margin,
        "{what}: {got}, not {wanted} ± {margin}"
    );
}

/// Ends close to the goal, and without help from allocations.
#[track_caller]
fn assert_settled(cycles: &[Cycle]) {
    for c in cycles {
        assert_near("utilization", c.utilization, BACKGROUND, 0.005);
        assert_near("peak by goal", c.goal_ratio(), 1.0, 0.05);
    }
}

#[test]
fn a_steady_program_ends_its_cycles_at_the_goal() {
    let cycles = run(Workload::default(), 50);
    assert_settled(&cycles[25..]);
}

#[test]
fn a_goal_is_twice_what_is_live_and_the_roots() {
    let roots = 32 << 20;
    for c in &run(
        Workload {
            roots,
            ..Workload::default()
        },
        50,
    )[20..]
    {
        assert_eq!(c.goal, 2 * c.marked + roots);
    }
}

#[test]
fn a_growing_heap_pushes_its_goal_ahead_of_itself() {
    let growth = ramp(1.3, 1.0, 40);
    let cycles = run(
        Workload {
            growth,
            ..Workload::default()
        },
        80,
    );
    for pair in cycles[1..40].windows(2) {
        assert!(pair[1].goal >= pair[0].goal, "{pair:?}");
    }
    assert_settled(&cycles[60..]);
}

#[test]
fn a_step_in_the_allocation_rate_costs_assists_for_a_cycle_only() {
    let alloc_rate = step(33.0, 50, 132.0);
    let cycles = run(
        Workload {
            alloc_rate,
            ..Workload::default()
        },
        100,
    );
    assert_settled(&cycles[25..50]);
    assert!(cycles[50].utilization > 0.3, "{:?}", cycles[50]);
    assert_settled(&cycles[53..]);
}

#[test]
fn a_step_down_is_believed_after_four_cycles() {
    let alloc_rate = step(132.0, 50, 33.0);
    let cycles = run(
        Workload {
            alloc_rate,
            ..Workload::default()
        },
        100,
    );
    // Until then cycles begin too early and end below the goal.
    assert!(cycles[53].goal_ratio() < 0.95, "{:?}", cycles[53]);
    assert_settled(&cycles[58..]);
}

#[test]
fn rates_that_swing_are_paced_for_the_faster_one() {
    let alloc_rate = square(33.0, 66.0, 2);
    for c in &run(
        Workload {
            alloc_rate,
            ..Workload::default()
        },
        100,
    )[25..]
    {
        assert_near("utilization", c.utilization, BACKGROUND, 0.01);
        assert!(c.peak <= c.goal + c.goal / 50, "{c:?}");
    }
}

#[test]
fn noise_costs_few_assists_and_no_overshoot() {
    for seed in 1..=20 {
        let cycles = run(
            Workload {
                alloc_rate: noise(constant(33.0), 0.2, seed),
                scan_rate: noise(constant(1024.0), 0.2, seed + 100),
                growth: noise(ramp(2.0, 1.0, 12), 0.01, seed + 200),
                ..Workload::default()
            },
            200,
        );
        let settled = &cycles[25..];
        let mean = settled.iter().map(|c| c.utilization).sum::<f64>() / settled.len() as f64;
        assert_near(
            &format!("mean utilization, seed {seed}"),
            mean,
            BACKGROUND,
            0.02,
        );
        for c in settled {
            assert!(c.goal_ratio() < 1.05, "seed {seed}: {c:?}");
        }
    }
}

#[test]
fn allocating_slowly_leaves_a_least_heap_of_room_on_a_large_heap() {
    let cycles = run(
        Workload {
            alloc_rate: constant(1.0),
            scan_rate: constant(2048.0),
            growth: ramp(4.0, 1.0, 12),
            scannable: 0.01,
            ..Workload::default()
        },
        50,
    );
    for c in &cycles[14..] {
        assert_near(
            "room",
            (c.goal - c.triggered) as f64,
            GO_LEAST_HEAP as f64,
            65536.0,
        );
    }
}

#[test]
fn allocating_slowly_leaves_a_twentieth_of_the_way_on_a_small_heap() {
    for c in &run(
        Workload {
            alloc_rate: constant(1.0),
            scan_rate: constant(2048.0),
            growth: constant(1.0),
            scannable: 0.01,
            initial: 1 << 20,
            ..Workload::default()
        },
        50,
    )[5..]
    {
        let way = (c.triggered - c.marked) as f64 / (c.goal - c.marked) as f64;
        assert_near("way to the trigger", way, 61.0 / 64.0, 0.001);
    }
}

#[test]
fn allocating_fast_begins_no_earlier_than_the_lower_bound() {
    let alloc_rate = constant(4096.0);
    for c in &run(
        Workload {
            alloc_rate,
            ..Workload::default()
        },
        50,
    )[13..]
    {
        let way = (c.triggered - c.marked) as f64 / (c.goal - c.marked) as f64;
        assert!(way > 45.0 / 64.0 - 0.001, "{c:?}");
        assert!(
            c.utilization > BACKGROUND,
            "assists must make up for it: {c:?}"
        );
        assert!(c.goal_ratio() < 1.001, "{c:?}");
    }
}

#[test]
fn a_limit_that_is_far_away_changes_nothing() {
    let with = run(
        Workload {
            memory_limit: 512 << 20,
            ..Workload::default()
        },
        50,
    );
    let without = run(Workload::default(), 50);
    for (a, b) in with.iter().zip(&without) {
        assert_eq!((a.goal, a.triggered, a.peak), (b.goal, b.triggered, b.peak));
    }
}

#[test]
fn a_heap_that_outgrows_gogc_under_a_limit_stops_at_the_limit() {
    let limit = 512u64 << 20;
    let room = limit - limit / 100 * 3;
    for gc_percent in [100, -1] {
        let cycles = run(
            Workload {
                gc_percent,
                memory_limit: limit as i64,
                growth: ramp(3.0, 1.0, 12),
                initial: 80 << 10,
                ..Workload::default()
            },
            50,
        );
        for c in &cycles[25..] {
            assert_eq!(c.goal, room, "GOGC={gc_percent}");
            assert!(c.peak < limit, "GOGC={gc_percent}: {c:?}");
        }
        assert_settled(&cycles[25..]);
    }
}

#[test]
fn a_live_heap_over_the_limit_is_collected_without_pause() {
    for gc_percent in [100, -1] {
        let cycles = run(
            Workload {
                gc_percent,
                memory_limit: 512 << 20,
                growth: ramp(4.5, 1.0, 12),
                ..Workload::default()
            },
            40,
        );
        for c in &cycles[25..] {
            assert!(
                c.marked > 512 << 20,
                "the simulation should exceed the limit: {c:?}"
            );
            assert_eq!(
                (c.goal, c.triggered),
                (c.marked, c.marked),
                "GOGC={gc_percent}"
            );
            assert_near("utilization", c.utilization, 1.0, 0.005);
        }
    }
}

#[test]
fn gogc_zero_collects_all_the_time() {
    for c in &run(
        Workload {
            gc_percent: 0,
            ..Workload::default()
        },
        50,
    )[2..]
    {
        // The sweeper's mebibyte is all that lies between two cycles.
        assert_eq!(c.goal, c.triggered + (64 << 10));
        assert_eq!(c.triggered, c.marked + (1 << 20));
    }
}

/// goheap's own case: a cycle scans nothing and is over as soon as it begins.
#[test]
fn a_cycle_that_scans_nothing_needs_no_runway() {
    for grain in [0, 8 << 10, 1 << 20, 300 << 20] {
        let cycles = run(
            Workload {
                scan_rate: constant(0.0),
                roots: 0,
                initial: 100 << 20,
                growth: constant(1.0),
                grain,
                ..Workload::default()
            },
            20,
        );
        for c in &cycles[1..] {
            assert_eq!(c.triggered, (200 << 20) - GO_LEAST_HEAP + grain);
            assert_eq!(c.goal, (200 << 20).max(c.triggered + (64 << 10)));
        }
    }
}

#[test]
fn ten_thousand_cycles_of_anything_keep_their_order() {
    for seed in 1..=10 {
        let mut random = Random(seed);
        let mut size = 1u64 << (16 + random.next() % 16);
        let workload = Workload {
            gc_percent: [100, 25, 400, 0, -1][seed as usize % 5],
            memory_limit: [i64::MAX, 256 << 20][seed as usize / 5 % 2],
            alloc_rate: noise(constant(100.0), 0.99, seed),
            scan_rate: noise(constant(500.0), 0.99, seed + 1),
            // Wanders about, and is drawn back to a middling size.
            growth: Box::new(move || {
                let wanted = 1u64 << (16 + random.next() % 16);
                let next = size / 2 + wanted / 2;
                let growth = next as f64 / size as f64;
                size = next;
                growth
            }),
            ..Workload::default()
        };
        let unlimited = workload.memory_limit == i64::MAX;
        if workload.gc_percent < 0 && unlimited {
            continue; // never collects at all
        }
        for (i, c) in run(workload, 1000).iter().enumerate() {
            assert!(c.marked <= c.triggered, "seed {seed}, cycle {i}: {c:?}");
            if unlimited {
                assert!(c.triggered < c.goal, "seed {seed}, cycle {i}: {c:?}");
                assert!(c.goal_ratio() < 1.05, "seed {seed}, cycle {i}: {c:?}");
            }
        }
    }
}
