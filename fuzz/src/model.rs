//! What a heap owes its user, written down beside it.

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::Command;

/// A duty that a heap has failed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// No memory, though little was asked for.
    Null,
    /// The address is no multiple of the alignment.
    Misaligned {
        /// Where the object lies.
        address: usize,
        /// What it should be a multiple of.
        align: usize,
    },
    /// The object lies over one that is live.
    Overlap {
        /// The new object's addresses.
        object: Range<usize>,
        /// The addresses that were taken already, or a part of them.
        taken: Range<usize>,
    },
    /// Memory asked for as zeroed was not.
    NotZeroed {
        /// Where the object lies.
        address: usize,
        /// The first byte that is not zero.
        offset: usize,
    },
    /// A live object does not hold what was written to it.
    Changed {
        /// Where the object lies.
        address: usize,
        /// The first bytes that differ.
        offset: usize,
        /// What was written there.
        written: u8,
        /// What is there.
        found: u8,
    },
    /// A knob was not as it had been left.
    Knob {
        /// Go's name of it.
        name: &'static str,
        /// What it was set to last.
        set: i64,
        /// What the heap says it was.
        found: i64,
    },
    /// The counters contradict each other or what is live.
    Counters(String),
    /// A forked child found something amiss: how it ended, as `waitpid` says.
    Fork(i32),
    /// The heap's structures contradict each other.
    Structures(String),
}

/// A duty failed in, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Whose command; nothing if it came out at the end of the program.
    pub at: Option<(usize, usize, Command)>,
    /// What came out.
    pub what: What,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some((thread, step, command)) => {
                write!(f, "thread {thread}, step {step}, {command:?}: ")?;
            }
            None => write!(f, "after the last command: ")?,
        }
        write!(f, "{:x?}", self.what)
    }
}

/// A live object, and the bytes it should hold.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) pointer: *mut u8,
    pub(crate) layout: Layout,
    /// Makes its bytes differ from every other object's.
    pub(crate) seed: u64,
}

// SAFETY: an object is plain memory with one owner, the holder of this value; nothing in it
// is tied to the thread that made it.
unsafe impl Send for Object {}

/// Objects up to this many bytes are written and read whole.
const WHOLE: usize = 8 << 10;
/// Larger ones in stripes this far apart: several on each physical page, so that a page
/// taken away under the object shows.
const STRIDE: usize = 1 << 10;
const STRIPE: usize = 16;

impl Object {
    pub(crate) fn address(&self) -> usize {
        self.pointer.addr()
    }

    pub(crate) fn range(&self) -> Range<usize> {
        self.address()..self.address() + self.layout.size()
    }

    /// The parts that bear the pattern: all of a small object, stripes and the end of a large one.
    fn patterned(size: usize) -> impl Iterator<Item = Range<usize>> {
        let (stride, stripe) = match size {
            0..=WHOLE => (size, size),
            _ => (STRIDE, STRIPE),
        };
        let stripes = (0..size).step_by(stride);
        stripes
            .map(move |start| start..(start + stripe).min(size))
            .chain(std::iter::once(size.saturating_sub(STRIPE)..size))
    }

    /// Eight bytes of pattern for the word that an offset lies in.
    fn word(&self, offset: usize) -> [u8; 8] {
        let index = (offset / 8) as u64 + 1;
        let mixed = (self.seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15))
            .wrapping_mul(0xff51_afd7_ed55_8ccd);
        (mixed ^ (mixed >> 32)).to_le_bytes()
    }

    pub(crate) fn fill(&self) {
        for part in Self::patterned(self.layout.size()) {
            let mut offset = part.start;
            while offset < part.end {
                let word = self.word(offset);
                let from = offset % 8;
                let bytes = &word[from..(8).min(from + part.end - offset)];
                // SAFETY: the range lies within the object, which this value owns.
                unsafe {
                    self.pointer
                        .add(offset)
                        .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
                }
                offset += bytes.len();
            }
        }
    }

    /// Whether the first `size` bytes, at most the whole, are still what `fill` wrote.
    pub(crate) fn check(&self, size: usize) -> Result<(), What> {
        for part in Self::patterned(self.layout.size()) {
            let end = part.end.min(size);
            let mut offset = part.start;
            while offset < end {
                let word = self.word(offset);
                let from = offset % 8;
                let written = &word[from..(8).min(from + end - offset)];
                // SAFETY: the range lies within the object and `fill` has written to it.
                let found =
                    unsafe { std::slice::from_raw_parts(self.pointer.add(offset), written.len()) };
                if let Some(at) = (0..written.len()).find(|&at| written[at] != found[at]) {
                    return Err(What::Changed {
                        address: self.address(),
                        offset: offset + at,
                        written: written[at],
                        found: found[at],
                    });
                }
                offset += written.len();
            }
        }
        Ok(())
    }

    /// Whether every byte is zero. For memory that the heap says is.
    pub(crate) fn check_zeroed(&self) -> Result<(), What> {
        // SAFETY: `alloc_zeroed` has initialised all of it.
        let bytes = unsafe { std::slice::from_raw_parts(self.pointer, self.layout.size()) };
        // By words first: this runs unoptimised over megabytes.
        // SAFETY: any bits make a u128.
        let (head, middle, tail) = unsafe { bytes.align_to::<u128>() };
        let zero =
            head.iter().chain(tail).all(|&byte| byte == 0) && middle.iter().all(|&word| word == 0);
        if zero {
            return Ok(());
        }
        Err(What::NotZeroed {
            address: self.address(),
            offset: bytes.iter().position(|&byte| byte != 0).unwrap_or(0),
        })
    }
}

