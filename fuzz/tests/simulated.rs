//! Programs by seed on a heap over the simulated system: short ones, for machines that look at each access. Under Miri,
//! or under an address or thread sanitizer, README says how, whatever is undefined in the allocator ends the test.

use goheap_fuzz::{Command, Hardened, Idle, Order, Program, Simulated, run};

/// Commands of a program, bytes of its largest object, programs of each kind.
const COMMANDS: usize = if cfg!(miri) { 60 } else { 400 };
const LARGEST: usize = if cfg!(miri) { 50_000 } else { 2 << 20 };
const PROGRAMS: u64 = if cfg!(miri) { 1 } else { 20 };

/// Xorshift.
fn bytes(seed: u64) -> impl Iterator<Item = u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    })
}

/// The program that a fuzzer would make of such bytes, in this order and with objects that are not too large.
fn program(seed: u64, order: Order) -> Program {
    // A command takes four bytes or so.
    let text: Vec<u8> = bytes(seed).take(4 * COMMANDS).collect();
    let mut program = Program::decode(&text);
    program.order = order;
    for command in program.threads.iter_mut().flatten() {
        if let Command::Alloc { size, .. } | Command::Realloc { size, .. } = command {
            *size = 1 + *size % LARGEST;
        }
    }
    program
}

#[track_caller]
fn keeps_its_duties(order: Order, idle: Idle, hardened: Hardened) {
    keeps_its_duties_over(4096, PROGRAMS, order, idle, hardened);
}

#[track_caller]
fn keeps_its_duties_over(page: usize, programs: u64, order: Order, idle: Idle, hardened: Hardened) {
    for seed in 1..=programs {
        let program = program(seed, order);
        let heap = Simulated::with_physical_pages(idle, hardened, page);
        let judged = run(&heap, &program);
        heap.leave();
        if let Err(fault) = judged {
            panic!("seed {seed}: {fault}\n{program:?}");
        }
    }
}

#[test]
fn one_command_at_a_time() {
    keeps_its_duties(Order::Lockstep, Idle::ByAddress, Hardened::default());
}

#[test]
fn threads_at_once() {
    keeps_its_duties(Order::Concurrent, Idle::ByAddress, Hardened::default());
}

#[test]
fn threads_at_once_with_memory_going_back_by_its_age() {
    keeps_its_duties(Order::Concurrent, Idle::ByAge, Hardened::default());
}

#[test]
fn threads_at_once_poisoned_and_at_random_places() {
    let hardened = Hardened {
        poisons: true,
        randomizes: true,
    };
    keeps_its_duties(Order::Concurrent, Idle::ByAddress, hardened);
}

#[test]
fn physical_pages_that_are_larger_than_the_heaps() {
    let cases = [
        (16 << 10, Idle::ByAddress),
        (64 << 10, Idle::ByAddress),
        (64 << 10, Idle::ByAge),
    ];
    for (page, idle) in cases {
        let programs = PROGRAMS.div_ceil(4);
        keeps_its_duties_over(page, programs, Order::Lockstep, idle, Hardened::default());
    }
}
