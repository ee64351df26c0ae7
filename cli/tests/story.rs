//! `goheap` without arguments tells the whole story and leaves its chart behind.

mod support;

use std::fs;
use std::path::Path;
use std::process::Output;

use goheap_cli::shipped;

use support::{goheap, text};

/// The story told in that folder.
fn tell(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = goheap();
    command.args(arguments).current_dir(folder);
    command.output().expect("the program starts")
}

/// The story's traces, and how their snapshots are called, in order.
fn traces() -> Vec<(&'static str, Vec<String>)> {
    let mut traces = Vec::new();
    for shipped in shipped::all() {
        if shipped.name != "sizes" {
            let reference = shipped.reference().expect("a shipped reference reads");
            let labels = reference.snapshots.into_iter().map(|at| at.label);
            traces.push((shipped.name, labels.collect()));
        }
    }
    traces
}

/// Fails unless every element that is opened is closed, in order. Returns the text in between.
#[track_caller]
fn contents_of(svg: &str) -> Vec<&str> {
    let mut open = Vec::new();
    let mut contents = Vec::new();
    let mut rest = svg;
    while let Some(start) = rest.find('<') {
        let said = rest[..start].trim();
        assert!(!said.contains('>'), "{said}");
        if !said.is_empty() {
            contents.push(said);
        }
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "the end of another element"),
            None => {
                assert_eq!(tag.matches('"').count() % 2, 0, "<{tag}>");
                if !tag.ends_with('/') {
                    open.extend(tag.split_ascii_whitespace().next());
                }
            }
        }
    }
    assert_eq!(rest.trim(), "");
    assert_eq!(open, [""; 0], "all elements are closed");
    contents
}

#[test]
fn it_prints_tables_and_sentences_and_writes_the_chart() {
    let folder = tempfile::tempdir().unwrap();
    let output = tell(folder.path(), &[]);
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    assert_eq!(stderr, "", "progress is shown on a terminal only");
    let story = text(&output.stdout);
    let traces = traces();
    assert_eq!(traces.len(), 8);

    // A table a trace: its name, then its header, a row a snapshot, and the verdict.
    let (tables, sentences) = story
        .split_once("Why ps shows more than the heap profile\n")
        .expect("the second part follows the tables");
    let mut rest = tables;
    for (name, labels) in &traces {
        (_, rest) = rest
            .split_once(&format!("\n{name}\n"))
            .unwrap_or_else(|| panic!("no table of {name}, or out of order:\n{tables}"));
        let (table, below) = rest.split_once(" of 10 counters ").expect(name);
        rest = below;
        for counter in ["Sys", "HeapAlloc", "HeapIdle", "HeapReleased", "RSS"] {
            assert!(table.contains(counter), "no {counter} in\n{table}");
        }
        assert_eq!(table.matches("goheap    Go").count(), 5, "{table}");
        let rows = table.lines().map(|line| line.split_whitespace().next());
        let rows: Vec<_> = rows
            .flatten()
            .filter(|word| labels.iter().any(|label| label == word))
            .collect();
        assert_eq!(&rows, labels, "{table}");
        assert!(rest.starts_with("behave as Go's did"), "{name}");
    }

    // A reason a trace, in sentences below its name.
    let (sentences, last) = sentences
        .trim_end()
        .rsplit_once('\n')
        .expect("the reasons, then a last line");
    let mut reasons = sentences.trim().split("\n\n");
    for (name, _) in &traces {
        let reason = reasons.next().unwrap_or_else(|| panic!("none of {name}"));
        let said = reason
            .strip_prefix(name)
            .unwrap_or_else(|| panic!("none of {name}, or out of order:\n{reason}"));
        assert!(
            said.contains(" MB by ps, ") && said.ends_with('.'),
            "{said}"
        );
        assert!(!said.contains("NaN") && !said.contains("inf "), "{said}");
    }
    assert_eq!(reasons.next(), None);

    // The chart, where the last line says.
    assert_eq!(last, "Chart: goheap-story.svg");
    let svg = fs::read_to_string(folder.path().join("goheap-story.svg")).unwrap();
    assert!(svg.starts_with("<svg "), "{:.80}", svg);
    let contents = contents_of(&svg);
    for (name, labels) in &traces {
        assert!(contents.contains(name), "no panel of {name}");
        for label in labels {
            assert!(contents.contains(&label.as_str()), "no step {label}");
        }
    }
    for part in ["goheap", "Go 1.27.3", "RSS: what ps shows"] {
        assert!(contents.contains(&part), "no {part} in the legend");
    }
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "it leaves nothing but the chart: {left:?}");
}

#[test]
fn a_chart_that_cannot_be_written_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let output = tell(folder.path(), &["--out", "missing/chart.svg"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        "goheap: cannot write missing/chart.svg: No such file or directory (os error 2)\n"
    );
    assert_eq!(text(&output.stdout), "", "it is said before the traces run");
}

#[test]
fn the_policies_are_told_in_a_table_sentences_and_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let output = tell(folder.path(), &["story", "--policies"]);
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    assert_eq!(stderr, "", "progress is shown on a terminal only");
    let story = text(&output.stdout);
    let (before, chart) = story.trim_end().rsplit_once('\n').expect("a last line");
    assert_eq!(chart, "Chart: goheap-policies.svg");
    let svg = fs::read_to_string(folder.path().join("goheap-policies.svg")).unwrap();
    let contents = contents_of(&svg);
    let groups = [
        "go1.1 – go1.3",
        "go1.4",
        "go1.12",
        "go1.13",
        "go1.22 – go1.27",
    ];
    for name in groups {
        assert!(contents.contains(&name), "no panel of {name}");
        let lines = before.lines().filter(|line| line.trim().starts_with(name));
        assert!(
            lines.count() >= 2,
            "no row or no sentence of {name}:\n{before}"
        );
    }
    for odd in ["NaN", "inf ", " 0 %"] {
        assert!(!before.contains(odd), "{odd} in\n{before}");
    }
    assert_eq!(before.matches("MADV_FREE").count(), 3, "{before}");
}
