//! `goheap run`, and what it left.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::support::goheap;

pub fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

/// `goheap run` with its report in `out`.
pub fn run(out: &Path, options: &[&str], command: &[&str]) -> Command {
    let mut run = goheap();
    run.args(["run", "--out"]).arg(out).args(options);
    run.arg("--").args(command);
    run
}

pub fn summary(out: &Path) -> Value {
    let text = fs::read(out.join("summary.json")).expect("there is a summary");
    serde_json::from_slice(&text).expect("JSON")
}
