//! The rule by which a replay counts as behaving like Go's.
//!
//! A reference records what Go did with a trace over a dozen runs: for every
//! snapshot each counter's least, median and greatest value. An *error* is how
//! far a value lies outside that range, as a share of the median, or of Go's
//! smallest heap (4 MiB; 8 cycles for `NumGC`) where the median is smaller. What
//! each side had before the first operation is left out of the counters that a
//! process brings along, see [`Counter::from_baseline`]. A counter *holds* when
//! its mean error over the snapshots behind the baseline is at most 5 %, or at
//! most what Go's own most deviant run shows against its other runs.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::Error;
use crate::figures::Record;

/// Mean error that is let pass whatever Go's own is.
pub const ALLOWED: f64 = 0.05;

/// The counters that a replay is held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Counter {
    HeapAlloc,
    HeapInuse,
    HeapIdle,
    HeapSys,
    HeapReleased,
    Sys,
    NextGc,
    NumGc,
    TotalAlloc,
    Rss,
}

impl Counter {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::HeapAlloc,
        Self::HeapInuse,
        Self::HeapIdle,
        Self::HeapSys,
        Self::HeapReleased,
        Self::Sys,
        Self::NextGc,
        Self::NumGc,
        Self::TotalAlloc,
        Self::Rss,
    ];

    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::HeapAlloc => "HeapAlloc",
            Self::HeapInuse => "HeapInuse",
            Self::HeapIdle => "HeapIdle",
            Self::HeapSys => "HeapSys",
            Self::HeapReleased => "HeapReleased",
            Self::Sys => "Sys",
            Self::NextGc => "NextGC",
            Self::NumGc => "NumGC",
            Self::TotalAlloc => "TotalAlloc",
            Self::Rss => "RSS",
        }
    }

    /// Its value in a snapshot.
    pub fn of(self, record: &Record) -> f64 {
        let stats = &record.mem_stats;
        let value = match self {
            Self::HeapAlloc => stats.heap_alloc,
            Self::HeapInuse => stats.heap_inuse,
            Self::HeapIdle => stats.heap_idle,
            Self::HeapSys => stats.heap_sys,
            Self::HeapReleased => stats.heap_released,
            Self::Sys => stats.sys,
            Self::NextGc => stats.next_gc,
            Self::NumGc => stats.num_gc.into(),
            Self::TotalAlloc => stats.total_alloc,
            Self::Rss => record.rss,
        };
        value as f64
    }

    /// Whether it is counted from the baseline: RSS, Sys, TotalAlloc and NumGC
    /// start at what the process, not the trace, has taken.
    pub fn from_baseline(self) -> bool {
        matches!(self, Self::Rss | Self::Sys | Self::TotalAlloc | Self::NumGc)
    }

    /// Its value in a snapshot, counted from the run's baseline where that is the rule.
    pub fn since_baseline(self, record: &Record, baseline: &Record) -> f64 {
        match self.from_baseline() {
            true => self.of(record) - self.of(baseline),
            false => self.of(record),
        }
    }

    fn smallest_scale(self) -> f64 {
        match self {
            Self::NumGc => 8.0,
            _ => (4 << 20) as f64,
        }
    }
}

/// Least, median and greatest value over Go's runs.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Range(f64, f64, f64);

impl Range {
    /// The median, as it was measured.
    pub fn median(self) -> f64 {
        self.1
    }

    fn outside(self, value: f64) -> f64 {
        (self.0 - value).max(value - self.2).max(0.0)
    }

    fn less(self, start: f64) -> Self {
        Self(self.0 - start, self.1 - start, self.2 - start)
    }
}

/// What Go did with a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// Its snapshots, the baseline first.
    pub snapshots: Vec<Expected>,
    own: [f64; Counter::ALL.len()],
}

/// What Go had at one snapshot.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// What the trace calls it.
    pub label: String,
    ranges: [Range; Counter::ALL.len()],
}

impl Expected {
    /// The counter's range.
    pub fn range(&self, counter: Counter) -> Range {
        self.ranges[counter as usize]
    }
}

/// How a counter fared over a whole trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The counter.
    pub counter: Counter,
    /// Its mean error over the snapshots.
    pub mean: f64,
    /// The mean error that it may have.
    pub allowed: f64,
    /// Its greatest error, and the snapshot that it was at.
    pub worst: (f64, String),
}

impl Verdict {
    /// Whether the counter behaves like Go's.
    pub fn holds(&self) -> bool {
        self.mean <= self.allowed
    }
}

