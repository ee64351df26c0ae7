//! Blocks that tiny objects share.

use super::support::*;
use goheap_allocator::{Cache, tiny};

/// Objects of the shared class, handed out and freed.
fn blocks(heap: &TestHeap) -> (u64, u64) {
    let of_class = heap.totals().classes[tiny::CLASS.index()];
    (of_class.mallocs, of_class.frees)
}

fn leave(heap: &TestHeap, cache: &Cache) {
    // SAFETY: the test's own cache.
    unsafe { heap.leave_shared(cache) };
}

#[test]
fn a_shared_block_goes_when_all_objects_in_it_are_dead_and_not_before() {
    let heap = heap(Failing::never());
    let cache = cache(heap).unwrap();
    let parts: Vec<_> = [5, 8, 1].map(|bytes| part(heap, cache, bytes)).into();
    let offsets: Vec<_> = parts.iter().map(|p| p.addr() - parts[0].addr()).collect();
    // The last one does not fit, and its block has more room left.
    assert_eq!(offsets[..2], [0, 8]);
    assert_eq!((blocks(heap), heap.totals().tiny), ((2, 0), 1));
    leave(heap, cache);
    for (freed, should) in [(parts[1], 0), (parts[2], 1), (parts[0], 2)] {
        free(heap, cache, freed);
        cycle(heap);
        sweep(heap);
        assert_eq!(blocks(heap), (2, should));
    }
}

#[test]
fn the_block_that_a_thread_fills_outlives_its_objects_until_the_thread_leaves_it() {
    let heap = heap(Failing::never());
    let cache = cache(heap).unwrap();
    let first = part(heap, cache, 4);
    free(heap, cache, first);
    cycle(heap);
    sweep(heap);
    assert_eq!(blocks(heap), (1, 0));
    let second = part(heap, cache, 4);
    assert_eq!(second.addr(), first.addr() + 4, "it goes on being filled");
    free(heap, cache, second);
    leave(heap, cache);
    cycle(heap);
    sweep(heap);
    assert_eq!(blocks(heap), (1, 1));
}

#[test]
fn a_block_full_to_the_last_byte_is_as_any_other() {
    let heap = heap(Failing::never());
    let cache = cache(heap).unwrap();
    for bytes in [1, 2, 4, 8] {
        let parts: Vec<_> = (0..16 / bytes).map(|_| part(heap, cache, bytes)).collect();
        assert!(
            parts
                .iter()
                .enumerate()
                .all(|(i, p)| p.addr() == parts[0].addr() + i * bytes)
        );
        parts.into_iter().for_each(|p| free(heap, cache, p));
    }
    assert_eq!(blocks(heap), (4, 0));
    cycle(heap);
    sweep(heap);
    assert_eq!(blocks(heap), (4, 4));
}

#[test]
fn objects_that_fill_no_block_together_leave_the_better_one_to_be_filled() {
    let heap = heap(Failing::never());
    let cache = cache(heap).unwrap();
    let (large, small) = (part(heap, cache, 15), part(heap, cache, 6));
    // The block of the second has more room.
    assert_eq!(part(heap, cache, 6).addr(), small.addr() + 6);
    // A new block has less than is left there, and stays alone.
    let alone = part(heap, cache, 13);
    assert_eq!(part(heap, cache, 3).addr(), small.addr() + 12);
    for at in [large, alone] {
        free(heap, cache, at);
    }
    cycle(heap);
    sweep(heap);
    assert_eq!(blocks(heap), (3, 2));
}

#[test]
fn a_thread_that_ends_leaves_its_block_to_its_objects() {
    let heap = heap(Failing::never());
    let (ending, other) = (cache(heap).unwrap(), cache(heap).unwrap());
    let (dead, kept) = (part(heap, ending, 3), part(heap, ending, 3));
    free(heap, ending, dead);
    // SAFETY: the test's own cache, used no more.
    unsafe { heap.release_cache(core::ptr::from_ref(ending).cast_mut()) };
    cycle(heap);
    sweep(heap);
    assert_eq!(blocks(heap), (1, 0));
    free(heap, other, kept);
    cycle(heap);
    sweep(heap);
    assert_eq!(blocks(heap), (1, 1));
}

#[test]
fn freed_at_once_a_block_goes_with_the_last_of_its_objects() {
    let heap = heap(Failing::never());
    let cache = cache(heap).unwrap();
    heap.set_eager(true);
    let parts: Vec<_> = (0..8).map(|_| part(heap, cache, 4)).collect();
    for (&at, should) in parts.iter().zip([0, 0, 0, 1, 1, 1, 1, 2]) {
        free(heap, cache, at);
        // SAFETY: the test's own cache.
        unsafe { heap.flush(cache) };
        assert_eq!(blocks(heap), (2, should));
        assert_sound(heap);
    }
}
