//! Which objects of a block that tiny objects share are alive, and who sees the last of them die.
//!
//! Deaths in one block are written down by whoever drains the log that they are in, several at once, while the
//! thread that fills the block goes on. Exactly one of them all learns that the block is dead.

use crate::sync::AtomicU16;
use crate::sync::Ordering::Relaxed;

/// A bit for each offset at which an object may start: set until one that started there is dead. 0 of a slot that
/// is no shared block.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Mask(pub(crate) AtomicU16);

impl Mask {
    /// Lets any offset of a block start an object. The block is the caller's alone.
    #[inline(always)]
    pub(crate) fn open(&self) {
        self.0.store(u16::MAX, Relaxed);
    }

    /// Lets no offsets start one but those of `starts`. Whether all objects of the block are dead.
    #[inline(always)]
    pub(crate) fn close(&self, starts: u16) -> bool {
        // Relaxed, here and below: only who clears the last bit goes on from here, and what it writes is read after
        // the epoch's close, which takes the lock of each log.
        self.0.fetch_and(starts, Relaxed) & starts == 0
    }

    /// Writes down that the object whose `bit` this is died. Whether it was the last one; `None` if none lives there.
    #[inline(always)]
    pub(crate) fn bury(&self, bit: u16) -> Option<bool> {
        let seen = self.0.load(Relaxed);
        let before = if seen == bit {
            // A closed block in which nothing else lives: nobody has a bit left to clear.
            self.0.store(0, Relaxed);
            seen
        } else {
            // Where the bit is clear this takes others' with it, and the program ends for that it was freed twice.
            self.0.fetch_sub(bit, Relaxed)
        };
        (before & bit != 0).then_some(before == bit)
    }

    /// The bits as they are, for who only checks.
    pub(crate) fn glance(&self) -> u16 {
        self.0.load(Relaxed)
    }
}
