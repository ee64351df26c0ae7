//! `goheap run` runs a program as it would have run alone, and leaves what was seen of it.

#[path = "support/observed.rs"]
mod observed;
#[path = "support/ran.rs"]
mod ran;
mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use observed::{pages, program, signal_to};
use ran::{folder, run, summary};
use serde_json::Value;
use support::text;
use tempfile::TempDir;

/// Runs a command to its end, which gets `input` to read.
fn with_input(mut command: Command, input: &str) -> Output {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut to = child.stdin.take().expect("a pipe");
    to.write_all(input.as_bytes()).expect("the program reads");
    drop(to);
    child.wait_with_output().expect("the program ends")
}

/// Runs the C program of these tests, which gets `commands`.
fn run_program(out: &Path, options: &[&str], commands: &str) -> Option<Output> {
    let path = program()?;
    let path = path.to_str().expect("text");
    Some(with_input(run(out, options, &[path]), commands))
}

/// The same for programs that rest for so many milliseconds, ever longer ones, until what was left in `out` is as it should
/// be or the last has run: a busy machine looks seldom.
fn run_long_enough(
    options: &[&str],
    commands: impl Fn(u32) -> String,
    is_so: impl Fn(&Path, &Output) -> bool,
) -> Option<(TempDir, Output)> {
    for milliseconds in [1500, 6000, 24_000] {
        let out = folder();
        let output = run_program(out.path(), options, &commands(milliseconds))?;
        if milliseconds == 24_000 || is_so(out.path(), &output) {
            return Some((out, output));
        }
    }
    None
}

/// The rows of timeline.csv, each a number by its column's name.
fn rows(out: &Path) -> Vec<Value> {
    let mut reader = csv::Reader::from_path(out.join("timeline.csv")).expect("a timeline");
    let header = reader.headers().expect("a header").clone();
    let read = reader.records().map(|row| {
        let row = row.expect("a row");
        let cells = header.iter().zip(row.iter()).map(|(name, cell)| {
            let number = serde_json::from_str(cell).expect("a number");
            (name.to_owned(), number)
        });
        Value::Object(cells.collect())
    });
    read.collect()
}

#[test]
fn output_and_exit_code_are_the_programs_own() {
    let out = folder();
    for code in [0, 1, 7, 125, 255] {
        let script = format!("echo out; echo err >&2; exit {code}");
        let output = run(out.path(), &[], &["sh", "-c", &script])
            .output()
            .expect("it runs");
        assert_eq!(output.status.code(), Some(code));
        assert_eq!(text(&output.stdout), "out\n");
        assert_eq!(text(&output.stderr), "err\n");
        assert_eq!(summary(out.path())["exit_code"], code);
    }
}

#[test]
fn a_signal_that_ends_the_program_ends_goheap() {
    let out = folder();
    for signal in [libc::SIGKILL, libc::SIGSEGV, libc::SIGTERM] {
        let script = format!("kill -{signal} $$");
        let output = run(out.path(), &[], &["sh", "-c", &script])
            .output()
            .expect("it runs");
        assert_eq!(output.status.signal(), Some(signal));
        assert_eq!(summary(out.path())["exit_signal"], signal);
    }
}

#[test]
fn signals_reach_the_program() {
    for (signal, name) in [(libc::SIGINT, "INT"), (libc::SIGTERM, "TERM")] {
        let out = folder();
        let script = format!("trap 'exit 9' {name}; echo ready; while :; do sleep 0.01; done");
        let mut run = run(out.path(), &[], &["sh", "-c", &script]);
        // Who runs the tests may ignore the signal (a shell's `&` does), and then no shell can trap it.
        let heed = move || {
            // SAFETY: sets a signal's way back to what it is at the start of most programs.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
            Ok(())
        };
        // SAFETY: the closure makes one system call.
        let mut child = unsafe { run.pre_exec(heed) }
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe"))
            .read_line(&mut line)
            .expect("the program speaks");
        signal_to(child.id(), signal);
        let status = child.wait().expect("it ends");
        assert_eq!(status.code(), Some(9), "{name}");
    }
}

