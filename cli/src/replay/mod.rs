//! `goheap replay TRACE`: runs an allocation trace and prints what the heap said of itself, or how
//! several allocators fare with it.
//!
//! | file | idea |
//! | --- | --- |
//! | `load.rs`, `run.rs` | a text, run as Go's own replayer runs it, for figures that are compared with Go's |
//! | `go_runtime.rs` | what Go's runtime would have beside that heap, held in its stead |
//! | `prepare.rs`, `prepared.rs`, `step.rs` | any trace as a file of steps |
//! | `player.rs`, `memory.rs` | that file, run on goheap or on malloc |
//! | `watch.rs`, `resident.rs`, `off_heap.rs` | what is noted meanwhile, without allocating |
//! | `allocators.rs`, `chart.rs` | one process an allocator, side by side |
//!
//! What is on a measured heap is the trace's objects and next to nothing else: a text and all
//! that goes with it lies in mappings of its own (`off_heap`); a recording is prepared by one process and
//! played by another, which finds a prepared trace where it is given a file. Output is made at the end.

mod allocators;
mod chart;
mod go_runtime;
mod load;
mod memory;
mod off_heap;
mod player;
pub mod prepare;
mod prepared;
mod resident;
mod run;
mod step;
mod watch;

use std::env;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::figures::{Figures, Record};
use crate::trace::open::{Form, open};
use allocators::Allocator;
use memory::{Goheap, Malloc};
use prepare::Marks;
use prepared::Prepared;
use watch::Snapshot;

/// Replay an allocation trace: what does the heap do, or how do allocators compare?
///
/// A trace is what `goheap record` writes, a recording of heaptrack (raw or interpreted, packed or not), or
/// a text; the file's content says which. Without --allocator, a line of JSON is printed for what is there before
/// the first operation (`baseline`), and for each snapshot; of recordings, twenty are taken. Sizes in it are bytes.
///
/// A text has one operation a line. `n COUNT` comes first: ids are below COUNT.
/// `a ID SIZE` allocates, `f ID` drops, `g` collects, `o` collects and returns
/// free memory to the system, `p PERCENT` sets GOGC, `l BYTES` sets the memory
/// limit, `w MS` sleeps, `s LABEL` takes a snapshot. `#` starts a comment.
///
/// A recording is replayed at full speed, on as many threads as it has (at most 64), one at a time, in the recorded
/// order. Each page of an object is written to.
///
/// A trace that is not one is reported as FILE:LINE: REASON, a recording as FILE: byte N: REASON; the exit code is 1.
#[derive(clap::Args)]
pub struct Options {
    /// The trace's file.
    trace: PathBuf,
    /// Replay on this, each in a process of its own, and compare resident sets: goheap, system, mimalloc,
    /// jemalloc, or the path of a library that has a malloc. May be given several times, or
    /// several with commas between.
    #[arg(long = "allocator", value_name = "NAME", value_delimiter = ',')]
    allocators: Vec<Allocator>,
    /// Where the allocators' chart goes.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "goheap-replay.svg",
        value_parser = crate::picture::path,
        requires = "allocators"
    )]
    out: PathBuf,
}

/// Snapshots of a recording, which has none of its own.
pub const SNAPSHOTS: usize = 20;

/// The resident set at one point of a replay, as a line of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Point {
    /// Since the baseline.
    seconds: f64,
    /// In bytes.
    #[serde(rename = "RSS")]
    rss: u64,
}

/// Replays, then prints.
pub fn run(options: &Options) -> Result<ExitCode, Error> {
    if let Some(prepared) = Prepared::open_if(&options.trace)? {
        return play(&prepared, options).map(|()| ExitCode::SUCCESS);
    }
    let form = open(&options.trace)?;
    if !options.allocators.is_empty() {
        drop(form);
        return allocators::compare(options).map(|()| ExitCode::SUCCESS);
    }
    match form {
        Form::Text => text(&options.trace).map(|()| ExitCode::SUCCESS),
        Form::Recorded(_) => {
            drop(form);
            let prepared = prepare::prepare(&options.trace, Marks::Snapshots(SNAPSHOTS))?;
            let status = again(prepared.path())?
                .status()
                .map_err(Error::system("replay in a process of its own"))?;
            // It has said what was wrong.
            Ok(ExitCode::from(status.code().unwrap_or(1) as u8))
        }
    }
}

/// This program once more, to replay that file.
pub fn again(trace: &Path) -> Result<Command, Error> {
    let program = env::current_exe().map_err(Error::system("find this program's own file"))?;
    let mut command = Command::new(program);
    command.arg("replay").arg(trace);
    Ok(command)
}

fn text(path: &Path) -> Result<(), Error> {
    let trace = load::load(path)?;
    let snapshots = run::replay(&trace).map_err(|failed| trace.fault_at(path, failed))?;
    let records = snapshots
        .iter()
        .zip(&trace.labels)
        .map(|(snapshot, label)| record(snapshot, label));
    print(records)
}

fn play(prepared: &Prepared, options: &Options) -> Result<(), Error> {
    let on_goheap = options.allocators.iter().all(Allocator::is_goheap);
    let played = match on_goheap {
        true => player::play::<Goheap>(prepared)?,
        false => player::play::<Malloc>(prepared)?,
    };
    if prepared.about.samples > 0 {
        return print(played.samples.iter().map(|sample| Point {
            seconds: sample.since.as_secs_f64(),
            rss: sample.rss,
        }));
    }
    let labels =
        std::iter::once("baseline").chain(prepared.about.labels.iter().map(String::as_str));
    let records = played
        .snapshots
        .iter()
        .zip(labels)
        .map(|(snapshot, label)| record(snapshot, label));
    print(records)
}

fn record(snapshot: &Snapshot, label: &str) -> Record {
    Record {
        label: label.into(),
        seconds: snapshot.since_ns as f64 / 1e9,
        processor_seconds: snapshot.processor_ns as f64 / 1e9,
        rss: snapshot.rss,
        mem_stats: Figures::from(&snapshot.stats),
    }
}

/// A line of JSON each.
fn print(lines: impl Iterator<Item = impl Serialize>) -> Result<(), Error> {
    let mut out = BufWriter::new(io::stdout().lock());
    for line in lines {
        serde_json::to_writer(&mut out, &line)
            .map_err(io::Error::from)
            .and_then(|()| out.write_all(b"\n"))
            .map_err(Error::unwritten)?;
    }
    out.flush().map_err(Error::unwritten)
}
