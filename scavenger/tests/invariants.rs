//! What holds for all figures, likely or not.

use goheap_scavenger::{
    AllocationInputs, CHUNK_PAGES, ChunkDensity, Engine, GoalInputs, Goals, PiController, Policy,
    QUANTUM, Step,
};
use proptest::prelude::*;

/// Sizes and times of all magnitudes, the ends included.
fn figure() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => (0u32..64, any::<u64>()).prop_map(|(shift, bits)| bits >> shift),
        1 => Just(0),
        1 => Just(u64::MAX),
    ]
}

prop_compose! {
    fn goal_inputs()(
        memory_limit in any::<i64>(), mapped_ready in figure(), heap_goal in figure(),
        last_heap_goal in figure(), last_heap_in_use in figure(), heap_retained in figure(),
        physical_page in figure(), retain_percent in figure(),
    ) -> GoalInputs {
        GoalInputs {
            memory_limit, mapped_ready, heap_goal, last_heap_goal, last_heap_in_use,
            heap_retained, physical_page, retain_percent,
        }
    }
}

prop_compose! {
    fn allocation()(
        growth in figure(), scavenged_taken in figure(), heap_retained in figure(),
        mapped_ready in figure(), memory_limit in any::<i64>(), limiting in any::<bool>(),
    ) -> AllocationInputs {
        AllocationInputs { growth, scavenged_taken, heap_retained, mapped_ready, memory_limit, limiting }
    }
}

proptest! {
    // A failure prints the figures; it becomes a test with these in it.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_goal_is_below_what_there_is_or_none(i in goal_inputs()) {
        let goals = Goals::compute(&i, &Policy::NEWEST);
        prop_assert!(goals.gc_percent == u64::MAX || goals.gc_percent < i.heap_retained);
        prop_assert!(goals.memory_limit == u64::MAX || goals.memory_limit < i.mapped_ready);
        prop_assert_eq!(goals.met(i.heap_retained, i.mapped_ready), goals == Goals::NONE);
    }

    #[test]
    fn an_allocation_forces_only_for_the_limit_and_never_while_limited(
        i in goal_inputs(), a in allocation(),
    ) {
        let assist = Goals::compute(&i, &Policy::NEWEST).assist(&a);
        let over = (i128::from(a.mapped_ready) + i128::from(a.scavenged_taken)
            - i128::from(a.memory_limit.max(0))).max(0);
        let over = if a.limiting { 0 } else { u64::try_from(over).unwrap_or(u64::MAX) };
        prop_assert_eq!(assist.forced, !a.limiting && a.mapped_ready
            .saturating_add(a.scavenged_taken) > a.memory_limit.max(0) as u64);
        prop_assert!(assist.bytes <= over.max(a.growth));
        prop_assert!(!assist.forced || assist.bytes > 0);
    }

    #[test]
    fn a_word_keeps_its_counts_within_a_chunk(
        raw in any::<u64>(),
        calls in proptest::collection::vec((0..3, any::<u32>(), 0..600u32, any::<u32>()), 1..20),
    ) {
        let mut chunk = ChunkDensity::from_raw(raw);
        prop_assert_eq!(chunk.pack(), raw);
        chunk = ChunkDensity::ZERO;
        for (kind, wild, pages, generation) in calls {
            let pages = if wild % 8 == 0 { wild } else { pages };
            chunk = match kind {
                0 => chunk.alloc(pages, generation),
                1 => chunk.free(pages, generation),
                _ => chunk.set_empty(),
            };
            prop_assert!(chunk.in_use() <= CHUNK_PAGES && chunk.last_in_use() <= CHUNK_PAGES);
            prop_assert!(chunk.in_use() < CHUNK_PAGES || !chunk.has_free());
            prop_assert!(!chunk.should_scavenge(generation, false) || chunk.should_scavenge(generation, true));
            prop_assert_eq!(ChunkDensity::from_raw(chunk.pack()), chunk);
        }
    }

    #[test]
    fn a_controller_answers_within_its_bounds_or_faults(
        samples in proptest::collection::vec((any::<f64>(), any::<f64>()), 1..50),
    ) {
        let mut controller = PiController::SCAVENGER;
        for (input, period) in samples {
            if let Ok(output) = controller.next(input, 0.01, period) {
                prop_assert!((0.001..=1000.0).contains(&output));
            }
        }
        // Whatever it went through, it can be used.
        let after = controller.next(0.01, 0.01, 1e6).or_else(|_| controller.next(0.01, 0.01, 1e6));
        prop_assert!(after.is_ok());
    }

    #[test]
    fn an_engine_never_spins(
        events in proptest::collection::vec((any::<bool>(), figure(), figure(), any::<u32>()), 1..300),
    ) {
        let mut engine = Engine::new(1.0);
        let mut worked = 0u64;
        for (met, a, b, procs) in events {
            match engine.step(met) {
                Step::Release(bytes) => {
                    prop_assert!(!met, "released with the goals met");
                    prop_assert!(worked < 1_000_000, "worked on after a millisecond");
                    prop_assert_eq!(bytes, QUANTUM);
                    engine.released(a.min(QUANTUM), b.max(1));
                    worked = worked.saturating_add(b.max(1));
                }
                Step::Sleep(ns) => {
                    prop_assert!(ns >= 1000, "a millisecond at 1000:1 at least");
                    engine.slept(a, procs);
                    worked = 0;
                }
                Step::Park => worked = 0,
                Step::ReleaseAtOnce(_) | Step::Pass(_) => panic!("an engine does neither"),
            }
            prop_assert!((0.001..=1000.0).contains(&engine.sleep_ratio()));
        }
    }
}
