//! One burst and a rest under the policies of several versions, live, with the clock sped up.

use std::alloc::{GlobalAlloc, Layout};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use goheap::GoHeap;

#[path = "support/child.rs"]
mod child;

static HEAP: GoHeap = GoHeap::new();

const MIB: u64 = 1 << 20;
/// A minute takes a quarter of a second.
const SCALE: u32 = 240;

/// 64 MiB that are touched, then freed but for the last of it, and collected once. Returns when they were not idle yet.
fn burst() -> Instant {
    let layout = Layout::from_size_align(256 << 10, 8).expect("a layout");
    let blocks: Vec<_> = (0..256)
        // SAFETY: of this size, touched within it, and freed once below.
        .map(|_| unsafe {
            let at = HEAP.alloc(layout);
            assert!(!at.is_null());
            at.write_bytes(1, layout.size());
            at
        })
        .collect();
    for &at in &blocks[..255] {
        // SAFETY: allocated above with this layout.
        unsafe { HEAP.dealloc(at, layout) };
    }
    let begun = Instant::now();
    goheap::gc();
    begun
}

/// Idle and not released, in MiB.
fn retained() -> u64 {
    let stats = goheap::read_mem_stats();
    (stats.heap_idle - stats.heap_released) / MIB
}

/// Scaled minutes since then.
fn minutes(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * f64::from(SCALE) / 60.0
}

/// Lets scaled minutes pass.
fn rest(minutes: f64) {
    thread::sleep(Duration::from_secs_f64(minutes * 60.0 / f64::from(SCALE)));
}

/// Waits until no more than `mib` are retained; the child's patience is the limit.
fn until_retained_is_at_most(mib: u64) {
    while retained() > mib {
        thread::sleep(Duration::from_millis(5));
    }
}

fn under<'a>(policy: &'a str) -> impl FnOnce(&mut Command) + 'a {
    move |command| {
        command
            .env("GOHEAP_POLICY", policy)
            .env("GOHEAP_TIME_SCALE", SCALE.to_string());
    }
}

#[test]
fn under_go1_3_nothing_goes_back_within_five_idle_minutes_then_all_of_it() {
    let test = under_go1_3_nothing_goes_back_within_five_idle_minutes_then_all_of_it;
    let body = || {
        let (begun, before) = (burst(), retained());
        assert!(before >= 60, "{before}");
        rest(4.0);
        let after = retained();
        // On a machine that is busy enough, five minutes may have passed.
        if minutes(begun) < 5.0 {
            assert_eq!(after, before);
        }
        until_retained_is_at_most(0);
        assert!(minutes(begun) > 5.0);
    };
    child::run(test, under("go1.3"), body).expect_success();
}

#[test]
fn go1_12_gives_back_as_much_as_the_heap_grows_by_and_go1_11_nothing() {
    let test = go1_12_gives_back_as_much_as_the_heap_grows_by_and_go1_11_nothing;
    let body = || {
        burst();
        let before = retained();
        let layout = Layout::from_size_align(100 << 20, 8).expect("a layout");
        // SAFETY: never touched, and left to the end of the process.
        assert!(!unsafe { HEAP.alloc(layout) }.is_null());
        child::report("before", before);
        child::report("after", retained());
    };
    for (policy, gives) in [("go1.11", false), ("go1.12", true)] {
        // By the clock of the machine: nothing is to go back by time.
        let configure = |command: &mut Command| {
            command.env("GOHEAP_POLICY", policy);
        };
        let outcome = child::run(test, configure, body).expect_success();
        let of = |name| outcome.reported(name).parse::<u64>().expect("a number");
        let (before, after) = (of("before"), of("after"));
        assert!(before >= 60, "{policy}: {before} MiB are idle");
        if gives {
            assert_eq!(after, 0, "{policy}");
        } else {
            assert!(after >= 60, "{policy}: {before}, then {after}");
        }
    }
}

#[test]
fn go1_14_needs_one_collection_to_give_back_and_go1_21_another() {
    let test = go1_14_needs_one_collection_to_give_back_and_go1_21_another;
    let body = || {
        let begun = burst();
        let before = goheap::read_mem_stats().num_gc;
        until_retained_is_at_most(8);
        child::report("minutes", minutes(begun));
        child::report("cycles", goheap::read_mem_stats().num_gc - before);
    };
    let of = |policy| {
        let outcome = child::run(test, under(policy), body).expect_success();
        let number = |name| outcome.reported(name).parse::<f64>().expect("a number");
        (number("minutes"), number("cycles"))
    };
    let (minutes, cycles) = of("go1.14");
    // On a machine that is busy enough, one may have been forced.
    assert!(cycles == 0.0 || minutes > 1.9, "{cycles} in {minutes}");
    let (minutes, cycles) = of("go1.21");
    assert!(cycles >= 1.0 && minutes > 1.9, "{cycles} in {minutes}");
}

#[test]
fn a_memory_limit_is_unknown_before_go1_19() {
    let test = a_memory_limit_is_unknown_before_go1_19;
    let body = || {
        goheap::set_memory_limit(64 << 20);
        child::report("limit", goheap::set_memory_limit(-1));
    };
    for (policy, limit) in [("go1.18", i64::MAX), ("go1.19", 64 << 20)] {
        let outcome = child::run(test, under(policy), body).expect_success();
        assert_eq!(outcome.reported("limit"), limit.to_string(), "{policy}");
    }
}

#[test]
fn under_every_policy_a_burst_goes_back_in_the_end() {
    let test = under_every_policy_a_burst_goes_back_in_the_end;
    let body = || {
        burst();
        until_retained_is_at_most(8);
    };
    for policy in ["go1.1", "go1.8", "go1.13", "go1.17", "go1.19", "go1.27"] {
        child::run(test, under(policy), body).expect_success();
    }
}
