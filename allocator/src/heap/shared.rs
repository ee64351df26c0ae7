//! Blocks that tiny objects share: taken by a thread, and left.

use super::Heap;
use crate::cache::Cache;
use crate::meta::Kind;
use crate::os::Os;
use crate::span::{MASKS, Mask, Span};
use crate::tiny::{BLOCK, CLASS, Done};
use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;

impl<O: Os> Heap<O> {
    /// Has tiny objects share the slot at `block` with the one of `bytes` that starts it, if it has more room
    /// left than the block that the cache fills already. Else, or without memory for the span's
    /// masks, that object has it alone, as any object of its class.
    ///
    /// # Safety
    /// The calling thread owns `cache`, and has just taken the slot, of the [shared class](crate::tiny::CLASS),
    /// out of it. The object is tiny.
    #[inline]
    pub unsafe fn share(&self, cache: &Cache, block: NonNull<u8>, bytes: usize) {
        if cache.tiny.room() >= BLOCK - bytes {
            return;
        }
        let held = &cache.held[CLASS.index()];
        // SAFETY: a held span's header lives for ever.
        let Some(span) = (unsafe { held.span.load(Relaxed).as_ref() }) else {
            return;
        };
        let block = block.as_ptr().expose_provenance();
        let Some(masks) = span.masks_made().or_else(|| self.make_masks(span)) else {
            return;
        };
        // SAFETY: the caller's contract.
        unsafe { self.leave_shared(cache) };
        cache.tiny.begin(block, bytes, span.share(block, masks));
    }

    /// Fills no longer the block that the cache fills (Go: `mcache.releaseAll`). If all objects in it are
    /// dead, so is the block.
    ///
    /// # Safety
    /// The calling thread owns `cache`.
    #[inline]
    pub unsafe fn leave_shared(&self, cache: &Cache) {
        if let Some(left) = cache.tiny.end() {
            // SAFETY: the caller's contract.
            unsafe { self.leave(cache, &left) };
        }
    }

    /// # Safety
    /// The calling thread owns `cache`.
    #[inline(never)]
    unsafe fn leave(&self, cache: &Cache, left: &Done) {
        if !left.mask.close(left.starts) {
            return;
        }
        let Some(span) = self.span_at(left.block) else {
            return;
        };
        // An ordinary object of its class from here on, which its owner frees.
        span.unshare(left.block);
        // SAFETY: the caller's contract.
        unsafe {
            if !cache.log(left.block) {
                self.free(cache, left.block);
            }
        }
    }

    /// Under the class's lock, so that a check finds what was taken for it with the span.
    #[cold]
    fn make_masks(&self, span: &Span) -> Option<&'static [Mask]> {
        let _lists = self.central.class(CLASS).lock();
        let masks = self.meta.take(&self.os, Kind::Spans, MASKS).ok()?;
        Some(span.set_masks(masks))
    }

    pub(super) fn span_at(&self, address: usize) -> Option<&Span> {
        // SAFETY: an entry of the table is a header, which lives for ever, or null.
        unsafe { self.arena.span_of(address).as_ref() }
    }
}
