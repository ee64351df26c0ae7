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

    /// The words that `count` pages from `from` on, one at the least, are in, and their bits in each.
    #[inline(always)]
    fn masks(from: usize, count: usize) -> impl Iterator<Item = (usize, u64)> {
        let last = from + count - 1;
        (from / 64..=last / 64).map(move |w| {
            let above = if w == from / 64 { from % 64 } else { 0 };
            let below = if w == last / 64 { 63 - last % 64 } else { 0 };
            (w, u64::MAX << above & u64::MAX >> below)
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
    /// Marks `count` idle pages from `from` on as used; how many of them were released.
    pub fn take(&mut self, from: usize, count: usize) -> usize {
        let mut released = 0;
        for (word, pages) in PageBits::masks(from, count) {
            debug_assert_eq!(self.used.0[word] & pages, 0);
            self.used.0[word] |= pages;
            let gone = self.released.0[word] & pages;
            if gone != 0 {
                self.released.0[word] &= !pages;
                released += gone.count_ones() as usize;
            }
        }
        released
    }

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
            if w == u64::MAX {
                run = 0;
                continue;
            }
            max = longest_zero_run_inside(w, max);
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

    /// The idle run that page `at` is in: its first page, and how many.
    fn run_around(&self, at: usize) -> (usize, usize) {
        let (word, bit) = (at / 64, at % 64);
        let below = self.used.0[word] << (63 - bit);
        let mut first = at + 1 - (below.leading_zeros() as usize).min(bit + 1);
        while first > 0 && first.is_multiple_of(64) {
            let more = self.used.0[first / 64 - 1].leading_zeros();
            first -= more as usize;
            if more < 64 {
                break;
            }
        }
        let above = self.used.0[word] >> bit;
        let mut end = at + (above.trailing_zeros() as usize).min(64 - bit);
        while end < CHUNK_PAGES && end.is_multiple_of(64) {
            let more = self.used.0[end / 64].trailing_zeros();
            end += more as usize;
            if more < 64 {
                break;
            }
        }
        (first, end - first)
    }

    /// The summary, which was `before` while some of the idle pages that `at` is among were in use.
    pub fn with_freed(&self, at: usize, before: Summary) -> Summary {
        let (first, run) = self.run_around(at);
        let pages = run as u32;
        Summary {
            start: if first == 0 { pages } else { before.start },
            max: before.max.max(pages),
            end: if first + run == CHUNK_PAGES {
                pages
            } else {
                before.end
            },
        }
    }

    /// Whether the idle run that page `at` is in is one of those that `summary` is made of.
    pub fn is_seen_afar(&self, at: usize, summary: Summary) -> bool {
        let (first, run) = self.run_around(at);
        first == 0 || first + run == CHUNK_PAGES || run as u32 >= summary.max
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

/// The longest run of zeros that touches neither end of `w`, or `least` if none is longer.
fn longest_zero_run_inside(w: u64, least: u32) -> u32 {
    let ends = w.trailing_zeros() + w.leading_zeros();
    // What is left beside the ends and two ones.
    if least + ends + 2 >= 64 {
        return least;
    }
    let inside = w.trailing_zeros();
    let mut idle = !w >> inside << inside;
    idle &= u64::MAX.checked_shr(w.leading_zeros()).unwrap_or(0);
    // Shorten all runs by `least` at once, in steps that none longer is lost in (as `first_run` does),
    // then by one until none is left.
    let (mut left, mut step) = (least, 1);
    while left > 0 && idle != 0 {
        let by = left.min(step);
        idle &= idle << by;
        left -= by;
        step *= 2;
    }
    let mut longest = least;
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

    proptest! {
        #[test]
        fn a_summary_kept_up_is_the_one_made_anew(
            steps in prop::collection::vec((0usize..512, 1usize..130), 1..60)
        ) {
            let mut c = chunk(&[], &[]);
            let mut kept = c.summary();
            for (at, most) in steps {
                let idle = |c: &ChunkBits, page: usize| c.used.count(page, 1) == 0;
                let was = idle(&c, at);
                let alike = |c: &ChunkBits| (at..512).take(most).take_while(|&p| idle(c, p) == was).count();
                let count = alike(&c);
                if was {
                    let seen = c.is_seen_afar(at, kept);
                    c.used.set(at, count);
                    if seen {
                        kept = c.summary();
                    }
                } else {
                    c.used.clear(at, count);
                    kept = c.with_freed(at, kept);
                }
                prop_assert_eq!(kept, c.summary());
            }
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
