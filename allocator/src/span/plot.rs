//! Burying: a span's figures in registers, for the deaths of one page.

use super::slot::slot_at;
use super::{Span, Tag};
use core::sync::atomic::Ordering::Relaxed;

/// Where deaths in one span are written down.
#[derive(Clone, Copy, Debug)]
pub struct Plot<'a> {
    pub(super) span: &'a Span,
    pub(super) base: usize,
    pub(super) magic: u32,
}

static NOWHERE: Span = Span::nowhere();

impl Plot<'_> {
    /// Where nothing can be buried.
    pub const NOWHERE: Self = Plot {
        span: &NOWHERE,
        base: 0,
        magic: 0,
    };

    /// The span.
    #[inline(always)]
    pub fn span(&self) -> &Span {
        self.span
    }

    /// Writes down that the object at `address` died in the epoch of `tag`. `false`: it is a large
    /// object, or a tiny one, or something is wrong with the address, and nothing was written. The death byte is
    /// 0 only for a slot that is allocated or waits in a cache, so one look finds all that is wrong.
    ///
    /// # Safety
    /// The address lies in the span's pages.
    #[inline(always)]
    pub unsafe fn bury(&self, address: usize, tag: Tag) -> bool {
        let (slot, exact) = slot_at(address.wrapping_sub(self.base), self.magic);
        if !exact || slot >= self.span.slots() {
            return false;
        }
        let death = self.span.death(slot);
        if death.load(Relaxed) != 0 {
            return false;
        }
        death.store(tag.0, Relaxed);
        true
    }
}