impl Reference {
    /// Reads a recorded reference. `of` is what an error message calls it.
    pub fn from_json(of: &str, text: &str) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct File {
            #[serde(rename = "self")]
            own: BTreeMap<String, f64>,
            snapshots: Vec<Snapshot>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Snapshot {
            label: String,
            // Of various shapes; only the counters' are looked at.
            #[serde(flatten)]
            counters: BTreeMap<String, Value>,
        }
        let broken = |reason: String| Error::Figures {
            of: of.into(),
            reason,
        };
        let missing = |counter: Counter| broken(format!("{} is missing", counter.name()));
        let file: File = serde_json::from_str(text).map_err(|error| broken(error.to_string()))?;

        let mut own = [0.0; Counter::ALL.len()];
        for counter in Counter::ALL {
            let found = file.own.get(counter.name());
            own[counter as usize] = *found.ok_or_else(|| missing(counter))?;
        }
        let mut snapshots = Vec::new();
        for snapshot in file.snapshots {
            let mut ranges = [Range(0.0, 0.0, 0.0); Counter::ALL.len()];
            for counter in Counter::ALL {
                let found = snapshot.counters.get(counter.name());
                let value = found.ok_or_else(|| missing(counter))?;
                ranges[counter as usize] =
                    Range::deserialize(value).map_err(|error| broken(error.to_string()))?;
            }
            snapshots.push(Expected {
                label: snapshot.label,
                ranges,
            });
        }
        Ok(Self { snapshots, own })
    }

    /// The reference that Go's runs of a trace make. `of` is what an error message calls the trace.
    pub fn of_runs(of: &str, runs: &[Vec<Record>]) -> Result<Self, Error> {
        let mut reference = Self::of_ranges(runs);
        if runs.len() > 1 {
            for left_out in 0..runs.len() {
                let mut others = runs.to_vec();
                let run = others.swap_remove(left_out);
                for verdict in Self::of_ranges(&others).compare(of, &run)? {
                    let own = &mut reference.own[verdict.counter as usize];
                    *own = own.max(verdict.mean);
                }
            }
        }
        Ok(reference)
    }

    fn of_ranges(runs: &[Vec<Record>]) -> Self {
        let range = |counter: Counter, at: usize| {
            let records = runs.iter().filter_map(|run| run.get(at));
            let mut values: Vec<f64> = records.map(|record| counter.of(record)).collect();
            values.sort_by(f64::total_cmp);
            match values[..] {
                [] => Range(0.0, 0.0, 0.0),
                [least, ..] => Range(
                    least,
                    values[(values.len() - 1) / 2],
                    values[values.len() - 1],
                ),
            }
        };
        let first = runs.first().map_or(&[][..], |run| run);
        let at = |(at, record): (usize, &Record)| Expected {
            label: record.label.clone(),
            ranges: Counter::ALL.map(|counter| range(counter, at)),
        };
        Self {
            snapshots: first.iter().enumerate().map(at).collect(),
            own: [0.0; Counter::ALL.len()],
        }
    }

    /// What Go's own most deviant run shows against its others: a mean error.
    pub fn own(&self, counter: Counter) -> f64 {
        self.own[counter as usize]
    }

    /// Holds a replay of the same trace against Go's runs.
    pub fn compare(&self, of: &str, replay: &[Record]) -> Result<Vec<Verdict>, Error> {
        let labels = self.snapshots.iter().map(|expected| &expected.label);
        if !labels.eq(replay.iter().map(|record| &record.label)) || replay.len() < 2 {
            return Err(Error::Figures {
                of: of.into(),
                reason: "its snapshots are not those of the reference".into(),
            });
        }
        Ok(Counter::ALL
            .map(|counter| self.verdict(counter, replay))
            .into())
    }

