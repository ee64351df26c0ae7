//! One trace of the story, run.

use std::io::Write;

use super::live;
use crate::Error;
use crate::fidelity::{Counter, Reference, Verdict};
use crate::figures::Record;
use crate::replay::again;
use crate::shipped::Shipped;

/// A trace, what goheap did with it just now, and what Go did.
pub struct Told {
    /// The trace.
    pub shipped: Shipped,
    /// goheap's snapshots, the baseline first.
    pub records: Vec<Record>,
    /// Go's.
    pub reference: Reference,
    /// How goheap's compare with Go's, counter by counter.
    pub verdicts: Vec<Verdict>,
    /// Bytes that the trace itself holds at each snapshot.
    pub live: Vec<u64>,
}

/// What a process's memory is made of at one step, in bytes. `live` to `retained`
/// are backed by memory, unless fresh from the system and not touched yet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parts {
    /// What the trace holds.
    pub live: f64,
    /// Objects that are dead but not collected, and rounding up to classes.
    pub dead: f64,
    /// Free slots and tails of spans.
    pub slots: f64,
    /// Pages in no span, kept.
    pub retained: f64,
    /// What is left of the resident set: the process itself and the heap's own
    /// records. Negative where parts of the heap are not touched yet.
    pub rest: f64,
}

impl Told {
    /// Runs the trace in a process of its own.
    pub fn by_running(shipped: Shipped) -> Result<Self, Error> {
        let mut file = tempfile::Builder::new()
            .prefix(shipped.name)
            .suffix(".trace")
            .tempfile()
            .map_err(Error::system("make a temporary file"))?;
        file.write_all(shipped.trace.as_bytes())
            .map_err(Error::system(format!("write {}", file.path().display())))?;
        let mut replay = again(file.path())?;
        let records = Record::printed_by(replay.env_clear(), shipped.name)?;
        let reference = shipped.reference()?;
        Ok(Self {
            verdicts: reference.compare(shipped.name, &records)?,
            live: live::at_snapshots(&shipped.trace),
            shipped,
            records,
            reference,
        })
    }

    /// How many steps there are, the baseline included.
    pub fn steps(&self) -> usize {
        self.records.len()
    }

    /// A counter at a step: goheap's, and Go's median.
    pub fn pair(&self, step: usize, counter: Counter) -> (f64, f64) {
        let go = self.reference.snapshots[step].range(counter).median();
        (counter.of(&self.records[step]), go)
    }

    /// What goheap's resident set is made of at a step.
    pub fn parts(&self, step: usize) -> Parts {
        let of = |counter: Counter| counter.of(&self.records[step]);
        let live = self.live[step] as f64;
        // What the heap held before the first operation belongs to the process.
        let before = Counter::HeapAlloc.of(&self.records[0]);
        let dead = (of(Counter::HeapAlloc) - before - live).max(0.0);
        let slots = of(Counter::HeapInuse) - of(Counter::HeapAlloc);
        let retained = of(Counter::HeapIdle) - of(Counter::HeapReleased);
        Parts {
            live,
            dead,
            slots,
            retained,
            rest: of(Counter::Rss) - live - dead - slots - retained,
        }
    }
}
