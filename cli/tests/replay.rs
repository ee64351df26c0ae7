//! `goheap replay` does with a trace what it says, no more and no less, and
//! explains what it cannot do.

mod support;

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io;
use std::ops::Range;
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use goheap_cli::figures::{Figures, Record};
use goheap_cli::shipped;
use goheap_cli::trace::{Item, Op, Reader};
use serde_json::Value;

use support::{goheap, lines, read, replay, run, text, written};

const MIB: u64 = 1 << 20;

/// The names in an object of JSON.
fn names(object: &Value) -> BTreeSet<&str> {
    let fields = object.as_object().expect("an object");
    fields.keys().map(String::as_str).collect()
}

#[test]
fn a_line_has_the_fields_of_gos_replayer() {
    const LINE: [&str; 5] = ["Label", "MemStats", "ProcessorSeconds", "RSS", "Seconds"];
    const MEM_STATS: [&str; 22] = [
        "BuckHashSys",
        "BySize",
        "Frees",
        "GCCPUFraction",
        "GCSys",
        "HeapAlloc",
        "HeapIdle",
        "HeapInuse",
        "HeapObjects",
        "HeapReleased",
        "HeapSys",
        "MCacheSys",
        "MSpanSys",
        "Mallocs",
        "NextGC",
        "NumForcedGC",
        "NumGC",
        "OtherSys",
        "PauseTotalNs",
        "StackSys",
        "Sys",
        "TotalAlloc",
    ];
    let lines = lines("n 1\ns first\na 0 100\ns  the second one \n");
    let read = lines.iter().map(|line| serde_json::from_str(line));
    let read: Vec<Value> = read.collect::<Result<_, _>>().expect("a line is JSON");

    let labels: Vec<_> = read.iter().map(|line| &line["Label"]).collect();
    assert_eq!(labels, ["baseline", "first", "the second one"]);
    for line in &read {
        assert_eq!(names(line), BTreeSet::from(LINE));
        assert!(line["RSS"].as_u64() > Some(0), "{line}");
        assert!(line["Seconds"].as_f64() >= Some(0.0), "{line}");
        assert!(line["ProcessorSeconds"].as_f64() >= Some(0.0), "{line}");
        let stats = &line["MemStats"];
        assert_eq!(names(stats), BTreeSet::from(MEM_STATS));
        for name in MEM_STATS {
            let value = &stats[name];
            match name {
                "BySize" => {
                    for (class, counts) in value.as_object().expect("an object") {
                        assert!(class.parse::<u32>().is_ok(), "{class} is no size");
                        let counts = counts.as_array().expect("an array");
                        let [mallocs, frees] = &counts[..] else {
                            panic!("{counts:?} is not [mallocs, frees]");
                        };
                        assert!(mallocs.as_u64() > Some(0), "{class} is not used");
                        assert!(frees.as_u64() <= mallocs.as_u64(), "{class}: {counts:?}");
                    }
                }
                "GCCPUFraction" => assert!(value.as_f64().is_some(), "{name}: {value}"),
                _ => assert!(value.as_u64().is_some(), "{name}: {value}"),
            }
        }
    }
}

/// Small objects up to shortly before the goal, so that a cycle has begun; most of them dropped; one large object.
#[test]
fn an_object_larger_than_what_a_mark_allows_comes_after_the_cycle() {
    const SMALL: usize = 105_700;
    let mut trace = format!("n {}\n", SMALL + 1);
    let mut ops = |name: char, ids: Range<usize>, size: &str| {
        ids.for_each(|id| trace.push_str(&format!("{name} {id} {size}\n")));
    };
    for large in [8 * MIB, 16 * MIB] {
        ops('f', 0..SMALL + 1, "");
        ops('a', 0..SMALL, "96");
        ops('f', SMALL / 10..SMALL, "");
        ops('a', SMALL..SMALL + 1, &large.to_string());
    }
    let records = replay(format!("{trace}s large\n"));
    let goal = records[1].mem_stats.next_gc;
    // Twice the large one, and little else: the small ones were dead when the cycle that follows began.
    assert!(goal < 40 * MIB, "{goal}");
}

