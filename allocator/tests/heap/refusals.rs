//! What the system refuses.

use super::support::*;
use goheap_allocator::{Cache, PAGE};
use std::sync::atomic::Ordering::Relaxed;

/// Takes so many large objects and frees every second one, for good. Returns the bytes of these.
fn fragment(heap: &TestHeap, cache: &Cache, objects: usize) -> usize {
    let held: Vec<_> = (0..objects)
        .map(|_| heap.alloc_large(5 * PAGE, 1).unwrap().at)
        .collect();
    let every_second = held.into_iter().step_by(2);
    let freed = every_second.map(|at| free(heap, cache, at)).count();
    cycle(heap);
    sweep(heap);
    freed * 5 * PAGE
}

#[test]
fn what_the_system_refuses_among_many_runs_is_asked_for_again() {
    let calls = {
        let heap = heap(Failing::never());
        let fragments = fragment(heap, cache(heap).unwrap(), 100);
        let before = heap.os().calls.load(Relaxed);
        assert!(heap.scavenge(usize::MAX, true, || false) >= fragments);
        before..heap.os().calls.load(Relaxed)
    };
    assert!(calls.len() > 50, "{calls:?}");
    for refused in calls {
        let heap = heap(Failing::between(refused, refused));
        fragment(heap, cache(heap).unwrap(), 100);
        let before = heap.totals();
        let released = heap.scavenge(usize::MAX, true, || false);
        let after = heap.totals();
        assert_eq!(before.retained - after.retained, released as u64);
        assert!(after.retained > 0, "call {refused} was not refused");
        assert_sound(heap);
        heap.scavenge(usize::MAX, true, || false);
        assert_eq!(heap.totals().retained, 0, "call {refused}");
        assert_sound(heap);
    }
}

/// Everything that asks the OS for something; what is refused is left out.
fn exercise(heap: &TestHeap, cache: &Cache) {
    let mut held: Vec<_> = [8, 100, 3000, 32 << 10]
        .iter()
        .flat_map(|&bytes| (0..50).filter_map(move |_| small(heap, cache, bytes)))
        .collect();
    held.extend((0..6).filter_map(|n| Some(heap.alloc_large((3 << 20) * (n + 1), 1).ok()?.at)));
    for &at in &held {
        // SAFETY: an object of at least 8 bytes, or it would not be here.
        unsafe { at.cast::<u64>().write(1) };
    }
    held.iter().for_each(|&at| free(heap, cache, at));
    cycle(heap);
    sweep(heap);
    heap.scavenge(usize::MAX, true, || false);
}

fn assert_empty_and_usable(heap: &TestHeap, cache: &Cache, case: &str) {
    exercise(heap, cache);
    // SAFETY: the test's own cache.
    unsafe { heap.return_spans(cache) };
    let t = heap.totals();
    assert_eq!(t.total_alloc, t.total_free, "{case}");
    assert_eq!(t.in_use, 0, "{case}");
    assert!(
        small(heap, cache, 64).is_some(),
        "{case}: usable once the fault is gone"
    );
}

fn calls_in_all() -> usize {
    let os = Failing::never();
    let calls = os.calls;
    let heap = heap(os);
    exercise(heap, cache(heap).unwrap());
    let n = calls.load(Relaxed);
    assert!(n > 20, "only {n} calls: the exercise asks for too little");
    n
}

#[test]
fn each_refusal_by_itself_is_survived() {
    for n in 0..calls_in_all() {
        let heap = heap(Failing::between(n, n));
        let Some(cache) = cache(heap).or_else(|| cache(heap)) else {
            panic!("call {n}: no cache although the fault is gone")
        };
        exercise(heap, cache);
        assert_empty_and_usable(heap, cache, &format!("call {n} refused"));
    }
}

#[test]
fn a_time_of_refusals_is_survived() {
    for (from, to) in [(0, 30), (3, 12), (5, 60), (12, 200), (20, 45)] {
        let heap = heap(Failing::between(from, to));
        let cache = loop {
            if let Some(cache) = cache(heap) {
                break cache;
            }
        };
        for _ in 0..40 {
            exercise(heap, cache);
        }
        assert_empty_and_usable(heap, cache, &format!("calls {from} to {to} refused"));
    }
}

#[test]
fn refusals_at_random_are_survived() {
    for seed in 1..=40 {
        let heap = heap(Failing::at_random(100, seed));
        let cache = (0..200).find_map(|_| cache(heap)).unwrap();
        for _ in 0..20 {
            exercise(heap, cache);
            assert_sound(heap);
        }
        assert_empty_and_usable(heap, cache, &format!("seed {seed}"));
    }
}
