//! Each contradiction, planted by hand in a heap of its own, is found and named.

mod caches;
mod pages;
mod spans;

use super::Others;
use crate::bits::Summary;
use crate::central::Lists;
use crate::os::Linux;
use crate::page_heap::{State as Pages, Tables};
use crate::span::{FREE, Span, State, Tag};
use crate::{CHUNK, Cache, Heap, PAGE, SizeClass};
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::Ordering::Relaxed;

type TestHeap = Heap<Linux>;

const CLASS: SizeClass = SizeClass::from_index(5);

/// A heap with small and large objects, live, dead and swept, in a cache and beside it.
struct Used {
    heap: &'static TestHeap,
    cache: &'static Cache,
    other: &'static Cache,
}

fn alloc(heap: &TestHeap, cache: &Cache, bytes: usize) -> *mut u8 {
    if bytes > 32 << 10 {
        return heap.alloc_large(bytes, 1).expect("memory").at;
    }
    let class = SizeClass::of(bytes);
    // SAFETY: the test's own cache.
    unsafe {
        if let Some(at) = cache.alloc(class) {
            return at.as_ptr();
        }
        if !heap.next_word(cache, class) {
            heap.take_span(cache, class).expect("memory");
        }
        cache.alloc(class).expect("a slot").as_ptr()
    }
}

impl Used {
    fn new() -> Self {
        let heap: &TestHeap = Box::leak(Box::new(Heap::new(Linux)));
        // SAFETY: caches are never unmapped.
        let [cache, other, gone] =
            [(); 3].map(|()| unsafe { heap.acquire_cache().as_ref() }.expect("memory"));
        let free = |at: *mut u8| {
            // SAFETY: the test's own cache, flushed when full.
            unsafe {
                while !cache.log(at.expose_provenance()) {
                    heap.flush(cache);
                }
            }
        };
        for (i, at) in (0..3000).map(|i| (i, alloc(heap, cache, 16 + i % 9 * 48))) {
            // The first spans stay full.
            if i > 1500 && i % 5 != 0 {
                free(at);
            }
        }
        for bytes in [100_000, 3 << 20, 40_000] {
            free(alloc(heap, other, bytes));
            alloc(heap, other, bytes);
        }
        let (condemned, _) = heap.close_epoch();
        heap.start_sweep(condemned);
        while heap.sweep_some().is_some() {}
        (0..300).for_each(|_| free(alloc(heap, cache, 48)));
        alloc(heap, cache, 48);
        alloc(heap, gone, 2000);
        // SAFETY: the test's own caches.
        unsafe {
            heap.flush(cache);
            heap.release_cache(core::ptr::from_ref(gone).cast_mut());
        }
        heap.scavenge(1 << 20, true, || false);
        let used = Self { heap, cache, other };
        assert_eq!(used.finding(), None, "before anything is planted");
        assert_eq!(heap.check(Others::Run).first(), None);
        used
    }

    fn finding(&self) -> Option<String> {
        self.heap.check(Others::Rest).first().map(str::to_owned)
    }

    /// Fails unless the check says what is wrong in these words.
    #[track_caller]
    fn expect(&self, words: &[&str]) {
        let finding = self.finding().expect("what was planted went unseen");
        for word in words {
            assert!(finding.contains(word), "{word:?} is not in: {finding}");
        }
    }

    fn pages(&self, plant: impl FnOnce(&mut Pages)) {
        // SAFETY: one thread.
        plant(unsafe { self.heap.pages().state.held() });
    }

    fn tables(&self, plant: impl FnOnce(&mut Tables)) {
        self.pages(|p| plant(p.tables.as_mut().expect("grown")));
    }

    fn lists(&self, class: SizeClass, plant: impl FnOnce(&mut Lists)) {
        plant(&mut self.heap.central.class(class).lock());
    }

    /// A span in this state that holds living objects, more than a word of them.
    fn span(&self, state: State) -> &'static Span {
        let mut found = None;
        let lives = |s: &&Span| {
            let slots = 0..s.slots();
            s.slots() > 70 && slots.filter(|&i| s.death(i).load(Relaxed) == 0).count() > 0
        };
        for class in SizeClass::all().skip(1) {
            self.lists(class, |l| {
                found = found.or(l.iter().filter(lives).find(|s| s.state() == state));
            });
        }
        found.expect("the heap was used enough to have one")
    }

    /// The span that the cache allocates from.
    fn held(&self) -> &'static Span {
        let span = self.cache.held[CLASS.index()].span.load(Relaxed);
        // SAFETY: a held span's header lives for ever.
        unsafe { span.as_ref() }.expect("held")
    }

    /// A slot of the span that is taken and whose object lives, or one that is free.
    fn slot(&self, span: &Span, taken: bool) -> usize {
        (0..span.slots())
            .find(|&s| {
                let is = span.words()[s / 64].glance() >> (s % 64) & 1 != 0;
                is == taken && (!taken || span.death(s).load(Relaxed) == 0)
            })
            .expect("the span has both living objects and free slots")
    }
}

#[test]
fn a_heap_that_was_never_used_is_sound() {
    let heap = Heap::new(Linux);
    assert_eq!(heap.check(Others::Rest).first(), None);
}
