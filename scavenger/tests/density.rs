//! Which chunks the scavenger looks into.

use goheap_scavenger::{CHUNK_PAGES, ChunkDensity};

#[test]
fn a_new_chunk_has_nothing_to_release() {
    let chunk = ChunkDensity::ZERO;
    assert_eq!(chunk, ChunkDensity::default());
    assert_eq!(chunk.pack(), 0);
    assert!(!chunk.should_scavenge(0, false) && !chunk.should_scavenge(0, true));
    assert!(
        !chunk.alloc(100, 0).should_scavenge(0, true),
        "its free pages were never backed"
    );
}

#[test]
fn a_chunk_with_freed_pages_is_looked_into_until_found_empty() {
    let chunk = ChunkDensity::ZERO.alloc(100, 3).free(50, 3);
    assert!(chunk.should_scavenge(3, false));
    let done = chunk.set_empty();
    assert!(!done.should_scavenge(3, false) && !done.should_scavenge(4, true));
    assert!(done.free(1, 3).should_scavenge(3, false));
}

#[test]
fn a_chunk_dense_in_this_generation_or_the_last_is_left_alone_unless_forced() {
    // 496 of 512 pages are dense, 495 are not.
    for (used, dense) in [(495, false), (496, true)] {
        let chunk = ChunkDensity::ZERO.alloc(used + 1, 7).free(1, 7);
        assert_eq!(chunk.should_scavenge(7, false), !dense, "{used} now");
        assert_eq!(
            chunk.should_scavenge(8, false),
            !dense,
            "{used} since the last one"
        );
        assert!(chunk.should_scavenge(7, true));

        let thinned = chunk.free(300, 8);
        assert_eq!(
            thinned.should_scavenge(8, false),
            !dense,
            "{used} in the last one"
        );
        assert!(
            thinned.should_scavenge(9, false),
            "thin for a whole generation"
        );
    }
}

#[test]
fn a_full_chunk_has_nothing_to_release() {
    let chunk = ChunkDensity::ZERO.alloc(512, 0).free(2, 0).alloc(2, 0);
    assert!(!chunk.should_scavenge(0, true));
    assert_eq!(chunk.in_use(), CHUNK_PAGES);
}

#[test]
fn the_last_count_is_taken_at_the_first_change_of_a_generation() {
    let chunk = ChunkDensity::ZERO.alloc(300, 1).alloc(100, 2).free(50, 2);
    assert_eq!(
        (chunk.last_in_use(), chunk.in_use(), chunk.generation()),
        (300, 350, 2)
    );
    // A generation without a change ended as it began.
    let chunk = chunk.free(1, 9);
    assert_eq!(
        (chunk.last_in_use(), chunk.in_use(), chunk.generation()),
        (350, 349, 9)
    );
}

#[test]
fn counts_stay_within_a_chunk() {
    let over = ChunkDensity::ZERO.alloc(500, 0).alloc(u32::MAX, 0);
    assert_eq!(over.in_use(), CHUNK_PAGES);
    assert_eq!(over.free(u32::MAX, 0).in_use(), 0);
    assert_eq!(over.free(0, u32::MAX).generation(), u32::MAX);
}

#[test]
fn generations_wrap_around() {
    let chunk = ChunkDensity::ZERO.alloc(500, u32::MAX).free(400, 0);
    assert_eq!((chunk.last_in_use(), chunk.generation()), (500, 0));
    assert!(!chunk.should_scavenge(0, false));
    assert!(chunk.should_scavenge(1, false));
}
