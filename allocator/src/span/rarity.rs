//! What a [`Plot`](super::Plot) does not bury, and no shared block: large objects, and what is wrong.

use super::{Misuse, Span, Tag};
use crate::size_class::SizeClass;
use core::sync::atomic::Ordering::Relaxed;

impl Span {
    /// Writes down that the large object at `address` died in the epoch of `tag`. `false`, and nothing is written, if
    /// none lives there.
    #[inline(always)]
    pub(crate) fn bury_large(&self, address: usize, tag: Tag) -> bool {
        let death = self.death(0);
        if self.class != SizeClass::LARGE || address != self.base() || death.load(Relaxed) != 0 {
            return false;
        }
        death.store(tag.0, Relaxed);
        true
    }

    /// Why `address`, in this span's pages, cannot be freed.
    #[cold]
    #[inline(never)]
    pub(crate) fn what_is_wrong(&self, address: usize) -> Misuse {
        let (class, bytes) = (self.class, self.slot_bytes());
        let slot = self.slot_of(address).min(self.slots() - 1);
        let start = self.base() + slot * bytes;
        let taken = self.words()[slot / 64].glance() >> (slot % 64) & 1 != 0;
        let in_shared = self.shared_slot(address).is_some();
        if in_shared || start != address && self.masks().is_some() {
            Misuse::Shared { block: start }
        } else if start != address {
            Misuse::Interior {
                start,
                bytes,
                class,
            }
        } else if taken {
            Misuse::DoubleFree { bytes, class }
        } else {
            Misuse::NotAllocated { bytes, class }
        }
    }
}
