//! What is sampled stands for what is not: estimates from samples against exact counts.

use goheap_allocator::heap::{Moment, Others};
use goheap_allocator::sample::{Counts, Stack};
use goheap_allocator::{Cache, Heap, Linux, SizeClass};
use std::collections::BTreeMap;

/// Bytes from one sample to the next.
const RATE: u64 = 16 << 10;

fn heap(rate: u64) -> &'static Heap<Linux> {
    let heap: &'static Heap<Linux> = Box::leak(Box::new(Heap::new(Linux)));
    heap.set_sample_rate(rate, 42);
    heap
}

fn cache(heap: &Heap<Linux>) -> &'static Cache {
    // SAFETY: caches are never unmapped; each test uses its own.
    unsafe { heap.acquire_cache().as_ref() }.expect("memory")
}

/// An object of `bytes` that the site `site` calls for.
fn alloc(heap: &Heap<Linux>, cache: &Cache, bytes: usize, site: usize) -> usize {
    if bytes > 32 << 10 {
        let large = heap.alloc_large(bytes, 1).expect("memory");
        if large.sampled {
            heap.sample(large.at.addr(), bytes, &mut Stack::of(&[site]));
        }
        return large.at.addr();
    }
    let class = SizeClass::of(bytes);
    // SAFETY: the test's own cache.
    let slot = unsafe {
        heap.take(cache, class).unwrap_or_else(|| {
            if !heap.next_word(cache, class) {
                heap.take_span(cache, class).expect("memory");
            }
            heap.take(cache, class).expect("a slot")
        })
    };
    let at = slot.at.as_ptr().addr();
    if slot.sampled {
        heap.sample(at, bytes, &mut Stack::of(&[site]));
    }
    at
}

fn free(heap: &Heap<Linux>, cache: &Cache, at: usize) {
    // SAFETY: the test's own cache, flushed when full.
    unsafe {
        while !cache.log(at) {
            heap.flush(cache);
        }
    }
}

fn cycle(heap: &Heap<Linux>) {
    while heap.sweep_some().is_some() {}
    let (condemned, _) = heap.close_epoch();
    heap.start_sweep(condemned);
    while heap.sweep_some().is_some() {}
    let findings = heap.check(Others::Rest);
    assert!(findings.count() == 0, "{findings}");
}

/// What a site's samples stand for: objects, and of these in use; and the bytes of span that they keep.
#[derive(Clone, Copy, Debug, Default)]
struct Estimate {
    allocated: f64,
    in_use: f64,
    requested: f64,
    held: f64,
}

fn estimates(heap: &Heap<Linux>, rate: u64) -> BTreeMap<usize, Estimate> {
    let mut sites = BTreeMap::new();
    heap.for_each_site(Moment::LastCycle, |site| {
        let share = -(-(site.slot_bytes as f64) / rate as f64).exp_m1();
        let scale = if rate == 1 { 1.0 } else { share.recip() };
        let Counts {
            allocs,
            frees,
            requested,
            ..
        } = site.counts;
        let e: &mut Estimate = sites.entry(site.stack[0]).or_default();
        e.allocated += allocs as f64 * scale;
        e.in_use += (allocs - frees) as f64 * scale;
        e.requested += requested as f64 * scale;
        e.held += site.held * scale;
        true
    });
    sites
}

#[track_caller]
fn assert_near(what: &str, found: f64, exact: f64, percent: f64) {
    let off = (found / exact - 1.0) * 100.0;
    assert!(
        off.abs() < percent,
        "{what}: {found} is {off:.1} % off {exact}"
    );
}

#[test]
fn samples_stand_for_all_objects_of_their_site_whatever_their_size() {
    let heap = heap(RATE);
    let cache = cache(heap);
    let sizes = [8, 24, 100, 700, 2000, 9000, 30_000, 50_000];
    let mut exact = BTreeMap::new();
    let mut kept = Vec::new();
    for round in 0..60 {
        for (site, bytes) in sizes.into_iter().enumerate() {
            let objects = (1 << 20) / bytes;
            for i in 0..objects {
                let at = alloc(heap, cache, bytes, site);
                if i % 4 == 0 && round % 2 == 0 {
                    kept.push(at);
                } else {
                    free(heap, cache, at);
                }
            }
            let (all, used) = exact.entry(site).or_insert((0, 0));
            *all += objects;
            *used += if round % 2 == 0 {
                objects.div_ceil(4)
            } else {
                0
            };
        }
        if round % 5 == 4 {
            // SAFETY: the test's own cache: slots go back, and distances to samples with them.
            unsafe {
                heap.flush(cache);
                heap.return_spans(cache);
            }
            cycle(heap);
        }
    }
    // What died in the last cycle is swept in it; the last allocations show one cycle later.
    cycle(heap);
    cycle(heap);
    let found = estimates(heap, RATE);
    for (site, bytes) in sizes.into_iter().enumerate() {
        let (all, used) = exact[&site];
        let e = found[&site];
        // 60 MiB a site are 3,840 samples, fewer where an object is larger than what lies between two:
        // their standard error is 1.6 %, that of the eighth in use 4.6 %.
        assert_near("objects", e.allocated, all as f64, 7.0);
        assert_near("bytes", e.requested, (all * bytes) as f64, 7.0);
        assert_near("in use", e.in_use, used as f64, 19.0);
    }
    let in_use = heap.pages().bytes.in_use.get() as f64;
    let held: f64 = found.values().map(|e| e.held).sum();
    assert_near("spans held", held, in_use, 8.0);
    assert!(!kept.is_empty());
}

