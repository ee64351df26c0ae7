//! What holds for all figures, likely or not.

use goheap_pacer::{Config, Controller, CpuLimiter, CycleWork, Memory, SweepPace};
use proptest::prelude::*;

/// The head room under a limit grows in steps of three bytes, one for each hundred
/// of room, and takes back that much.
const ROUNDING: u64 = 3;

/// Sizes of all magnitudes, the ends included.
fn bytes() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => (0u32..64, any::<u64>()).prop_map(|(shift, bits)| bits >> shift),
        1 => Just(0),
        1 => Just(u64::MAX),
    ]
}

/// Sizes as a machine may have them: below 2⁴⁸.
fn real_bytes() -> impl Strategy<Value = u64> {
    bytes().prop_map(|b| b >> 16)
}

fn percent() -> impl Strategy<Value = i32> {
    prop_oneof![Just(-1), Just(0), Just(100), 0..1000, any::<i32>()]
}

fn limit() -> impl Strategy<Value = i64> {
    prop_oneof![
        Just(i64::MAX),
        Just(0),
        bytes().prop_map(|b| (b >> 1) as i64),
        any::<i64>()
    ]
}

fn share() -> impl Strategy<Value = f64> {
    prop_oneof![0.0..1.0, any::<f64>()]
}

fn memory(size: impl Strategy<Value = u64> + Clone) -> impl Strategy<Value = Memory> {
    (size.clone(), size.clone(), size).prop_map(|(heap_free, heap_alloc, mapped_ready)| Memory {
        heap_free,
        heap_alloc,
        mapped_ready,
    })
}

/// A call to a controller.
#[derive(Clone, Debug)]
enum Call {
    Start(u64),
    End(Memory, CycleWork),
    ResetLive(u64, u64),
    Commit(u64, bool),
    GcPercent(i32),
    MemoryLimit(i64),
    Roots(u64),
}

fn call() -> impl Strategy<Value = Call> {
    let work = (bytes(), bytes(), share(), share()).prop_map(
        |(heap_live, scan_work, utilization, idle_utilization)| CycleWork {
            heap_live,
            scan_work,
            utilization,
            idle_utilization,
        },
    );
    prop_oneof![
        bytes().prop_map(Call::Start),
        (memory(bytes().boxed()), work).prop_map(|(m, w)| Call::End(m, w)),
        (bytes(), bytes()).prop_map(|(m, s)| Call::ResetLive(m, s)),
        (bytes(), any::<bool>()).prop_map(|(l, d)| Call::Commit(l, d)),
        percent().prop_map(Call::GcPercent),
        limit().prop_map(Call::MemoryLimit),
        bytes().prop_map(Call::Roots),
    ]
}

fn apply(pacer: &mut Controller, call: Call) {
    match call {
        Call::Start(live) => pacer.start_cycle(live),
        Call::End(memory, work) => pacer.end_cycle(memory, work),
        Call::ResetLive(marked, scanned) => pacer.reset_live(marked, scanned),
        Call::Commit(live, done) => pacer.commit(live, done),
        Call::GcPercent(percent) => _ = pacer.set_gc_percent(percent),
        Call::MemoryLimit(limit) => _ = pacer.set_memory_limit(limit),
        Call::Roots(bytes) => pacer.set_scannable_roots(bytes),
    }
}

/// A controller after a cycle that found `marked` bytes live.
fn settled(gc_percent: i32, memory_limit: i64, least_heap: u64, marked: u64) -> Controller {
    let mut pacer = Controller::new(Config {
        gc_percent,
        memory_limit,
        least_heap,
    });
    pacer.reset_live(marked, 0);
    pacer.commit(marked, true);
    pacer
}

