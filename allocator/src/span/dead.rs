//! What in a span is dead, for others than the sweep that frees it.

use super::{Span, Tag, count_ones};
use core::sync::atomic::Ordering::{Acquire, Relaxed};

impl Span {
    /// Addresses of the objects that a [sweep](Span::sweep) for `tag` would free. Callers hold the class's lock.
    pub fn condemned_objects(&self, tag: Tag) -> impl Iterator<Item = usize> {
        let words = if self.has_deaths(tag) {
            self.words()
        } else {
            &[]
        };
        words.iter().enumerate().flat_map(move |(i, word)| {
            // Acquire: as in `sweep`.
            let mut rest = word.load(Acquire);
            rest &= self.condemned(i, tag);
            core::iter::from_fn(move || {
                let slot = (rest != 0).then(|| i * 64 + rest.trailing_zeros() as usize)?;
                rest &= rest - 1;
                Some(self.base() + slot * self.slot_bytes())
            })
        })
    }

    /// Taken slots whose objects did not die: those in a bin count as well.
    pub(crate) fn living(&self) -> usize {
        let words = self.words().iter().enumerate();
        let living = words.map(|(i, word)| {
            let dead = self.condemned(i, Tag::FIRST) | self.condemned(i, Tag::FIRST.other());
            count_ones(word.load(Relaxed) & !dead)
        });
        living.sum::<usize>().saturating_sub(self.beyond())
    }
}
