//! `goheap replay TRACE`: runs an allocation trace on goheap and prints what the
//! heap said of itself at each snapshot.
//!
//! The figures are compared with those of Go's own heap under the same trace, so
//! what is on the heap must be the same on both sides: the trace's objects, a
//! table of pointers to them, and the array of snapshots. All else that a replay
//! needs is in mappings of its own ([`off_heap`]), and between the baseline
//! and the end nothing allocates but the trace. Output is made at the end.

mod load;
mod off_heap;
mod resident;
mod run;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use crate::Error;
use crate::record::{Figures, Record};

/// Replay an allocation trace and print a line of JSON for each of its snapshots.
///
/// A trace has one operation a line. `n COUNT` comes first: ids are below COUNT.
/// `a ID SIZE` allocates, `f ID` drops, `g` collects, `o` collects and returns
/// free memory to the system, `p PERCENT` sets GOGC, `l BYTES` sets the memory
/// limit, `w MS` sleeps, `s LABEL` takes a snapshot. `#` starts a comment.
///
/// A trace that is not one is reported as FILE:LINE: REASON, with exit code 1.
#[derive(clap::Args)]
pub struct Options {
    /// The trace's file.
    trace: PathBuf,
}

/// Replays, then prints.
pub fn run(options: &Options) -> Result<(), Error> {
    let trace = load::load(&options.trace)?;
    let snapshots = run::replay(&trace).map_err(|failed| trace.fault_at(&options.trace, failed))?;

    let mut out = BufWriter::new(io::stdout().lock());
    for (snapshot, label) in snapshots.iter().zip(&trace.labels) {
        let record = Record {
            label: label.clone(),
            seconds: snapshot.since_baseline.as_secs_f64(),
            rss: snapshot.rss,
            mem_stats: Figures::from(&snapshot.stats),
        };
        serde_json::to_writer(&mut out, &record)
            .map_err(io::Error::from)
            .and_then(|()| out.write_all(b"\n"))
            .map_err(Error::system("write to stdout"))?;
    }
    out.flush().map_err(Error::system("write to stdout"))
}
