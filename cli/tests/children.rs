//! `goheap run` tells of the programs that the one it runs starts.

#[path = "support/ran.rs"]
mod ran;
mod support;

use std::fs;

use ran::{folder, run, summary};
use support::text;

#[test]
fn each_program_that_it_starts_is_known_however_short_it_lives() {
    let out = folder();
    // The shell forks for each; the last but one becomes another program, and the last is killed.
    let script = r#"
        i=0
        while [ $i -lt 50 ]; do /bin/true; i=$((i+1)); done
        sh -c 'exec /bin/cat /dev/null'
        sh -c 'kill -KILL $$'
        exit 3"#;
    // So seldom that none is seen.
    let output = run(out.path(), &["--every", "3600000"], &["sh", "-c", script])
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let summary = summary(out.path());
    let children = summary["children"].as_array().expect("a list");
    let named = |name: &str| {
        let named = children.iter().filter(|child| child["program"] == name);
        named.collect::<Vec<_>>()
    };
    assert_eq!(named("true").len(), 50);
    assert_eq!(
        (named("cat").len(), named("sh").len()),
        (1, 2),
        "{children:?}"
    );
    assert_eq!(
        (&summary["programs_started"], children.len()),
        (&53.into(), 53)
    );
    for child in named("true").into_iter().chain(named("cat")) {
        let rss = child["peak_rss"].as_u64().expect("it told it at its end");
        assert!((100_000..1 << 30).contains(&rss), "{child}");
        let (from, until) = (child["from"].as_f64(), child["until"].as_f64());
        assert!(Some(0.0) < from && from < until && until <= summary["seconds"].as_f64());
    }
    let page = fs::read_to_string(out.path().join("report.html")).expect("a report");
    assert!(page.contains("53 programs"));
    let left = fs::read_dir(out.path()).expect("a folder").flatten();
    assert!(
        !left
            .map(|entry| entry.file_name())
            .any(|name| name == ".roll")
    );
}

#[test]
fn a_program_that_has_the_library_no_more_is_none_of_them() {
    let out = folder();
    let output = run(out.path(), &[], &["sh", "-c", "env -i /bin/true; exit 3"])
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    // env itself is one; what it becomes has nothing preloaded.
    assert_eq!(summary(out.path())["programs_started"], 1);
}
