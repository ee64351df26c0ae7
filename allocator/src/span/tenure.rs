//! Since when a span's objects are there, at the most and at the least, in sweeps. It stands behind the allocation words,
//! which are written whenever this is.

use super::Span;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::Relaxed;

#[derive(Debug)]
#[repr(C)]
pub(super) struct Tenure {
    opened: AtomicU32,
    left: AtomicU32,
}

impl Span {
    fn tenure(&self) -> &Tenure {
        let words = usize::from(self.words) * super::GROUP + self.word_count() * 8;
        let behind = words + Self::shared_bytes(self.class);
        // SAFETY: the block, exposed by `format`, ends in it; all bits are values.
        unsafe { &*self.block_at(behind) }
    }

    /// The sweep that was current when it was opened: no object in it is older.
    pub fn opened(&self) -> u32 {
        self.tenure().opened.load(Relaxed)
    }

    /// The sweep that was current when a cache gave it back last: while it is in no cache, no object in it is
    /// younger.
    pub fn left(&self) -> u32 {
        self.tenure().left.load(Relaxed)
    }

    /// It is opened during sweep `epoch`.
    pub(super) fn enter(&self, epoch: u32) {
        let tenure = self.tenure();
        tenure.opened.store(epoch, Relaxed);
        tenure.left.store(epoch, Relaxed);
    }

    /// A cache gives it back during sweep `epoch`.
    pub(crate) fn leave(&self, epoch: u32) {
        self.tenure().left.store(epoch, Relaxed);
    }
}
