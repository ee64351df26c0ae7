//! What the process says of its own memory.

use std::fs;

use goheap::{Cause, Explanation};

/// What the process says of itself, after checking that the sum is what /proc says.
#[track_caller]
pub fn explained() -> Explanation {
    let explained = goheap::explain().expect("the system shows the process's memory");
    let status = fs::read_to_string("/proc/self/status").expect("there is a /proc");
    let rss = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().split(' ').next()?.parse::<u64>().ok())
        .expect("a resident set")
        * 1024;
    let sum: u64 = explained.causes.iter().map(|(_, bytes)| bytes).sum();
    assert_eq!(sum, explained.rss);
    assert!(sum.abs_diff(rss) * 100 <= rss, "{rss}: {explained:?}");
    assert!(
        explained.bytes(Cause::Unknown) * 100 <= rss,
        "{explained:?}"
    );
    explained
}

/// The largest cause.
pub fn largest(explained: &Explanation) -> Cause {
    let largest = explained.causes.iter().max_by_key(|(_, bytes)| *bytes);
    largest.expect("there are causes").0
}