proptest! {
    // A failure prints the figures; it becomes a test with these in it.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_trigger_is_never_above_the_goal_whatever_was_called(
        gc_percent in percent(), memory_limit in limit(), least_heap in bytes(),
        calls in proptest::collection::vec((call(), memory(bytes().boxed())), 1..40),
    ) {
        let mut pacer = Controller::new(Config { gc_percent, memory_limit, least_heap });
        for (call, memory) in calls {
            apply(&mut pacer, call);
            let due = pacer.trigger(memory);
            prop_assert!(due.trigger <= due.goal);
            prop_assert_eq!(due.goal, pacer.goal(memory));
            prop_assert!(pacer.cons_mark() >= 0.0 && pacer.cons_mark().is_finite());
        }
    }

    #[test]
    fn goal_and_trigger_are_never_below_what_is_live(
        gc_percent in percent(), memory_limit in limit(), least_heap in bytes(),
        marked in bytes(), memory in memory(bytes().boxed()),
    ) {
        let due = settled(gc_percent, memory_limit, least_heap, marked).trigger(memory);
        prop_assert!(due.goal >= marked && due.trigger >= marked);
    }

    #[test]
    fn the_trigger_lies_within_its_64ths_or_a_least_heap_below_the_goal(
        gc_percent in 1..10_000, least_heap in real_bytes(), marked in real_bytes(),
    ) {
        let due = settled(gc_percent, i64::MAX, least_heap, marked).trigger(Memory::default());
        let way = due.goal - marked;
        prop_assert!(due.trigger - marked >= way / 64 * 45);
        prop_assert!(
            due.trigger - marked <= way / 64 * 61 || due.goal - due.trigger >= least_heap
        );
    }

    #[test]
    fn a_higher_gogc_never_has_a_lower_goal(
        a in percent(), b in percent(), memory_limit in limit(), least_heap in bytes(),
        marked in bytes(), memory in memory(bytes().boxed()),
    ) {
        // Off counts as the highest.
        let (low, high) = if (a as u32) < (b as u32) { (a, b) } else { (b, a) };
        let goal = |percent| settled(percent, memory_limit, least_heap, marked).goal(memory);
        prop_assert!(goal(low) <= goal(high));
    }

    #[test]
    fn a_higher_limit_never_has_a_lower_goal(
        a in 0..i64::MAX, b in 0..i64::MAX, gc_percent in percent(),
        marked in real_bytes(), memory in memory(real_bytes().boxed()),
    ) {
        let goal = |limit| settled(gc_percent, limit, 4 << 20, marked).goal(memory);
        prop_assert!(goal(a.min(b)) <= goal(a.max(b)) + ROUNDING);
        // Close limits, where the head room's floor takes over.
        let (close, closer) = (a >> 40, b >> 40);
        prop_assert!(goal(close.min(closer)) <= goal(close.max(closer)) + ROUNDING);
    }

    #[test]
    fn more_live_never_means_a_lower_goal(
        a in bytes(), b in bytes(), gc_percent in percent(), memory_limit in limit(),
        memory in memory(bytes().boxed()),
    ) {
        let goal = |marked| settled(gc_percent, memory_limit, 4 << 20, marked).goal(memory);
        prop_assert!(goal(a.min(b)) <= goal(a.max(b)));
    }

    #[test]
    fn more_overhead_never_means_a_higher_goal(
        a in real_bytes(), b in real_bytes(), heap_free in real_bytes(),
        heap_alloc in real_bytes(), memory_limit in limit(), gc_percent in percent(),
    ) {
        let goal = |other| settled(gc_percent, memory_limit, 4 << 20, 0).goal(Memory {
            heap_free, heap_alloc, mapped_ready: heap_free + heap_alloc + other,
        });
        prop_assert!(goal(a.max(b)) <= goal(a.min(b)) + ROUNDING);
    }

    #[test]
    fn more_allocation_never_owes_less_sweeping(
        trigger in bytes(), live in bytes(), swept in bytes(), in_use in bytes(),
        a in bytes(), b in bytes(), span in bytes(), caller in bytes(),
    ) {
        let pace = SweepPace::plan(trigger, live, swept, in_use);
        let target = |now| pace.pages_target(now, span, caller);
        prop_assert!(target(a.min(b)) <= target(a.max(b)));
        prop_assert!(pace.pages_per_byte.is_finite() && pace.pages_per_byte >= 0.0);
    }

    #[test]
    fn a_bucket_is_never_overfull_and_limits_only_when_full(
        procs in any::<u32>(),
        calls in proptest::collection::vec((bytes(), any::<bool>(), bytes(), bytes(), 0..10), 1..40),
    ) {
        let mut limiter = CpuLimiter::new(procs);
        let mut capacity = u64::from(procs.max(1)) * 1_000_000_000;
        for (now, running, assist, idle, kind) in calls {
            match kind {
                0 => {
                    limiter.set_procs(procs / 2);
                    capacity = u64::from((procs / 2).max(1)) * 1_000_000_000;
                }
                1 | 2 => limiter.pause(now),
                _ => limiter.update(now, running, assist, idle),
            }
            prop_assert!(limiter.fill_ns() <= capacity);
            prop_assert!(!limiter.limiting() || limiter.fill_ns() == capacity);
        }
    }
}
