//! Lists, states, sweeps, allocation words and death bytes.

use super::{Findings, Others};
use crate::PAGE;
use crate::heap::Heap;
use crate::heap::progress::SPAN;
use crate::meta::Kind;
use crate::os::Os;
use crate::size_class::{CLASSES, SizeClass};
use crate::span::{FREE, MASKS, SHARED, Span, State, Tag};
use core::sync::atomic::Ordering::Relaxed;

/// Sums over all spans.
pub(super) struct Spans {
    /// Pages in spans.
    pub pages: u64,
    /// Spans in caches, by class.
    pub cached: [u64; CLASSES],
    /// Taken slots, by class.
    pub taken: [u64; CLASSES],
    /// Taken slots whose death bears the tag that deaths get now.
    pub dying: u64,
    /// Records of sampled objects.
    pub records: u64,
}

/// What the walk over one class's spans knows of the sweep.
struct Sweep {
    epoch: u32,
    condemned: Tag,
    /// The tag that deaths get now.
    tag: Tag,
    others: Others,
}

impl<O: Os> Heap<O> {
    /// # Safety
    /// Every lock of the heap is held, and nothing refers to what they guard.
    pub(super) unsafe fn check_spans(&self, others: Others, f: &mut Findings) -> Spans {
        let mut sums = Spans {
            pages: 0,
            cached: [0; CLASSES],
            taken: [0; CLASSES],
            dying: 0,
            records: 0,
        };
        // SAFETY: the caller's contract.
        let tag = unsafe { self.registry.held() }.tag;
        let (mut unswept, mut block_bytes) = (0, 0);
        for class in SizeClass::all() {
            let c = class.index();
            // SAFETY: the caller's contract.
            let lists = unsafe { self.central.class(class).held() };
            let sweep = Sweep {
                epoch: lists.epoch,
                condemned: lists.condemned,
                tag,
                others,
            };
            let masks = |span: &Span| span.masks().map_or(0, |_| MASKS as u64);
            let (pages, mut left) = (sums.pages, 0);
            for (state, side, list) in lists.all() {
                // The first one's link back says nothing.
                let mut before = core::ptr::null_mut();
                let mut len = 0;
                for span in list.iter().take(list.len() + 1) {
                    let prev = span.prev.load(Relaxed);
                    f.require(
                        prev == before || before.is_null(),
                        format_args!(
                            "class {c}, {state:?} list: span {span:p} follows {before:p}, but links back to {prev:p}"
                        ),
                    );
                    before = core::ptr::from_ref(span).cast_mut();
                    len += 1;
                    let (is, of) = (span.state(), span.class().index());
                    f.require(
                        is == state && of == c,
                        format_args!(
                            "span {span:p} of class {of} is {is:?}, but in class {c}'s {state:?} list"
                        ),
                    );
                    let swept = span.swept();
                    let side_epoch = if lists.epoch & 1 == side {
                        lists.epoch
                    } else {
                        lists.epoch.wrapping_sub(1)
                    };
                    f.require(
                        swept == side_epoch,
                        format_args!(
                            "span {span:p}: swept in sweep {swept}, but listed as in sweep {side_epoch}"
                        ),
                    );
                    self.check_span(span, &sweep, &mut sums, f);
                    block_bytes += masks(span);
                }
                f.require(
                    len == list.len(),
                    format_args!(
                        "class {c}, {state:?} list: counted {}, found {len}{}",
                        list.len(),
                        if len > list.len() { " or more" } else { "" }
                    ),
                );
                if state == State::Cached {
                    sums.cached[c] += len as u64;
                }
                if lists.epoch & 1 != side {
                    left += len as u64;
                }
            }
            unswept += left;
            for span in lists.spare.iter().take(lists.spare.len()) {
                let state = span.state();
                f.require(
                    state == State::Spare,
                    format_args!("span {span:p} is {state:?}, but in class {c}'s spare list"),
                );
                let records = span.records.load(Relaxed);
                f.require(
                    records.is_null(),
                    format_args!(
                        "span {span:p} is spare, but has the sampled object of record {records:p}"
                    ),
                );
                block_bytes += masks(span);
            }
            let known = (lists.len() + lists.spare.len()) as u64;
            f.equal("spans made of a class", lists.blocks, known);
            block_bytes += lists.blocks * Span::block_bytes(class).next_multiple_of(64) as u64;
            self.check_objects(class, others, sums.taken[c], sums.pages - pages, f);
            let from = self.progress.class.load(Relaxed);
            f.require(
                others == Others::Run || c >= from || left == 0,
                format_args!(
                    "class {c} has {left} unswept spans, but the sweep has gone on to class {from}"
                ),
            );
        }
        // SAFETY: the caller's contract.
        let table = unsafe { self.samples.held() };
        f.equal("sampled objects", table.records as u64, sums.records);
        let counted = self.meta.used(Kind::Spans);
        f.equal("bytes of span headers", counted, block_bytes);
        if others == Others::Rest {
            let counted = self.progress.turn.state.load(Relaxed) / SPAN;
            f.equal("spans left to sweep", counted, unswept);
        }
        sums
    }

