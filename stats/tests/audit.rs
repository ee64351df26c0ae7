//! The audit passes a sound snapshot and names the identity that a wrong one breaks.

use goheap_stats::{
    CLASSES, ClassCounts, HeapCounts, Identity, MemStats, Violation, audit, audit_with,
};
use proptest::prelude::*;

/// A snapshot of a heap that has counted these classes, 500 bytes of tails and some of all else.
fn snapshot(counts: &HeapCounts<'_>) -> MemStats {
    let mut stats = MemStats::zeroed();
    let mut freed = counts.large_freed;
    stats.total_alloc = counts.large_allocated;
    (stats.mallocs, stats.frees) = (counts.tiny_mallocs, counts.tiny_mallocs);
    for (index, class) in counts.classes.iter().enumerate() {
        stats.total_alloc += u64::from(class.size) * class.mallocs;
        freed += u64::from(class.size) * class.frees;
        stats.mallocs += class.mallocs;
        stats.frees += class.frees;
        if let Some(shown) = stats.by_size.get_mut(index) {
            shown.size = class.size;
            if index > 0 {
                (shown.mallocs, shown.frees) = (class.mallocs, class.frees);
            }
        }
    }
    stats.heap_alloc = stats.total_alloc - freed;
    stats.alloc = stats.heap_alloc;
    stats.heap_objects = stats.mallocs - stats.frees;
    stats.heap_inuse = stats.heap_alloc + 500;
    (stats.heap_idle, stats.heap_released) = (3000, 3000);
    stats.heap_sys = stats.heap_inuse + stats.heap_idle;
    (stats.stack_sys, stats.mspan_sys, stats.mcache_sys) = (1, 2, 3);
    (stats.buck_hash_sys, stats.gc_sys, stats.other_sys) = (4, 5, 6);
    stats.sys = stats.heap_sys + 21;
    (stats.num_gc, stats.num_forced_gc) = (4, 2);
    stats
}

fn classes() -> [ClassCounts; CLASSES] {
    std::array::from_fn(|index| ClassCounts {
        size: 8 * index as u32,
        mallocs: 100 + index as u64,
        frees: index as u64,
    })
}

fn counts(classes: &[ClassCounts]) -> HeapCounts<'_> {
    HeapCounts {
        classes,
        large_allocated: 90 << 20,
        large_freed: 40 << 20,
        tiny_mallocs: 17,
    }
}

#[test]
fn a_sound_snapshot_passes() {
    let classes = classes();
    let counts = counts(&classes);
    let stats = snapshot(&counts);
    assert_eq!(audit(&stats), Ok(()));
    assert_eq!(audit_with(&stats, &counts), Ok(()));
    assert_eq!(audit(&MemStats::zeroed()), Ok(()));
}

#[test]
fn a_violation_says_what_and_by_how_much() {
    let classes = classes();
    let mut stats = snapshot(&counts(&classes));
    stats.heap_released = 3001;
    let violation = audit(&stats).unwrap_err();
    assert_eq!(
        violation,
        Violation {
            identity: Identity::Released,
            left: 3001,
            right: 3000
        }
    );
    assert_eq!(
        violation.to_string(),
        "HeapReleased <= HeapIdle does not hold: 3001 against 3000"
    );
}

#[test]
fn a_violation_of_a_class_says_of_which() {
    let classes = classes();
    let mut stats = snapshot(&counts(&classes));
    stats.by_size[9].frees = 999;
    let said = audit(&stats).unwrap_err().to_string();
    assert!(said.contains(" in class 9 "), "{said}");
}