/// Where the live objects lie: start to end, cut at multiples of [`GRAIN`] and dealt out
/// over several locks, so that threads far apart do not wait for each other here and so
/// come upon the heap at the same time.
pub(crate) struct Extents([Mutex<BTreeMap<usize, usize>>; 64]);

const GRAIN: usize = 32 << 10;

impl Extents {
    pub(crate) fn new() -> Self {
        Self(std::array::from_fn(|_| Mutex::new(BTreeMap::new())))
    }

    fn pieces(range: Range<usize>) -> impl Iterator<Item = (usize, Range<usize>)> {
        let grains = range.start / GRAIN..range.end.div_ceil(GRAIN);
        grains.map(move |grain| {
            let start = range.start.max(grain * GRAIN);
            let end = range.end.min((grain + 1) * GRAIN);
            (grain, start..end)
        })
    }

    /// Notes an object as live. Call it after the allocation.
    pub(crate) fn insert(&self, range: Range<usize>) -> Result<(), What> {
        for (grain, piece) in Self::pieces(range.clone()) {
            let mut taken = self.shard(grain);
            // Live ranges do not overlap, so of those that begin below this one's end, the
            // last ends highest.
            if let Some((&start, &end)) = taken.range(..piece.end).next_back()
                && end > piece.start
            {
                return Err(What::Overlap {
                    object: range,
                    taken: start..end,
                });
            }
            taken.insert(piece.start, piece.end);
        }
        Ok(())
    }

    /// Forgets an object. Call it before the free.
    pub(crate) fn remove(&self, range: Range<usize>) {
        for (grain, piece) in Self::pieces(range) {
            self.shard(grain).remove(&piece.start);
        }
    }

    fn shard(&self, grain: usize) -> std::sync::MutexGuard<'_, BTreeMap<usize, usize>> {
        self.0[grain % self.0.len()]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_over_another_is_found() {
        let extents = Extents::new();
        extents.insert(1000..2000).unwrap();
        extents.insert(2000..200_000).unwrap();
        for over in [999..1001, 1999..2001, 100_000..100_001, 0..1_000_000] {
            assert!(extents.insert(over.clone()).is_err(), "{over:?}");
        }
    }

    #[test]
    fn a_removed_range_is_free_again() {
        let extents = Extents::new();
        extents.insert(1000..200_000).unwrap();
        extents.remove(1000..200_000);
        extents.insert(0..1_000_000).unwrap();
    }

    #[test]
    fn one_byte_changed_is_found() {
        for size in [1, 7, 8, 100, WHOLE, WHOLE + 1, 100_003] {
            let mut memory = vec![0_u8; size];
            let object = Object {
                pointer: memory.as_mut_ptr(),
                layout: Layout::from_size_align(size, 1).unwrap(),
                seed: 7,
            };
            object.fill();
            assert_eq!(object.check(size), Ok(()));
            for at in [0, size - 1] {
                // SAFETY: within the vector, which nothing else uses.
                unsafe { *object.pointer.add(at) ^= 1 };
                assert!(object.check(size).is_err(), "byte {at} of {size}");
                // SAFETY: as above.
                unsafe { *object.pointer.add(at) ^= 1 };
            }
        }
    }
}
