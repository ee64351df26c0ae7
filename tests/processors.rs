//! How many processors count as the process's: those that it is told, or that it may use.

use std::alloc::{GlobalAlloc, Layout};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::process::Command;

use goheap::GoHeap;
use goheap_allocator::os;

#[path = "support/child.rs"]
mod child;
#[path = "support/group.rs"]
mod group;

use child::Outcome;

/// A value, not the global allocator: it starts where a body says.
static HEAP: GoHeap = GoHeap::new();

/// Starts the heap, and has it print a cycle's line.
fn collect() {
    let layout = Layout::from_size_align(1000, 8).expect("a layout");
    // SAFETY: allocated and freed once, with the same layout.
    unsafe {
        let object = HEAP.alloc(layout);
        assert!(!object.is_null());
        HEAP.dealloc(object, layout);
    }
    goheap::gc();
}

/// What a cycle's line says that there are: `… 0 MB globals, 2 P (forced)`.
#[track_caller]
fn told(outcome: &Outcome) -> u32 {
    let line = outcome.stderr.lines().find(|line| line.starts_with("gc "));
    let number = line.and_then(|line| {
        let (before, _) = line.split_once(" P")?;
        before.rsplit(' ').next()?.parse().ok()
    });
    number.unwrap_or_else(|| panic!("no line of a cycle: {outcome}"))
}

/// Variables of a child that prints its cycles. `GODEBUG` is theirs to add to.
fn with<'a>(settings: &'a [(&str, &str)]) -> impl FnOnce(&mut Command) + 'a {
    move |command| {
        command
            .env("GODEBUG", "gctrace=1")
            .envs(settings.iter().copied());
    }
}

#[test]
fn gomaxprocs_says_how_many_there_are() {
    let test = gomaxprocs_says_how_many_there_are;
    for (value, expected) in [("7", 7), ("1", 1), ("+5", 5), ("99999", 99_999)] {
        let settings = [("GOMAXPROCS", value)];
        let outcome = child::run(test, with(&settings), collect).expect_success();
        assert_eq!(told(&outcome), expected, "GOMAXPROCS={value}");
        assert!(!outcome.stderr.contains("goheap:"), "{outcome}");
    }
}

/// Binds the calling thread, and all that it starts, to the processor that it is on.
fn bind() {
    // SAFETY: plain C structures, as long as said.
    unsafe {
        let mut one: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(libc::sched_getcpu().max(0) as usize, &mut one);
        assert_eq!(libc::sched_setaffinity(0, size_of_val(&one), &one), 0);
    }
}

#[test]
fn without_it_there_are_those_that_the_process_may_run_on() {
    let test = without_it_there_are_those_that_the_process_may_run_on;
    for (settings, expected) in [
        (&[][..], 1),
        (&[("GOMAXPROCS", "0")], 1),
        (&[("GOMAXPROCS", "")], 1),
        (&[("GOMAXPROCS", "3")], 3),
    ] {
        let body = || {
            bind();
            collect();
        };
        let outcome = child::run(test, with(settings), body).expect_success();
        assert_eq!(told(&outcome), expected, "{settings:?}");
        assert!(!outcome.stderr.contains("goheap:"), "{outcome}");
    }
}

#[test]
fn a_bad_number_is_said_once_and_the_default_holds() {
    let test = a_bad_number_is_said_once_and_the_default_holds;
    for value in ["-1", "abc", "1.5", "4x", "2147483648"] {
        let settings = [("GOMAXPROCS", value)];
        let body = || {
            bind();
            collect();
        };
        let outcome = child::run(test, with(&settings), body).expect_success();
        assert_eq!(told(&outcome), 1, "GOMAXPROCS={value}");
        let complaints: Vec<_> = outcome
            .stderr
            .lines()
            .filter(|line| line.contains("goheap:"))
            .collect();
        let [line] = complaints[..] else {
            panic!("GOMAXPROCS={value} should cost one line: {outcome}");
        };
        for words in [&format!("GOMAXPROCS={value}"), "from 1 to 2147483647", "0"] {
            assert!(line.contains(words), "“{words}” is not in “{line}”");
        }
    }
}

#[test]
fn up_to_go1_4_there_is_one_unless_it_is_told() {
    let test = up_to_go1_4_there_is_one_unless_it_is_told;
    for (maxprocs, expected) in [("", 1), ("6", 6)] {
        let settings = [("GOHEAP_POLICY", "go1.4"), ("GOMAXPROCS", maxprocs)];
        let outcome = child::run(test, with(&settings), collect).expect_success();
        assert_eq!(told(&outcome), expected, "{settings:?}");
    }
}

/// A group that may use so many microseconds in each period of 100 ms, which is the kernel's default.
fn quota(value: &str) -> group::Limit<'_> {
    group::Limit {
        files: &[
            ("/sys/fs/cgroup/cpu", "cpu.cfs_quota_us"),
            ("/sys/fs/cgroup", "cpu.max"),
        ],
        value,
    }
}

#[test]
fn a_group_s_quota_is_found_and_no_descriptor_is_kept() {
    let test = a_group_s_quota_is_found_and_no_descriptor_is_kept;
    for value in ["50000", "150000", "1010000"] {
        let body = || {
            let next = || File::open("/dev/null").expect("a file").as_raw_fd();
            let before = next();
            let quota = os::cpu_quota().expect("the group has one");
            child::report("quota", quota.us);
            child::report("period", quota.period_us);
            assert_eq!(next(), before);
        };
        let outcome = group::run(test, "quota", &quota(value), &[], body);
        let Some(outcome) = outcome.map(Outcome::expect_success) else {
            return;
        };
        assert_eq!(outcome.reported("quota"), value);
        assert_eq!(outcome.reported("period"), "100000");
    }
}

#[test]
fn a_quota_leaves_as_many_as_it_is_worth_from_go1_25_on_unless_it_is_not_to_count() {
    let test = a_quota_leaves_as_many_as_it_is_worth_from_go1_25_on_unless_it_is_not_to_count;
    let allowed = os::processors();
    if allowed <= 2 {
        eprintln!(
            "quota: no quota counts as less than two processors; nothing is tested on {allowed}"
        );
        return;
    }
    // With what is told at half a processor, and at a little over two.
    type Told<'a> = (&'a [(&'a str, &'a str)], u32, u32);
    let settings: [Told; 5] = [
        (&[], 2, 3),
        (&[("GOHEAP_POLICY", "go1.25")], 2, 3),
        (&[("GOHEAP_POLICY", "go1.24")], allowed, allowed),
        (
            &[("GODEBUG", "gctrace=1,containermaxprocs=0")],
            allowed,
            allowed,
        ),
        (&[("GOMAXPROCS", "9")], 9, 9),
    ];
    for (settings, small, larger) in settings {
        for (value, expected) in [("50000", small), ("200001", larger)] {
            let traced = [&[("GODEBUG", "gctrace=1")], settings].concat();
            let outcome = group::run(test, "share", &quota(value), &traced, collect);
            let Some(outcome) = outcome.map(Outcome::expect_success) else {
                return;
            };
            assert_eq!(told(&outcome), expected, "{value} {settings:?}");
        }
    }
}
