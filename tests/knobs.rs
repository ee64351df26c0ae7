//! What the environment says of the heap is done, and what it cannot mean is said once.

use std::alloc::{GlobalAlloc, Layout};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use goheap::GoHeap;
use regex::Regex;

#[path = "support/child.rs"]
mod child;
#[path = "support/counters.rs"]
mod counters;

use child::Outcome;

/// A value, not the global allocator: it starts where a body says, and holds what that allocates.
static HEAP: GoHeap = GoHeap::new();

const MIB: u64 = 1 << 20;

/// Allocates and frees an object at a time: garbage, and at most one object live.
fn churn(bytes: u64) {
    let layout = Layout::from_size_align(1000, 8).expect("a layout");
    for _ in 0..bytes / 1000 {
        // SAFETY: allocated and freed once, with the same layout.
        unsafe {
            let object = HEAP.alloc(layout);
            assert!(!object.is_null());
            object.write(1);
            HEAP.dealloc(object, layout);
        }
    }
}

fn with<'a>(settings: &'a [(&str, &str)]) -> impl FnOnce(&mut Command) + 'a {
    move |command| {
        command.envs(settings.iter().copied());
    }
}

/// What a child says GOGC and GOMEMLIMIT are, and with it what it said on standard error.
#[track_caller]
fn readings<T: Fn()>(test: T, settings: &[(&str, &str)]) -> (i32, i64, Outcome) {
    let body = || {
        churn(MIB);
        let percent = goheap::set_gc_percent(100);
        child::report("percent", percent);
        child::report("limit", goheap::set_memory_limit(-1));
    };
    let outcome = child::run(test, with(settings), body).expect_success();
    let percent = outcome.reported("percent").parse().expect("a number");
    let limit = outcome.reported("limit").parse().expect("a number");
    (percent, limit, outcome)
}

/// The lines that the heap wrote on standard error.
fn complaints(outcome: &Outcome) -> Vec<&str> {
    outcome
        .stderr
        .lines()
        .filter(|line| line.contains("goheap"))
        .collect()
}

/// Expects the defaults, and one line that names the knob, the value and what it takes.
#[track_caller]
fn expect_complaint<T: Fn() + Copy>(test: T, knob: &str, value: &str, takes: &str) {
    let (percent, limit, outcome) = readings(test, &[(knob, value)]);
    assert_eq!((percent, limit), (100, i64::MAX), "{knob}={value}");
    let lines = complaints(&outcome);
    let [line] = lines[..] else {
        panic!("{knob}={value} should cost one line: {outcome}");
    };
    for words in [&format!("{knob}={value}"), takes] {
        assert!(line.contains(words), "“{words}” is not in “{line}”");
    }
}

#[test]
fn without_settings_the_defaults_hold_in_silence() {
    let (percent, limit, outcome) = readings(without_settings_the_defaults_hold_in_silence, &[]);
    assert_eq!((percent, limit), (100, i64::MAX));
    assert!(complaints(&outcome).is_empty(), "{outcome}");
}

#[test]
fn gogc_is_a_percentage_or_off() {
    for (value, expected) in [("50", 50), ("0", 0), ("400", 400), ("off", -1), ("-1", -1)] {
        let (percent, _, outcome) = readings(gogc_is_a_percentage_or_off, &[("GOGC", value)]);
        assert_eq!(percent, expected, "GOGC={value}");
        assert!(complaints(&outcome).is_empty(), "{outcome}");
    }
}

#[test]
fn gomemlimit_is_a_size_in_go_s_units_or_off() {
    let expectations = [
        ("512MiB", 512 << 20),
        ("1GiB", 1 << 30),
        ("65536KiB", 64 << 20),
        ("100000000B", 100_000_000),
        ("100000000", 100_000_000),
        ("off", i64::MAX),
    ];
    for (value, expected) in expectations {
        let (_, limit, outcome) = readings(
            gomemlimit_is_a_size_in_go_s_units_or_off,
            &[("GOMEMLIMIT", value)],
        );
        assert_eq!(limit, expected, "GOMEMLIMIT={value}");
        assert!(complaints(&outcome).is_empty(), "{outcome}");
    }
}

#[test]
fn a_bad_gogc_is_said_once_and_the_default_holds() {
    for value in ["garbage", "99999999999", "1.5", "50%"] {
        expect_complaint(
            a_bad_gogc_is_said_once_and_the_default_holds,
            "GOGC",
            value,
            "off",
        );
    }
}

#[test]
fn a_bad_gomemlimit_is_said_once_and_the_default_holds() {
    for value in ["2GB", "1.5GiB", "-1", "MiB", "99999999999TiB"] {
        expect_complaint(
            a_bad_gomemlimit_is_said_once_and_the_default_holds,
            "GOMEMLIMIT",
            value,
            "MiB",
        );
    }
}

