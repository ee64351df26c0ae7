//! What in a span is dead, for others than the sweep that frees it.

use super::{Span, Tag};

impl Span {
    /// Addresses of the objects that a [sweep](Span::sweep) for `tag` would free. Callers hold the class's lock.
    pub fn condemned_objects(&self, tag: Tag) -> impl Iterator<Item = usize> {
        let words = if self.has_deaths(tag) {
            self.words()
        } else {
            &[]
        };
        words.iter().enumerate().flat_map(move |(i, word)| {
            let mut rest = word.taken();
            rest &= self.condemned(i, tag);
            core::iter::from_fn(move || {
                let slot = (rest != 0).then(|| i * 64 + rest.trailing_zeros() as usize)?;
                rest &= rest - 1;
                Some(self.base() + slot * self.slot_bytes())
            })
        })
    }

    /// The slots of word `word` that are taken, by objects or by a bin, and those of them whose objects died.
    pub(crate) fn taken_and_dead(&self, word: usize) -> (u64, u64) {
        let taken = self.words()[word].taken();
        let dead = self.condemned(word, Tag::FIRST) | self.condemned(word, Tag::FIRST.other());
        (taken, dead & taken)
    }
}
