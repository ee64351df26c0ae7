//! The built program, started on traces as a user would start it.
#![allow(dead_code, reason = "each test binary uses its part of this")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use goheap_cli::figures::Record;
use tempfile::NamedTempFile;

/// How the names of the heap's knobs begin, which the tests' own environment must not turn.
const KNOBS: [&str; 5] = ["GOGC", "GOMEMLIMIT", "GOMAXPROCS", "GODEBUG", "GOHEAP_"];

/// The program, with every knob at its default.
pub fn goheap() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_goheap"));
    without_knobs(&mut command);
    command
}

/// Has a command leave out what the tests' own environment says of knobs.
pub fn without_knobs(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if KNOBS.iter().any(|knob| text.starts_with(knob)) {
            command.env_remove(&name);
        }
    }
}

/// Copies a program that is then started. Another process does it: one that this one forks meanwhile would
/// have the copy open for writing until it becomes another program, and what is open for writing cannot be started.
#[track_caller]
pub fn copied(from: &Path, to: &Path) {
    let copy = Command::new("cp").args([from, to]).status();
    assert!(copy.expect("cp starts").success(), "{}", to.display());
}

/// A trace in a file, which goes when this does.
pub fn written(trace: impl AsRef<[u8]>) -> NamedTempFile {
    let mut file = NamedTempFile::with_suffix(".trace").expect("a temporary file can be made");
    file.write_all(trace.as_ref())
        .expect("a temporary file can be written");
    file
}

/// `goheap replay` on that file, run to its end, however that is.
pub fn run(trace: &Path) -> Output {
    let mut command = goheap();
    command.arg("replay").arg(trace);
    command.output().expect("the program starts")
}

/// The lines that a replay of this trace prints. Fails when it does not succeed.
#[track_caller]
pub fn lines(trace: impl AsRef<[u8]>) -> Vec<String> {
    printed(written(trace).path())
}

/// The lines that a replay of that file prints. Fails when it does not succeed.
#[track_caller]
pub fn printed(trace: &Path) -> Vec<String> {
    let output = run(trace);
    let said = text(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    assert_eq!(said, "", "a replay that succeeds says nothing");
    text(&output.stdout).lines().map(str::to_owned).collect()
}

/// Those lines, read.
#[track_caller]
pub fn read(lines: &[String]) -> Vec<Record> {
    let records = lines.iter().map(|line| serde_json::from_str(line));
    records
        .collect::<Result<_, _>>()
        .expect("a line of a replay reads back")
}

/// The snapshots of a replay of this trace, the baseline first.
#[track_caller]
pub fn replay(trace: impl AsRef<[u8]>) -> Vec<Record> {
    read(&lines(trace))
}

/// What the program printed, which is UTF-8.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the program prints UTF-8")
}
