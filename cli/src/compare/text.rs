//! A recording as a text that Go's replayer reads, too.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use tempfile::NamedTempFile;

use crate::Error;
use crate::replay::SNAPSHOTS;
use crate::replay::prepare::{label, marked, survey};
use crate::trace::event::Act;
use crate::trace::open::{Form, open};
use crate::trace::{Item, Reader};

/// The recording as a text in a temporary file; none if it is a text already, which is
/// checked then.
pub fn of(path: &Path) -> Result<Option<NamedTempFile>, Error> {
    let Form::Recorded(events) = open(path)? else {
        return check(path).map(|()| None);
    };
    let survey = survey(path, events)?;
    let Form::Recorded(events) = open(path)? else {
        return Err(Error::System {
            doing: format!("read {}", path.display()),
            source: io::Error::other("it has changed meanwhile"),
        });
    };
    let writing = || Error::system("write a temporary file");
    let file = NamedTempFile::with_suffix(".trace").map_err(writing())?;
    let mut out = BufWriter::new(file);
    writeln!(out, "n {}", survey.ids).map_err(writing())?;
    marked(path, events, &survey, SNAPSHOTS, |event, mark| {
        match event.act {
            // In Go, what grows is allocated anew, and the old object is garbage.
            Act::Allocate { id, size, .. } | Act::Reallocate { id, size } => {
                writeln!(out, "a {id} {size}")
            }
            Act::Free { id } => writeln!(out, "f {id}"),
        }
        .and_then(|()| match mark {
            Some(mark) => writeln!(out, "s {}", label(mark, SNAPSHOTS, event.micros)),
            None => Ok(()),
        })
        .map_err(writing())
    })?;
    let file = out.into_inner().map_err(|error| error.into_error());
    file.map(Some).map_err(writing())
}

/// That the text can be read and has something to compare at.
fn check(path: &Path) -> Result<(), Error> {
    let text = std::fs::read(path).map_err(Error::system(format!("read {}", path.display())))?;
    let mut snapshots = 0;
    for item in Reader::new(&text) {
        let item = item.map_err(|fault| Error::Trace {
            path: path.into(),
            fault,
        })?;
        snapshots += usize::from(matches!(item, Item::Snapshot(..)));
    }
    if snapshots == 0 {
        return Err(Error::System {
            doing: format!("compare at {}", path.display()),
            source: io::Error::other("it has no snapshot; a line `s LABEL` takes one"),
        });
    }
    Ok(())
}
