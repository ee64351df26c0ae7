//! Blocks that tiny objects share: taken by a thread, and left.

use super::Heap;
use crate::cache::Cache;
use crate::meta::Kind;
use crate::os::Os;
use crate::span::{MASKS, Span};
use crate::tiny::{BLOCK, CLASS, Done};
use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;

impl<O: Os> Heap<O> {
    /// Has tiny objects share the slot at `block` with the one of `bytes` that starts it, if it has more room
    /// left than the block that the cache fills already. Else, or without memory for the span's
    /// masks, that object has it alone, as any object of its class. Returns the slot, zeroed if it is shared, so
    /// that its other parts are when they are taken.
    ///
    /// # Safety
    /// The calling thread owns `cache`, and has just taken the slot, of the [shared class](crate::tiny::CLASS),
    /// out of it. The object is tiny.
    #[inline(always)]
    pub unsafe fn share(&self, cache: &Cache, block: NonNull<u8>, bytes: usize) -> NonNull<u8> {
        if !cache.should_share(bytes) {
            return block;
        }
        // SAFETY: the caller's contract.
        unsafe { self.begin_shared(cache, block, bytes) }
    }

    /// # Safety
    /// As for [`Heap::share`].
    #[inline(never)]
    unsafe fn begin_shared(&self, cache: &Cache, block: NonNull<u8>, bytes: usize) -> NonNull<u8> {
        let held = &cache.held[CLASS.index()];
        // SAFETY: a held span's header lives for ever.
        let Some(span) = (unsafe { held.span.load(Relaxed).as_ref() }) else {
            return block;
        };
        let Some(masks) = span.masks_made() else {
            // SAFETY: the caller's contract.
            return unsafe { self.begin_first(cache, span, block, bytes) };
        };
        // SAFETY: the slot is the caller's alone yet.
        unsafe { block.write_bytes(0, BLOCK) };
        let at = block.as_ptr().expose_provenance();
        let left = cache.tiny.end();
        cache.tiny.begin(at, bytes, span.share(at, masks));
        // SAFETY: the caller's contract.
        unsafe { self.leave(cache, left) };
        block
    }

    /// Fills no longer the block that the cache fills (Go: `mcache.releaseAll`). If all objects in it are
    /// dead, so is the block.
    ///
    /// # Safety
    /// The calling thread owns `cache`.
    #[inline]
    pub unsafe fn leave_shared(&self, cache: &Cache) {
        // SAFETY: the caller's contract.
        unsafe { self.leave(cache, cache.tiny.end()) };
    }

    /// # Safety
    /// The calling thread owns `cache`.
    #[inline(always)]
    unsafe fn leave(&self, cache: &Cache, left: Option<Done>) {
        if let Some(left) = left
            && left.mask.close(left.starts)
        {
            // SAFETY: the caller's contract.
            unsafe { self.free_left(cache, left.block) };
        }
    }

    /// # Safety
    /// The calling thread owns `cache`.
    #[cold]
    #[inline(never)]
    unsafe fn free_left(&self, cache: &Cache, block: usize) {
        let Some(span) = self.span_at(block) else {
            return;
        };
        // An ordinary object of its class from here on, which its owner frees.
        span.unshare(block);
        // SAFETY: the caller's contract.
        unsafe {
            if !cache.log(block) {
                self.free(cache, block);
            }
        }
    }

    /// The same of the first shared block of `span`, which has no masks yet.
    ///
    /// # Safety
    /// As for [`Heap::share`].
    #[cold]
    #[inline(never)]
    unsafe fn begin_first(
        &self,
        cache: &Cache,
        span: &Span,
        block: NonNull<u8>,
        bytes: usize,
    ) -> NonNull<u8> {
        {
            // So that a check finds what was taken for it with the span.
            let _lists = self.central.class(CLASS).lock();
            let Ok(masks) = self.meta.take(&self.os, Kind::Spans, MASKS) else {
                return block;
            };
            span.set_masks(masks);
        }
        // SAFETY: the caller's contract.
        unsafe { self.begin_shared(cache, block, bytes) }
    }

    pub(super) fn span_at(&self, address: usize) -> Option<&Span> {
        // SAFETY: an entry of the table is a header, which lives for ever, or null.
        unsafe { self.arena.span_of(address).as_ref() }
    }
}
