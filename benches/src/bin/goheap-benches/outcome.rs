//! What came out for one workload, by contestant.

use goheap_benches::contestant::Contestant;
use goheap_benches::rounds::Rounds;
use goheap_benches::spread::Spread;
use goheap_benches::workload::{Bench, Group};

/// One contestant's figures.
pub struct Row {
    /// Who.
    pub contestant: Contestant,
    /// Nanoseconds an operation, on the wall.
    pub wall_ns: Spread,
    /// Nanoseconds an operation, of all processors.
    pub processor_ns: Spread,
    /// goheap's time by this one's of the same round: of the processors for whole programs, on the
    /// wall for all else. Below 1, goheap is faster.
    pub ratio: Spread,
    /// The most resident memory, in KiB.
    pub peak_kib: f64,
    /// Its mean.
    pub mean_kib: f64,
    /// Bytes that are no part of the heap proper. Only goheap tells.
    pub metadata: f64,
    /// … and those in spans at the end.
    pub in_use: f64,
}

/// All contestants on one workload, goheap first.
pub struct Outcome<'a> {
    /// The workload.
    pub bench: &'a Bench,
    /// Their figures.
    pub rows: Vec<Row>,
}

const WALL: usize = 0;
const PROCESSOR: usize = 1;
const PEAK: usize = 2;
const METADATA: usize = 3;
const IN_USE: usize = 4;

impl<'a> Outcome<'a> {
    /// Of what the processes printed.
    pub fn of(bench: &'a Bench, contestants: &[Contestant], rounds: &Rounds) -> Self {
        let decisive = if bench.group == Group::Programs {
            PROCESSOR
        } else {
            WALL
        };
        let row = |(index, contestant): (usize, &Contestant)| {
            let of =
                |figure: usize| Spread::of(rounds.iter().map(|round| round[index].figures[figure]));
            let ratios = rounds
                .iter()
                .map(|round| round[0].figures[decisive] / round[index].figures[decisive]);
            let mean = Spread::of(rounds.iter().map(|round| round[index].mean_rss_kib));
            Row {
                contestant: *contestant,
                wall_ns: of(WALL),
                processor_ns: of(PROCESSOR),
                ratio: Spread::of(ratios),
                peak_kib: of(PEAK).median,
                mean_kib: mean.median,
                metadata: of(METADATA).median,
                in_use: of(IN_USE).median,
            }
        };
        Self {
            bench,
            rows: contestants.iter().enumerate().map(row).collect(),
        }
    }

    /// goheap's row.
    pub fn own(&self) -> &Row {
        &self.rows[0]
    }

    /// The row of the fastest other one.
    pub fn best_peer(&self) -> Option<&Row> {
        let peers = self.rows.iter().skip(1);
        peers.max_by(|a, b| a.ratio.median.total_cmp(&b.ratio.median))
    }
}

/// The geometric mean; NaN of none.
pub fn geometric_mean(ratios: &[f64]) -> f64 {
    let sum: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
    (sum / ratios.len() as f64).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_and_half_as_much_is_as_much() {
        assert!((geometric_mean(&[2.0, 0.5]) - 1.0).abs() < 1e-12);
        assert!(geometric_mean(&[]).is_nan());
    }
}