/// Most of a heap is dropped, and the rest replaced over and over, with a cycle every millisecond or so: Go's
/// scavenger has a turn in each.
#[test]
fn what_is_idle_goes_back_while_cycles_follow_each_other() {
    const OBJECTS: usize = 48_000;
    let all = |ids: Range<usize>| ids.map(|id| format!("a {id} 1024\n")).collect::<String>();
    let dropped: String = (1000..OBJECTS).map(|id| format!("f {id}\n")).collect();
    let replaced = all(0..1000).repeat(600);
    let (full, few) = (all(0..OBJECTS), "s few\n");
    let records = replay(format!("n {OBJECTS}\n{full}{dropped}{replaced}{few}"));
    let few = &records[1].mem_stats;
    assert!(few.heap_released > few.heap_sys / 2, "{few:?}");
}

#[test]
fn what_gos_runtime_has_beside_the_heap_grows_with_the_classes_in_use() {
    let each: String = (0..64)
        .map(|id| format!("a {id} {}\n", 16 << (id % 8)))
        .collect();
    let records = replay(format!("n 64\n{each}s eight\n{each}s again\n"));
    let [before, eight, again] = &records[..] else {
        panic!("{records:?}")
    };
    let beside = |record: &Record| record.mem_stats.sys - record.mem_stats.heap_sys;
    let grown = beside(eight) - beside(before);
    assert!((64 << 10..256 << 10).contains(&grown), "{grown}");
    assert_eq!(beside(again), beside(eight), "no class is new");
}

#[test]
fn a_trace_without_snapshots_has_the_baseline_alone() {
    for trace in ["n 0\n", "n 1\na 0 100", "# none\n\nn 3 # ids\n"] {
        let records = replay(trace);
        assert_eq!(records.len(), 1, "{trace:?}");
        assert_eq!(records[0].label, "baseline");
        assert_eq!(records[0].mem_stats.num_forced_gc, 3, "as in Go's replayer");
    }
}

#[test]
fn it_replays_in_little_address_space() {
    let trace = written("n 1\na 0 100\ns one\n");
    let within = |kib: u32| {
        // SAFETY: makes one system call.
        let limit = move || match unsafe {
            let bytes = u64::from(kib) << 10;
            let limit = libc::rlimit {
                rlim_cur: bytes,
                rlim_max: bytes,
            };
            libc::setrlimit(libc::RLIMIT_AS, &raw const limit)
        } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        };
        let mut command = goheap();
        command.arg("replay").arg(trace.path());
        // SAFETY: the closure makes one system call.
        let output = unsafe { command.pre_exec(limit) }.output();
        output.expect("the program starts")
    };
    let output = within(350 << 10);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).lines().count(), 2);
}

#[test]
fn comments_and_blank_lines_do_nothing() {
    let records = replay("# one\n\n  # two\nn 1 # three\n\r\n\t\ns # no comment\n# end");
    let [before, after] = &records[..] else {
        panic!("{records:?}")
    };
    assert_eq!(after.label, "# no comment");
    assert_eq!(before.mem_stats.mallocs, after.mem_stats.mallocs);
    assert_eq!(before.mem_stats.num_gc, after.mem_stats.num_gc);
}

#[test]
fn an_object_of_size_0_is_none_but_drops_what_was_there() {
    let records = replay("n 2\na 0 0\na 1 1000\ns some\na 1 0\ng\ns none\n");
    let [before, some, none] = &records[..] else {
        panic!("{records:?}")
    };
    let (before, some, none) = (&before.mem_stats, &some.mem_stats, &none.mem_stats);
    assert_eq!(some.mallocs - before.mallocs, 1);
    assert_eq!(some.heap_alloc - before.heap_alloc, 1024);
    assert_eq!(none.mallocs, some.mallocs);
    assert_eq!(none.heap_alloc, before.heap_alloc);
}

#[test]
fn an_id_taken_again_drops_what_it_held() {
    let records = replay("n 1\na 0 1000\na 0 2000\ns taken\ng\ns kept\nf 0\nf 0\ng\ns gone\n");
    let [before, taken, kept, gone] = &records[..] else {
        panic!("{records:?}")
    };
    let over = |figures: &Figures| figures.heap_alloc - before.mem_stats.heap_alloc;
    assert_eq!(over(&taken.mem_stats), 1024 + 2048, "dead, not collected");
    assert_eq!(over(&kept.mem_stats), 2048);
    assert_eq!(over(&gone.mem_stats), 0);
    let frees = gone.mem_stats.frees - before.mem_stats.frees;
    assert_eq!(frees, 2, "dropping nothing frees nothing");
}

