//! What the process says of its own memory.

use std::fs;

use goheap::{Cause, Explanation};

/// Bytes that the system counts as resident.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("there is a /proc");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().split(' ').next()?.parse::<u64>().ok());
    line.expect("a resident set") * 1024
}

/// What the process says of itself, after checking that the sum is what /proc says: on a busy machine the scavenger may give
/// back many pages between two looks, so what it said before and what it says afterwards.
#[track_caller]
pub fn explained() -> Explanation {
    let before = resident();
    let explained = goheap::explain().expect("the system shows the process's memory");
    let after = resident();
    let sum: u64 = explained.causes.iter().map(|(_, bytes)| bytes).sum();
    assert_eq!(sum, explained.rss);
    let (least, most) = (before.min(after), before.max(after));
    assert!(
        sum * 100 >= least * 99 && sum * 100 <= most * 101,
        "{before}, then {after}: {explained:?}"
    );
    assert!(
        explained.bytes(Cause::Unknown) * 100 <= sum,
        "{explained:?}"
    );
    explained
}

/// The largest cause.
pub fn largest(explained: &Explanation) -> Cause {
    let largest = explained.causes.iter().max_by_key(|(_, bytes)| *bytes);
    largest.expect("there are causes").0
}
