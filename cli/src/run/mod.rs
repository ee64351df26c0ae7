//! `goheap run -- PROGRAM`: runs any program on the heap, watches it, passes on how it ended, and
//! leaves a report.
//!
//! | file | idea |
//! | --- | --- |
//! | `watch.rs` | start it, look at it, pass signals on |
//! | `timeline.rs` | what was seen |
//! | `children.rs` | what it started |
//! | `explained.rs` | why memory was resident, the highest and the last time that this was asked |
//! | `roll.rs` | what those told of themselves |
//! | `seldom.rs` | what takes a while is done as often as a small share of the time allows |
//! | `summary.rs`, `report.rs` | what is left of it: JSON, and a page to read |

mod chart;
mod children;
mod explained;
mod report;
mod roll;
mod seldom;
mod summary;
mod timeline;
mod watch;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::output::{self, say};
use crate::{Error, amount, map, passed_on, preload, program, steer};
use summary::Summary;
use timeline::Timeline;

/// Run a program on Go's memory manager, watch it, and write a report.
///
/// The program runs with libgoheap.so preloaded: every malloc in it, in its libraries and in the
/// programs that it starts is served by goheap. Its standard streams are its own. It must be linked
/// dynamically against glibc, be neither setuid nor setgid, and be built without sanitizers; LD_PRELOAD
/// may name no other malloc. Watched is the process that is
/// started, through each program that it becomes by exec. The programs that it starts tell of themselves as they
/// begin and end, so the report has all of them with their largest RSS; what their heaps were, of those that ran
/// long enough to be seen. goheap top shows them as they run.
///
/// Exit code: that of the program; if a signal ended it, goheap ends by the same signal (shells
/// show 128 + its number). 127: the program is not found; 126: it cannot be run, or not on the
/// library; 125: goheap itself failed. SIGINT, SIGTERM, SIGHUP and SIGQUIT that are sent to goheap
/// are passed on.
#[derive(clap::Args)]
pub struct Options {
    /// GOGC for the program: percent, or off.
    #[arg(long, value_name = "N", value_parser = checked("GOGC"), allow_hyphen_values = true)]
    gogc: Option<String>,
    /// GOMEMLIMIT for the program: 512MiB, 1GiB, off.
    #[arg(long, value_name = "SIZE", value_parser = checked("GOMEMLIMIT"))]
    memlimit: Option<String>,
    /// GOHEAP_POLICY for the program: the version of Go whose behaviour to follow.
    #[arg(long, value_name = "P", value_parser = checked("GOHEAP_POLICY"))]
    policy: Option<String>,
    /// GOHEAP_HTTP for the program: 127.0.0.1:6060, 6060, off. Takes a libgoheap.so built with the feature http.
    #[arg(long, value_name = "ADDRESS", value_parser = checked("GOHEAP_HTTP"))]
    http: Option<String>,
    /// Where to write timeline.csv, summary.json, report.html and map.html [default: goheap-run.PID].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Time between two looks at the program: 50ms, 1s; a number alone is milliseconds.
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = amount::between_looks(1))]
    every: Duration,
    /// No live line, and no closing one.
    #[arg(long, short)]
    quiet: bool,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, value_name = "PROGRAM")]
    command: Vec<OsString>,
}

/// The file of the heap's map over time.
const MAP: &str = "map.html";

/// A value that the heap would take for that variable.
fn checked(name: &'static str) -> impl Fn(&str) -> Result<String, String> + Clone {
    move |text| steer::knob(name, text).map(|_| text.to_owned())
}

/// Runs the program to its end. Returns the exit code, unless a signal ended the program.
pub fn run(options: &Options) -> Result<ExitCode, Error> {
    passed_on::or_failed(run_to_end(options))
}

fn run_to_end(options: &Options) -> Result<ExitCode, Error> {
    let (name, arguments) = options.command.split_first().ok_or(Error::Program {
        program: PathBuf::new(),
        reason: "is not named".into(),
        code: passed_on::FAILED,
    })?;
    program::check(name)?;
    let mut command = preload::command(name, arguments)?;
    command.env("GOHEAP_PUBLISH", "1");
    for (variable, value) in [
        ("GOGC", &options.gogc),
        ("GOMEMLIMIT", &options.memlimit),
        ("GOHEAP_POLICY", &options.policy),
        ("GOHEAP_HTTP", &options.http),
    ] {
        if let Some(value) = value {
            command.env(variable, value);
        }
    }
    let folder = options
        .out
        .clone()
        .unwrap_or_else(|| format!("goheap-run.{}", std::process::id()).into());
    output::make_folder(&folder)?;

    let knobs = summary::knobs_in_force(&command);
    let csv = folder.join("timeline.csv");
    let mut watched = watch::to_the_end(command, &csv, options.every, options.quiet)?;
    let children = std::mem::take(&mut watched.children).by_size();
    let summary = Summary::of(&options.command, knobs, &watched, children);
    let written = watched
        .written
        .and_then(|()| leave(&summary, &watched.timeline, &watched.map, &folder));
    if let Err(error) = written {
        say(error);
        return watched.started.pass_on_failed(watched.status);
    }
    if !options.quiet && watch::is_terminal() {
        let report = folder.join("report.html");
        say(format_args!(
            "goheap: {}; {}",
            summary.in_short(),
            report.display()
        ));
    }
    watched.started.pass_on(watched.status)
}

/// Writes what is left of a run beside its timeline.
fn leave(
    summary: &Summary,
    timeline: &Timeline,
    map: &map::Timeline,
    folder: &Path,
) -> Result<(), Error> {
    write(&folder.join("summary.json"), &summary.json()?)?;
    if !map.is_empty() {
        let page = map.page(summary.name(), summary.pid)?;
        write(&folder.join(MAP), &page)?;
    }
    let page = report::page(summary, timeline, (!map.is_empty()).then_some(MAP))?;
    write(&folder.join("report.html"), &page)
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(Error::system(format!("write {}", path.display())))
}
