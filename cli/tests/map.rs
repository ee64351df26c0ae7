//! A running program's heap by address: what it says is what the program did.

#[path = "support/observed.rs"]
mod observed;
mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use observed::{Observed, refusal, stats, tool};
use serde_json::Value;
use support::text;

const PAGE: u64 = 8192;
const MIB: u64 = 1 << 20;

/// What `goheap map --json` says of a program, after checking that it adds up to Go's counters. The scavenger may release
/// pages between the two looks, or have some in hand, which are nobody's then: it comes to rest.
#[track_caller]
fn map(program: &Observed) -> Value {
    let pid = program.pid();
    let begun = Instant::now();
    let (map, mem) = loop {
        let output = tool(&["map", &pid.to_string(), "--json"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let map: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let mem = stats(pid)["MemStats"].take();
        let differs = [
            ("heap_inuse", "HeapInuse"),
            ("heap_idle", "HeapIdle"),
            ("heap_released", "HeapReleased"),
        ]
        .into_iter()
        .find(|(of, counter)| map[of] != mem[counter]);
        let Some((of, counter)) = differs else {
            break (map, mem);
        };
        let (of, counter) = (&map[of], &mem[counter]);
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{differs:?}: {of} {counter}"
        );
    };
    let runs = map["runs"].as_array().expect("a list");
    let in_spans = runs.iter().filter(|run| run["class"].is_number());
    let sum: u64 = in_spans.map(|run| number(&run["bytes"])).sum();
    assert_eq!(sum, number(&mem["HeapInuse"]));
    map
}

#[track_caller]
fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value}"))
}

/// The share of free memory that is of use for a request.
fn usable(map: &Value, request: u64) -> f64 {
    let list = map["usable"].as_array().expect("a list");
    let of = list.iter().find(|of| of["request"] == request);
    of.and_then(|of| of["share"].as_f64()).expect("a share")
}

fn gc(program: &Observed) {
    assert!(tool(&["gc", &program.pid().to_string()]).status.success());
}

#[test]
fn alternate_pages_that_were_freed_are_runs_of_a_page() {
    let Some(mut program) = Observed::start() else {
        return;
    };
    program.tell("alloc 0 4000 8192");
    program.tell("thin 0 4000 2");
    gc(&program);
    let map = map(&program);
    let runs = map["fragmentation"]["free_runs"]
        .as_array()
        .expect("a list");
    let single = runs
        .iter()
        .find(|run| run["bytes"] == PAGE)
        .expect("runs of a page");
    assert!(number(&single["runs"]) >= 1900, "{single}");
    assert!(usable(&map, PAGE) == 1.0 && usable(&map, 4 * PAGE) < 0.5);
}

#[test]
fn a_hole_with_one_small_object_in_it_is_none_for_its_size() {
    let Some(mut program) = Observed::start_with(|command| {
        // Pages on their way back to the system are nobody's for a moment.
        command
            .env("GOGC", "off")
            .env("GOHEAP_RETAIN_PERCENT", "10000");
    }) else {
        return;
    };
    // Two blocks of 6 MB, a small one between them, and one behind.
    program.tell("alloc 0 1 6291456");
    program.tell("alloc 1 2 40960");
    program.tell("alloc 2 3 6291456");
    program.tell("alloc 3 4 40960");
    program.tell("free 0 1");
    program.tell("free 2 3");
    gc(&program);
    let cut = map(&program);
    let free = number(&cut["fragmentation"]["free"]);
    assert!(free >= 12 * MIB, "{free}");
    assert_eq!(usable(&cut, 10 * MIB), 0.0);
    program.tell("free 1 2");
    gc(&program);
    let whole = map(&program);
    assert!(usable(&whole, 10 * MIB) > 0.5);
    assert!(number(&whole["fragmentation"]["largest_free_run"]) >= 10 * MIB);
}

#[test]
fn what_is_left_of_a_burst_shows_in_the_terminal() {
    let Some(mut program) = Observed::start() else {
        return;
    };
    program.tell("alloc 0 80000 1000");
    program.tell("thin 0 80000 8");
    gc(&program);
    gc(&program);
    let output = tool(&["map", &program.pid().to_string()]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for words in [
        "sparse: ",
        "by one object each",
        "░░░░",
        "free: ",
        "10.0 MiB",
        "0x",
    ] {
        assert!(said.contains(words), "{words} in {said}");
    }
}

#[test]
fn a_large_heaps_map_is_taken_again_with_more_room() {
    let Some(mut program) = Observed::start() else {
        return;
    };
    // More spans than a map is first expected to have.
    program.tell("alloc 0 50000 8192");
    let map = map(&program);
    assert!(map["runs"].as_array().expect("a list").len() > 50_000);
    let pages = observed::pages(program.pid());
    let left = std::fs::metadata(&pages[0]).expect("its page").len();
    assert_eq!(left, 4096, "the room is given back");
    assert!(
        tool(&["explain", &program.pid().to_string()])
            .status
            .success()
    );
}

#[test]
fn it_is_drawn_as_what_the_files_name_says() {
    let Some(mut program) = Observed::start() else {
        return;
    };
    program.tell("alloc 0 20000 1000");
    program.tell("thin 0 20000 5");
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let pid = program.pid().to_string();
    let draw = |name: &str, more: &[&str]| {
        let file = folder.path().join(name);
        let mut arguments = vec!["map", &pid, "--out", file.to_str().expect("a path")];
        arguments.extend(more);
        let output = tool(&arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
        std::fs::read(Path::new(&file)).expect("it was written")
    };
    let page = text(&draw("m.html", &[]));
    for words in [
        "<canvas",
        "Free memory of use for a request",
        "const data = {",
    ] {
        assert!(page.contains(words), "{words}");
    }
    assert!(!page.contains("http"), "it asks for nothing from anywhere");
    assert!(text(&draw("m.svg", &[])).contains("The heap of p ("));
    assert!(draw("m.png", &[]).starts_with(b"\x89PNG"));
    let looks = ["--timeline", "--for", "300ms", "--every", "100ms"];
    let timeline = text(&draw("t.svg", &looks));
    assert!(timeline.contains("looks; "), "{timeline}");
    assert!(text(&draw("t.html", &looks)).contains("<svg"));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let own = std::process::id().to_string();
    assert!(refusal(&["map", &own]).contains("does not run on goheap"));
    for (arguments, why) in [
        (&["map", "1", "--out", "m.gif"][..], ".html, .svg or .png"),
        (&["map"], "<PID>"),
        (&["map", "1", "--timeline"], "--out"),
        (&["map", "1", "--for", "5s"], "--timeline"),
        (&["map", "1", "--every", "5s"], "--timeline"),
        (
            &["map", "1", "--out", "m.svg", "--timeline", "--for", "5"],
            "write 200ms",
        ),
    ] {
        let output = tool(arguments);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(why), "{said}");
    }
}
