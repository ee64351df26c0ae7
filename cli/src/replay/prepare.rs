//! Traces of all forms prepared for replay.

use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

use super::load::Mapped;
use super::prepared::{About, Preparation};
use super::step::Step;
use crate::Error;
use crate::output::say;
use crate::trace::event::{Act, Event, Events};
use crate::trace::open::{Form, open};
use crate::trace::{Item, Op};

/// malloc's blocks lie at multiples of 2 to this.
const MALLOC_ALIGN: u8 = 4;
/// Lanes that threads are put on: more of them than this share lanes.
const LANES: u32 = 64;

/// What is looked at in the course of a replay.
#[derive(Clone, Copy)]
pub enum Marks {
    /// The heap's figures, so many times.
    Snapshots(usize),
    /// The resident set, so many times; snapshots are left out.
    Samples(usize),
}

/// What is known of a recording when it has been read once.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// How many events there are.
    pub events: u64,
    /// Ids are below this.
    pub ids: u32,
    /// How many threads take part.
    pub threads: u32,
}

/// Reads a recording through. Says on standard error if it stops before its end.
pub fn survey(path: &Path, mut events: Box<dyn Events>) -> Result<Survey, Error> {
    let mut survey = Survey::default();
    for event in events.by_ref() {
        let event = event.map_err(broken(path))?;
        survey.events += 1;
        survey.threads = survey.threads.max(event.thread + 1);
        survey.ids = survey.ids.max(event.act.id() + 1);
    }
    if let Some(place) = events.cut() {
        let file = path.display();
        let at = crate::error::at(place);
        say(format_args!(
            "goheap: {file}:{at} the recording stops before its end; its {} events are taken",
            survey.events
        ));
    }
    Ok(survey)
}

/// A recording's events, and after which of them a mark stands.
pub fn marked(
    path: &Path,
    events: Box<dyn Events>,
    survey: &Survey,
    marks: usize,
    mut each: impl FnMut(Event, Option<usize>) -> Result<(), Error>,
) -> Result<(), Error> {
    let (mut seen, mut mark) = (0, 0);
    for event in events {
        seen += 1;
        // The next mark's share of the events, rounded up.
        let due = (mark as u64 + 1) * survey.events <= seen * marks as u64;
        let event = event.map_err(broken(path))?;
        each(event, due.then_some(mark))?;
        mark += usize::from(due);
    }
    Ok(())
}

fn broken(path: &Path) -> impl FnOnce(crate::trace::event::Broken) -> Error {
    |broken| Error::Recording {
        path: path.into(),
        broken,
    }
}

/// What a mark in a recording is called.
pub fn label(mark: usize, marks: usize, micros: u64) -> String {
    let share = (mark + 1) * 100 / marks;
    format!("{share} % at {:.3} s", micros as f64 / 1e6)
}

/// Prepares any trace.
pub fn prepare(path: &Path, marks: Marks) -> Result<NamedTempFile, Error> {
    match open(path)? {
        Form::Text => from_text(path, marks),
        Form::Recorded(events) => from_recording(path, events, marks),
    }
}

fn writing() -> impl FnOnce(io::Error) -> Error {
    Error::system("write a temporary file")
}

fn from_recording(
    path: &Path,
    events: Box<dyn Events>,
    marks: Marks,
) -> Result<NamedTempFile, Error> {
    let survey = survey(path, events)?;
    let Form::Recorded(events) = open(path)? else {
        return Err(Error::System {
            doing: format!("read {}", path.display()),
            source: io::Error::other("it has changed meanwhile"),
        });
    };
    let mut out = Preparation::new().map_err(writing())?;
    let mut about = About {
        origin: path.display().to_string(),
        ids: survey.ids,
        threads: survey.threads.clamp(1, LANES),
        ..About::default()
    };
    let count = match marks {
        Marks::Snapshots(count) | Marks::Samples(count) => count,
    };
    let mut lane = 0;
    marked(path, events, &survey, count, |event, mark| {
        let mut push = |step| out.push(step).map_err(writing());
        if event.thread % LANES != lane {
            lane = event.thread % LANES;
            push(Step::Thread(lane))?;
        }
        let mut act = event.act;
        if let Act::Allocate { size, align, .. } = &mut act {
            // malloc gives an object of its own for nothing, too.
            *size = (*size).max(1);
            *align = (*align).max(MALLOC_ALIGN);
        }
        push(Step::Act(act))?;
        match (mark, marks) {
            (None, _) => Ok(()),
            (Some(mark), Marks::Snapshots(count)) => {
                about.labels.push(label(mark, count, event.micros));
                push(Step::Snapshot)
            }
            (Some(_), Marks::Samples(_)) => {
                about.samples += 1;
                push(Step::Sample)
            }
        }
    })?;
    out.finish(&about).map_err(writing())
}

fn from_text(path: &Path, marks: Marks) -> Result<NamedTempFile, Error> {
    let text = Mapped::open(path)?;
    let Marks::Samples(samples) = marks else {
        return Err(Error::System {
            doing: format!("prepare {}", path.display()),
            source: io::Error::other("texts take snapshots where they say"),
        });
    };
    let mut out = Preparation::new().map_err(writing())?;
    let mut about = About {
        origin: path.display().to_string(),
        threads: 1,
        ..About::default()
    };
    let operations = text.items().filter(Result::is_ok).count();
    let mut seen = 0;
    for item in text.items() {
        seen += 1;
        let step = match item? {
            Item::Ids(count) => {
                about.ids = count;
                None
            }
            Item::Snapshot(..) => None,
            Item::Op(op) => step(op),
        };
        if let Some(step) = step {
            out.push(step).map_err(writing())?;
        }
        if (about.samples + 1) * operations <= seen * samples {
            about.samples += 1;
            out.push(Step::Sample).map_err(writing())?;
        }
    }
    out.finish(&about).map_err(writing())
}

/// A text's operation: what Go allocates is zeroed, and of size 0 nothing.
fn step(op: Op) -> Option<Step> {
    Some(match op {
        Op::Allocate { id, size: 0 } | Op::Free { id } => Step::Act(Act::Free { id }),
        Op::Allocate { id, size } => Step::Act(Act::Allocate {
            id,
            size,
            align: 0,
            zeroed: true,
        }),
        Op::Collect => Step::Collect,
        Op::Release => Step::Release,
        Op::Percent(percent) => Step::Percent(percent),
        Op::Limit(bytes) => Step::Limit(bytes),
        Op::Sleep(ms) => Step::Sleep(ms),
        Op::Snapshot(_) => return None,
    })
}