#[test]
fn collecting_and_releasing_count_as_forced_cycles() {
    let records = replay("n 1\na 0 10485760\nf 0\ng\ns collected\no\ns released\n");
    let [before, collected, released] = &records[..] else {
        panic!("{records:?}")
    };
    let (before, collected, released) =
        (&before.mem_stats, &collected.mem_stats, &released.mem_stats);
    assert_eq!(collected.num_forced_gc - before.num_forced_gc, 1);
    assert_eq!(released.num_forced_gc - collected.num_forced_gc, 1);
    // But for what the background scavenger has in hand just then, at most a huge page at a time.
    let kept = released.heap_idle - released.heap_released;
    assert!(kept <= 2 << 20, "{kept} idle bytes are not released");
}

/// 400 times 1 MiB into one id: 399 MiB of garbage.
fn churn() -> String {
    "a 0 1048576\n".repeat(400)
}

#[test]
fn a_negative_percentage_turns_collection_off() {
    let records = replay(format!("n 1\np -1\n{}s off\np 100\n{0}s on\n", churn()));
    let [before, off, on] = &records[..] else {
        panic!("{records:?}")
    };
    assert_eq!(off.mem_stats.num_gc, before.mem_stats.num_gc);
    // The goal is the memory limit's, less 3 %, and that is 2^63 bytes: as in Go.
    assert!(off.mem_stats.next_gc > 1 << 62);
    assert!(off.mem_stats.heap_alloc >= 400 * MIB);
    assert!(on.mem_stats.num_gc > off.mem_stats.num_gc);
}

#[test]
fn a_limit_brings_cycles_where_the_percentage_would_not() {
    const LIMIT: u64 = 64 * MIB;
    let records = replay(format!("n 1\np -1\nl {LIMIT}\n{}s end\n", churn()));
    let [before, end] = &records[..] else {
        panic!("{records:?}")
    };
    let cycles = end.mem_stats.num_gc - before.mem_stats.num_gc;
    assert!((400 / 64..=400).contains(&cycles), "{cycles} cycles");
    assert_eq!(end.mem_stats.num_forced_gc, before.mem_stats.num_forced_gc);
    // The limit is soft: one object, and what a cycle lets through while it lasts, may be over it.
    let used = end.mem_stats.sys - end.mem_stats.heap_released;
    assert!(used < LIMIT + LIMIT / 4, "{used} bytes in use");
}

#[test]
fn waiting_takes_its_time() {
    let records = replay("n 0\nw 300\ns waited\n");
    let [before, waited] = &records[..] else {
        panic!("{records:?}")
    };
    let seconds = waited.seconds - before.seconds;
    assert!(seconds >= 0.3, "{seconds}");
}

/// The sizes that a trace allocates.
fn sizes_in(trace: &str) -> Vec<u64> {
    let items = Reader::new(trace.as_bytes()).map(|item| item.expect("a shipped trace reads"));
    let size = |item| match item {
        Item::Op(Op::Allocate { size, .. }) => Some(size as u64),
        _ => None,
    };
    items.filter_map(size).collect()
}

#[test]
fn by_class_the_replay_allocates_the_traces_objects_and_no_other() {
    let traces = shipped::all();
    let trace = &traces
        .iter()
        .find(|trace| trace.name == "sizes")
        .unwrap()
        .trace;
    let asked = sizes_in(trace);
    let file = written(trace.as_bytes());
    let mut command = goheap();
    command.arg("replay").arg(file.path());
    // Those that share a block are in no class of their own.
    let output = command.env("GOHEAP_TINY", "0").output().unwrap();
    let lines: Vec<_> = text(&output.stdout).lines().map(str::to_owned).collect();
    let records = read(&lines);
    let (first, last) = (&records[0].mem_stats, &records[1].mem_stats);

    assert_eq!(last.mallocs - first.mallocs, asked.len() as u64);
    assert_eq!(last.frees, first.frees);
    assert_eq!(
        last.by_size.len(),
        60,
        "the trace uses every class that Go reports"
    );
    let mut below = 0;
    for (&class, &[mallocs, frees]) in &last.by_size {
        // An object is in the smallest class that holds it.
        let holds = below + 1..=u64::from(class);
        let expected = asked.iter().filter(|&size| holds.contains(size)).count() as u64;
        let [mallocs_before, frees_before] = first.by_size.get(&class).copied().unwrap_or_default();
        assert!(expected > 0, "class {class}");
        assert_eq!(mallocs - mallocs_before, expected, "class {class}");
        assert_eq!(frees, frees_before, "class {class}");
        below = class.into();
    }
}