#[test]
fn at_a_rate_of_one_everything_is_counted_exactly() {
    let heap = heap(1);
    let cache = cache(heap);
    let mut objects = Vec::new();
    for i in 0..5000 {
        objects.push(alloc(heap, cache, 16 + i % 200, i % 7));
    }
    for i in 0..3 {
        objects.push(alloc(heap, cache, 100_000 + i, 7));
    }
    // One is left of the site 0, and of the large ones.
    let dead = |i: &usize| (i.is_multiple_of(7) && *i > 0 && *i < 5000) || *i > 5000;
    for i in (0..objects.len()).filter(dead) {
        free(heap, cache, objects[i]);
    }
    let at_first = estimates(heap, 1);
    assert_eq!(at_first[&7].allocated, 3.0, "before a cycle, all is shown");
    // SAFETY: the test's own cache.
    unsafe { heap.flush(cache) };
    cycle(heap);
    cycle(heap);
    let found = estimates(heap, 1);
    assert_eq!(found[&0].allocated, 715.0);
    assert_eq!(found[&0].in_use, 1.0);
    assert_eq!(found[&7].in_use, 1.0);
    assert_eq!(found[&3].in_use, 714.0);
    let held: f64 = found.values().map(|e| e.held).sum();
    let spans = heap.pages().bytes.in_use.get() as f64;
    assert!((held - spans).abs() < 1.0, "{held} of {spans}");
}

#[test]
fn what_is_in_use_is_told_as_of_the_last_completed_cycle() {
    let heap = heap(1);
    let cache = cache(heap);
    let objects: Vec<usize> = (0..100).map(|_| alloc(heap, cache, 64, 1)).collect();
    cycle(heap);
    cycle(heap);
    let more: Vec<usize> = (0..50).map(|_| alloc(heap, cache, 64, 1)).collect();
    for at in &objects[..30] {
        free(heap, cache, *at);
    }
    // SAFETY: the test's own cache.
    unsafe { heap.flush(cache) };
    let in_use = |heap| estimates(heap, 1)[&1].in_use;
    assert_eq!(in_use(heap), 100.0, "neither the new nor the dead show");
    cycle(heap);
    assert_eq!(
        in_use(heap),
        120.0,
        "a cycle began after both, and was swept"
    );
    cycle(heap);
    assert_eq!(in_use(heap), 120.0);
    assert_eq!(more.len(), 50);
}

#[test]
fn a_sampled_object_that_is_freed_at_once_is_forgotten_at_once() {
    let heap = heap(1);
    heap.set_eager(true);
    let cache = cache(heap);
    for _ in 0..10 {
        let objects: Vec<usize> = (0..500).map(|_| alloc(heap, cache, 200, 1)).collect();
        objects.iter().for_each(|at| free(heap, cache, *at));
        // SAFETY: the test's own cache.
        unsafe { heap.flush(cache) };
        let findings = heap.check(Others::Rest);
        assert!(findings.count() == 0, "{findings}");
    }
    cycle(heap);
    cycle(heap);
    let found = estimates(heap, 1)[&1];
    assert_eq!((found.allocated, found.in_use), (5000.0, 0.0));
    assert_eq!(found.held, 0.0);
}

#[test]
fn a_heap_without_a_rate_samples_nothing_and_keeps_nothing() {
    let heap = heap(0);
    let cache = cache(heap);
    (0..20_000).for_each(|i| {
        let at = alloc(heap, cache, 16 + i % 1000, 1);
        free(heap, cache, at);
    });
    alloc(heap, cache, 1 << 20, 1);
    cycle(heap);
    assert!(estimates(heap, 1).is_empty());
    assert_eq!(heap.totals().profile_sys, 0);
}
