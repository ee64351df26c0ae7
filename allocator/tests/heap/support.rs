//! A heap over Linux, or over a Linux that refuses, and what tests do with one.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use goheap_allocator::heap::Others;
use goheap_allocator::os::{Advice, Range};
use goheap_allocator::{Cache, Heap, Linux, Os, OsError, SizeClass, tiny};

/// Linux, until a call that is to fail.
pub struct Failing {
    pub calls: &'static AtomicUsize,
    from: usize,
    to: usize,
    /// Of the calls from there to there, those whose bit in this is set, over and over.
    which: u64,
    commit_limit: usize,
}

impl Failing {
    pub fn never() -> Self {
        Self::between(usize::MAX, usize::MAX)
    }

    /// Refuses calls number `from` to `to`.
    pub fn between(from: usize, to: usize) -> Self {
        Self {
            calls: Box::leak(Box::default()),
            from,
            to,
            which: u64::MAX,
            commit_limit: usize::MAX,
        }
    }

    /// Refuses some of the calls up to number `to`, at random.
    pub fn at_random(to: usize, seed: u64) -> Self {
        let mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self {
            which: mixed ^ mixed >> 29,
            ..Self::between(0, to)
        }
    }

    /// Promises so many bytes to all processes.
    pub fn promising(commit_limit: usize) -> Self {
        Self {
            commit_limit,
            ..Self::never()
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
    fn commit_limit(&self) -> usize {
        self.commit_limit
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

pub type TestHeap = Heap<Failing>;

pub fn heap(os: Failing) -> &'static TestHeap {
    Box::leak(Box::new(Heap::new(os)))
}

pub fn cache(heap: &TestHeap) -> Option<&'static Cache> {
    // SAFETY: caches are never unmapped; each test uses its own.
    unsafe { heap.acquire_cache().as_ref() }
}

/// A slot of the class for `bytes`, as the runtime's slow path gets one.
pub fn small(heap: &TestHeap, cache: &Cache, bytes: usize) -> Option<*mut u8> {
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

pub fn free(heap: &TestHeap, cache: &Cache, at: *mut u8) {
    // SAFETY: the test's own cache, flushed when full.
    unsafe {
        if !cache.log(at.expose_provenance()) {
            heap.flush(cache);
            assert!(cache.log(at.expose_provenance()));
        }
    }
}

/// A tiny object, as the runtime's slow path gets one.
pub fn part(heap: &TestHeap, cache: &Cache, bytes: usize) -> *mut u8 {
    // SAFETY: the test's own cache; the object is tiny, and its block was just taken.
    unsafe {
        if let Some(at) = cache.alloc_tiny(bytes, 1) {
            return at.as_ptr();
        }
        let block = NonNull::new(small(heap, cache, tiny::BLOCK).unwrap()).unwrap();
        heap.share(cache, block, bytes).as_ptr()
    }
}

pub fn cycle(heap: &TestHeap) {
    while heap.sweep_some().is_some() {}
    let (condemned, _) = heap.close_epoch();
    heap.start_sweep(condemned);
}

pub fn sweep(heap: &TestHeap) {
    while heap.sweep_some().is_some() {}
    assert!(heap.progress().is_done());
    assert_sound(heap);
}

#[track_caller]
pub fn assert_sound(heap: &TestHeap) {
    let findings = heap.check(Others::Rest);
    assert!(findings.count() == 0, "{findings}");
}
