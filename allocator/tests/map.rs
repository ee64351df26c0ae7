//! The heap's map: it leaves nothing out, says nothing twice, and knows what each span holds.

use core::cell::Cell;
use core::ptr::NonNull;
use goheap_allocator::heap::{Holdings, Occupancy, Run, Use};
use goheap_allocator::os::Os;
use goheap_allocator::{Cache, Heap, Linux, PAGE, SizeClass};

type TestHeap = Heap<Linux>;

fn heap() -> (&'static TestHeap, &'static Cache) {
    let heap: &TestHeap = Box::leak(Box::new(Heap::new(Linux)));
    // SAFETY: caches are never unmapped.
    let cache = unsafe { heap.acquire_cache().as_ref() };
    (heap, cache.expect("memory"))
}

fn small(heap: &TestHeap, cache: &Cache, bytes: usize) -> usize {
    let class = SizeClass::of(bytes);
    // SAFETY: the test's own cache.
    let at = unsafe {
        cache.alloc(class).or_else(|| {
            if !heap.next_word(cache, class) {
                heap.take_span(cache, class).expect("memory");
            }
            cache.alloc(class)
        })
    };
    at.map(NonNull::as_ptr).expect("a slot").expose_provenance()
}

fn free(heap: &TestHeap, cache: &Cache, at: usize) {
    // SAFETY: the test's own cache, flushed when full.
    unsafe {
        while !cache.log(at) {
            heap.flush(cache);
        }
    }
}

fn cycle(heap: &TestHeap) {
    let (condemned, _) = heap.close_epoch();
    heap.start_sweep(condemned);
    while heap.sweep_some().is_some() {}
}

fn map(heap: &TestHeap) -> Vec<Run> {
    let mut runs = Vec::new();
    heap.map(|run| runs.push(run));
    runs
}

fn occupancy(run: &Run) -> Option<Occupancy> {
    match run.used {
        Use::InUse(o) | Use::Cached(o) | Use::Unswept(o) => Some(o),
        _ => None,
    }
}

/// Checks that the runs lie one behind the other, and add up to what the heap counts.
#[track_caller]
fn assert_whole(heap: &TestHeap, runs: &[Run]) {
    for pair in runs.windows(2) {
        assert_eq!(
            pair[0].address + pair[0].bytes,
            pair[1].address,
            "{pair:x?}"
        );
    }
    let sum = |counts: &dyn Fn(&Run) -> bool| {
        let of = runs.iter().filter(|run| counts(run));
        of.map(|run| run.bytes as u64).sum::<u64>()
    };
    let bytes = &heap.pages().bytes;
    let is = |used: &'static [Use]| move |run: &Run| used.contains(&run.used);
    assert_eq!(sum(&|run| occupancy(run).is_some()), bytes.in_use.get());
    assert_eq!(sum(&is(&[Use::Retained, Use::SetAside])), bytes.retained());
    let released = [
        Use::Released,
        Use::SetAsideReleased,
        Use::Untouched,
        Use::Padding,
    ];
    assert_eq!(
        sum(&|run| released.contains(&run.used)),
        bytes.released.get()
    );
    assert_eq!(sum(&is(&[Use::Stacks])), bytes.stacks.get());
}

#[test]
fn a_heap_without_a_page_has_no_runs() {
    assert_eq!(map(heap().0), []);
}

#[test]
fn the_runs_cover_the_heap_and_add_up_to_its_counters() {
    let (heap, cache) = heap();
    let objects: Vec<usize> = (0..30_000)
        .map(|n| small(heap, cache, 16 + n % 40 * 100))
        .collect();
    assert_whole(heap, &map(heap));
    let large: Vec<usize> = [40 << 10, 9 << 20, 100 << 10]
        .iter()
        .map(|&bytes| {
            heap.alloc_large(bytes, 1)
                .expect("memory")
                .at
                .expose_provenance()
        })
        .collect();
    assert_whole(heap, &map(heap));
    objects
        .iter()
        .step_by(3)
        .for_each(|&at| free(heap, cache, at));
    free(heap, cache, large[1]);
    cycle(heap);
    let runs = map(heap);
    assert_whole(heap, &runs);
    let idle = runs.iter().filter(|run| run.used == Use::Retained);
    assert!(
        idle.map(|run| run.bytes).max() >= Some(9 << 20),
        "one run, over chunks"
    );
    heap.scavenge(usize::MAX, true, || false);
    assert_whole(heap, &map(heap));
}

