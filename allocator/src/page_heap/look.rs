//! How a chunk stands, for who looks at the whole heap while it is in use.

use super::{PageHeap, Tables};
use crate::bits::PageBits;
use core::ops::Range;

impl PageHeap {
    /// How chunk `c` stands: up to which page the heap has grown, the chunk's pages in use, and those of
    /// the others that are released. `None` before the heap has any page.
    pub(crate) fn chunk(&self, c: usize) -> Option<(usize, PageBits, PageBits)> {
        let mut state = self.state.lock();
        let grown = state.growing.first;
        let tables = state.tables.as_mut().filter(|tables| c < tables.count)?;
        let bits = tables.chunk(c);
        Some((grown, bits.used, bits.released))
    }

    /// Where the tables lie, of which only what is touched takes memory; empty ranges where there are none.
    pub fn tables(&self) -> [Range<usize>; Tables::MOST] {
        let state = self.state.lock();
        let tables = state.tables.as_ref().map(Tables::ranges);
        tables.unwrap_or([const { 0..0 }; Tables::MOST])
    }
}
