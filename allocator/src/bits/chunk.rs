//! One chunk: which of its 512 pages are in use, and which of the idle ones
//! are released (Go: `pallocBits`, `pallocData` in `mpallocbits.go`).

use super::Summary;
use crate::CHUNK_PAGES;

const WORDS: usize = CHUNK_PAGES / 64;

/// A bit for each page of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageBits([u64; WORDS]);

impl PageBits {
    /// No bit set.
    pub const EMPTY: Self = Self([0; WORDS]);

    /// The 64 bits that hold `page`.
    #[inline]
    pub fn word(&self, page: usize) -> u64 {
        self.0[page / 64]
    }

    /// Sets `bits` in the word that holds `page`.
    #[inline]
    pub fn set_in_word(&mut self, page: usize, bits: u64) {
        self.0[page / 64] |= bits;
    }

    /// Clears `bits` in the word that holds `page`.
    #[inline]
    pub fn clear_in_word(&mut self, page: usize, bits: u64) {
        self.0[page / 64] &= !bits;
    }

    fn masks(from: usize, count: usize) -> impl Iterator<Item = (usize, u64)> {
        let end = from + count;
        (from / 64..end.div_ceil(64)).map(move |w| {
            let lo = from.saturating_sub(w * 64).min(64);
            let hi = (end - w * 64).min(64);
            let below_hi = if hi == 64 { u64::MAX } else { (1 << hi) - 1 };
            (w, below_hi & !((1u64 << lo) - 1))
        })
    }

    /// Sets `count` bits from `from` on.
    pub fn set(&mut self, from: usize, count: usize) {
        Self::masks(from, count).for_each(|(w, m)| self.0[w] |= m);
    }

    /// Clears `count` bits from `from` on.
    pub fn clear(&mut self, from: usize, count: usize) {
        Self::masks(from, count).for_each(|(w, m)| self.0[w] &= !m);
    }

    /// How many of the `count` bits from `from` on are set.
    pub fn count(&self, from: usize, count: usize) -> usize {
        Self::masks(from, count)
            .map(|(w, m)| (self.0[w] & m).count_ones() as usize)
            .sum()
    }
}

/// What is known of a chunk's pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkBits {
    /// Pages in use: in a span, or set aside by a thread's page cache.
    pub used: PageBits,
    /// Idle pages that are released. No meaning for pages in use.
    pub released: PageBits,
}

impl ChunkBits {
    /// The runs of idle pages, seen from afar.
    pub fn summary(&self) -> Summary {
        let (mut start, mut max, mut run) = (0, 0, 0u32);
        let mut met_used = false;
        for &w in &self.used.0 {
            if w == 0 {
                run += 64;
                continue;
            }
            run += w.trailing_zeros();
            if !met_used {
                start = run;
                met_used = true;
            }
            max = max.max(run);
            max = max.max(longest_zero_run_inside(w));
            run = w.leading_zeros();
        }
        if !met_used {
            return Summary::free(CHUNK_PAGES as u32);
        }
        Summary {
            start,
            max: max.max(run),
            end: run,
        }
    }

    /// The first idle run of `count` pages, as a page of the chunk.
    pub fn find(&self, count: usize) -> Option<usize> {
        let (mut run, mut base) = (0, 0);
        for (i, &w) in self.used.0.iter().enumerate() {
            let mut idle = !w;
            let mut at = 0;
            while at < 64 {
                let zeros = idle.trailing_zeros().min(64 - at);
                if zeros > 0 {
                    run = 0;
                    at += zeros;
                    if at == 64 {
                        break;
                    }
                    idle >>= zeros;
                }
                let ones = idle.trailing_ones().min(64 - at);
                if run == 0 {
                    base = i * 64 + at as usize;
                }
                run += ones as usize;
                if run >= count {
                    return Some(base);
                }
                at += ones;
                if at < 64 {
                    idle >>= ones;
                }
            }
        }
        None
    }

    /// The highest run of idle pages that are not released, at or below page `below`,
    /// cut to its upper `max` pages, in multiples of `align`: `(first page, pages)`.
    /// A free huge page (of `huge` pages, 0 if there are none) is taken whole, not broken
    /// (Go: `pallocData.findScavengeCandidate`).
    pub fn releasable(
        &self,
        below: usize,
        align: usize,
        max: usize,
        huge: usize,
    ) -> Option<(usize, usize)> {
        let kept = |w: usize| fill_groups(self.used.0[w] | self.released.0[w], align as u32);
        let top = (0..=below / 64).rev().find(|&w| kept(w) != u64::MAX)?;
        let word = kept(top);
        let above = (!word).leading_zeros();
        let end = top * 64 + 64 - above as usize;
        let rest = word << above;
        let run = if rest != 0 {
            rest.leading_zeros() as usize
        } else {
            let mut run = 64 - above as usize;
            for w in (0..top).rev() {
                let zeros = kept(w).leading_zeros() as usize;
                run += zeros;
                if zeros < 64 {
                    break;
                }
            }
            run
        };
        let mut size = run.min(max.max(1).next_multiple_of(align));
        let mut start = end - size;
        if huge > 1 && start.next_multiple_of(huge) <= end {
            let boundary = start / huge * huge;
            if boundary >= end - run {
                size += start - boundary;
                start = boundary;
            }
        }
        Some((start, size))
    }
}

