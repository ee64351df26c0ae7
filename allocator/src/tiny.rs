//! Objects under 16 bytes share blocks of 16 (Go: `mallocgcTiny`, malloc.go).
//!
//! A block is a slot of the class of 16 bytes, in the same spans as other objects of that class, as
//! in Go. A thread fills one block at a time from its front, and of an old and a new one goes on
//! with that which has more room. The block goes when all objects in it are dead.
//!
//! Which are dead is told by a *mask* for each slot, beside the span's death bytes: a bit for
//! each offset at which an object may start. It is all ones once the slot is a shared block, so
//! that handing out a part of it touches the cache alone. A death clears its bit; when
//! the owner is done with a block, it clears the bits at which none started. Whoever clears the last
//! one knows that the block is dead.
//!
//! Invariant: the mask of the block that a thread still fills has a bit that no death clears: a
//! block without room for another start has those bits cleared before its last object is handed out.

use crate::size_class::SizeClass;
use crate::span::Mask;
use core::cell::Cell;
use core::ptr::null;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

/// Bytes of a shared block (Go: `maxTinySize`).
pub const BLOCK: usize = 16;
/// The class that blocks are slots of.
pub const CLASS: SizeClass = SizeClass::from_index(2);

const _: () = assert!(CLASS.bytes() == BLOCK);

/// Whether an object of `bytes` at a multiple of `align` shares a block.
#[inline(always)]
pub const fn is_tiny(bytes: usize, align: usize) -> bool {
    bytes.wrapping_sub(1) < BLOCK - 1 && align <= 8
}

/// What Go takes for the alignment of an object whose type it does not know: the largest power of
/// two up to 8 that divides its size.
#[inline(always)]
const fn natural_align(bytes: usize) -> usize {
    (bytes | 8) & (bytes | 8).wrapping_neg()
}

/// The block that a thread fills, and what it shared out.
#[derive(Debug)]
pub(crate) struct Tiny {
    /// Bytes left at the block's end; 0: there is no block. Below [`BLOCK`].
    room: Cell<usize>,
    /// Where the block ends.
    end: Cell<usize>,
    /// A bit for each offset at which an object starts.
    starts: Cell<u16>,
    mask: Cell<*const Mask>,
    /// Objects that were given a part of a block, and not a block (Go: `tinyAllocs`). Written by the owner.
    pub shared: AtomicU64,
}

/// A block that its thread fills no longer.
pub(crate) struct Done {
    pub block: usize,
    pub starts: u16,
    pub mask: &'static Mask,
}

impl Tiny {
    pub const fn new() -> Self {
        Self {
            room: Cell::new(0),
            end: Cell::new(0),
            starts: Cell::new(0),
            mask: Cell::new(null()),
            shared: AtomicU64::new(0),
        }
    }

    /// Bytes left in the block.
    #[inline(always)]
    pub fn room(&self) -> usize {
        let room = self.room.get();
        // SAFETY: nothing else is ever stored.
        unsafe { core::hint::assert_unchecked(room < BLOCK) };
        room
    }

    /// A part of the block; `None` if there is none of this size.
    ///
    /// # Safety
    /// The calling thread owns this, and the object [is tiny](is_tiny).
    #[inline(always)]
    pub unsafe fn take(&self, bytes: usize, align: usize) -> Option<usize> {
        // Both are powers of two. Blocks are aligned, so rounding an offset up is rounding down what is
        // left from there on.
        let room = self.room() & align.wrapping_neg() & natural_align(bytes).wrapping_neg();
        if room < bytes {
            return None;
        }
        // SAFETY: the mask of a block lives for ever; it is null where none are shared.
        let mask = unsafe { self.mask.get().as_ref() }?;
        let starts = self.starts.get() | 1 << (BLOCK - room);
        self.room.set(room - bytes);
        self.starts.set(starts);
        self.shared.store(self.shared.load(Relaxed) + 1, Relaxed);
        if room == bytes {
            // Not all are dead: this one lives.
            let _ = mask.close(starts);
        }
        Some(self.end.get() - room)
    }

    /// Shares no blocks: each tiny object is asked about, as if one had room for it, and has none.
    pub fn refuse(&self) {
        self.mask.set(null());
        self.room.set(BLOCK - 1);
    }

    /// Goes on with the block from `block` on, in which an object of `bytes` starts.
    pub fn begin(&self, block: usize, bytes: usize, mask: &'static Mask) {
        self.end.set(block + BLOCK);
        self.room.set(BLOCK - bytes);
        self.starts.set(1);
        self.mask.set(mask);
    }

    /// Fills the block no longer, if there is one.
    #[inline]
    pub fn end(&self) -> Option<Done> {
        let done = self.block()?;
        self.room.set(0);
        Some(done)
    }

    /// The block that is being filled.
    #[inline]
    pub fn block(&self) -> Option<Done> {
        if self.room.get() == 0 {
            return None;
        }
        // SAFETY: the mask of a block lives for ever; it is null where none are shared.
        let mask = unsafe { self.mask.get().as_ref() }?;
        Some(Done {
            block: self.end.get() - BLOCK,
            starts: self.starts.get(),
            mask,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::AtomicU16;

    #[test]
    fn sizes_that_are_multiples_of_a_power_of_two_lie_at_multiples_of_it() {
        let aligned: Vec<usize> = (1..16).map(natural_align).collect();
        assert_eq!(aligned, [1, 2, 1, 4, 1, 2, 1, 8, 1, 2, 1, 4, 1, 2, 1]);
    }

    #[test]
    fn parts_of_a_block_lie_where_gos_do() {
        let mask: &'static Mask = Box::leak(Box::new(Mask(AtomicU16::new(u16::MAX))));
        let tiny = Tiny::new();
        tiny.begin(160, 3, mask);
        let take = |bytes, align| {
            // SAFETY: this thread's own, and tiny.
            unsafe { tiny.take(bytes, align) }
        };
        assert_eq!(take(2, 1), Some(164));
        assert_eq!(take(1, 1), Some(166));
        assert_eq!(take(3, 4), Some(168), "what was asked for counts, too");
        assert_eq!(take(8, 1), None);
        assert_eq!(take(4, 1), Some(172));
        assert_eq!((tiny.room(), take(1, 1)), (0, None));
        assert_eq!(mask.glance(), 0b1_0001_0101_0001);
        assert_eq!(tiny.shared.load(Relaxed), 4);
    }

    #[test]
    fn what_is_tiny() {
        let tiny = [(1, 1), (15, 8), (8, 4)].map(|(bytes, align)| is_tiny(bytes, align));
        let not = [(0, 1), (16, 1), (8, 16), (usize::MAX, 8)];
        assert_eq!(tiny, [true; 3]);
        assert_eq!(not.map(|(bytes, align)| is_tiny(bytes, align)), [false; 4]);
    }
}
