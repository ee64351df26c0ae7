//! Slots that small objects share: which of them are dead. [`tiny`](crate::tiny) says what for.
//!
//! A span of the shared class has a pointer behind its allocation words to a mask for each slot. The masks
//! are made when the first of its slots becomes a shared block, and stay with the span's block of
//! metadata. A slot's death byte is [`SHARED`] while it is a shared block that lives, and its mask is
//! 0 while it is not.

use super::{Mask, Span, Tag, words_offset};
use crate::tiny::{BLOCK, CLASS};
use core::ptr::NonNull;
use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// The death byte of a living shared block.
pub(crate) const SHARED: u8 = 4;

/// Where in the block of a span of the shared class the way to its masks is.
const WAY: usize = words_offset(CLASS) + CLASS.slots().div_ceil(64) * size_of::<u64>();

/// Bytes of the masks of one span.
pub(crate) const MASKS: usize = (CLASS.slots() * size_of::<Mask>()).next_multiple_of(64);

impl Span {
    /// Bytes at the end of the block of a span of this class for the way to its masks.
    pub(super) const fn shared_bytes(class: crate::SizeClass) -> usize {
        if class.index() == CLASS.index() {
            size_of::<AtomicPtr<Mask>>()
        } else {
            0
        }
    }

    fn masks_at(&self) -> &AtomicPtr<Mask> {
        debug_assert_eq!(self.class, CLASS);
        // SAFETY: a block of this class has the pointer there, zeroed at first, for ever.
        unsafe { &*self.block_at(WAY) }
    }

    /// The mask of each slot; `None` if no slot was ever shared.
    pub(crate) fn masks(&self) -> Option<&'static [Mask]> {
        if self.class != CLASS {
            return None;
        }
        self.masks_made()
    }

    /// The same of a span of the shared class.
    #[inline]
    pub(crate) fn masks_made(&self) -> Option<&'static [Mask]> {
        // Acquire: pairs with Release in `set_masks`.
        let masks = self.masks_at().load(Acquire);
        // SAFETY: as long as that, zeroed at first, and never unmapped.
        (!masks.is_null()).then(|| unsafe { core::slice::from_raw_parts(masks, CLASS.slots()) })
    }

    /// Gives a span of the shared class its masks: [`MASKS`] zeroed bytes that live for ever. Only whoever
    /// holds the span may.
    pub(crate) fn set_masks(&self, masks: NonNull<u8>) {
        // Release: pairs with Acquire in `masks_made`.
        self.masks_at()
            .store(masks.as_ptr().cast::<Mask>(), Release);
    }

    /// Makes the slot that starts at `block` a shared one, in which any offset may start an object. The
    /// slot is the caller's alone.
    #[inline]
    pub(crate) fn share(&self, block: usize, masks: &'static [Mask]) -> &'static Mask {
        let slot = self.block_of(block);
        self.death(slot).store(SHARED, Relaxed);
        let mask = &masks[slot];
        mask.open();
        mask
    }

    /// Makes the shared slot that starts at `block`, all of whose objects are dead, an ordinary one.
    pub(crate) fn unshare(&self, block: usize) {
        self.death(self.block_of(block)).store(0, Relaxed);
    }

    /// The slot that holds `address`, of a span of the shared class.
    #[inline(always)]
    fn block_of(&self, address: usize) -> usize {
        address.wrapping_sub(self.base()) / BLOCK
    }

    /// The shared block that lives and holds `address`: its slot.
    #[inline]
    pub(crate) fn shared_slot(&self, address: usize) -> Option<usize> {
        if self.class != CLASS {
            return None;
        }
        let slot = self.block_of(address);
        (slot < CLASS.slots() && self.death(slot).load(Relaxed) == SHARED).then_some(slot)
    }

    /// Writes down that the object at `address`, in this span's pages, died in the epoch of `tag`. Whether its block died
    /// with it; `None` if no object lives there in a shared block. If the block is one, its mask is spoilt then: the
    /// caller ends the program.
    #[inline(always)]
    pub(crate) fn bury_shared(&self, address: usize, tag: Tag) -> Option<bool> {
        let slot = self.shared_slot(address)?;
        let mask = self.masks_made()?.get(slot)?;
        let last = mask.bury(1 << (address % BLOCK))?;
        if last {
            self.death(slot).store(tag.0, Relaxed);
        }
        Some(last)
    }
}
