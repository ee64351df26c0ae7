//! The tables that say which pages are idle: chunks, their densities, summaries, and times where they
//! are kept.

use crate::CHUNK_PAGES;
use crate::bits::{ChunkBits, LEVELS, Summaries, Summary};
use crate::meta::Meta;
use crate::os::{Os, OsError};
use core::ops::Range;
use core::ptr::NonNull;
use goheap_scavenger::ChunkDensity;

#[derive(Debug)]
pub(crate) struct Tables {
    pub(super) chunks: NonNull<ChunkBits>,
    pub(super) density: NonNull<ChunkDensity>,
    pub(super) count: usize,
    pub(crate) summaries: Summaries,
    /// When each page became idle, in milliseconds; only where that is to be known.
    pub(super) stamps: Option<NonNull<u32>>,
}

// SAFETY: the pointers lead to tables that only the holder of the lock uses.
unsafe impl Send for Tables {}

impl Tables {
    /// Which of them says when pages became idle.
    const STAMPS: usize = LEVELS + 2;
    /// How many there are at most.
    pub(crate) const MOST: usize = Self::STAMPS + 1;

    /// Bytes of each for so many chunks.
    fn sizes(count: usize) -> [usize; Self::MOST] {
        core::array::from_fn(|i| match i {
            0 => count * size_of::<ChunkBits>(),
            1 => count * size_of::<ChunkDensity>(),
            Self::STAMPS => count * CHUNK_PAGES * size_of::<u32>(),
            _ => Summaries::entries(i - 2, count) * size_of::<Summary>(),
        })
    }

    pub(super) fn make<O: Os>(
        os: &O,
        meta: &Meta,
        count: usize,
        aged: bool,
    ) -> Result<Self, OsError> {
        let mut made = [(core::ptr::null_mut(), 0); Self::MOST];
        let sizes = Self::sizes(count);
        let sizes = &sizes[..if aged { Self::MOST } else { Self::STAMPS }];
        for (i, &bytes) in sizes.iter().enumerate() {
            match meta.table::<O, u8>(os, bytes) {
                Ok(p) => made[i] = (p.as_ptr(), bytes),
                Err(e) => {
                    for &(p, bytes) in made[..i].iter() {
                        // SAFETY: just mapped, used by nobody.
                        NonNull::new(p)
                            .into_iter()
                            .for_each(|p| unsafe { os.unreserve(p, bytes) });
                    }
                    return Err(e);
                }
            }
        }
        // SAFETY: each was just mapped, so is not null, zeroed, page-aligned and long enough.
        unsafe {
            let at = |i: usize| NonNull::new_unchecked(made[i].0);
            Ok(Self {
                chunks: at(0).cast(),
                density: at(1).cast(),
                count,
                summaries: Summaries::new(core::array::from_fn(|l| at(2 + l).cast()), count),
                stamps: aged.then(|| at(Self::STAMPS).cast()),
            })
        }
    }

    /// Where they lie, in bytes. Most of each is not used, and so takes no memory.
    pub(super) fn ranges(&self) -> [Range<usize>; Self::MOST] {
        let bytes = Self::sizes(self.count);
        let at: [_; Self::MOST] = core::array::from_fn(|i| match i {
            0 => self.chunks.addr().get(),
            1 => self.density.addr().get(),
            Self::STAMPS => self.stamps.map_or(0, |stamps| stamps.addr().get()),
            _ => self.summaries.level(i - 2).addr().get(),
        });
        core::array::from_fn(|i| match at[i] {
            0 => 0..0,
            at => at..at + bytes[i],
        })
    }

    #[inline]
    pub(crate) fn chunk(&mut self, i: usize) -> &mut ChunkBits {
        debug_assert!(i < self.count);
        // SAFETY: within the table, borrowed with it; all zeroes is a valid value.
        unsafe { &mut *self.chunks.as_ptr().add(i) }
    }

    #[inline]
    pub(crate) fn density(&mut self, i: usize) -> &mut ChunkDensity {
        debug_assert!(i < self.count);
        // SAFETY: as in `chunk`.
        unsafe { &mut *self.density.as_ptr().add(i) }
    }

    /// Brings the summary of a chunk up to date.
    pub(super) fn summarise_chunk(&mut self, c: usize) {
        let summary = self.chunk(c).summary();
        self.summarised(Some((c, summary)));
    }

    /// Notes what a chunk looks like now.
    pub(super) fn summarised(&mut self, chunk: Option<(usize, Summary)>) {
        if let Some((c, summary)) = chunk {
            self.summaries.update(c, core::iter::once(summary));
        }
    }

    /// Brings the summaries of the chunks of these pages up to date.
    pub(super) fn summarise(&mut self, first: usize, pages: usize) {
        let (lo, hi) = (first / CHUNK_PAGES, (first + pages - 1) / CHUNK_PAGES);
        let chunks = self.chunks;
        // SAFETY: within the table; the summaries lie elsewhere.
        self.summaries.update(
            lo,
            (lo..=hi).map(|i| unsafe { &*chunks.as_ptr().add(i) }.summary()),
        );
    }
}

/// The parts of a run of pages that lie in one chunk each: chunk, first page within it, count.
pub(super) fn parts(first: usize, pages: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let end = first + pages;
    (first / CHUNK_PAGES..end.div_ceil(CHUNK_PAGES)).map(move |c| {
        let lo = first.max(c * CHUNK_PAGES);
        let hi = end.min((c + 1) * CHUNK_PAGES);
        (c, lo - c * CHUNK_PAGES, hi - lo)
    })
}
