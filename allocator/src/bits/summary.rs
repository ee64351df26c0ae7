//! What free runs look like from afar, level by level (Go: `pallocSum` and the
//! radix tree of `mpagealloc.go`).
//!
//! A [`Summary`] says of a range of pages how long the free run at its start is,
//! the longest anywhere in it, and the one at its end. Level 0 has an entry a
//! chunk; an entry of each level above merges eight of the level below. The top
//! level is the first whose entries for the heap as it has grown are eight at the
//! most; those above it are not kept. A search for the first run of n pages walks
//! the top level, adding up runs that cross from entry to entry, and goes down
//! into the first entry that holds one.

use crate::CHUNK_PAGES;
use core::ptr::NonNull;

/// Free runs of a range of pages, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Summary {
    /// The run at the start of the range.
    pub start: u32,
    /// The longest run in the range.
    pub max: u32,
    /// The run at the end of the range.
    pub end: u32,
}

impl Summary {
    /// Nothing free. Zeroed memory reads as this: a chunk that was never grown has no free page.
    pub const NONE: Self = Self {
        start: 0,
        max: 0,
        end: 0,
    };

    /// All of `pages` free.
    pub const fn free(pages: u32) -> Self {
        Self {
            start: pages,
            max: pages,
            end: pages,
        }
    }

    pub(crate) fn merge(parts: &[Summary], width: u32) -> Summary {
        let mut all = Summary::NONE;
        let mut at_start = true;
        for p in parts {
            if at_start {
                all.start += p.start;
                at_start = p.start == width;
            }
            all.max = all.max.max(p.max).max(all.end + p.start);
            all.end = if p.end == width {
                all.end + width
            } else {
                p.end
            };
        }
        all
    }
}

/// Entries of one level that an entry of the level above merges.
pub(crate) const FAN: usize = 8;
/// Levels there may be: 512 pages an entry at the bottom, 16 GiB at the top.
pub const LEVELS: usize = 5;

/// The top level of a heap of so many chunks.
fn top_of(chunks: usize) -> usize {
    let fits = |&level: &usize| chunks <= FAN.pow(level as u32 + 1);
    (0..LEVELS - 1).find(fits).unwrap_or(LEVELS - 1)
}

pub(crate) const fn width(level: usize) -> usize {
    CHUNK_PAGES * FAN.pow(level as u32)
}

/// The summaries of all chunks of a heap.
#[derive(Debug)]
pub struct Summaries {
    level: [NonNull<Summary>; LEVELS],
    chunks: usize,
    /// The top level.
    pub(crate) top: usize,
    /// Entries of the top level below this one have nothing free.
    pub(crate) first_top: usize,
    /// Chunks below this one may be in use.
    pub(crate) grown: usize,
}

/// Where a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The run starts at this page.
    At(usize),
    /// The run lies within this chunk.
    Inside(usize),
}

impl Summaries {
    /// How many entries level `level` needs for `chunks` chunks.
    pub const fn entries(level: usize, chunks: usize) -> usize {
        chunks.div_ceil(FAN.pow(level as u32)).next_multiple_of(FAN)
    }

    /// # Safety
    /// Each pointer leads to [`Summaries::entries`] zeroed entries that live as long as this does and that nobody else uses.
    pub unsafe fn new(level: [NonNull<Summary>; LEVELS], chunks: usize) -> Self {
        Self {
            level,
            chunks,
            top: 0,
            first_top: 0,
            grown: 0,
        }
    }

    /// Where a level's entries lie.
    pub(crate) fn level(&self, level: usize) -> NonNull<Summary> {
        self.level[level]
    }

    pub(crate) fn slice(&self, level: usize, from: usize, count: usize) -> &[Summary] {
        debug_assert!(from + count <= Self::entries(level, self.chunks));
        // SAFETY: within the entries promised to `new`; changed only through &mut self.
        unsafe { core::slice::from_raw_parts(self.level[level].as_ptr().add(from), count) }
    }

    pub(crate) fn set(&mut self, level: usize, at: usize, s: Summary) {
        debug_assert!(at < Self::entries(level, self.chunks));
        // SAFETY: as in `slice`, with &mut self.
        unsafe { self.level[level].as_ptr().add(at).write(s) };
    }

    /// The summary of one chunk.
    pub fn chunk(&self, chunk: usize) -> Summary {
        self.slice(0, chunk, 1)[0]
    }

