//! Every byte of a running program's resident memory gets a cause, and the right one.

#[path = "support/observed.rs"]
mod observed;
mod support;

use std::process::{Command, Stdio};
use std::time::Duration;

use observed::{Observed, refusal, tool};
use serde_json::Value;
use support::{goheap, text};

const MIB: u64 = 1 << 20;

/// What `goheap explain --json` says of a program, after checking that the sum is what /proc says.
struct Explained(Value);

impl Explained {
    #[track_caller]
    fn of(program: &Observed) -> Self {
        let output = tool(&["explain", &program.pid().to_string(), "--json"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let shown = Self(serde_json::from_slice(&output.stdout).expect("JSON"));
        let status = std::fs::read_to_string(format!("/proc/{}/status", program.pid()))
            .expect("the program runs");
        let rss = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().split(' ').next()?.parse::<u64>().ok())
            .expect("a resident set")
            * 1024;
        let sum: u64 = shown.causes().map(|(_, bytes)| bytes).sum();
        assert_eq!(Some(sum), shown.0["rss"].as_u64());
        assert!(sum.abs_diff(rss) * 100 <= rss, "{sum} of {rss}: {shown:?}");
        assert!(shown.bytes("unknown") * 100 <= rss, "{shown:?}");
        shown
    }

    fn causes(&self) -> impl Iterator<Item = (&str, u64)> {
        let causes = self.0["causes"].as_array().expect("a list");
        causes.iter().map(|part| {
            let name = part["cause"].as_str().expect("a name");
            (name, part["bytes"].as_u64().expect("bytes"))
        })
    }

    #[track_caller]
    fn bytes(&self, cause: &str) -> u64 {
        let found = self.causes().find(|(name, _)| *name == cause);
        found.unwrap_or_else(|| panic!("no {cause}: {self:?}")).1
    }

    fn largest(&self) -> &str {
        self.causes()
            .max_by_key(|(_, bytes)| *bytes)
            .expect("there are causes")
            .0
    }
}

impl std::fmt::Debug for Explained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.causes()).finish()
    }
}

fn with(knobs: &'static [(&str, &str)]) -> Option<Observed> {
    Observed::start_with(|command: &mut Command| {
        command.envs(knobs.iter().copied());
    })
}

#[test]
fn what_a_program_holds_is_live() {
    let Some(mut program) = with(&[("GOGC", "off")]) else {
        return;
    };
    program.tell("alloc 0 100000 1000");
    let explained = Explained::of(&program);
    assert_eq!(explained.largest(), "live as requested");
    let live = explained.bytes("live as requested") + explained.bytes("rounding");
    assert!(live.abs_diff(100_000 * 1024) < MIB, "{live}: {explained:?}");
}

