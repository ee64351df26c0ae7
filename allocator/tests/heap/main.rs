//! The heap by itself: what becomes of a death, and what becomes of a refusal by the OS.

mod refusals;
mod shared;
mod support;

use goheap_allocator::{CHUNK, PAGE};
use support::*;

/// Each of their bytes counts against the limit whether it is touched or not, once more in each child.
#[test]
fn tables_are_a_small_part_of_what_the_system_promises() {
    const PROMISED: usize = 256 << 20;
    let heap = heap(Failing::promising(PROMISED));
    small(heap, cache(heap).unwrap(), 64).expect("there is memory");
    let tables: usize = heap.tables().iter().map(|table| table.len()).sum();
    assert!((1..PROMISED / 100).contains(&tables), "{tables}");
}

#[test]
fn a_death_is_free_after_the_cycle_that_closes_over_it_and_not_before() {
    let heap = heap(Failing::never());
    let cache = cache(heap).unwrap();
    let before: Vec<_> = (0..5000)
        .map(|_| small(heap, cache, 100).unwrap())
        .collect();
    let after: Vec<_> = (0..5000)
        .map(|_| small(heap, cache, 100).unwrap())
        .collect();
    before.iter().for_each(|&p| free(heap, cache, p));
    // SAFETY: the test's own cache.
    unsafe { heap.flush(cache) };
    assert_eq!(heap.totals().total_free, 0, "a death reclaims nothing");
    cycle(heap);
    // These die while the sweep for the others is under way.
    after.iter().for_each(|&p| free(heap, cache, p));
    sweep(heap);
    assert_eq!(heap.totals().total_free, 5000 * 112);
    cycle(heap);
    sweep(heap);
    assert_eq!(heap.totals().total_free, 10_000 * 112);
    // SAFETY: the test's own cache.
    unsafe { heap.return_spans(cache) };
    assert_eq!(heap.totals().in_use, 0, "empty spans went back");
}

#[test]
fn slots_freed_by_a_sweep_are_used_before_the_heap_grows() {
    let heap = heap(Failing::never());
    let cache = cache(heap).unwrap();
    let objects: Vec<_> = (0..20_000)
        .map(|_| small(heap, cache, 500).unwrap())
        .collect();
    let peak = heap.totals().in_use;
    objects
        .iter()
        .step_by(2)
        .for_each(|&p| free(heap, cache, p));
    cycle(heap);
    for _ in 0..10_000 {
        small(heap, cache, 500).unwrap();
    }
    sweep(heap);
    let slack = 16 * PAGE as u64;
    assert!(
        heap.totals().in_use <= peak + slack,
        "{} of {peak}",
        heap.totals().in_use
    );
}

#[test]
fn a_large_object_grows_into_idle_pages_behind_it_and_dies_whole() {
    let heap = heap(Failing::never());
    let cache = cache(heap).unwrap();
    let object = heap.alloc_large(6 * PAGE, 1).unwrap().at;
    let address = object.expose_provenance();
    // SAFETY: the test's own object.
    let grow = |bytes| unsafe { heap.grow_large(address, bytes) };
    assert!(grow(9 * PAGE).is_some());
    assert_eq!(
        heap.slot_of(address + 9 * PAGE - 1).map(|(_, room)| room),
        Some(9 * PAGE)
    );
    assert_eq!(heap.totals().total_alloc, 9 * PAGE as u64);
    assert_eq!(heap.totals().in_use, 9 * PAGE as u64);
    let behind = heap.alloc_large(5 * PAGE, 1).unwrap().at;
    assert_eq!(behind.addr(), address + 9 * PAGE);
    assert_eq!(grow(10 * PAGE), None, "the pages behind it are in use");
    assert_sound(heap);
    free(heap, cache, object);
    // SAFETY: the test's own cache.
    unsafe { heap.flush(cache) };
    cycle(heap);
    sweep(heap);
    assert_eq!(heap.totals().total_free, 9 * PAGE as u64);
    assert_eq!(heap.totals().in_use, 5 * PAGE as u64);
}

#[test]
fn large_objects_are_aligned_reused_and_released() {
    let heap = heap(Failing::never());
    let cache = cache(heap).unwrap();
    for align in [1, PAGE, 4 * PAGE, CHUNK, 4 * CHUNK] {
        let large = heap.alloc_large(100_000, align).unwrap();
        assert_eq!(large.at.addr() % align, 0);
        free(heap, cache, large.at);
    }
    cycle(heap);
    sweep(heap);
    let t = heap.totals();
    assert_eq!(
        (t.in_use, t.classes[0].mallocs, t.classes[0].frees),
        (0, 5, 5)
    );
    let released = heap.scavenge(usize::MAX, true, || false);
    let t = heap.totals();
    assert!(released > 0 && t.retained == 0, "{t:?}");
}

#[test]
fn objects_are_told_of_when_a_cache_has_done_with_their_span_and_not_after_a_sweep_began() {
    let heap = heap(Failing::never());
    let cache = cache(heap).unwrap();
    let told = || heap.heard() as usize;
    let done = || {
        // SAFETY: the test's own cache.
        unsafe { heap.return_spans(cache) };
        told()
    };
    let slots = 8192 / 1024;
    let objects: Vec<_> = (0..slots + 3)
        .map(|_| small(heap, cache, 1024).unwrap())
        .collect();
    assert_eq!(told(), 8192, "the span at hand is not counted yet");
    let large = heap.alloc_large(40_000, 1).unwrap();
    let large_bytes = 40_000_usize.next_multiple_of(PAGE);
    assert_eq!(told(), 8192 + large_bytes);
    assert_eq!(done(), 11 * 1024 + large_bytes);
    assert_eq!(heap.allocated().kept_bytes() as usize, told());

    // Two more in the span of three, one in a span of another class, which a sweep finds in the cache.
    let more: Vec<_> = (0..2).map(|_| small(heap, cache, 1024).unwrap()).collect();
    assert_eq!(done(), 13 * 1024 + large_bytes);
    small(heap, cache, 256).unwrap();
    let ever = objects.iter().chain(&more).chain([&large.at]);
    ever.for_each(|&at| free(heap, cache, at));
    cycle(heap);
    let untold = heap.allocated().kept_bytes() as usize - told();
    assert_eq!(untold, 256);
    sweep(heap);
    assert_eq!(
        done(),
        0,
        "what was swept is taken off, what is untold stays so"
    );
    assert_eq!(heap.allocated().kept_bytes(), 256);
}

#[test]
fn the_counters_of_pages_always_add_up_to_what_was_grown() {
    let heap = heap(Failing::never());
    let cache = cache(heap).unwrap();
    let mut held = Vec::new();
    for round in 0..200usize {
        let bytes = 1 + round * 977 % 200_000;
        let at = if bytes > 32 << 10 {
            heap.alloc_large(bytes, 1).unwrap().at
        } else {
            small(heap, cache, bytes).unwrap()
        };
        held.push(at);
        if round % 3 == 0 {
            free(heap, cache, held.swap_remove(round % held.len()));
        }
        if round % 20 == 0 {
            cycle(heap);
            heap.scavenge(1 << 20, round % 40 == 0, || false);
        }
        assert_sound(heap);
        let t = heap.totals();
        assert_eq!(
            (t.in_use + t.retained + t.released + t.stacks) % CHUNK as u64,
            0,
            "{t:?}"
        );
        assert!(t.total_alloc - t.total_free <= t.in_use, "{t:?}");
    }
}
