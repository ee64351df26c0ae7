//! Distributions: how many values fell between two boundaries.
//!
//! Source: Go 1.27, `runtime/metrics/histogram.go` for what is shown, `runtime/histogram.go` for how
//! durations are counted, `runtime/metrics.go` (`initMetrics`) for the sizes' boundaries.

use crate::audit::{CLASSES, ClassCounts};

/// A distribution (Go: `metrics.Float64Histogram`).
#[derive(Clone, Debug, PartialEq)]
pub struct Float64Histogram {
    /// How many values are at least `buckets[n]` and less than `buckets[n + 1]`.
    pub counts: Vec<u64>,
    /// The boundaries, ascending, one more than there are counts. The same in each snapshot. The first may
    /// be −∞, the last +∞.
    pub buckets: Vec<f64>,
}

impl Float64Histogram {
    /// Objects by size, large ones in the last bucket. Boundaries are one byte above what a class
    /// holds: a bucket includes its lower one.
    pub(super) fn by_size(
        classes: &[ClassCounts; CLASSES],
        count: fn(&ClassCounts) -> u64,
    ) -> Self {
        let [large, small @ ..] = classes;
        let above = small.iter().map(|class| f64::from(class.size) + 1.0);
        Self {
            counts: small.iter().chain([large]).map(count).collect(),
            buckets: [1.0]
                .into_iter()
                .chain(above)
                .chain([f64::INFINITY])
                .collect(),
        }
    }
}

/// Below this bit, durations have boundaries at equal distances. Go: `timeHistMinBucketBits`.
const LOWEST_BIT: u32 = 9;
/// Durations with this bit or a higher one are beyond the last boundary but one. Go: `timeHistMaxBucketBits`.
const HIGHEST_BIT: u32 = 48;
/// So many bits behind the highest one tell durations apart. Go: `timeHistSubBucketBits`.
const SUB_BITS: u32 = 2;
const SUBS: usize = 1 << SUB_BITS;
const BUCKETS: usize = (HIGHEST_BIT - LOWEST_BIT + 1) as usize * SUBS;

/// Durations, counted with an error of a quarter at most: four buckets for each power of two from 256 ns
/// to a day and a half. Go: `timeHistogram`.
#[derive(Clone, Debug)]
pub struct TimeHistogram {
    counts: [u64; BUCKETS],
    beyond: u64,
}

impl TimeHistogram {
    /// Nothing yet.
    pub const NEW: Self = Self {
        counts: [0; BUCKETS],
        beyond: 0,
    };

    /// Counts a duration in nanoseconds.
    pub fn record(&mut self, ns: u64) {
        let bits = u64::BITS - ns.leading_zeros();
        let octave = (bits + 1).saturating_sub(LOWEST_BIT);
        let shift = octave.saturating_sub(1) + LOWEST_BIT - 1 - SUB_BITS;
        let sub = (ns >> shift) as usize % SUBS;
        let count = self.counts.get_mut(octave as usize * SUBS + sub);
        *count.unwrap_or(&mut self.beyond) += 1;
    }

    /// The distribution in seconds.
    pub(super) fn in_seconds(&self) -> Float64Histogram {
        let from = (0..SUBS as u64).map(|sub| sub << (LOWEST_BIT - 1 - SUB_BITS));
        let octaves = (LOWEST_BIT..HIGHEST_BIT).flat_map(|bit| {
            (0..SUBS as u64).map(move |sub| (1 << (bit - 1)) | (sub << (bit - 1 - SUB_BITS)))
        });
        let boundaries = from.chain(octaves).chain([1 << (HIGHEST_BIT - 1)]);
        let seconds = boundaries.map(|ns: u64| ns as f64 / 1e9);
        Float64Histogram {
            // Go has a bucket for clocks that ran backwards.
            counts: [0]
                .into_iter()
                .chain(self.counts)
                .chain([self.beyond])
                .collect(),
            buckets: [f64::NEG_INFINITY]
                .into_iter()
                .chain(seconds)
                .chain([f64::INFINITY])
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_between_the_boundaries_that_enclose_it() {
        let powers = (0..64).map(|bit| 1u64 << bit);
        let around = powers.flat_map(|p| [p - 1, p, p + 1, p + p / 4, p + p / 2]);
        for ns in around.chain([0, u64::MAX]) {
            let mut times = TimeHistogram::NEW;
            times.record(ns);
            let shown = times.in_seconds();
            assert_eq!(shown.buckets.len(), shown.counts.len() + 1);
            let at = shown.counts.iter().position(|&count| count == 1);
            let at = at.unwrap_or_else(|| panic!("{ns} ns is not counted"));
            let seconds = ns as f64 / 1e9;
            assert!(
                shown.buckets[at] <= seconds && seconds < shown.buckets[at + 1],
                "{ns} ns between {} and {}",
                shown.buckets[at],
                shown.buckets[at + 1]
            );
        }
    }

    #[test]
    fn boundaries_ascend() {
        let shown = TimeHistogram::NEW.in_seconds();
        assert!(shown.buckets.is_sorted_by(|a, b| a < b));
    }
}
