//! In a control group with little memory: a limit keeps the process alive, and what the kernel takes
//! of lazily released memory is taken for nothing else.

use std::ptr;
use std::time::{Duration, Instant};

use goheap::GoHeap;

#[path = "support/child.rs"]
mod child;
#[path = "support/counters.rs"]
mod counters;
#[path = "support/group.rs"]
mod group;

#[global_allocator]
static HEAP: GoHeap = GoHeap::new();

const MIB: usize = 1 << 20;
const LIMIT: usize = 64 * MIB;
/// Runs `body` in a child within a group of [`LIMIT`] bytes of memory; `None` where there is none.
#[track_caller]
fn in_a_group<T: Fn()>(
    test: T,
    name: &str,
    knobs: &[(&str, &str)],
    body: fn(),
) -> Option<child::Outcome> {
    let limit = group::Limit {
        files: &[
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
        ],
        value: &LIMIT.to_string(),
    };
    group::run(test, name, &limit, knobs, body)
}

/// Holds 20 MiB, and leaves ten times as much as garbage. At GOGC=400 the heap would grow to 100 MiB.
fn much_garbage() {
    let mut held: Vec<Vec<u8>> = (0..20 * 1024).map(|i| vec![i as u8; 1000]).collect();
    for number in 0..200 * 1024_usize {
        let at = number * 7919 % held.len();
        let old = held[at][0];
        assert!(held[at].iter().all(|&byte| byte == old));
        held[at] = vec![old.wrapping_add(1); 1000];
    }
    counters::audited();
}

#[test]
fn a_memory_limit_keeps_a_process_within_its_group() {
    let knobs = [("GOGC", "400"), ("GOMEMLIMIT", "48MiB")];
    let test = a_memory_limit_keeps_a_process_within_its_group;
    if let Some(outcome) = in_a_group(test, "limited", &knobs, much_garbage) {
        outcome.expect_success();
    }
}

/// The control: without the limit the same program does not survive there.
#[test]
fn without_one_the_kernel_ends_it() {
    let test = without_one_the_kernel_ends_it;
    if let Some(outcome) = in_a_group(test, "unlimited", &[("GOGC", "400")], much_garbage) {
        outcome.expect_signal(libc::SIGKILL);
    }
}

#[test]
fn what_the_kernel_takes_of_lazily_released_memory_reads_as_what_it_should() {
    let body = || {
        let kept: Vec<Vec<u8>> = (0..8000_usize).map(|i| vec![i as u8; 1000]).collect();
        drop(vec![0xa5_u8; 30 * MIB]);
        goheap::free_os_memory();
        // The scavenger may have some in hand just then, of which it gives back all.
        let begun = Instant::now();
        let mut released = counters::audited().heap_released;
        while released < 30 * MIB as u64 && begun.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(5));
            released = counters::audited().heap_released;
        }
        assert!(released >= 30 * MIB as u64, "{released} bytes are released");
        // Memory of others, as much as the group has left only if the heap's is taken.
        // SAFETY: a new mapping, as long as said, written once and left to the process's end.
        unsafe {
            let both = libc::PROT_READ | libc::PROT_WRITE;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let other = libc::mmap(ptr::null_mut(), 40 * MIB, both, flags, -1, 0);
            assert_ne!(other, libc::MAP_FAILED);
            other.write_bytes(1, 40 * MIB);
            assert_eq!(libc::munmap(other, 40 * MIB), 0);
        }
        let zeroed = vec![0_u8; 30 * MIB];
        assert!(zeroed.iter().all(|&byte| byte == 0));
        let mut numbered = kept.iter().enumerate();
        assert!(numbered.all(|(i, object)| object.iter().all(|&byte| byte == i as u8)));
        assert_eq!(goheap::check().map_err(|f| f.to_string()), Ok(()));
    };
    let test = what_the_kernel_takes_of_lazily_released_memory_reads_as_what_it_should;
    if let Some(outcome) = in_a_group(test, "lazy", &[("GODEBUG", "madvdontneed=0")], body) {
        outcome.expect_success();
    }
}