#[test]
fn a_broken_trace_is_named_with_its_line_and_what_would_be_right() {
    let cases: [(&[u8], usize, &str); 17] = [
        (b"", 1, "the first operation must be `n COUNT`"),
        (
            b"# a\n\na 0 1\n",
            3,
            "the first operation must be `n COUNT`",
        ),
        (b"n 1\n\nn 2\n", 3, "`n` may stand there once only"),
        (
            b"n 1\nalloc 0 1\n",
            2,
            "unknown operation \"alloc\": none of n, a, f, g, o, p, l, w, s",
        ),
        (b"n\n", 1, "the count is missing"),
        (b"n 1\na 0\n", 2, "the size is missing"),
        (b"n 1\nf\n", 2, "the id is missing"),
        (b"n 1\np\n", 2, "the percentage is missing"),
        (
            b"n 1\na 0 64k\n",
            2,
            "the size is no decimal number: \"64k\"",
        ),
        (
            b"n 1\nl 1GiB\n",
            2,
            "the limit is no decimal number: \"1GiB\"",
        ),
        (
            b"n 999999999\n",
            1,
            "the count must be from 0 to 268435456, not 999999999",
        ),
        (
            b"n 1\nw -1\n",
            2,
            "the time must be from 0 to 4294967295, not -1",
        ),
        (b"n 1\na 0 1\na 1 1\n", 3, "id 1 is not from 0 to below 1"),
        (
            b"n 1\nf 0 1\n",
            2,
            "the line should have ended before \"1\"",
        ),
        (b"n 1\ns caf\xe9\n", 2, "the label is not UTF-8"),
        // These are found only when replaying, from the operations that lead there.
        (
            b"n 2\n# big\ns a\na 0 5\na 1 9223372036854775807\n",
            5,
            "the heap cannot give 9223372036854775807 bytes",
        ),
        (
            b"n 1\na 0 4611686018427387904",
            2,
            "the heap cannot give 4611686018427387904 bytes",
        ),
    ];
    for (trace, line, reason) in cases {
        let file = written(trace);
        let output = run(file.path());
        let expected = format!("{}:{line}: {reason}\n", file.path().display());
        assert_eq!(text(&output.stderr), expected);
        assert_eq!(output.status.code(), Some(1), "{reason}");
        assert_eq!(text(&output.stdout), "", "{reason}");
    }
}

#[test]
fn a_trace_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.trace");
    for (path, reason) in [
        (missing.as_path(), "No such file or directory (os error 2)"),
        (folder.path(), "it is no regular file"),
        ("/dev/null".as_ref(), "it is no regular file"),
    ] {
        let output = run(path);
        let expected = format!("goheap: cannot read {}: {reason}\n", path.display());
        assert_eq!(text(&output.stderr), expected);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(text(&output.stdout), "");
    }
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let file = written("n 1\na 0 100\ns end\n");
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (reader, unread) = io::pipe().unwrap();
    drop(reader);
    let full_disk = "goheap: cannot write to stdout: No space left on device (os error 28)\n";
    for (stdout, said, code) in [
        (Stdio::from(full), full_disk, 1),
        // Whoever reads has seen enough, as `head` has.
        (Stdio::from(unread), "", 141),
    ] {
        let mut command = goheap();
        command.arg("replay").arg(file.path());
        let output = command
            .stdout(stdout)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(text(&output.stderr), said);
        assert_eq!(output.status.code(), Some(code));
    }
}

#[test]
fn a_command_line_that_makes_no_sense_has_exit_code_2() {
    for arguments in [&["replay"][..], &["replay", "a", "b"], &["relpay", "a"]] {
        let output = goheap().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            text(&output.stderr).contains("Usage: goheap"),
            "{arguments:?}"
        );
        assert_eq!(text(&output.stdout), "");
    }
}