#[test]
fn the_figures_in_the_files_agree() {
    let out = folder();
    let commands = "alloc 0 30000 1000\nfree 0 30000 0\nalloc 0 30000 2000\nexit 0\n";
    let Some(output) = run_program(out.path(), &["--every", "5"], commands) else {
        return;
    };
    assert!(output.status.success(), "{}", text(&output.stderr));
    let (rows, summary) = (rows(out.path()), summary(out.path()));
    let last = rows.last().expect("a row");
    assert_eq!(summary["looks"], rows.len());
    assert_eq!(&summary["last"], last);
    let get = |row: &Value, name: &str| row[name].as_u64().expect("a count");
    for row in &rows {
        let states = ["live", "since", "slots", "retained", "released"];
        let sum: u64 = states.iter().map(|name| get(row, name)).sum();
        assert_eq!(sum, get(row, "heap_sys"), "{row}");
    }
    let most = rows.iter().map(|row| get(row, "heap_sys")).max();
    assert_eq!(summary["peaks"]["heap_sys"].as_u64(), most);
    let stats = &summary["mem_stats"];
    for (name, column) in [
        ("Mallocs", "mallocs"),
        ("NumGC", "cycles"),
        ("NextGC", "goal"),
        ("HeapSys", "heap_sys"),
        ("HeapReleased", "released"),
    ] {
        assert_eq!(stats[name], last[column], "{name}");
    }
    let classes = summary["classes"].as_array().expect("a list");
    let bytes: u64 = classes.iter().map(|class| get(class, "Bytes")).sum();
    assert_eq!(stats["HeapAlloc"], bytes);
    assert!(get(last, "mallocs") >= 60_000 && get(last, "cycles") > 3);
    assert!(summary["peaks"]["rss"].as_u64() >= last["rss"].as_u64());
}

#[test]
fn the_last_figures_of_a_short_program_are_not_lost() {
    for end in ["exit", "_exit"] {
        let out = folder();
        // The first look is an hour away.
        let commands = format!("alloc 0 5000 1000\n{end} 3\n");
        let options = ["--every", "3600000"];
        let Some(output) = run_program(out.path(), &options, &commands) else {
            return;
        };
        assert_eq!(output.status.code(), Some(3));
        let rows = rows(out.path());
        let last = rows.last().expect("a row");
        assert!(last["mallocs"].as_u64() >= Some(5000), "{end}: {last}");
        let pid = summary(out.path())["pid"].as_u64().expect("a PID");
        assert!(pages(pid as u32).is_empty());
    }
}

#[test]
fn the_report_needs_nothing_from_anywhere() {
    // Time for a look at it: one that ends before has no map.
    let commands = |rest| format!("alloc 0 30000 1000\nnap {rest}\nexit 0\n");
    let seen = |out: &Path, _: &Output| out.join("map.html").exists();
    let Some((out, _)) = run_long_enough(&["--gogc", "50"], commands, seen) else {
        return;
    };
    let page = fs::read_to_string(out.path().join("report.html")).expect("there is a report");
    let map = fs::read_to_string(out.path().join("map.html")).expect("there is a map");
    assert!(
        page.contains("<a href=\"map.html\">"),
        "the map is beside it"
    );
    assert!(map.contains("The heap over time, address up: p ("), "{map}");
    let outside = [
        "http:", "https:", "src=", "href=", "@import", "url(", "fetch(", "<link", "<iframe",
    ];
    let name = "http://www.w3.org/2000/svg";
    for page in [page.replace("href=\"map.html\"", ""), map.replace(name, "")] {
        for outside in outside {
            assert!(!page.contains(outside), "{outside}");
        }
    }
    for part in [
        "<svg",
        "prefers-color-scheme: dark",
        "Size classes",
        "<td>1024</td>",
        "<td>GOGC</td><td>50</td>",
    ] {
        assert!(page.contains(part), "{part}");
    }
    let drawn = [
        "live",
        "since",
        "slots",
        "retained",
        "released",
        "line rss",
        "line goal",
    ];
    for class in drawn {
        assert!(
            page.contains(&format!("<path class=\"{class}\" d=\"M")),
            "{class}"
        );
    }
}

#[test]
fn what_a_program_is_called_cannot_break_the_report() {
    let out = folder();
    let script = "exit 0 # </script><script>alert(1)</script> {{ x }}";
    let output = run(out.path(), &[], &["sh", "-c", script])
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let page = fs::read_to_string(out.path().join("report.html")).expect("there is a report");
    assert!(!page.contains("alert(1)</script>"));
    assert!(page.contains("&lt;script&gt;"));
}

#[test]
fn knobs_are_handed_to_the_program() {
    let out = folder();
    let options = ["--gogc", "50", "--memlimit", "1GiB"];
    let Some(output) = run_program(out.path(), &options, "exit 0\n") else {
        return;
    };
    assert!(output.status.success(), "{}", text(&output.stderr));
    let summary = summary(out.path());
    assert_eq!(summary["last"]["gogc"], 50);
    assert_eq!(summary["last"]["memory_limit"], 1 << 30);
    let knobs = summary["knobs"].as_array().expect("a list");
    let knob = |name: &str| knobs.iter().find(|knob| knob["name"] == name);
    assert_eq!(knob("GOMEMLIMIT").expect("it is there")["value"], "1GiB");
    for bad in [
        ["--gogc", "many"],
        ["--memlimit", "1GB"],
        ["--policy", "go0.9"],
        ["--http", "localhost"],
        ["--every", "soon"],
    ] {
        let output = run(out.path(), &bad, &["true"]).output().expect("it runs");
        assert_eq!(output.status.code(), Some(2), "{bad:?}");
        let said = text(&output.stderr);
        assert!(
            said.contains("it takes") || said.contains("write 200ms"),
            "{bad:?}: {said}"
        );
    }
}

