//! Any bytes at all, as a program for the process's heap, with its pacer and its background threads.

#![no_main]

use goheap::GoHeap;
use goheap_fuzz::{Program, run};

static HEAP: GoHeap = GoHeap::new();

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let program = Program::decode(bytes);
    if let Err(fault) = run(&HEAP, &program) {
        panic!("{fault}\n{program:?}");
    }
});
