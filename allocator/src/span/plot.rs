//! Burying: what an [`Entry`] says of a page, in registers, for the deaths in it.

use super::slot::{magic_of, slot_at};
use super::{Entry, Span, Tag};
use crate::prefetch;
use crate::size_class::{CLASSES, SizeClass};
use crate::{PAGE, PAGE_SHIFT};
use core::num::NonZeroUsize;
use core::ptr::with_exposed_provenance;
use core::sync::atomic::AtomicU8;
use core::sync::atomic::Ordering::Relaxed;

/// Where deaths in one page are written down.
#[derive(Clone, Copy, Debug)]
pub struct Plot {
    /// Address of the span's header, behind which the death bytes lie.
    header: usize,
    /// Address of the page.
    page: usize,
    /// Address of the span's first slot.
    base: usize,
    magic: u32,
    bytes: u64,
}

/// By class, what finds a slot, and its bytes. Of a large object, which has its own, both are 0.
static FIGURES: [(u32, u32); CLASSES] = {
    let mut figures = [(0, 0); CLASSES];
    let mut class = 0;
    while class < CLASSES {
        let of = SizeClass::from_index(class);
        figures[class] = (magic_of(of), of.bytes() as u32);
        class += 1;
    }
    figures
};

impl Plot {
    /// Where nothing can be buried.
    pub const NOWHERE: Self = Self {
        header: 0,
        // No address is in it.
        page: usize::MAX,
        base: 0,
        magic: 0,
        bytes: 0,
    };

    /// That of the page of `address`, which `entry` is of.
    #[inline(always)]
    pub fn new(entry: Entry, address: usize) -> Self {
        // SAFETY: an entry's class is one.
        let (magic, bytes) = *unsafe { FIGURES.get_unchecked(entry.class()) };
        let start = address & !(PAGE - 1);
        Self {
            header: entry.span().addr(),
            page: start,
            base: start.wrapping_sub(entry.page() << PAGE_SHIFT),
            magic,
            bytes: u64::from(bytes),
        }
    }

    /// Whether `address` is in the page.
    #[inline(always)]
    pub fn holds(&self, address: usize) -> bool {
        address ^ self.page < PAGE
    }

    /// Bytes of a slot; 0 of a large object.
    #[inline(always)]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The span, null where there is none.
    #[inline(always)]
    pub fn span(&self) -> *const Span {
        with_exposed_provenance(self.header)
    }

    /// Where the death of the object at `address` is written. `None`: it is a large object, or no slot
    /// begins there.
    ///
    /// # Safety
    /// The address lies in the plot's page.
    #[inline(always)]
    pub unsafe fn grave(&self, address: usize) -> Option<Grave> {
        let (slot, exact) = slot_at(address.wrapping_sub(self.base), self.magic);
        let at = self.header + size_of::<Span>() + slot;
        // SAFETY: behind a header, or behind where none is, is not zero.
        exact.then_some(Grave(unsafe { NonZeroUsize::new_unchecked(at) }))
    }
}

/// A death byte.
#[derive(Clone, Copy, Debug)]
pub struct Grave(NonZeroUsize);

impl Grave {
    /// Asks for it.
    #[inline(always)]
    pub fn prefetch(self) {
        prefetch::for_write(self.0.get());
    }

    /// Writes down that its object died in the epoch of `tag`. `false`: that was freed already, and
    /// nothing was written. The byte is 0 only for a slot that is allocated or waits in a cache, and there
    /// is one wherever in a span's pages a slot could begin: so one look finds all that is wrong.
    ///
    /// # Safety
    /// It came from a [`Plot`].
    #[inline(always)]
    pub unsafe fn bury(self, tag: Tag) -> bool {
        // SAFETY: blocks, exposed by `format`, live for ever.
        let death: &AtomicU8 = unsafe { &*with_exposed_provenance(self.0.get()) };
        if death.load(Relaxed) != 0 {
            return false;
        }
        death.store(tag.0, Relaxed);
        true
    }
}
