//! Slots that small objects share: which of them are dead. [`tiny`](crate::tiny) says what for.
//!
//! A span of the shared class has a pointer behind its allocation words to a mask for each slot. The masks
//! are made when the first of its slots becomes a shared block, and stay with the span's block of
//! metadata. A slot's death byte is [`SHARED`] while it is a shared block that lives, and its mask is
//! 0 while it is not.

use super::{GROUP, Misuse, Span, Tag};
use crate::tiny::{BLOCK, CLASS};
use core::ptr::NonNull;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicPtr, AtomicU16};

/// The death byte of a living shared block.
pub(crate) const SHARED: u8 = 4;

/// Bytes of the masks of one span.
pub(crate) const MASKS: usize = (CLASS.slots() * size_of::<AtomicU16>()).next_multiple_of(64);

impl Span {
    /// Bytes at the end of the block of a span of this class for the way to its masks.
    pub(super) const fn shared_bytes(class: crate::SizeClass) -> usize {
        if class.index() == CLASS.index() {
            size_of::<AtomicPtr<AtomicU16>>()
        } else {
            0
        }
    }

    fn masks_at(&self) -> &AtomicPtr<AtomicU16> {
        debug_assert_eq!(self.class, CLASS);
        let offset = usize::from(self.words) * GROUP + self.word_count() * size_of::<u64>();
        // SAFETY: a block of this class has the pointer there, zeroed at first, for ever.
        unsafe { &*self.block_at(offset) }
    }

    /// The mask of each slot; `None` if no slot was ever shared.
    pub(crate) fn masks(&self) -> Option<&'static [AtomicU16]> {
        if self.class != CLASS {
            return None;
        }
        // Acquire: pairs with Release in `set_masks`.
        let masks = self.masks_at().load(Acquire);
        // SAFETY: as long as that, zeroed at first, and never unmapped.
        (!masks.is_null()).then(|| unsafe { core::slice::from_raw_parts(masks, self.slots()) })
    }

    /// Gives a span of the shared class its masks: [`MASKS`] zeroed bytes that live for ever. Only whoever
    /// holds the span may.
    pub(crate) fn set_masks(&self, masks: NonNull<u8>) -> &'static [AtomicU16] {
        let masks = masks.cast::<AtomicU16>();
        // Release: pairs with Acquire in `masks`.
        self.masks_at().store(masks.as_ptr(), Release);
        // SAFETY: the caller's contract.
        unsafe { core::slice::from_raw_parts(masks.as_ptr(), self.slots()) }
    }

    /// Makes the slot that starts at `block` a shared one, in which any offset may start an object. The
    /// slot is the caller's alone.
    pub(crate) fn share(&self, block: usize, masks: &'static [AtomicU16]) -> &'static AtomicU16 {
        let slot = self.slot_of(block);
        self.death(slot).store(SHARED, Relaxed);
        let mask = &masks[slot];
        mask.store(u16::MAX, Relaxed);
        mask
    }

    /// Makes the shared slot that starts at `block`, all of whose objects are dead, an ordinary one.
    pub(crate) fn unshare(&self, block: usize) {
        self.death(self.slot_of(block)).store(0, Relaxed);
    }

    /// The shared block that lives and holds `address`: its slot.
    pub(crate) fn shared_slot(&self, address: usize) -> Option<usize> {
        let slot = self.slot_of(address);
        let shared =
            self.class == CLASS && slot < self.slots() && self.death(slot).load(Relaxed) == SHARED;
        shared.then_some(slot)
    }

    /// Writes down that the object at `address` of a shared block died in the epoch of `tag`. `None`: no
    /// shared block lives there. Whether the block died with it, if nothing is wrong.
    pub(super) fn bury_shared(&self, address: usize, tag: Tag) -> Option<Result<bool, Misuse>> {
        let slot = self.shared_slot(address)?;
        let mask = &self.masks()?[slot];
        let block = self.base() + slot * BLOCK;
        let bit = 1u16 << (address - block);
        // Relaxed: only who clears the last bit goes on from here, and what it writes is read after the
        // epoch's close, which takes the lock of each log.
        let before = mask.fetch_and(!bit, Relaxed);
        if before & bit == 0 {
            return Some(Err(Misuse::Shared { block }));
        }
        let last = before == bit;
        if last {
            self.death(slot).store(tag.0, Relaxed);
        }
        Some(Ok(last))
    }
}