    fn verdict(&self, counter: Counter, replay: &[Record]) -> Verdict {
        let (ours, gos) = if counter.from_baseline() {
            let gos = self.snapshots[0].range(counter).median();
            (counter.of(&replay[0]), gos)
        } else {
            (0.0, 0.0)
        };
        let mut sum = 0.0;
        let mut worst = (0.0, String::new());
        for (expected, record) in self.snapshots.iter().zip(replay).skip(1) {
            let range = expected.range(counter).less(gos);
            let scale = range.median().abs().max(counter.smallest_scale());
            let error = range.outside(counter.of(record) - ours) / scale;
            sum += error;
            if error >= worst.0 {
                worst = (error, record.label.clone());
            }
        }
        Verdict {
            counter,
            mean: sum / (replay.len() - 1) as f64,
            allowed: self.own[counter as usize].max(ALLOWED),
            worst,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::MIB;
    use crate::figures::Figures;

    /// A reference in which every counter is 100 MiB, give or take one, at each snapshot.
    fn reference() -> Reference {
        let range = Range(99.0 * MIB, 100.0 * MIB, 101.0 * MIB);
        let at = |label: &str| Expected {
            label: label.into(),
            ranges: [range; Counter::ALL.len()],
        };
        let mut own = [0.0; Counter::ALL.len()];
        own[Counter::HeapIdle as usize] = 0.25;
        Reference {
            snapshots: vec![at("baseline"), at("one"), at("two")],
            own,
        }
    }

    fn replay(figures: impl Fn(usize) -> Figures) -> Vec<Record> {
        let labels = ["baseline", "one", "two"];
        let record = |(index, label): (usize, &str)| Record {
            label: label.into(),
            seconds: 0.0,
            processor_seconds: 0.0,
            rss: 0,
            mem_stats: figures(index),
        };
        labels.into_iter().enumerate().map(record).collect()
    }

    fn verdict(counter: Counter, replay: &[Record]) -> Verdict {
        let verdicts = reference().compare("test", replay).unwrap();
        verdicts[counter as usize].clone()
    }

    #[test]
    fn the_error_is_what_lies_outside_the_range() {
        let run = replay(|index| Figures {
            heap_alloc: ([0.0, 101.0, 121.0][index] * MIB) as u64,
            heap_idle: ([0.0, 101.0, 151.0][index] * MIB) as u64,
            ..Figures::default()
        });
        let alloc = verdict(Counter::HeapAlloc, &run);
        assert!((alloc.mean - 0.10).abs() < 1e-9);
        assert!(!alloc.holds());
        assert_eq!(alloc.worst.1, "two");
        let idle = verdict(Counter::HeapIdle, &run);
        assert!((idle.mean - 0.25).abs() < 1e-9);
        assert!(idle.holds(), "no worse than Go itself");
    }

    #[test]
    fn gos_runs_make_a_reference_of_their_range_and_their_own_deviation() {
        let run = |heap: f64| {
            replay(|index| Figures {
                heap_alloc: ([0.0, 100.0, heap][index] * MIB) as u64,
                ..Figures::default()
            })
        };
        let runs = [run(100.0), run(104.0), run(110.0), run(120.0)];
        let reference = Reference::of_runs("test", &runs).unwrap();
        let range = reference.snapshots[2].range(Counter::HeapAlloc);
        assert_eq!(range, Range(100.0 * MIB, 104.0 * MIB, 120.0 * MIB));
        // The last against the others, whose median is 104: 10 MiB above their range at one snapshot of two.
        let own = reference.own(Counter::HeapAlloc);
        assert!((own - 10.0 / 104.0 / 2.0).abs() < 1e-9, "{own}");
        assert_eq!(reference.own(Counter::Sys), 0.0);
        let verdicts = reference.compare("test", &run(112.0)).unwrap();
        assert_eq!(verdicts[Counter::HeapAlloc as usize].mean, 0.0);
        let alone = Reference::of_runs("test", &runs[..1]).unwrap();
        assert_eq!(alone.own(Counter::HeapAlloc), 0.0);
    }

    #[test]
    fn what_the_process_had_before_is_left_out() {
        let run = replay(|_| Figures {
            sys: (7.0 * MIB) as u64,
            ..Figures::default()
        });
        let sys = verdict(Counter::Sys, &run);
        // Go's range from its baseline is -1 to 1 MiB.
        assert_eq!(sys.mean, 0.0);
        assert!(sys.holds());
    }

    #[test]
    fn small_medians_are_taken_for_the_smallest_heap() {
        let run = replay(|index| Figures {
            total_alloc: (index as f64 * 2.0 * MIB) as u64,
            ..Figures::default()
        });
        let total = verdict(Counter::TotalAlloc, &run);
        assert!((total.mean - (1.0 / 4.0 + 3.0 / 4.0) / 2.0).abs() < 1e-9);
    }

    #[test]
    fn another_traces_snapshots_are_refused() {
        let mut run = replay(|_| Figures::default());
        run[2].label = "three".into();
        assert!(reference().compare("test", &run).is_err());
        run.pop();
        assert!(reference().compare("test", &run).is_err());
    }
}