#[test]
fn a_span_shows_what_lives_what_is_dead_and_what_its_thread_has_at_hand() {
    let (heap, cache) = heap();
    // 128 slots of 64 bytes a span, of which a thread takes 64 at a time.
    let objects: Vec<usize> = (0..128 + 40).map(|_| small(heap, cache, 64)).collect();
    objects
        .iter()
        .take(100)
        .for_each(|&at| free(heap, cache, at));
    let figures = |runs: &[Run]| -> Vec<[usize; 3]> {
        let spans = runs.iter().filter_map(occupancy);
        spans.map(|o| [o.live, o.dead, o.waiting]).collect()
    };
    // The deaths are in the thread's log yet.
    let runs = map(heap);
    let slots = occupancy(
        runs.iter()
            .find(|run| occupancy(run).is_some())
            .expect("a span"),
    );
    let slots = slots.expect("a span").slots;
    let second = 128 + 40 - slots;
    assert_eq!(
        figures(&runs),
        [[slots - 100, 100, 0], [second, 0, 64 - second]]
    );
    cycle(heap);
    assert_eq!(
        figures(&map(heap)),
        [[slots - 100, 0, 0], [second, 0, 64 - second]]
    );
    heap.start_sweep(heap.close_epoch().0);
    let runs = map(heap);
    assert!(runs.iter().any(|run| matches!(run.used, Use::Unswept(_))));
    assert!(runs.iter().any(|run| matches!(run.used, Use::Cached(_))));
    assert_whole(heap, &runs);
}

#[test]
fn a_span_knows_when_it_was_opened_and_when_a_thread_left_it() {
    let (heap, cache) = heap();
    (0..5).for_each(|_| cycle(heap));
    let at = small(heap, cache, 1000);
    let ages = || {
        let runs = map(heap);
        let span = runs
            .iter()
            .find(|run| run.address <= at && at < run.address + run.bytes);
        let span = occupancy(span.expect("in the map")).expect("a span");
        (span.opened, span.left)
    };
    assert_eq!(ages(), (5, None));
    (0..3).for_each(|_| cycle(heap));
    // SAFETY: the test's own cache.
    unsafe { heap.return_spans(cache) };
    assert_eq!(ages(), (5, Some(8)));
    (0..3).for_each(|_| cycle(heap));
    assert_eq!(ages(), (5, Some(8)));
    let again = small(heap, cache, 1000);
    assert_eq!(again / PAGE, at / PAGE);
    assert_eq!(ages(), (5, None), "a thread allocates from it");
    // SAFETY: the test's own cache.
    unsafe { heap.return_spans(cache) };
    assert_eq!(ages(), (5, Some(11)));
}

#[test]
fn a_map_is_taken_while_threads_go_on() {
    let (heap, _) = heap();
    let worker = |seed: usize| {
        // SAFETY: caches are never unmapped.
        let cache = unsafe { heap.acquire_cache().as_ref() }.expect("memory");
        let mut held = std::collections::VecDeque::new();
        let mut n = seed;
        for _ in 0..50_000 {
            n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            held.push_back(small(heap, cache, 16 + n / 7 % 1000));
            if held.len() > 2000 {
                free(heap, cache, held.pop_front().expect("it holds some"));
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..3)
            .map(|seed| scope.spawn(move || worker(seed)))
            .collect();
        let mut looks = 0;
        while looks < 10 || !workers.iter().all(|worker| worker.is_finished()) {
            looks += 1;
            cycle(heap);
            let runs = map(heap);
            for pair in runs.windows(2) {
                assert_eq!(
                    pair[0].address + pair[0].bytes,
                    pair[1].address,
                    "{pair:x?}"
                );
            }
            for o in runs.iter().filter_map(occupancy) {
                assert!(o.live + o.dead + o.waiting <= o.slots, "{o:?}");
            }
        }
    });
    assert_whole(heap, &map(heap));
}

