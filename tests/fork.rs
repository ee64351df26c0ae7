//! A process that forks while its threads are busy: the child has a heap that works.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use goheap::GoHeap;

#[path = "support/child.rs"]
mod child;
#[path = "support/counters.rs"]
mod counters;

#[global_allocator]
static HEAP: GoHeap = GoHeap::new();

/// Times `GOHEAP_TEST_EFFORT`: 40 makes a thousand of each kind.
const FORKS: usize = 25;
const CHURNING: usize = 16;

/// Seconds after which a forked process that hangs is ended by a signal, which is a failure.
const ALARM: u32 = 60;

fn churn(stop: &AtomicBool) {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    let mut number = 0_usize;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        kept.push(vec![number as u8; 1 + number * 31 % 5000]);
        if kept.len() > 200 {
            kept.swap_remove(number % 200);
        }
        if number.is_multiple_of(5000) {
            goheap::gc();
        }
        if number.is_multiple_of(50_000) {
            goheap::free_os_memory();
        }
    }
}

/// Forks; the new process runs `body` and exits with what it returns. Returns how it ended.
fn fork_and_wait(body: impl FnOnce() -> bool) -> Result<(), String> {
    // SAFETY: the new process uses the heap, which is to work there, and nothing else that
    // another thread may have left locked: no output, no unwinding, no exit handlers.
    let process = unsafe { libc::fork() };
    if process == 0 {
        // SAFETY: ends this process alone, now or when it hangs.
        unsafe {
            libc::alarm(ALARM);
            libc::_exit(if body() { 0 } else { 1 });
        }
    }
    assert!(process > 0, "{}", std::io::Error::last_os_error());
    let mut status = 0;
    // SAFETY: the process was just forked, and nobody else waits for it.
    assert_eq!(unsafe { libc::waitpid(process, &mut status, 0) }, process);
    match (libc::WIFSIGNALED(status), libc::WEXITSTATUS(status)) {
        (false, 0) => Ok(()),
        (false, code) => Err(format!("exited with {code}")),
        (true, _) => Err(format!("ended by signal {}", libc::WTERMSIG(status))),
    }
}

/// Runs `body` in many forked processes, each forked while other threads allocate and collect.
#[track_caller]
fn in_forks_of_a_busy_process<T: Fn()>(test: T, body: fn(&[Vec<u8>]) -> bool) {
    let parent = move || {
        let from_before: Vec<Vec<u8>> = (0..1000_usize).map(|n| vec![n as u8; 1 + n]).collect();
        let stop = Arc::new(AtomicBool::new(false));
        // A thread that starts holds a lock of the standard library's, which no child would ever get.
        let started = Arc::new(Barrier::new(CHURNING + 1));
        let threads: Vec<_> = (0..CHURNING)
            .map(|_| {
                let (stop, started) = (Arc::clone(&stop), Arc::clone(&started));
                thread::spawn(move || {
                    started.wait();
                    churn(&stop);
                })
            })
            .collect();
        started.wait();
        for fork in 0..FORKS * child::effort() as usize {
            if let Err(end) = fork_and_wait(|| body(&from_before)) {
                panic!("fork {fork} {end}");
            }
        }
        stop.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().expect("the thread ends in order");
        }
        assert!(are_intact(&from_before));
        counters::at_rest();
    };
    child::run(test, |_| {}, parent).expect_success();
}

fn are_intact(objects: &[Vec<u8>]) -> bool {
    let mut numbered = objects.iter().enumerate();
    numbered.all(|(number, object)| object.iter().all(|&byte| byte == number as u8))
}

#[test]
fn a_forked_process_allocates_and_collects() {
    in_forks_of_a_busy_process(a_forked_process_allocates_and_collects, |from_before| {
        let mut fresh: Vec<Vec<u8>> = (0..1000_usize).map(|n| vec![n as u8; 1 + n * 13]).collect();
        goheap::gc();
        let sound = are_intact(from_before) && are_intact(&fresh) && goheap::check().is_ok();
        fresh.clear();
        goheap::free_os_memory();
        fresh.extend((0..1000_usize).map(|n| vec![n as u8; 1 + n * 13]));
        sound && are_intact(&fresh)
    });
}

#[test]
fn a_forked_process_counts() {
    in_forks_of_a_busy_process(a_forked_process_counts, |from_before| {
        let kept = from_before.to_vec();
        goheap::gc();
        goheap::gc();
        let stats = goheap::read_mem_stats();
        goheap_stats::audit(&stats).is_ok()
            && stats.heap_objects > 2 * from_before.len() as u64
            && are_intact(&kept)
    });
}

#[test]
fn a_forked_process_starts_threads_and_forks_again() {
    in_forks_of_a_busy_process(
        a_forked_process_starts_threads_and_forks_again,
        |from_before| {
            let copy = from_before.to_vec();
            let thread = thread::spawn(move || {
                let fresh = copy.clone();
                goheap::gc();
                are_intact(&copy) && are_intact(&fresh)
            });
            let again = fork_and_wait(|| {
                goheap::gc();
                let copy = from_before.to_vec();
                are_intact(&copy)
            });
            thread.join().is_ok_and(|sound| sound) && again.is_ok()
        },
    );
}

#[test]
fn a_forked_process_frees_what_its_parent_allocated() {
    in_forks_of_a_busy_process(
        a_forked_process_frees_what_its_parent_allocated,
        |from_before| {
            // SAFETY: a bitwise copy, and the original is never used again in this process.
            let mut mine: Vec<Vec<u8>> = from_before
                .iter()
                .map(|object| unsafe { std::ptr::read(object) })
                .collect();
            mine.truncate(500);
            goheap::gc();
            goheap::gc();
            let fresh: Vec<Vec<u8>> = (0..1000_usize).map(|n| vec![n as u8; 1 + n]).collect();
            are_intact(&mine) && are_intact(&fresh)
        },
    );
}