#[test]
fn a_bad_way_to_reclaim_is_said_once_and_the_default_holds() {
    expect_complaint(
        a_bad_way_to_reclaim_is_said_once_and_the_default_holds,
        "GOHEAP_RECLAIM",
        "never",
        "eager",
    );
}

#[test]
fn a_bad_setting_in_godebug_is_said_once() {
    expect_complaint(
        a_bad_setting_in_godebug_is_said_once,
        "GODEBUG",
        "gctrace=maybe",
        "0 or 1",
    );
}

#[test]
fn settings_of_godebug_that_are_go_s_own_business_are_let_be() {
    let test = settings_of_godebug_that_are_go_s_own_business_are_let_be;
    let (_, _, outcome) = readings(test, &[("GODEBUG", "http2client=0,,madvdontneed=1,x")]);
    assert!(complaints(&outcome).is_empty(), "{outcome}");
}

#[test]
fn an_empty_setting_is_none() {
    let settings = [
        ("GOGC", ""),
        ("GOMEMLIMIT", ""),
        ("GODEBUG", ""),
        ("GOHEAP_RECLAIM", ""),
    ];
    let (percent, limit, outcome) = readings(an_empty_setting_is_none, &settings);
    assert_eq!((percent, limit), (100, i64::MAX));
    assert!(complaints(&outcome).is_empty(), "{outcome}");
}

/// Cycles that come of themselves while a child makes garbage.
#[track_caller]
fn cycles<T: Fn()>(test: T, settings: &[(&str, &str)]) -> u32 {
    let body = || {
        churn(100 * MIB);
        child::report("cycles", counters::audited().num_gc);
    };
    let outcome = child::run(test, with(settings), body).expect_success();
    outcome.reported("cycles").parse().expect("a number")
}

#[test]
fn a_lower_gogc_collects_more_often_and_off_never() {
    let test = a_lower_gogc_collects_more_often_and_off_never;
    let [off, hundred, fifty] = ["off", "100", "50"].map(|value| cycles(test, &[("GOGC", value)]));
    assert_eq!(off, 0);
    assert!(
        hundred > 5 && fifty > hundred + hundred / 2,
        "{hundred} cycles at 100, {fifty} at 50"
    );
}

#[test]
fn a_memory_limit_collects_though_gogc_is_off() {
    let test = a_memory_limit_collects_though_gogc_is_off;
    let settings = [("GOGC", "off"), ("GOMEMLIMIT", "32MiB")];
    assert!(cycles(test, &settings) > 0);
}

#[test]
fn eager_reclaim_needs_no_cycle() {
    let body = || {
        churn(64 * MIB);
        let stats = counters::audited();
        child::report("cycles", stats.num_gc);
        child::report("inuse", stats.heap_inuse);
    };
    let inuse = |reclaim: &str| -> u64 {
        let settings = [("GOGC", "off"), ("GOHEAP_RECLAIM", reclaim)];
        let outcome =
            child::run(eager_reclaim_needs_no_cycle, with(&settings), body).expect_success();
        assert_eq!(outcome.reported("cycles"), "0");
        outcome.reported("inuse").parse().expect("a number")
    };
    let (eager, cycle) = (inuse("eager"), inuse("cycle"));
    assert!(
        cycle >= 64 * MIB,
        "{cycle} bytes in use, though nothing was collected"
    );
    assert!(
        eager < 8 * MIB,
        "{eager} bytes in use, though all was free at once"
    );
}

#[test]
fn gctrace_prints_go_s_line_for_each_cycle() {
    let body = || {
        churn(20 * MIB);
        for _ in 0..3 {
            goheap::gc();
        }
        child::report("cycles", counters::audited().num_gc);
    };
    let settings = [("GODEBUG", "gctrace=1")];
    let outcome = child::run(
        gctrace_prints_go_s_line_for_each_cycle,
        with(&settings),
        body,
    )
    .expect_success();
    let form = Regex::new(concat!(
        r"^gc (\d+) @\d+\.\d{3}s \d+%: ",
        r"[\d.]+\+[\d.]+\+[\d.]+ ms clock, [\d.]+\+[\d.]+/[\d.]+/[\d.]+\+[\d.]+ ms cpu, ",
        r"\d+->\d+->\d+ MB, \d+ MB goal, \d+ MB stacks, \d+ MB globals, \d+ P( \(forced\))?$",
    ))
    .expect("a regex");
    let lines: Vec<_> = outcome
        .stderr
        .lines()
        .filter(|line| line.starts_with("gc "))
        .collect();
    let numbers: Vec<usize> = lines
        .iter()
        .map(|line| match form.captures(line) {
            Some(parts) => parts[1].parse().expect("a number"),
            None => panic!("not Go's form: {line}"),
        })
        .collect();
    let cycles: usize = outcome.reported("cycles").parse().expect("a number");
    assert!(cycles > 3, "{outcome}");
    // One line a cycle, in order; the last may still be under way.
    assert!(numbers.len() + 1 >= cycles, "{cycles} cycles: {outcome}");
    assert!(
        numbers
            .iter()
            .enumerate()
            .all(|(index, &number)| number == index + 1),
        "{outcome}"
    );
    let forced = lines
        .iter()
        .filter(|line| line.ends_with("(forced)"))
        .count();
    assert!((2..=3).contains(&forced), "3 cycles were forced: {outcome}");
}