    fn check_span(&self, span: &Span, sweep: &Sweep, sums: &mut Spans, f: &mut Findings) {
        let (first, pages, class) = (span.first_page(), span.pages(), span.class());
        let large = class == SizeClass::LARGE;
        let should = if large { pages } else { class.pages() };
        f.require(
            pages > 0 && pages == should,
            format_args!("span {span:p}: {pages} pages instead of {should}"),
        );
        let (base, at) = (span.base(), self.arena.address_of(first));
        f.require(
            base == at,
            format_args!("span {span:p}: begins at {base:#x}, page {first} lies at {at:#x}"),
        );
        for page in first..first + pages {
            let entry = self.arena.span_at(page);
            f.require(
                core::ptr::eq(entry, span),
                format_args!(
                    "page {page} is span {span:p}'s, but the page table says span {entry:p}"
                ),
            );
        }
        sums.pages += pages as u64;
        let taken = self.check_slots(span, sweep, sums, f);
        check_records(span, sums, f);
        sums.taken[class.index()] += taken as u64;
        let state = span.state();
        let fits = match state {
            State::Full => taken == span.slots(),
            State::Partial => taken > 0 && taken < span.slots(),
            State::Cached => !large,
            State::Spare => false,
        };
        f.require(
            fits,
            format_args!(
                "span {span:p} is {state:?} with {taken} of {} slots taken",
                span.slots()
            ),
        );
        let filed = span.filed();
        f.require(
            state == State::Cached || filed == taken,
            format_args!("span {span:p}: {taken} slots taken, but filed with {filed}"),
        );
    }

    /// Holds words against death bytes; returns how many slots are taken.
    fn check_slots(&self, span: &Span, sweep: &Sweep, sums: &mut Spans, f: &mut Findings) -> usize {
        let in_motion = span.state() == State::Cached && sweep.others == Others::Run;
        let done = span.swept() == sweep.epoch && sweep.tag != sweep.condemned;
        if !in_motion {
            check_masks(span, sweep.others, f);
        }
        let mut taken = 0;
        for (i, word) in span.words().iter().enumerate() {
            let word = word.taken();
            let slots = span.slots_in(i);
            f.require(
                slots == 64 || word >> slots == u64::MAX >> slots,
                format_args!("span {span:p}, word {i}: bits beyond the last slot are clear"),
            );
            for bit in 0..slots {
                let slot = i * 64 + bit;
                let death = span.death(slot).load(Relaxed);
                if word >> bit & 1 == 0 {
                    f.require(
                        death != 0 || in_motion,
                        format_args!("span {span:p}, slot {slot}: free, but its death byte is 0"),
                    );
                    continue;
                }
                taken += 1;
                if matches!(death, 0 | SHARED) {
                    continue;
                }
                f.require(
                    death < FREE,
                    format_args!(
                        "span {span:p}, slot {slot}: taken, but its death byte is {death}"
                    ),
                );
                let tag = Tag(death.clamp(1, 2));
                f.require(
                    !(done && tag == sweep.condemned),
                    format_args!(
                        "span {span:p}, slot {slot}: died with tag {death}, which sweep {} has been over",
                        sweep.epoch
                    ),
                );
                sums.dying += u64::from(tag == sweep.tag);
            }
        }
        for slot in span.slots()..span.death_bytes() {
            let death = span.death(slot).load(Relaxed);
            f.require(
                death == FREE,
                format_args!("span {span:p}: death byte {slot}, of no slot, is {death}"),
            );
        }
        taken
    }

    /// Holds what was counted of a class against the slots taken, and for large objects the pages.
    fn check_objects(
        &self,
        class: SizeClass,
        others: Others,
        taken: u64,
        pages: u64,
        f: &mut Findings,
    ) {
        let counts = self.central.counts(class);
        let (objects, bytes) = (counts.freed.get(), counts.freed_bytes.get());
        if class == SizeClass::LARGE {
            let kept = self.large.objects.get().wrapping_sub(objects);
            f.equal("large objects kept", kept, taken);
            let kept = self.large_bytes().wrapping_sub(bytes);
            f.equal("bytes in large objects", kept, pages * PAGE as u64);
            return;
        }
        let should = objects * class.bytes() as u64;
        f.equal("bytes freed of a class", bytes, should);
        if others == Others::Rest {
            let mut out = 0u64;
            self.for_each_cache(|cache| {
                out += cache.held[class.index()].taken.load(Relaxed);
            });
            f.equal("slots taken of a class", out.wrapping_sub(objects), taken);
        }
    }
}

/// Holds sampled objects against the slots that they lie in.
fn check_records(span: &Span, sums: &mut Spans, f: &mut Findings) {
    let mut at = span.records.load(Relaxed);
    let mut left = span.slots();
    // SAFETY: records are never unmapped, and those of a span are under its class's lock.
    while let Some(record) = unsafe { at.as_ref() } {
        let slot = span.slot_of(record.address).min(span.slots() - 1);
        let start = span.base() + slot * span.slot_bytes();
        let taken = span.words()[slot / 64].glance() >> (slot % 64) & 1 != 0;
        f.require(
            start == record.address && taken && !record.site.is_null(),
            format_args!(
                "span {span:p}: record {at:p} is of a sampled object at {:#x}, but there is none",
                record.address
            ),
        );
        f.require(
            left > 0,
            format_args!("span {span:p} has more sampled objects than slots"),
        );
        if left == 0 {
            return;
        }
        left -= 1;
        sums.records += 1;
        at = record.next;
    }
}

/// Holds masks against death bytes. A thread that leaves a block clears its mask first.
fn check_masks(span: &Span, others: Others, f: &mut Findings) {
    for slot in 0..span.slots() {
        let shared = span.death(slot).load(Relaxed) == SHARED;
        let mask = span.masks().map_or(0, |masks| masks[slot].glance());
        f.require(
            shared == (mask != 0) || (shared && others == Others::Run),
            format_args!(
                "span {span:p}, slot {slot}: its mask is {mask:#x}, but it is {}a shared block",
                if shared { "" } else { "not " }
            ),
        );
    }
}
