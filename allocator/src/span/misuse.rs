//! What can be wrong with a freed address, or was with a freed object.

use crate::size_class::SizeClass;

/// What is wrong with an address that is or was freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// No span of this heap holds it.
    Foreign,
    /// It lies inside an object that starts at `start`, or in a span's unused tail.
    Interior {
        /// Where the slot that holds it starts.
        start: usize,
        /// Bytes of the slot.
        bytes: usize,
        /// The slot's class.
        class: SizeClass,
    },
    /// No object that lives starts there in a block that tiny objects share, or shared.
    Shared {
        /// Where the block starts.
        block: usize,
    },
    /// The slot is not allocated: never was, or was swept since it was freed.
    NotAllocated {
        /// Bytes of the slot.
        bytes: usize,
        /// The slot's class.
        class: SizeClass,
    },
    /// The object was freed before.
    DoubleFree {
        /// Bytes of the slot.
        bytes: usize,
        /// The slot's class.
        class: SizeClass,
    },
    /// The object is given back with a layout that it was not allocated with.
    WrongLayout {
        /// Bytes of the slot.
        bytes: usize,
        /// The slot's class.
        class: SizeClass,
        /// The layout's bytes.
        size: usize,
        /// The layout's alignment.
        align: usize,
    },
    /// The object was freed, and has been written to since.
    WrittenAfterFree {
        /// The first byte that was written to, from the object's start.
        offset: usize,
        /// What is there.
        found: u8,
        /// Bytes of the slot.
        bytes: usize,
        /// The slot's class.
        class: SizeClass,
    },
}
