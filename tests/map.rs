//! A program looks at its own heap: the map adds up to Go's counters, and a hole with one small object in it is no hole
//! of its size any more.

#[path = "support/child.rs"]
mod child;

use std::hint::black_box;
use std::time::{Duration, Instant};

use goheap::{Fragmentation, Run, State};

#[global_allocator]
static HEAP: goheap::GoHeap = goheap::GoHeap::new();

const MIB: usize = 1 << 20;
/// The least that has pages of its own, near enough.
const LARGE: usize = 40 << 10;

fn address<T>(of: &[T]) -> usize {
    of.as_ptr().addr()
}

#[test]
fn the_map_adds_up_to_gos_counters() {
    // In a process of its own: the heap is the whole process's.
    child::run(
        the_map_adds_up_to_gos_counters,
        |_| {},
        || {
            let kept: Vec<Vec<u8>> = (0..50_000).map(|n| vec![1; n % 3000]).collect();
            drop(kept.iter().step_by(2).cloned().collect::<Vec<_>>());
            goheap::gc();
            let mut runs: Vec<Run> = Vec::with_capacity(100_000);
            let begun = Instant::now();
            // What the scavenger has in hand is nobody's, and what it releases in between is told otherwise: it comes to rest.
            let (mem, moment, cut) = loop {
                runs.clear();
                let mem = goheap::read_mem_stats();
                let moment = goheap::heap_map(|run| runs.push(*run));
                let cut = Fragmentation::of(&moment, &runs);
                let at_rest = (cut.idle(), cut.released()) == (mem.heap_idle, mem.heap_released);
                if at_rest || begun.elapsed() > Duration::from_secs(60) {
                    break (mem, moment, cut);
                }
            };
            assert_eq!(cut.in_use(), mem.heap_inuse);
            assert_eq!(cut.idle(), mem.heap_idle);
            assert_eq!(cut.released(), mem.heap_released);
            assert_eq!(cut.bytes(State::Stacks), mem.stack_sys);
            assert_eq!(moment.cycle, mem.num_gc);
            let objects: u64 = cut
                .classes
                .iter()
                .map(|class| class.live + class.dead)
                .sum();
            assert_eq!(objects, mem.heap_alloc);
            // Where the vector itself lies.
            let holds = |run: &&Run| {
                (run.address..run.address + run.bytes).contains(&(address(&runs) as u64))
            };
            let own = runs.iter().find(holds).expect("the vector is on the heap");
            assert_eq!((own.class, own.live, own.slots), (0, 1, 1));
            assert!(own.bytes >= 100_000 * size_of::<Run>() as u64);
            black_box(kept);
        },
    )
    .expect_success();
}

/// Large objects until one lies there: pages are handed out lowest first, and others may be free below.
fn up_to(address_wanted: usize) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while all
        .last()
        .is_none_or(|of: &Vec<u8>| address(of) != address_wanted)
    {
        assert!(all.len() < 10_000);
        all.push(vec![1u8; LARGE]);
    }
    all
}

#[test]
fn a_small_object_in_a_hole_of_ten_megabytes_leaves_none_for_ten() {
    let hole = || {
        let low = vec![1u8; 5 * MIB];
        let mut below = up_to(address(&low) + 5 * MIB);
        let high = vec![1u8; 5 * MIB];
        assert_eq!(address(&high), address(&low) + 5 * MIB + LARGE);
        let above = up_to(address(&high) + 5 * MIB);
        let small = below.pop();
        goheap::gc();

        let ten = 10 * MIB as u64;
        let before = goheap::fragmentation();
        drop((low, high));
        goheap::gc();
        let cut = goheap::fragmentation();
        let (free, freed) = (cut.free, before.free);
        assert!(free >= freed + ten, "{free} {freed}");
        assert_eq!(cut.usable_for(ten), before.usable_for(ten));
        assert!(cut.usable_for(ten / 2) >= ten);
        drop(small);
        goheap::gc();
        let whole = goheap::fragmentation();
        assert!(whole.usable_for(ten) >= before.usable_for(ten) + ten);
        assert!(whole.largest_free_run >= ten);
        black_box((below, above));
    };
    // In a process of its own: the heap is the whole process's.
    child::run(
        a_small_object_in_a_hole_of_ten_megabytes_leaves_none_for_ten,
        |command| {
            // Pages on their way back to the system are nobody's for a moment.
            command.env("GOHEAP_RETAIN_PERCENT", "10000");
        },
        hole,
    )
    .expect_success();
}

#[test]
fn what_keeps_sparse_spans_is_as_old_as_it_must_be() {
    // In a process of its own: the heap is the whole process's.
    child::run(
        what_keeps_sparse_spans_is_as_old_as_it_must_be,
        |_| {},
        || {
            goheap::gc();
            // Eight of them fill a span.
            let mut burst: Vec<Vec<u8>> = (0..8000).map(|_| vec![1u8; 1000]).collect();
            let mut n = 0;
            burst.retain(|_| {
                n += 1;
                n % 8 == 0
            });
            let sparse = || {
                let cut = goheap::fragmentation();
                (cut.sparse_spans, cut.lone_spans, cut.oldest)
            };
            goheap::gc();
            let (spans, lone, oldest) = sparse();
            assert!(spans >= 900 && lone >= 900, "{spans} {lone}");
            let youngest = oldest.last().expect("there are sparse spans").age;
            (0..5).for_each(|_| goheap::gc());
            let (still, _, older) = sparse();
            assert!(still >= 900);
            let age = older.last().expect("they are still there").age;
            assert!(
                age.least_cycles >= 5 && age.least_cycles >= youngest.least_cycles,
                "{age:?}"
            );
            assert!(age.most_cycles >= age.least_cycles && age.most_seconds >= age.least_seconds);
            drop(burst);
            (0..2).for_each(|_| goheap::gc());
            assert!(sparse().0 < 100);
        },
    )
    .expect_success();
}