#[test]
fn a_program_whose_first_thread_has_ended_is_explained_all_the_same() {
    let Some(mut program) = with(&[("GOGC", "off")]) else {
        return;
    };
    program.tell("alloc 0 100000 1000");
    program.tell("leave");
    let pid = program.pid().to_string();
    let output = tool(&["explain", &pid, "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let shown = Explained(serde_json::from_slice(&output.stdout).expect("JSON"));
    assert_eq!(shown.largest(), "live as requested", "{shown:?}");
    assert_eq!(shown.bytes("unknown"), 0, "{shown:?}");
    let stats = tool(&["stats", &pid, "--json"]);
    assert!(stats.status.success(), "{}", text(&stats.stderr));
}

#[test]
fn what_was_freed_is_dead_until_a_cycle_comes() {
    let Some(mut program) = with(&[("GOGC", "off")]) else {
        return;
    };
    program.tell("alloc 0 100000 1000");
    program.tell("free 0 90000");
    let explained = Explained::of(&program);
    assert_eq!(explained.largest(), "dead, uncollected");
    let dead = explained.bytes("dead, uncollected") + explained.bytes("thread caches");
    assert!(dead.abs_diff(90_000 * 1024) < MIB, "{explained:?}");
    let told = tool(&["explain", &program.pid().to_string()]);
    let told = text(&told.stdout);
    assert!(told.contains("is dead and waits"), "{told}");
    assert!(told.contains("GOGC=off"), "{told}");
}

#[test]
fn one_object_a_span_after_a_burst_leaves_free_slots() {
    let Some(mut program) = with(&[("GOGC", "off")]) else {
        return;
    };
    program.tell("alloc 0 100000 1000");
    // Spans of eight objects of 1024 bytes: seven of each go.
    program.tell("thin 0 100000 8");
    let gc = tool(&["gc", &program.pid().to_string()]);
    assert!(gc.status.success());
    let explained = Explained::of(&program);
    assert_eq!(explained.largest(), "free slots", "{explained:?}");
    let live = explained.bytes("live as requested") + explained.bytes("rounding");
    assert!(live.abs_diff(12_500 * 1024) < MIB, "{explained:?}");
}

#[test]
fn memory_that_the_kernel_has_not_taken_yet_is_lazily_freed() {
    let Some(mut program) = with(&[("GODEBUG", "madvdontneed=0")]) else {
        return;
    };
    program.tell("alloc 0 100000 1000");
    program.tell("free 0 100000");
    let free = tool(&["free", &program.pid().to_string()]);
    assert!(free.status.success());
    let explained = Explained::of(&program);
    if explained.bytes("released, lazily freed") == 0 && explained.bytes("huge-page refill") == 0 {
        eprintln!("skipped: the kernel took what MADV_FREE gave it at once");
        return;
    }
    assert_eq!(
        explained.largest(),
        "released, lazily freed",
        "{explained:?}"
    );
    assert!(explained.bytes("released, lazily freed") > 80 * MIB);
}

#[test]
fn the_waterfall_is_drawn() {
    let Some(mut program) = with(&[]) else {
        return;
    };
    program.tell("alloc 0 10000 1000");
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("w.svg");
    let pid = program.pid().to_string();
    let drawn = tool(&["explain", &pid, "--out", file.to_str().expect("a path")]);
    assert!(drawn.status.success(), "{}", text(&drawn.stderr));
    let svg = std::fs::read_to_string(&file).expect("a picture");
    for words in [
        "heap profile",
        "live as requested",
        "±",
        "resident (RSS)",
        "the binary",
        "MiB",
    ] {
        assert!(svg.contains(words), "{words} in {svg}");
    }
    let file = folder.path().join("w.png");
    let drawn = tool(&["explain", &pid, "--out", file.to_str().expect("a path")]);
    assert!(drawn.status.success(), "{}", text(&drawn.stderr));
    let png = std::fs::read(&file).expect("a picture");
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
    let other = tool(&["explain", &pid, "--out", "w.jpg"]);
    assert_eq!(other.status.code(), Some(2));
    assert!(text(&other.stderr).contains("ends in .svg or .png"));
}

#[test]
fn a_program_that_is_not_on_the_heap_is_refused() {
    let own = std::process::id().to_string();
    assert!(refusal(&["explain", &own]).contains("does not run on goheap"));
}

#[test]
fn of_one_that_ends_meanwhile_nothing_is_told_but_that() {
    for step in 0..60 {
        let Some(mut program) = with(&[("GOGC", "off")]) else {
            return;
        };
        program.tell("alloc 0 2000 1000");
        let pid = program.pid().to_string();
        let explaining = goheap()
            .args(["explain", &pid, "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the tool starts");
        std::thread::sleep(Duration::from_micros(step * 100));
        program.signal(libc::SIGKILL);
        let output = explaining.wait_with_output().expect("the tool ends");
        if output.status.success() {
            let shown: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            assert!(shown["rss"].as_u64() > Some(2_000_000), "{shown}");
        } else {
            assert_eq!(output.status.code(), Some(1));
            assert_eq!(text(&output.stderr).lines().count(), 1);
        }
    }
}
