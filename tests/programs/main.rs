//! Real programs compute under goheap what they compute under the system's allocator, and
//! leave a heap whose counters agree and which is as empty as it was.

mod chosen;
mod json;
mod parallel;
mod pipeline;
mod short_lived;
mod text;

#[path = "../support/child.rs"]
mod child;
#[path = "../support/counters.rs"]
mod counters;

use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::OsStrExt;

use chosen::Chosen;

#[global_allocator]
static HEAP: Chosen = Chosen::new();

/// A number that differs where the values do.
fn digest(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Numbers that look random and are the same on every run (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

#[track_caller]
fn same_under_both<T: Fn() + Copy>(test: T, program: fn() -> u64) {
    let under = |allocator: &str| {
        let configure = |command: &mut std::process::Command| {
            let variable = OsStr::from_bytes(chosen::VARIABLE.to_bytes());
            command.env(variable, allocator);
        };
        child::run(test, configure, || measured(program)).expect_success()
    };
    let (system, goheap) = (under("system"), under("goheap"));
    assert_eq!(system.reported("allocator"), "system");
    assert_eq!(goheap.reported("allocator"), "goheap");
    assert_eq!(system.reported("digest"), goheap.reported("digest"));
}

/// The program's digest and, under goheap, a look at what it leaves behind.
fn measured(program: fn() -> u64) {
    if !HEAP.is_goheap() {
        child::report("allocator", "system");
        child::report("digest", program());
        return;
    }
    child::report("allocator", "goheap");
    let start = counters::at_rest();
    child::report("digest", program());
    let end = counters::at_rest();
    assert!(end.mallocs > start.mallocs, "nothing was allocated");
    counters::assert_returned(&start, &end);
}

#[test]
fn json_parsed_and_written_again() {
    same_under_both(json_parsed_and_written_again, json::run);
}

#[test]
fn a_regex_over_a_large_text() {
    same_under_both(a_regex_over_a_large_text, text::run);
}

#[test]
fn sorting_and_hashing_on_four_threads() {
    same_under_both(sorting_and_hashing_on_four_threads, parallel::run);
}

#[test]
fn a_pipeline_that_frees_on_another_thread() {
    same_under_both(a_pipeline_that_frees_on_another_thread, pipeline::run);
}

#[test]
fn ten_thousand_short_lived_threads() {
    same_under_both(ten_thousand_short_lived_threads, short_lived::run);
}
