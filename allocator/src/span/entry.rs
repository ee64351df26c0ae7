//! What the span table says of a page: which span, of which class, and how many of the span's pages come
//! before. With the class's figures that is all that burying an object takes, so a death does not read
//! the span's header, which in a large heap is in no cache.
//!
//! One word: the class in the lowest byte, the page in the next, and above them the header's address, which
//! on the 64-bit systems that the heap is for has at most 48 bits.

use super::Span;
use crate::size_class::{CLASSES, SizeClass};
use core::ptr::with_exposed_provenance_mut;

/// A page's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry(u64);

/// Bits below the address.
const BELOW: u32 = 16;

impl Entry {
    /// No span.
    pub const NONE: Self = Self(0);

    /// Of the first page of `span`.
    pub fn new(span: &Span) -> Self {
        let at = core::ptr::from_ref(span).expose_provenance() as u64;
        debug_assert!(at << BELOW >> BELOW == at);
        Self(at << BELOW | span.class().index() as u64)
    }

    /// That of the page `pages` further on in the same span; of a large object they are all alike.
    #[inline(always)]
    pub fn further(self, pages: usize) -> Self {
        let large = self.class() == SizeClass::LARGE.index();
        debug_assert!(large || self.page() + pages <= usize::from(u8::MAX));
        Self(self.0 + if large { 0 } else { (pages as u64) << 8 })
    }

    /// What was stored.
    #[inline(always)]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// To be stored.
    #[inline(always)]
    pub const fn to_raw(self) -> u64 {
        self.0
    }

    /// The span's header, which lives for ever; null for [`Entry::NONE`].
    #[inline(always)]
    pub fn span(self) -> *mut Span {
        with_exposed_provenance_mut((self.0 >> BELOW) as usize)
    }

    /// The number of the class, below [`CLASSES`]; that of large objects for [`Entry::NONE`].
    #[inline(always)]
    pub(super) fn class(self) -> usize {
        let class = usize::from(self.0 as u8);
        debug_assert!(class < CLASSES);
        class
    }

    /// How many pages of the span come before this one.
    #[inline(always)]
    pub(super) fn page(self) -> usize {
        usize::from((self.0 >> 8) as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_what_it_was_made_of() {
        for class in SizeClass::all() {
            let block = vec![0u64; Span::block_bytes(class) / 8 + 8].leak();
            let at = block.as_mut_ptr().map_addr(|a| a.next_multiple_of(64));
            // SAFETY: zeroed, aligned, long enough, leaked.
            let span = unsafe {
                Span::format(at.cast(), class);
                &*at.cast::<Span>()
            };
            for page in 0..class.pages() {
                let entry = Entry::from_raw(Entry::new(span).further(page).to_raw());
                assert!(core::ptr::eq(entry.span(), span));
                assert_eq!((entry.class(), entry.page()), (class.index(), page));
            }
        }
        assert!(Entry::NONE.span().is_null());
    }
}