#[test]
fn what_a_policy_presets_is_told_as_it_holds() {
    let out = folder();
    let output = run(out.path(), &["--policy", "go1.13"], &["true"])
        .env("GODEBUG", "madvdontneed=maybe")
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let summary = summary(out.path());
    let knobs = summary["knobs"].as_array().expect("a list");
    let knob = |name: &str| {
        let knob = knobs.iter().find(|knob| knob["name"] == name);
        let knob = knob.expect("it is there");
        (knob["value"].clone(), knob["default"].clone())
    };
    assert_eq!(knob("GOHEAP_POLICY"), ("go1.13".into(), "go1.27".into()));
    assert_eq!(knob("GODEBUG=madvdontneed"), ("0".into(), "0".into()));
    assert_eq!(knob("GOHEAP_LEAST_HEAP"), ("4MiB".into(), "4MiB".into()));
}

/// What is said of a program that cannot be run on the library, after checking the exit code, and
/// that nothing was written.
#[track_caller]
fn refusal(code: i32, command: &[&str]) -> String {
    let folder = folder();
    let out = folder.path().join("out");
    let output = run(&out, &[], command).output().expect("it runs");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains(command[0]), "{said}");
    assert!(!out.exists());
    said
}

#[test]
fn a_program_that_is_missing_or_none_is_refused_as_env_does() {
    assert!(refusal(127, &["no-such-program"]).contains("is not found"));
    assert!(refusal(127, &["/no/such/program"]).contains("is not found"));
    assert!(refusal(126, &["/"]).contains("is no file"));
    let folder = folder();
    let file = folder.path().join("text");
    fs::write(&file, "echo").expect("a file can be written");
    let said = refusal(126, &[file.to_str().expect("text")]);
    assert!(said.contains("permission denied"), "{said}");
}

/// A file that may be run, with these bytes.
fn executable(folder: &Path, name: &str, bytes: &[u8], mode: u32) -> String {
    let path = folder.join(name);
    let written = folder.join(format!("{name}.written"));
    fs::write(&written, bytes).expect("a file can be written");
    support::copied(&written, &path);
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode can be set");
    path.to_str().expect("text").to_owned()
}

#[test]
fn what_the_library_cannot_go_under_is_refused() {
    let folder = folder();
    let shell = fs::read("/bin/sh").expect("there is a shell");
    let setuid = executable(folder.path(), "setuid", &shell, 0o4755);
    assert!(refusal(126, &[&setuid]).contains("is setuid"));
    let setgid = executable(folder.path(), "setgid", &shell, 0o2755);
    assert!(refusal(126, &[&setgid]).contains("is setgid"));

    // The same program, said to be for another machine.
    let mut foreign = shell.clone();
    foreign[18..20].copy_from_slice(&8_u16.to_le_bytes());
    let foreign = executable(folder.path(), "foreign", &foreign, 0o755);
    let said = refusal(126, &[&foreign]);
    assert!(said.contains("another architecture (MIPS)"), "{said}");

    // The same, without a loader: the type of its segment PT_INTERP (3) becomes PT_NULL.
    let mut fixed = shell.clone();
    let headers = u64::from_le_bytes(shell[32..40].try_into().expect("eight bytes")) as usize;
    let count = u16::from_le_bytes([shell[56], shell[57]]).into();
    for header in (0..count).map(|n: usize| headers + n * 56) {
        if fixed[header] == 3 {
            fixed[header] = 0;
        }
    }
    let fixed = executable(folder.path(), "fixed", &fixed, 0o755);
    assert!(refusal(126, &[&fixed]).contains("is statically linked"));

    let cut = executable(folder.path(), "cut", &shell[..40], 0o755);
    assert!(refusal(126, &[&cut]).contains("is no program"));

    // Scripts are as good as what runs them.
    let script = |name: &str, line: &str| {
        executable(
            folder.path(),
            name,
            format!("#!{line}\necho\n").as_bytes(),
            0o755,
        )
    };
    let said = refusal(126, &[&script("a", &fixed)]);
    assert!(
        said.contains("interpreter") && said.contains("statically linked"),
        "{said}"
    );
    let said = refusal(126, &[&script("b", &format!("/usr/bin/env {setuid}"))]);
    assert!(said.contains("is setuid"), "{said}");
    let said = refusal(126, &[&script("c", "/no/such/interpreter")]);
    assert!(said.contains("/no/such/interpreter is not found"), "{said}");
    let fine = script("d", "/bin/sh");
    let out = folder.path().join("out");
    let output = run(&out, &[], &[&fine]).output().expect("it runs");
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(0), "\n".into())
    );
}

