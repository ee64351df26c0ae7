//! C programs, and what `goheap record` wrote down of them.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{PoisonError, RwLock};

use goheap_cli::trace::event::{Act, Event, Events};
use goheap_cli::trace::recording::{Reader, Total};
use tempfile::TempDir;

use super::support::{goheap, text};

/// Compiles a C program. None, with the reason printed, where there is no compiler.
pub fn compiled(folder: &TempDir, source: &str, libraries: &[&str]) -> Option<PathBuf> {
    let (file, program) = (folder.path().join("a.c"), folder.path().join("a.out"));
    fs::write(&file, source).unwrap();
    let compiler = Command::new("cc")
        .args(["-O0", "-fno-builtin", "-pthread", "-o"])
        .args([&program, &file])
        .args(libraries)
        .output();
    match compiler {
        Ok(output) => {
            assert!(output.status.success(), "{}", text(&output.stderr));
            Some(program)
        }
        Err(error) => {
            println!("skipped: there is no cc: {error}");
            None
        }
    }
}

/// Each recording removes what killed ones have left. Held for writing, none begins.
pub static RECORDS: RwLock<()> = RwLock::new(());

pub fn record(file: &Path, options: &[&str], program: &Path, arguments: &[&str]) -> Output {
    let mut command = goheap();
    command.arg("record").arg("-o").arg(file).args(options);
    command.arg("--").arg(program).args(arguments);
    let _one = RECORDS.read().unwrap_or_else(PoisonError::into_inner);
    command.output().expect("the program starts")
}

/// A whole recording.
pub fn recorded(file: &Path) -> (Vec<Event>, Total) {
    let bytes = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut reader = Reader::new(&bytes[..]).unwrap();
    let events = reader.by_ref().map(Result::unwrap).collect();
    assert_eq!(reader.cut(), None, "{} is whole", file.display());
    (events, reader.total().unwrap().clone())
}

/// That no id has two objects at once and every event is of an object that there is. The sizes
/// of those that are left.
#[track_caller]
pub fn assert_consistent(events: &[Event]) -> HashMap<u32, usize> {
    let mut live = HashMap::new();
    let mut micros = 0;
    for event in events {
        assert!(event.micros >= micros);
        micros = event.micros;
        match event.act {
            Act::Allocate { id, size, .. } => assert_eq!(live.insert(id, size), None, "{event:?}"),
            Act::Reallocate { id, size } => assert!(live.insert(id, size).is_some(), "{event:?}"),
            Act::Free { id } => assert!(live.remove(&id).is_some(), "{event:?}"),
        }
    }
    live
}

/// How many events have these sizes, which no library asks for.
pub fn count(events: &[Event], sizes: std::ops::Range<usize>) -> usize {
    let of = |event: &&Event| match event.act {
        Act::Allocate { size, .. } | Act::Reallocate { size, .. } => sizes.contains(&size),
        Act::Free { .. } => false,
    };
    events.iter().filter(of).count()
}
