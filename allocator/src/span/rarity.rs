//! What a [`Plot`](super::Plot) does not bury: large objects, tiny ones, and what is wrong.

use super::{Misuse, Span, Tag};
use crate::size_class::SizeClass;
use core::sync::atomic::Ordering::Relaxed;

impl Span {
    /// Writes down that the object at `address` died in the epoch of `tag`, where
    /// a [`Plot`](super::Plot) would not: it is a large object, or a tiny one, or something is wrong. Whether its
    /// slot died: one that others share may not have.
    ///
    /// # Errors
    /// What is wrong with the address. Nothing is written then.
    pub fn bury_rarity(&self, address: usize, tag: Tag) -> Result<bool, Misuse> {
        if self.class == SizeClass::LARGE {
            let death = self.death(0);
            if address == self.base() && death.load(Relaxed) == 0 {
                death.store(tag.0, Relaxed);
                return Ok(true);
            }
        } else if let Some(result) = self.bury_shared(address, tag) {
            return result;
        }
        Err(self.what_is_wrong(address))
    }

    #[cold]
    fn what_is_wrong(&self, address: usize) -> Misuse {
        let (class, bytes) = (self.class, self.slot_bytes());
        let slot = self.slot_of(address).min(self.slots() - 1);
        let start = self.base() + slot * bytes;
        let taken = self.words()[slot / 64].glance() >> (slot % 64) & 1 != 0;
        if start != address && self.masks().is_some() {
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
