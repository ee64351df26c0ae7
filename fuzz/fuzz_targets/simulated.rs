//! Any bytes at all, as a program for a heap over a system that is not there. The last byte says
//! how idle memory goes back, and whether freed memory is poisoned
//! and objects are placed at random.

#![no_main]

use goheap_fuzz::{Hardened, Idle, Program, Simulated, run};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let last = bytes.last().copied().unwrap_or(0);
    let idle = match last & 1 {
        1 => Idle::ByAge,
        _ => Idle::ByAddress,
    };
    let hardened = Hardened {
        poisons: last & 2 != 0,
        randomizes: last & 4 != 0,
    };
    let program = Program::decode(bytes);
    let heap = Simulated::new(idle, hardened);
    let judged = run(&heap, &program);
    heap.leave();
    if let Err(fault) = judged {
        panic!("{fault}\n{program:?}");
    }
});