#[test]
fn a_static_program_of_the_compilers_is_refused() {
    let folder = folder();
    let (source, program) = (folder.path().join("s.c"), folder.path().join("s"));
    fs::write(&source, "int main(void) { return 0; }\n").expect("a file can be written");
    let compiler = Command::new("cc")
        .args(["-static", "-o"])
        .args([&program, &source])
        .status();
    if !compiler.is_ok_and(|status| status.success()) {
        eprintln!("skipped: there is no C compiler (cc), or no static libc");
        return;
    }
    let said = refusal(126, &[program.to_str().expect("text")]);
    assert!(said.contains("is statically linked"), "{said}");
}

#[test]
fn a_server_is_asked_for_in_the_program_alone() {
    // A thread of its own says so, and is to have the time.
    let commands = |rest| format!("nap {rest}\nexit 0\n");
    let said = |_: &Path, output: &Output| !output.stderr.is_empty();
    let Some((_, output)) = run_long_enough(&["--http", "0"], commands, said) else {
        return;
    };
    let said = text(&output.stderr);
    // By the program's library, once: goheap itself is on goheap, too, and is not asked.
    assert_eq!(said.matches("goheap: ").count(), 1, "{said}");
    let answers = [
        "build with the feature http",
        "is served at http://127.0.0.1:",
    ];
    assert!(answers.iter().any(|answer| said.contains(answer)), "{said}");
}

#[test]
fn the_report_says_where_the_memory_was_the_highest_and_the_last_time_it_was_asked() {
    let options = ["--every", "20", "--gogc", "off"];
    let commands = |rest| format!("alloc 0 40000 1000\nfree 0 40000\nnap {rest}\n");
    let dead = |out: &Path| {
        let last = summary(out)["explained"]["last"]["causes"].take();
        let mut causes = last.as_array()?.iter();
        let dead = causes.find(|part| part["cause"] == "dead, uncollected");
        dead.and_then(|part| part["bytes"].as_u64())
    };
    let seen = |out: &Path, _: &Output| dead(out) > Some(39_000 * 1024);
    let Some((out, output)) = run_long_enough(&options, commands, seen) else {
        return;
    };
    assert!(output.status.success());
    let explained = &summary(out.path())["explained"];
    for when in ["at_most", "last"] {
        let told = &explained[when];
        let causes = told["causes"].as_array().expect("a list");
        let sum: u64 = causes
            .iter()
            .filter_map(|part| part["bytes"].as_u64())
            .sum();
        assert_eq!(Some(sum), told["rss"].as_u64(), "{when}");
        assert_eq!(told["sentences"].as_array().map(Vec::len), Some(2));
    }
    let dead = dead(out.path()).expect("bytes");
    assert!(dead > 39_000 * 1024, "{dead}");
    let page = fs::read_to_string(out.path().join("report.html")).expect("a report");
    for words in ["Where the memory was", "The last time", "is dead and waits"] {
        assert!(page.contains(words), "{words}");
    }
    // One moment may be both.
    assert!(page.contains("The highest time:") || page.contains("time, and the highest:"));
}

#[test]
fn what_the_program_starts_is_told_apart_from_it() {
    let Some(path) = program() else { return };
    // The shell forks for what is not its last command.
    let script = format!("{}; exit 3", path.display());
    let seen_for = |milliseconds: u32| {
        let out = folder();
        let run = run(out.path(), &["--every", "20"], &["sh", "-c", &script]);
        let commands = format!("alloc 0 20000 1000\nnap {milliseconds}\n");
        assert_eq!(with_input(run, &commands).status.code(), Some(3));
        (summary(out.path()), out)
    };
    // A busy machine looks ever less often.
    let mut runs = [1500, 6000, 24_000].into_iter().map(seen_for);
    let (summary, out) = runs
        .find(|(summary, _)| summary["children"][0]["total_alloc"].as_u64() > Some(20_000_000))
        .expect("it is seen with all that it allocates");
    let children = summary["children"].as_array().expect("a list");
    let [child] = &children[..] else {
        panic!("{children:?}");
    };
    let name = path.file_name().and_then(|name| name.to_str());
    let name: String = name.expect("text").chars().take(15).collect();
    assert_eq!(child["program"], name);
    let bytes = |of: &Value, what: &str| of[what].as_u64().expect("bytes");
    assert!(bytes(child, "peak_rss") > 20_000_000, "{child}");
    assert!(bytes(child, "total_alloc") > 20_000_000, "{child}");
    assert!(
        bytes(&summary["peaks"], "rss") < 20_000_000,
        "the shell's own"
    );
    let page = fs::read_to_string(out.path().join("report.html")).expect("a report");
    assert!(page.contains("What it started") && page.contains(&name));
}
