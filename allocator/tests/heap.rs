//! The heap by itself: what becomes of a death, and what becomes of a refusal by the OS.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use goheap_allocator::heap::Others;
use goheap_allocator::os::{Advice, Range};
use goheap_allocator::{CHUNK, Cache, Heap, Linux, Os, OsError, PAGE, SizeClass, tiny};

/// Linux, until a call that is to fail.
struct Failing {
    calls: &'static AtomicUsize,
    from: usize,
    to: usize,
    /// Of the calls from there to there, those whose bit in this is set, over and over.
    which: u64,
}

impl Failing {
    fn never() -> Self {
        Self::between(usize::MAX, usize::MAX)
    }

    /// Refuses calls number `from` to `to`.
    fn between(from: usize, to: usize) -> Self {
        Self {
            calls: Box::leak(Box::default()),
            from,
            to,
            which: u64::MAX,
        }
    }

    /// Refuses some of the calls up to number `to`, at random.
    fn at_random(to: usize, seed: u64) -> Self {
        let mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self {
            which: mixed ^ mixed >> 29,
            ..Self::between(0, to)
        }
    }

    fn ask(&self, operation: &'static str, bytes: usize) -> Result<(), OsError> {
        let n = self.calls.fetch_add(1, Relaxed);
        if (self.from..=self.to).contains(&n) && self.which >> (n % 64) & 1 != 0 {
            return Err(OsError {
                operation,
                address: 0,
                bytes,
                errno: 12,
            });
        }
        Ok(())
    }
}

// SAFETY: what it grants, Linux grants.
unsafe impl Os for Failing {
    fn reserve(&self, _: usize, bytes: usize, align: usize) -> Result<NonNull<u8>, OsError> {
        self.ask("reserve", bytes)?;
        // Many heaps in one process: none needs a terabyte.
        if bytes > 1 << 30 {
            return Err(OsError {
                operation: "reserve",
                address: 0,
                bytes,
                errno: 12,
            });
        }
        Linux.reserve(0, bytes, align)
    }
    fn address_space(&self) -> usize {
        usize::MAX
    }
    unsafe fn unreserve(&self, at: NonNull<u8>, bytes: usize) {
        // SAFETY: the caller's contract.
        unsafe { Linux.unreserve(at, bytes) }
    }
    unsafe fn commit(&self, at: NonNull<u8>, bytes: usize) -> Result<(), OsError> {
        self.ask("commit", bytes)?;
        // SAFETY: the caller's contract.
        unsafe { Linux.commit(at, bytes) }
    }
    unsafe fn release(&self, ranges: &[Range], how: Advice) -> Result<(), (usize, OsError)> {
        for (i, range) in ranges.iter().enumerate() {
            self.ask("release", range.1).map_err(|e| (i, e))?;
            // SAFETY: the caller's contract.
            unsafe { Linux.release(core::slice::from_ref(range), how) }.map_err(|(_, e)| (i, e))?;
        }
        Ok(())
    }
    unsafe fn no_huge_pages(&self, _: NonNull<u8>, _: usize) {}
    fn map(&self, bytes: usize) -> Result<NonNull<u8>, OsError> {
        self.ask("map", bytes)?;
        Linux.map(bytes)
    }
    fn physical_page(&self) -> usize {
        4096
    }
    fn huge_page(&self) -> usize {
        0
    }
}

type TestHeap = Heap<Failing>;

fn heap(os: Failing) -> &'static TestHeap {
    Box::leak(Box::new(Heap::new(os)))
}

fn cache(heap: &TestHeap) -> Option<&'static Cache> {
    // SAFETY: caches are never unmapped; each test uses its own.
    unsafe { heap.acquire_cache().as_ref() }
}

/// A slot of the class for `bytes`, as the runtime's slow path gets one.
fn small(heap: &TestHeap, cache: &Cache, bytes: usize) -> Option<*mut u8> {
    let class = SizeClass::of(bytes);
    // SAFETY: the test's own cache.
    unsafe {
        if let Some(at) = cache.alloc(class) {
            return Some(at.as_ptr());
        }
        if !heap.next_word(cache, class) {
            heap.take_span(cache, class).ok()?;
        }
        cache.alloc(class).map(NonNull::as_ptr)
    }
}

fn free(heap: &TestHeap, cache: &Cache, at: *mut u8) {
    // SAFETY: the test's own cache, flushed when full.
    unsafe {
        if !cache.log(at.expose_provenance()) {
            heap.flush(cache);
            assert!(cache.log(at.expose_provenance()));
        }
    }
}

/// A tiny object, as the runtime's slow path gets one.
fn part(heap: &TestHeap, cache: &Cache, bytes: usize) -> *mut u8 {
    // SAFETY: the test's own cache; the object is tiny, and its block was just taken.
    unsafe {
        if let Some(at) = cache.alloc_tiny(bytes, 1) {
            return at.as_ptr();
        }
        let block = NonNull::new(small(heap, cache, tiny::BLOCK).unwrap()).unwrap();
        heap.share(cache, block, bytes);
        block.as_ptr()
    }
}

fn cycle(heap: &TestHeap) {
    while heap.sweep_some().is_some() {}
    let (condemned, _) = heap.close_epoch();
    heap.start_sweep(condemned);
}

fn sweep(heap: &TestHeap) {
    while heap.sweep_some().is_some() {}
    assert!(heap.progress().is_done());
    assert_sound(heap);
}

#[track_caller]
fn assert_sound(heap: &TestHeap) {
    let findings = heap.check(Others::Rest);
    assert!(findings.count() == 0, "{findings}");
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
