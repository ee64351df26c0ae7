//! Held spans, bins, logs, tags and page caches.

use super::spans::Spans;
use super::{Findings, Others};
use crate::cache::{Cache, LOG_CAPACITY};
use crate::heap::Heap;
use crate::meta::Kind;
use crate::os::Os;
use crate::size_class::{CLASSES, SizeClass};
use crate::span::{Span, State};
use crate::tiny::Done;
use core::sync::atomic::Ordering::Relaxed;

impl<O: Os> Heap<O> {
    /// # Safety
    /// Every lock of the heap is held, and nothing refers to what they guard; if the others rest,
    /// so do their caches.
    pub(super) unsafe fn check_caches(&self, others: Others, spans: &Spans, f: &mut Findings) {
        // SAFETY: the caller's contract.
        let registry = unsafe { self.registry.held() };
        let mut caches = 0;
        let mut held = [0; CLASSES];
        let mut deaths = 0;
        self.for_each_cache(|cache| {
            caches += 1;
            // SAFETY: the caller's contract.
            let drained = unsafe { cache.drained.held() };
            deaths += drained.deaths.objects;
            f.require(
                drained.tag == registry.tag,
                format_args!(
                    "cache {cache:p}: deaths get tag {}, those of all caches should get {}",
                    drained.tag.0, registry.tag.0
                ),
            );
            let len = LOG_CAPACITY.wrapping_sub(cache.room.load(Relaxed));
            f.require(
                len <= LOG_CAPACITY && drained.upto <= len,
                format_args!(
                    "cache {cache:p}: {len} deaths logged of at most {LOG_CAPACITY}, {} dealt with",
                    drained.upto
                ),
            );
            for class in SizeClass::all().skip(1) {
                // SAFETY: a held span's header lives for ever.
                let span = unsafe { cache.held[class.index()].span.load(Relaxed).as_ref() };
                if let Some(span) = span {
                    held[class.index()] += 1;
                    self.check_held(cache, class, span, f);
                }
                if others == Others::Rest {
                    check_bin(cache, class, span, f);
                }
            }
            if others == Others::Rest {
                self.check_shared(cache, f);
                let pages = &cache.pages;
                f.require(
                    pages.released.load(Relaxed) & !pages.idle.load(Relaxed) == 0,
                    format_args!("cache {cache:p}: holds released pages that it does not hold"),
                );
            }
        });
        for (c, held) in held.iter().enumerate() {
            f.equal("spans in caches of a class", spans.cached[c], *held);
        }
        f.equal("objects dead in this epoch", deaths, spans.dying);
        let bytes = (size_of::<Cache>() + align_of::<Cache>()).next_multiple_of(64) as u64;
        f.equal(
            "bytes of caches",
            self.meta.used(Kind::Caches),
            caches * bytes,
        );

        let mut spare = 0;
        let mut at = registry.spare;
        // SAFETY: caches are never unmapped; a spare one has no owner.
        while let Some(cache) = unsafe { at.as_ref() }.filter(|_| spare < caches) {
            spare += 1;
            check_spare(cache, f);
            at = cache.next_spare.load(Relaxed);
        }
        let in_use = self.cache_count.load(Relaxed) as u64;
        f.equal("caches in use", in_use, caches - spare);
    }

    /// The block that the cache fills is one that tiny objects share, and has room for more.
    fn check_shared(&self, cache: &Cache, f: &mut Findings) {
        let Some(Done {
            block,
            starts,
            mask,
        }) = cache.tiny.block()
        else {
            return;
        };
        // SAFETY: an entry of the table is a header, which lives for ever, or null.
        let span = unsafe { self.arena.span_of(block).as_ref() };
        let mask = mask.glance();
        f.require(
            span.is_some_and(|span| span.shared_slot(block).is_some()) && mask | starts == u16::MAX,
            format_args!(
                "cache {cache:p}: tiny objects are to share the block at {block:#x}, which is none, or has mask {mask:#x} and starts {starts:#x}"
            ),
        );
    }

    fn check_held(&self, cache: &Cache, class: SizeClass, span: &Span, f: &mut Findings) {
        let (state, of) = (span.state(), span.class());
        f.require(
            state == State::Cached && of == class,
            format_args!(
                "cache {cache:p} holds span {span:p} for class {}, but it is {state:?} of class {}",
                class.index(),
                of.index()
            ),
        );
        let mut at = cache.next.load(Relaxed);
        // SAFETY: caches are never unmapped.
        while let Some(other) = unsafe { at.as_ref() } {
            let theirs = other.held[class.index()].span.load(Relaxed);
            f.require(
                !core::ptr::eq(theirs, span),
                format_args!("span {span:p} is held by caches {cache:p} and {other:p}"),
            );
            at = other.next.load(Relaxed);
        }
    }
}

/// Holds a bin against the word of the span that it was filled from.
fn check_bin(cache: &Cache, class: SizeClass, span: Option<&Span>, f: &mut Findings) {
    let c = class.index();
    let (bin, rest) = (
        cache.free[c].load(Relaxed),
        cache.held[c].rest.load(Relaxed),
    );
    f.require(
        bin & rest == 0 && (rest == 0 || bin < rest & rest.wrapping_neg()),
        format_args!(
            "cache {cache:p}: slots of class {c} in the bin do not come before the sampled one"
        ),
    );
    let free = bin | rest;
    if free == 0 {
        return;
    }
    let word = cache.held[c].word.get();
    let Some(span) = span.filter(|s| word < s.word_count()) else {
        f.require(
            false,
            format_args!(
                "cache {cache:p}: free slots of class {c}, but no word that they are from"
            ),
        );
        return;
    };
    let (base, at) = (
        cache.base[c].load(Relaxed),
        span.base() + word * 64 * span.slot_bytes(),
    );
    f.require(
        base == at,
        format_args!(
            "cache {cache:p}: class {c}'s slots begin at {base:#x}, word {word} of span {span:p} at {at:#x}"
        ),
    );
    f.require(
        free & !span.words()[word].glance() == 0 && free >> (span.slots_in(word) - 1) <= 1,
        format_args!(
            "cache {cache:p}: holds slots of class {c} that are free in word {word} of span {span:p}, or none of it"
        ),
    );
    for bit in (0..span.slots_in(word)).filter(|b| free >> b & 1 != 0) {
        let slot = word * 64 + bit;
        let death = span.death(slot).load(Relaxed);
        f.require(
            death == 0,
            format_args!(
                "cache {cache:p}: slot {slot} of span {span:p} waits to be handed out, but its death byte is {death}"
            ),
        );
    }
}

/// A cache that no thread has is empty.
fn check_spare(cache: &Cache, f: &mut Findings) {
    let classes = SizeClass::all().skip(1);
    let slots = classes.filter(|&class| {
        let span = cache.held[class.index()].span.load(Relaxed);
        !span.is_null() || cache.waiting(class) != 0
    });
    // SAFETY: every lock is held.
    let upto = unsafe { cache.drained.held() }.upto;
    f.require(
        slots.count() == 0
            && cache.tiny.block().is_none()
            && cache.death_log().since(upto).is_empty(),
        format_args!("cache {cache:p} is spare, but holds spans, slots or deaths"),
    );
    f.require(
        cache.pages.is_empty(),
        format_args!("cache {cache:p} is spare, but holds pages"),
    );
}