#[test]
fn each_figure_is_watched() {
    type Change = fn(&mut MemStats);
    let changes: [(Change, Identity); 17] = [
        (|s| s.alloc += 1, Identity::Alloc),
        (|s| s.heap_sys += 1, Identity::HeapSys),
        (|s| s.heap_released += 1, Identity::Released),
        (|s| s.sys -= 1, Identity::Sys),
        (|s| s.gc_sys += 1, Identity::Sys),
        (|s| s.heap_objects += 1, Identity::Objects),
        (|s| s.total_alloc = s.heap_alloc - 1, Identity::TotalAlloc),
        (
            |s| (s.heap_alloc, s.alloc, s.total_alloc) = (u64::MAX, u64::MAX, u64::MAX),
            Identity::Inuse,
        ),
        (|s| s.stack_inuse = 2, Identity::Stack),
        (|s| s.mspan_inuse = 3, Identity::MSpan),
        (|s| s.mcache_inuse = 4, Identity::MCache),
        (|s| s.num_forced_gc = 5, Identity::Forced),
        (|s| s.by_size[9].frees = 999, Identity::ClassFrees(9)),
        (|s| s.by_size[9].size = 4, Identity::ClassOrder(9)),
        (|s| s.by_size[60].size = 0, Identity::ClassOrder(60)),
        (
            |s| {
                let class = &mut s.by_size[9];
                (class.size, class.mallocs, class.frees) = (4, 0, 0);
            },
            Identity::ClassOrder(9),
        ),
        (|s| s.by_size[60].mallocs = u64::MAX, Identity::SomeMallocs),
    ];
    let classes = classes();
    for (change, identity) in changes {
        let mut stats = snapshot(&counts(&classes));
        change(&mut stats);
        assert_eq!(audit(&stats).unwrap_err().identity, identity);
    }
}

#[test]
fn the_heaps_own_counts_catch_what_the_snapshot_cannot() {
    type Change = fn(&mut MemStats);
    let changes: [(Change, Identity); 5] = [
        (|s| s.by_size[3].mallocs -= 1, Identity::BySizeMallocs(3)),
        (|s| s.by_size[3].frees -= 1, Identity::BySizeFrees(3)),
        (
            |s| (s.mallocs, s.heap_objects) = (s.mallocs + 1, s.heap_objects + 1),
            Identity::AllMallocs,
        ),
        (|s| s.total_alloc += 1, Identity::AllBytes),
        (
            |s| (s.alloc, s.heap_alloc) = (s.alloc - 1, s.heap_alloc - 1),
            Identity::FreedBytes,
        ),
    ];
    let classes = classes();
    for (change, identity) in changes {
        let counts = counts(&classes);
        let mut stats = snapshot(&counts);
        change(&mut stats);
        assert_eq!(audit(&stats), Ok(()), "seen without the heap's counts");
        assert_eq!(audit_with(&stats, &counts).unwrap_err().identity, identity);
    }
    let short = counts(&classes[..67]);
    let violation = audit_with(&snapshot(&counts(&classes)), &short).unwrap_err();
    assert_eq!(violation.identity, Identity::ClassCount);
}

proptest! {
    #[test]
    fn no_figures_make_it_panic(figures: [u64; 20], mallocs: [u64; 61], sizes: [u32; 61]) {
        let mut s = MemStats::zeroed();
        let fields = [
            &mut s.alloc, &mut s.total_alloc, &mut s.sys, &mut s.mallocs, &mut s.frees, &mut s.heap_alloc,
            &mut s.heap_sys, &mut s.heap_idle, &mut s.heap_inuse, &mut s.heap_released,
            &mut s.heap_objects, &mut s.stack_inuse, &mut s.stack_sys, &mut s.mspan_sys,
            &mut s.mcache_sys, &mut s.buck_hash_sys, &mut s.gc_sys, &mut s.other_sys,
        ];
        for (field, figure) in fields.into_iter().zip(figures) {
            *field = figure;
        }
        for (class, (mallocs, size)) in s.by_size.iter_mut().zip(mallocs.into_iter().zip(sizes)) {
            (class.mallocs, class.size) = (mallocs, size);
        }
        if let Err(violation) = audit(&s) {
            prop_assert!(!violation.to_string().is_empty());
        }
    }
}
