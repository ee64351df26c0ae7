//! Ten thousand threads that each allocate a little and end.

use std::thread;

use crate::{Numbers, digest};

const THREADS: u64 = 10_000;
const AT_ONCE: u64 = 16;

pub fn run() -> u64 {
    let mut sum = 0_u64;
    for first in (0..THREADS).step_by(AT_ONCE as usize) {
        let threads: Vec<_> = (first..first + AT_ONCE)
            .map(|seed| thread::spawn(move || work(seed)))
            .collect();
        for thread in threads {
            // The strings outlive their thread and are freed here.
            let strings = thread.join().expect("a thread ends in order");
            sum = sum.rotate_left(1) ^ digest(&strings);
        }
    }
    sum
}

fn work(seed: u64) -> Vec<String> {
    let mut numbers = Numbers(seed + 1);
    let mut kept = Vec::new();
    for round in 0..40 {
        let text = "x".repeat(1 + numbers.below(700) as usize);
        if round % 8 == 0 {
            kept.push(text);
        }
    }
    kept
}
