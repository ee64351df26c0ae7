//! Caches come and go with their threads. A cache is never unmapped: when its
//! thread ends it is emptied and waits for the next one, so ten thousand short
//! threads need as many caches as ever lived at once.

use super::Heap;
use crate::cache::Cache;
use crate::meta::Kind;
use crate::os::Os;
use crate::size_class::SizeClass;
use core::ptr::null_mut;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

impl<O: Os> Heap<O> {
    /// A cache for the calling thread; null if the OS refuses memory for it.
    pub fn acquire_cache(&self) -> *mut Cache {
        let mut registry = self.registry.lock();
        // SAFETY: caches are never unmapped.
        let cache = match unsafe { registry.spare.as_ref() } {
            Some(spare) => core::mem::replace(&mut registry.spare, spare.next_spare.load(Relaxed)),
            None => {
                let Ok(block) = self.meta.take(
                    &self.os,
                    Kind::Caches,
                    size_of::<Cache>() + align_of::<Cache>(),
                ) else {
                    return null_mut();
                };
                let at = block
                    .as_ptr()
                    .map_addr(|a| a.next_multiple_of(align_of::<Cache>()))
                    .cast::<Cache>();
                let next = self.caches.load(Relaxed);
                // SAFETY: fresh metadata, zeroed, aligned and long enough.
                unsafe { Cache::make(at, registry.tag, next, &self.rate, !self.is_watched()) };
                // Release: pairs with Acquire in `for_each_cache`.
                self.caches.store(at, Release);
                at
            }
        };
        self.cache_count.fetch_add(1, Relaxed);
        cache
    }

    /// Empties a cache and keeps it for another thread.
    ///
    /// # Safety
    /// The calling thread owns `cache`, and no longer uses it.
    pub unsafe fn release_cache(&self, cache: *mut Cache) {
        // SAFETY: the caller's contract.
        let own = unsafe { &*cache };
        // SAFETY: the caller's contract.
        unsafe {
            // First, for it may log a death.
            self.leave_shared(own);
            self.flush(own);
            self.return_spans(own);
            self.pages.flush(&own.pages);
        }
        let mut registry = self.registry.lock();
        own.next_spare
            .store(core::mem::replace(&mut registry.spare, cache), Relaxed);
        self.cache_count.fetch_sub(1, Relaxed);
    }

    /// Calls `f` with each cache ever made.
    pub(super) fn for_each_cache(&self, mut f: impl FnMut(&Cache)) {
        // Acquire: pairs with Release in `acquire_cache`.
        let mut at = self.caches.load(Acquire);
        // SAFETY: caches are never unmapped.
        while let Some(cache) = unsafe { at.as_ref() } {
            f(cache);
            at = cache.next.load(Relaxed);
        }
    }

    /// Takes every lock of the heap, in order, so that a child finds them all free and
    /// all structures whole.
    pub fn fork_lock(&self) {
        self.registry.fork_lock();
        self.for_each_cache(|c| c.drained.fork_lock());
        SizeClass::all().for_each(|c| self.central.class(c).fork_lock());
        self.samples.fork_lock();
        self.pages.fork_lock();
        self.meta.fork_lock();
    }

    /// Ends [`Heap::fork_lock`], in the parent and in the child.
    ///
    /// # Safety
    /// The calling thread (in the child: its copy) took the locks.
    pub unsafe fn fork_unlock(&self) {
        // SAFETY: the caller's contract; no cache was made meanwhile, since that takes the registry's lock.
        unsafe {
            self.meta.fork_unlock();
            self.pages.fork_unlock();
            self.samples.fork_unlock();
            SizeClass::all()
                .rev()
                .for_each(|c| self.central.class(c).fork_unlock());
            self.for_each_cache(|c| c.drained.fork_unlock());
            self.registry.fork_unlock();
        }
    }
}