/// The longest run of zeros that touches neither end of `w`.
fn longest_zero_run_inside(w: u64) -> u32 {
    let inside = w.trailing_zeros();
    let mut idle = !w >> inside << inside;
    // Cut off the run at the top, then halve runs until none is left.
    idle &= u64::MAX.checked_shr(w.leading_zeros()).unwrap_or(0);
    let mut longest = 0;
    while idle != 0 {
        idle &= idle << 1;
        longest += 1;
    }
    longest
}

/// `w` with each group of `m` bits (a power of two) set that has any bit set
/// (Go: `fillAligned`): a physical page that is larger than ours goes back whole or not at all.
fn fill_groups(w: u64, m: u32) -> u64 {
    if m <= 1 {
        return w;
    }
    let group = if m >= 64 { u64::MAX } else { (1 << m) - 1 };
    (0..64)
        .step_by(m as usize)
        .map(|at| group << at)
        .filter(|g| w & g != 0)
        .fold(0, |a, g| a | g)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn chunk(used: &[(usize, usize)], released: &[(usize, usize)]) -> ChunkBits {
        let mut c = ChunkBits {
            used: PageBits::EMPTY,
            released: PageBits::EMPTY,
        };
        used.iter().for_each(|&(a, n)| c.used.set(a, n));
        released.iter().for_each(|&(a, n)| c.released.set(a, n));
        c
    }

    fn runs(c: &ChunkBits) -> Vec<(usize, usize)> {
        let mut runs: Vec<(usize, usize)> = vec![];
        for p in (0..CHUNK_PAGES).filter(|&p| c.used.count(p, 1) == 0) {
            match runs.last_mut() {
                Some(r) if r.0 + r.1 == p => r.1 += 1,
                _ => runs.push((p, 1)),
            }
        }
        runs
    }

    proptest! {
        #[test]
        fn summary_and_find_agree_with_a_walk_over_single_pages(
            used in prop::collection::vec((0usize..512, 1usize..90), 0..40), want in 1usize..=512
        ) {
            let used: Vec<_> = used.into_iter().map(|(a, n)| (a, n.min(512 - a))).collect();
            let c = chunk(&used, &[]);
            let runs = runs(&c);
            let s = c.summary();
            prop_assert_eq!(s.max as usize, runs.iter().map(|r| r.1).max().unwrap_or(0));
            prop_assert_eq!(s.start as usize, runs.first().filter(|r| r.0 == 0).map_or(0, |r| r.1));
            prop_assert_eq!(s.end as usize, runs.last().filter(|r| r.0 + r.1 == 512).map_or(0, |r| r.1));
            prop_assert_eq!(c.find(want), runs.iter().find(|r| r.1 >= want).map(|r| r.0));
        }
    }

    #[test]
    fn the_highest_retained_run_is_released_first_and_only_its_upper_part() {
        let c = chunk(&[(0, 10), (100, 50)], &[(400, 112)]);
        assert_eq!(c.releasable(511, 1, 8, 0), Some((392, 8)));
        assert_eq!(c.releasable(99, 1, 512, 0), Some((10, 90)));
        assert_eq!(chunk(&[(0, 512)], &[]).releasable(511, 1, 8, 0), None);
    }

    #[test]
    fn a_free_huge_page_is_released_whole() {
        let c = chunk(&[(0, 100)], &[]);
        assert_eq!(c.releasable(511, 1, 8, 256), Some((256, 256)));
        assert_eq!(
            c.releasable(255, 1, 8, 256),
            Some((248, 8)),
            "this one is in use in part"
        );
        let c = chunk(&[(0, 300)], &[]);
        assert_eq!(
            c.releasable(511, 1, 8, 256),
            Some((504, 8)),
            "this huge page is broken already"
        );
    }

    #[test]
    fn only_whole_groups_are_released_where_physical_pages_are_larger() {
        let c = chunk(&[(5, 1)], &[]);
        assert_eq!(c.releasable(511, 8, 512, 0), Some((8, 504)));
    }
}
