//! Starts the program, looks at it now and then until it ends, and passes signals on.
//!
//! The page is made between `fork` and `exec`, so that there is no moment in which the program could
//! end unseen: it takes the page over, leaves a last snapshot in it as it exits, and leaves the file to
//! be removed here.

use std::ffi::OsStr;
use std::io::{IsTerminal, stderr};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant, SystemTime};

use goheap_stats::roll::VARIABLE;
use goheap_stats::shared_page::{Command as Ask, Life};
use indicatif::{ProgressBar, ProgressStyle};

use super::children::Children;
use super::explained::Explained;
use super::roll::Roll;
use super::seldom::Seldom;
use super::timeline::{Row, Timeline};
use crate::observe::{self, Page};
use crate::output::say;
use crate::passed_on::Started;
use crate::{Error, amount, map};

/// How a program ran.
pub struct Watched {
    /// Its process.
    pub started: Started,
    /// How it ended.
    pub status: ExitStatus,
    /// When it was started.
    pub begun: SystemTime,
    /// How long it ran.
    pub took: Duration,
    /// What was seen of it.
    pub timeline: Timeline,
    /// Why its memory was resident.
    pub explained: Explained,
    /// Its heap over time.
    pub map: map::Timeline,
    /// The programs that it started.
    pub children: Children,
    /// Whether all of that could be written down.
    pub written: Result<(), Error>,
}

/// The first look at a program comes after this; then each after twice the time, up to what was
/// asked for, so that a short program is seen more than once.
const FIRST: Duration = Duration::from_millis(1);

/// How long a look may take. A program that is stopped does not answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether there is somebody to read a live line.
pub fn is_terminal() -> bool {
    stderr().is_terminal()
}

/// Runs the program to its end.
///
/// # Errors
/// It cannot be started, or what is seen cannot be written.
pub fn to_the_end(
    mut command: Command,
    csv: &Path,
    every: Duration,
    quiet: bool,
) -> Result<Watched, Error> {
    let mut timeline = Timeline::new(csv, monotonic_ns())?;
    // Without it, programs that it starts are known if they are seen as they run.
    let roll = Roll::open(csv.parent().unwrap_or(Path::new("."))).ok();
    if let Some(roll) = &roll {
        command.env(OsStr::from_bytes(VARIABLE.to_bytes()), roll.path());
    }
    // SAFETY: what is called there allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(|| {
            // Without a page the program runs all the same, and is not seen.
            goheap::prepare_for_exec();
            Ok(())
        })
    };
    let program = command.get_program().to_owned();
    let (begun, start, start_ns) = (SystemTime::now(), Instant::now(), monotonic_ns());
    let mut started = Started::by(command).map_err(|error| {
        // Takes away the page of the process that did not become the program.
        observe::list();
        not_started(program.into(), error)
    })?;
    let page = observe::of_child(started.pid());
    if page.is_none() {
        say("goheap: the program runs unseen: its page in /dev/shm cannot be made");
    }
    let line = (!quiet && is_terminal()).then(live_line);
    let mut pause = FIRST.min(every);
    // A disk that is full does not end the program; it is told once that has ended.
    let mut looked = Ok(());
    let (mut explained, mut map) = (Explained::default(), map::Timeline::default());
    let mut children = Children::default();
    let (mut explains, mut maps) = (Seldom::default(), Seldom::default());
    let status = loop {
        if let Some(status) = started.ended_within(pause)? {
            break status;
        }
        if let (Some(page), Ok(())) = (&page, &looked) {
            let before = timeline.rows.count;
            looked = look(page, &mut timeline);
            if let Some((row, _)) = timeline.last().filter(|_| timeline.rows.count > before) {
                explains.run(|| explained.look(page, started.pid(), row.seconds));
                maps.run(|| {
                    // It has ended meanwhile, or is stopped.
                    if let Ok((_, _, runs)) = page.map() {
                        map.add(row.seconds, &runs);
                    }
                });
            }
        }
        children.look(started.pid(), start.elapsed().as_secs_f64());
        if let (Some(line), Some((row, _))) = (&line, timeline.last()) {
            line.set_message(words(row));
        }
        pause = (pause * 2).min(every);
    };
    let took = start.elapsed();
    if let Some(line) = &line {
        line.finish_and_clear();
    }
    if let Some(page) = &page {
        page.remove();
        if let (Some(last), Ok(())) = (page.last(), &looked) {
            looked = timeline.add(last);
        }
    }
    timeline.finish();
    if let Some(roll) = roll {
        children.told(roll.close(), started.pid(), start_ns);
    }
    Ok(Watched {
        started,
        status,
        begun,
        took,
        timeline,
        explained,
        map,
        children,
        written: looked,
    })
}

/// The program was found and looked sound, yet the system refuses it.
fn not_started(program: PathBuf, error: Error) -> Error {
    match error {
        Error::System { source, .. } => Error::Program {
            program,
            reason: format!("cannot be run: {source}"),
            code: 126,
        },
        other => other,
    }
}

/// Has the program take a snapshot, if it has begun and answers.
fn look(page: &Page, timeline: &mut Timeline) -> Result<(), Error> {
    if page.life() != Life::Running {
        return Ok(());
    }
    match page.ask_within(Ask::Look, PATIENCE) {
        Ok(snapshot) => timeline.add(snapshot),
        // It has ended meanwhile, or is stopped.
        Err(_) => Ok(()),
    }
}

fn live_line() -> ProgressBar {
    let line = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
        line.set_style(style);
    }
    line
}

/// A look in a line.
fn words(row: &Row) -> String {
    format!(
        "live {}  goal {}  in use {}  idle {}  released {}  RSS {}  cycles {}",
        amount::bytes(row.heap_live),
        amount::goal(row.goal),
        amount::bytes(row.live + row.since + row.slots),
        amount::bytes(row.retained),
        amount::bytes(row.released),
        amount::bytes(row.rss),
        row.cycles
    )
}

fn monotonic_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes one timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    (time.tv_sec as u64) * 1_000_000_000 + time.tv_nsec as u64
}
