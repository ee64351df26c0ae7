//! A heap that watches for mistakes: what costs too much to be done always.
//!
//! In a watched heap logs have no room, so that each free takes the slow path and is looked at in
//! the call that makes it: what is wrong is found where it is done, with the layout that the block
//! is given back as. Unwatched, none of this costs anything, since the fast path is the same.
//!
//! With *poison* (Go: `GODEBUG=clobberfree=1`) a freed object is filled with [`poison::WORD`], and a
//! sweep looks whether it still is before it makes the slot free. Filling takes the whole object,
//! also a large one, and so memory for pages of it that the program had never touched.

use super::Heap;
use super::report::{report_and_abort, tell, tell_stack};
use crate::os::Os;
use crate::size_class::SizeClass;
use crate::span::{Misuse, Span, Tag};
use crate::tiny;
use core::alloc::Layout;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::Relaxed;

/// What a heap watches for.
#[derive(Debug)]
pub(super) struct Watch {
    on: AtomicBool,
    poison: AtomicBool,
}

impl Watch {
    pub(super) const fn off() -> Self {
        Self {
            on: AtomicBool::new(false),
            poison: AtomicBool::new(false),
        }
    }
}

impl<O: Os> Heap<O> {
    /// From now on each free is looked at in the call that makes it, and freed memory is filled and
    /// checked if `poison` says so: where frees are not carried out at once. To be called before
    /// the heap has a cache.
    pub fn watch(&self, poison: bool) {
        self.watch.on.store(true, Relaxed);
        self.watch.poison.store(poison, Relaxed);
    }

    /// From now on each free is looked at in the call that makes it, and one in `one_in` slots, on average, is
    /// [said](super::Slot::guarded) to be guarded. To be called before the heap has a cache.
    pub fn guard(&self, one_in: u64) {
        self.watch.on.store(true, Relaxed);
        self.rate.set_guards(one_in);
    }

    #[inline(always)]
    pub(super) fn is_watched(&self) -> bool {
        self.watch.on.load(Relaxed)
    }

    #[inline(always)]
    pub(super) fn poisons(&self) -> bool {
        self.watch.poison.load(Relaxed)
    }

    /// If the heap is watched, ends the process unless the object at `address` may have been allocated with
    /// `layout`. What is no object's address, the free itself will find.
    #[inline(always)]
    pub fn check_layout(&self, address: usize, layout: Layout) {
        if self.is_watched() {
            self.hold_against(address, layout);
        }
    }

    #[cold]
    fn hold_against(&self, address: usize, layout: Layout) {
        let Some((class, bytes)) = self.slot_of(address) else {
            return;
        };
        let (size, align) = (layout.size(), layout.align());
        let right = match SizeClass::fitting(size, align) {
            Some(fitting) => {
                fitting == class || (tiny::is_tiny(size, align) && class == tiny::CLASS)
            }
            // A large one that grew has more room than was asked for.
            None => class == SizeClass::LARGE && size <= bytes,
        };
        if !right {
            let misuse = Misuse::WrongLayout {
                bytes,
                class,
                size,
                align,
            };
            report_and_abort(address, misuse)
        }
    }

    /// If freed memory is poisoned, ends the process unless all that a sweep for `tag` would free in
    /// `span` still is. Callers hold the class's lock.
    #[inline(always)]
    pub(super) fn check_poison(&self, span: &Span, tag: Tag) {
        if self.poisons() {
            look_for_changes(span, tag);
        }
    }
}

#[cold]
fn look_for_changes(span: &Span, tag: Tag) {
    let bytes = span.slot_bytes();
    for address in span.condemned_objects(tag) {
        // SAFETY: the memory of an object that was freed, and so nobody's.
        if let Some((offset, found)) = unsafe { poison::first_change(address, bytes) } {
            let misuse = Misuse::WrittenAfterFree {
                offset,
                found,
                bytes,
                class: span.class(),
            };
            tell(address, misuse);
            tell_stack(sampled_stack(span, address));
            std::process::abort()
        }
    }
}

/// What called for the object at `address`, if it was sampled; empty if not. Callers hold the class's lock.
fn sampled_stack(span: &Span, address: usize) -> &'static [usize] {
    let mut at = span.records.load(Relaxed);
    // SAFETY: records and sites are never unmapped; those of a span are under its class's lock.
    while let Some(record) = unsafe { at.as_ref() } {
        if record.address == address {
            // SAFETY: as above.
            return unsafe { record.site.as_ref() }.map_or(&[], |site| site.stack());
        }
        at = record.next;
    }
    &[]
}

/// What freed memory is filled with.
pub(super) mod poison {
    use core::ptr::with_exposed_provenance_mut;

    /// As in Go. Read as an address it is none, so that following it faults.
    pub const WORD: u64 = 0xdead_beef_dead_beef;

    /// Fills `bytes` bytes, whole words.
    ///
    /// # Safety
    /// They are the caller's to write.
    pub unsafe fn fill(address: usize, bytes: usize) {
        // SAFETY: the caller's contract; slots are whole words, and lie at multiples of a word.
        unsafe { core::slice::from_raw_parts_mut(with_exposed_provenance_mut(address), bytes / 8) }
            .fill(WORD);
    }

    /// The first byte of so many that is not what [`fill`] left, and where it is.
    ///
    /// # Safety
    /// They are the caller's to read.
    pub unsafe fn first_change(address: usize, bytes: usize) -> Option<(usize, u8)> {
        let first: *mut u64 = with_exposed_provenance_mut(address);
        // SAFETY: as in `fill`.
        let words = unsafe { core::slice::from_raw_parts(first, bytes / 8) };
        let at = words.iter().position(|&word| word != WORD)?;
        let (is, was) = (words[at].to_ne_bytes(), WORD.to_ne_bytes());
        let byte = (0..8).find(|&i| is[i] != was[i])?;
        Some((at * 8 + byte, is[byte]))
    }
}
