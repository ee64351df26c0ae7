//! What can be wrong with a freed address.

use crate::size_class::SizeClass;

/// What is wrong with a freed address.
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
}