#[test]
fn scavtrace_prints_go_s_line_for_what_is_returned() {
    let body = || {
        churn(20 * MIB);
        goheap::free_os_memory();
    };
    let settings = [("GODEBUG", "gctrace=0,scavtrace=1")];
    let outcome = child::run(
        scavtrace_prints_go_s_line_for_what_is_returned,
        with(&settings),
        body,
    )
    .expect_success();
    let form = Regex::new(
        r"(?m)^scav \d+ KiB work \(bg\), \d+ KiB work \(eager\), \d+ KiB now, \d+% util \(forced\)$",
    )
    .expect("a regex");
    assert!(form.is_match(&outcome.stderr), "{outcome}");
    assert!(!outcome.stderr.contains("\ngc "), "{outcome}");
}

#[cfg(not(feature = "http"))]
#[test]
fn a_build_without_a_server_says_so() {
    let test = a_build_without_a_server_says_so;
    let settings = [("GOHEAP_HTTP", "127.0.0.1:0")];
    let outcome = child::run(test, with(&settings), || churn(MIB)).expect_success();
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome}");
    let words = "GOHEAP_HTTP=127.0.0.1:0 has no effect: this build has no server";
    assert!(outcome.stderr.contains(words), "{outcome}");
}

/// A copy of this binary that runs with root's rights whoever starts it, which goes when this does. `None` where
/// there may be none, or who has no rights could not reach it.
struct Setuid(PathBuf);

impl Setuid {
    fn new() -> Option<Self> {
        let copy = Self(std::env::temp_dir().join(format!("goheap-setuid-{}", std::process::id())));
        let own = std::env::current_exe().expect("the path of this binary");
        child::copied(&own, &copy.0).then_some(())?;
        fs::set_permissions(&copy.0, Permissions::from_mode(0o4755)).ok()?;
        Some(copy)
    }
}

impl Drop for Setuid {
    fn drop(&mut self) {
        // What stays in the directory for temporary files harms nobody.
        let _ = fs::remove_file(&self.0);
    }
}

/// Who has no rights.
const NOBODY: u32 = 65534;

#[test]
fn a_setuid_program_is_not_seen_whatever_its_user_says() {
    // SAFETY: reads a number.
    let root = unsafe { libc::geteuid() } == 0;
    let in_child = std::env::var_os("AS_NOBODY").is_some();
    let copy = match in_child {
        true => None,
        false => Setuid::new().filter(|_| root),
    };
    if copy.is_none() && !in_child {
        eprintln!("not root, or no setuid programs here; nothing is tested");
        return;
    }
    let body = || {
        churn(MIB);
        let tasks = fs::read_dir("/proc/self/task").expect("a list of threads");
        let names = tasks.map(|task| {
            let task = task.expect("a thread").path();
            fs::read_to_string(task.join("comm")).unwrap_or_default()
        });
        let seen = names.filter(|name| name.starts_with("goheap-publish"));
        child::report("seen", seen.count());
        child::report("percent", goheap::set_gc_percent(100));
        // SAFETY: reads two numbers.
        let raised = unsafe { libc::geteuid() == 0 && libc::getuid() == NOBODY };
        child::report("raised", raised);
    };
    let program = copy.as_ref().map_or(Path::new(""), |copy| &copy.0);
    let start = |uid: u32| {
        let configure = move |command: &mut Command| {
            command
                .current_dir("/")
                .envs([("AS_NOBODY", "1"), ("GOGC", "50"), ("GOHEAP_PUBLISH", "1")])
                .uid(uid);
        };
        let test = a_setuid_program_is_not_seen_whatever_its_user_says;
        child::run_copy(program, test, configure, body).expect_success()
    };
    // The control: for root it is a program as any other.
    let own = start(0);
    assert_eq!((own.reported("seen"), own.reported("percent")), ("1", "50"));
    let raised = start(NOBODY);
    if raised.reported("raised") == "true" {
        assert_eq!(
            (raised.reported("seen"), raised.reported("percent")),
            ("0", "50")
        );
    } else {
        eprintln!("setuid bits have no effect here; nothing is tested");
    }
}