#[test]
fn what_dies_while_memory_is_looked_at_is_taken_off_once() {
    let (heap, cache) = heap();
    let objects: Vec<usize> = (0..8000).map(|_| small(heap, cache, 1024)).collect();
    let (calls, replaced) = (Cell::new(0), Cell::new(0));
    let held = heap.holdings(|from, pages| {
        pages.fill(true);
        calls.set(calls.get() + 1);
        if calls.get() != 2 {
            return;
        }
        // The span at the beginning of this chunk has just been met.
        for &at in objects
            .iter()
            .filter(|&&at| (from..from + PAGE).contains(&at))
        {
            free(heap, cache, at);
            small(heap, cache, 1024);
            replaced.set(replaced.get() + 1);
        }
        // SAFETY: the test's own cache.
        unsafe { heap.flush(cache) };
    });
    assert!(
        calls.get() > 2 && replaced.get() == 8,
        "{calls:?} {replaced:?}"
    );
    assert_eq!((held.live, held.dead), (8000 << 10, 8 << 10));
}

#[test]
fn what_comes_into_memory_while_it_is_looked_at_is_held() {
    let (heap, cache) = heap();
    let objects: Vec<usize> = (0..8).map(|_| small(heap, cache, 1024)).collect();
    let mut bytes = (objects.len() as u64) << 10;
    let asked = Cell::new(false);
    let held = heap.holdings(|_, pages| {
        // Nothing was there when it was asked for first.
        pages.fill(asked.get());
        if !asked.replace(true) {
            (0..2000).for_each(|_| _ = small(heap, cache, 1024));
            heap.alloc_large(1 << 20, 1).expect("memory");
        }
    });
    bytes += (2000 << 10) + (1 << 20);
    assert_eq!(held.live, bytes);
}

#[test]
fn what_moves_past_the_look_is_held_in_place_of_idle_pages() {
    let (heap, cache) = heap();
    let objects = |n: usize| -> Vec<usize> { (0..n).map(|_| small(heap, cache, 1024)).collect() };
    let free_all = |all: &[usize]| {
        all.iter().for_each(|&at| free(heap, cache, at));
        cycle(heap);
    };
    let (near, far) = (objects(4000), objects(4000));
    free_all(&near);
    let resting = heap.holdings(|_, pages| pages.fill(true));
    let calls = Cell::new(0);
    let held = heap.holdings(|_, pages| {
        pages.fill(true);
        calls.set(calls.get() + 1);
        // The first chunk has been looked at, and was idle.
        if calls.get() == 2 {
            objects(4000);
            free_all(&far);
        }
    });
    assert!(resting.retained > 3 << 20, "{resting:?}");
    assert_eq!(held.live, resting.live);
    let all = |held: &Holdings| {
        held.live + held.dead + held.cached + held.retained + held.free.iter().sum::<u64>()
    };
    assert_eq!(all(&held), all(&resting));
}

#[test]
fn what_is_not_in_memory_is_not_held() {
    let (heap, cache) = heap();
    let objects: Vec<usize> = (0..8000).map(|_| small(heap, cache, 1024)).collect();
    let large = heap.alloc_large(1 << 20, 1).expect("memory").at;
    objects[..4000].iter().for_each(|&at| free(heap, cache, at));
    let none = heap.holdings(|_, pages| pages.fill(false));
    assert_eq!((none.live, none.dead, none.cached), (0, 0, 0));
    let all = heap.holdings(|_, pages| pages.fill(true));
    assert_eq!((all.live, all.dead), ((4000 << 10) + (1 << 20), 4000 << 10));
    let half = heap.holdings(|from, pages| {
        let middle = large.expose_provenance() + (1 << 19);
        let physical = Linux.physical_page();
        for (i, page) in pages.iter_mut().enumerate() {
            *page = from + i * physical < middle;
        }
    });
    assert_eq!(
        (half.live, half.live_of[0]),
        ((4000 << 10) + (1 << 19), 1 << 19)
    );
}