    /// Records what chunk `first` and those behind it look like now. Stops at the level where
    /// nothing changed: mostly at once, since a span more or less seldom makes the longest run.
    pub fn update(&mut self, first: usize, new: impl Iterator<Item = Summary>) {
        let mut changed = None;
        for (i, s) in new.enumerate() {
            let at = first + i;
            if self.chunk(at) != s {
                self.set(0, at, s);
                changed = Some((changed.map_or(at, |(lo, _)| lo), at));
            }
        }
        let Some((mut lo, mut hi)) = changed else {
            return;
        };
        self.grown = self.grown.max(hi + 1);
        let taller = top_of(self.grown) > self.top;
        if taller {
            self.top = top_of(self.grown);
            self.first_top = 0;
            (lo, hi) = (0, self.grown - 1);
        }
        self.first_top = self.first_top.min(lo / FAN.pow(self.top as u32));
        for level in 1..=self.top {
            (lo, hi) = (lo / FAN, hi / FAN);
            // Of those that no chunk in use is in, one says all: it ends the run before it.
            let below = self.grown.div_ceil(FAN.pow(level as u32 - 1)) + 1;
            let mut same = !taller;
            for i in lo..=hi {
                let parts = self.slice(level - 1, i * FAN, FAN.min(below - i * FAN));
                let merged = Summary::merge(parts, width(level - 1) as u32);
                if self.slice(level, i, 1)[0] != merged {
                    self.set(level, i, merged);
                    same = false;
                }
            }
            if same {
                return;
            }
        }
    }

    /// The lowest free run of `pages` pages.
    pub fn find(&mut self, pages: usize) -> Option<Found> {
        let top = self.top;
        let end = self.grown.div_ceil(FAN.pow(top as u32));
        while self.first_top < end && self.slice(top, self.first_top, 1)[0].max == 0 {
            self.first_top += 1;
        }
        let (mut from, mut count) = (self.first_top, end - self.first_top);
        let mut level = top;
        loop {
            let wide = width(level);
            let (mut run, mut base) = (0usize, 0);
            let mut inside = None;
            for (i, s) in self.slice(level, from, count).iter().enumerate() {
                let here = (from + i) * wide;
                if run + s.start as usize >= pages {
                    return Some(Found::At(if run == 0 { here } else { base }));
                }
                if s.max as usize >= pages {
                    inside = Some(from + i);
                    break;
                }
                if s.end as usize == wide {
                    base = if run == 0 { here } else { base };
                    run += wide;
                } else {
                    run = s.end as usize;
                    base = here + wide - run;
                }
            }
            let i = inside?;
            if level == 0 {
                return Some(Found::Inside(i));
            }
            level -= 1;
            (from, count) = (i * FAN, FAN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn summaries(chunks: usize) -> Summaries {
        let level = core::array::from_fn(|l| {
            NonNull::from(Vec::leak(vec![
                Summary::NONE;
                Summaries::entries(l, chunks)
            ]))
            .cast()
        });
        // SAFETY: leaked, zeroed, of the right lengths.
        unsafe { Summaries::new(level, chunks) }
    }

    #[test]
    fn a_run_over_many_chunks_is_found_where_it_begins() {
        let mut s = summaries(4096);
        let free = Summary::free(512);
        let half = Summary {
            start: 0,
            max: 256,
            end: 256,
        };
        s.update(
            0,
            [
                Summary::NONE,
                half,
                free,
                free,
                Summary {
                    start: 7,
                    max: 100,
                    end: 0,
                },
            ]
            .into_iter(),
        );
        assert_eq!(s.find(1), Some(Found::Inside(1)));
        assert_eq!(s.find(257), Some(Found::At(512 + 256)));
        assert_eq!(s.find(256 + 1024 + 7), Some(Found::At(512 + 256)));
        assert_eq!(s.find(256 + 1024 + 8), None);
    }

    proptest! {
        #[test]
        fn the_lowest_run_is_found(states in prop::collection::vec((0u32..=512, 0u32..=512, 0u32..=512), 1..200), pages in 1usize..3000) {
            let chunks: Vec<Summary> = states.iter().map(|&(start, max, end)| {
                if start == 512 { return Summary::free(512); }
                let (start, end) = (start.min(255), end.min(255));
                Summary { start, max: max.min(511).max(start).max(end), end }
            }).collect();
            let mut s = summaries(chunks.len());
            s.update(0, chunks.iter().copied());
            let mut run = 0usize;
            let mut want = None;
            for (i, c) in chunks.iter().enumerate() {
                if run + c.start as usize >= pages { want = Some(Found::At(i * 512 - run)); break; }
                if c.max as usize >= pages { want = Some(Found::Inside(i)); break; }
                run = if c.end == 512 { run + 512 } else { c.end as usize };
            }
            let got = s.find(pages);
            let same = match (want, got) {
                // A run at a chunk's start may be named either way.
                (Some(Found::Inside(i)), Some(Found::At(p))) | (Some(Found::At(p)), Some(Found::Inside(i))) => p == i * 512,
                (w, g) => w == g,
            };
            prop_assert!(same, "{:?} {:?}", want, got);
        }
    }
}
