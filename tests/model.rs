//! Whatever sequence of commands its threads give it, the heap keeps its duties to its
//! objects, and when all are freed nothing is left.
//!
//! Each test prints its seed; `GOHEAP_TEST_SEED` makes it run again, and `GOHEAP_TEST_EFFORT`
//! runs that many times as many cases. The program under way is
//! in a file, so that one which ends the process is not lost: paste it into `regressions`.

use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use goheap::GoHeap;
use goheap_fuzz::{
    Command, Hardened, Idle, MAX_ALIGN_LOG2, MAX_SIZE, Order, Program, SLOTS, Simulated, THREADS,
    run,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

#[path = "support/child.rs"]
mod child;
#[path = "support/counters.rs"]
mod counters;

/// A value, not the global allocator: what it holds is what the programs hold.
static HEAP: GoHeap = GoHeap::new();

/// The process has one heap, and the tests take turns with it.
static TURN: Mutex<()> = Mutex::new(());

/// Runs a program and looks at what it leaves behind, which should be nothing.
fn judge(program: &Program) -> Result<(), String> {
    run(&HEAP, program).map_err(|fault| fault.to_string())?;
    let stats = counters::at_rest();
    match (stats.heap_alloc, stats.heap_objects) {
        (0, 0) => Ok(()),
        (bytes, objects) => Err(format!(
            "all was freed, yet HeapAlloc is {bytes}, HeapObjects {objects}"
        )),
    }
}

fn judge_many(test: &str, cases: u32, programs: impl Strategy<Value = Program>) {
    judge_many_by(test, cases, programs, judge);
}

fn judge_many_by(
    test: &str,
    cases: u32,
    programs: impl Strategy<Value = Program>,
    judge: impl Fn(&Program) -> Result<(), String>,
) {
    let seed = seed(test);
    let bytes: [u8; 32] = std::array::from_fn(|at| seed.to_le_bytes()[at % 8]);
    let config = Config {
        cases: cases * number("GOHEAP_TEST_EFFORT").unwrap_or(1) as u32,
        failure_persistence: None,
        max_shrink_iters: 2000,
        ..Config::default()
    };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let under_way = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}.txt"));
    let result = runner.run(&programs, |program| {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        std::fs::write(&under_way, format!("{program:?}"))
            .expect("the directory is there to be written to");
        judge(&program).map_err(TestCaseError::fail)
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, program)) => {
            panic!("{reason}\nseed {seed}, shrunk to\n{program:?}")
        }
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

/// The seed that the environment names, else a new one. Says which, past the capture of
/// output: a crash would lose it.
fn seed(test: &str) -> u64 {
    let seed = number("GOHEAP_TEST_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.map_or(1, |since| since.as_nanos() as u64)
    });
    writeln!(std::io::stderr(), "{test}: GOHEAP_TEST_SEED={seed}").expect("stderr takes a line");
    seed
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    match text.parse() {
        Ok(number) => Some(number),
        Err(error) => panic!("{variable}={text}: {error}"),
    }
}

fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![
        50 => 1..=512_usize,
        // Those that share blocks.
        20 => 1..=16_usize,
        25 => 1..=(33_usize << 10),
        // About the last size class, about a chunk.
        10 => (32_usize << 10) - 8..=(32 << 10) + 8,
        1 => (4_usize << 20) - 8..=(4 << 20) + 8,
        8 => (32_usize << 10)..=(1 << 20),
        1 => (1_usize << 20)..=MAX_SIZE,
    ]
}

fn commands() -> impl Strategy<Value = Command> {
    let slot = 0..SLOTS;
    let alignments = prop_oneof![8 => 0..=4_u8, 2 => 0..=MAX_ALIGN_LOG2];
    prop_oneof![
        50 => (slot.clone(), sizes(), alignments, prop::bool::weighted(0.2)).prop_map(
            |(slot, size, align_log2, zeroed)| Command::Alloc { slot, size, align_log2, zeroed }
        ),
        25 => slot.clone().prop_map(|slot| Command::Free { slot }),
        12 => (slot.clone(), sizes()).prop_map(|(slot, size)| Command::Realloc { slot, size }),
        12 => (slot, 0..THREADS as u8).prop_map(|(slot, to)| Command::HandOver { slot, to }),
        2 => Just(Command::Collect),
        1 => Just(Command::FreeOsMemory),
        1 => prop_oneof![Just(-1), 0..1000, Just(i32::MAX)].prop_map(Command::SetGcPercent),
        1 => prop_oneof![Just(-1), 0..(256_i64 << 20), Just(i64::MAX)].prop_map(Command::SetMemoryLimit),
        1 => (0..120_000_u32).prop_map(Command::AdvanceClock),
        1 => (0..20_u8).prop_map(Command::FailNext),
    ]
}

fn programs(
    order: Order,
    threads: std::ops::RangeInclusive<usize>,
    length: usize,
) -> impl Strategy<Value = Program> {
    vec(vec(commands(), 0..length), threads).prop_map(move |threads| Program { order, threads })
}

#[test]
fn one_thread_does_as_it_likes() {
    judge_many(
        "one_thread_does_as_it_likes",
        60,
        programs(Order::Lockstep, 1..=1, 400),
    );
}

#[test]
fn threads_in_turn_hand_objects_to_each_other() {
    judge_many(
        "threads_in_turn_hand_objects_to_each_other",
        50,
        programs(Order::Lockstep, 2..=THREADS, 150),
    );
}

#[test]
fn threads_at_once_hand_objects_to_each_other() {
    judge_many(
        "threads_at_once_hand_objects_to_each_other",
        50,
        programs(Order::Concurrent, 2..=THREADS, 250),
    );
}

/// The same mechanism over a system that is not there: it can refuse, time can pass, and between two
/// commands everything must agree.
#[test]
fn what_is_simulated_is_survived() {
    let plain = Hardened::default();
    let hardened = Hardened {
        poisons: true,
        randomizes: true,
    };
    for (idle, hardened) in [
        (Idle::ByAddress, plain),
        (Idle::ByAge, plain),
        (Idle::ByAddress, hardened),
    ] {
        let judge = move |program: &Program| {
            let heap = Simulated::new(idle, hardened);
            let judged = run(&heap, program).map_err(|fault| fault.to_string());
            heap.leave();
            judged
        };
        judge_many_by(
            "what_is_simulated_is_survived",
            100,
            programs(Order::Lockstep, 1..=THREADS, 200),
            judge,
        );
        judge_many_by(
            "what_is_simulated_is_survived",
            30,
            programs(Order::Concurrent, 2..=THREADS, 200),
            judge,
        );
    }
}

/// One size over and over: the same few spans filled, freed, swept and refilled.
#[test]
fn slots_of_one_class_are_used_again() {
    let programs =
        (1..=2048_usize, vec((0..SLOTS, 0..10_u8), 0..500)).prop_map(|(size, choices)| {
            let command = |(slot, choice)| match choice {
                0..=5 => Command::Alloc {
                    slot,
                    size,
                    align_log2: 3,
                    zeroed: choice == 0,
                },
                6..=8 => Command::Free { slot },
                _ => Command::Collect,
            };
            Program {
                order: Order::Lockstep,
                threads: vec![choices.into_iter().map(command).collect()],
            }
        });
    judge_many("slots_of_one_class_are_used_again", 50, programs);
}

/// The other ways to reclaim and to return memory, each in a process that is told so.
#[test]
fn the_same_duties_hold_whatever_the_knobs_say() {
    let settings = [
        ("GOHEAP_RECLAIM", "eager"),
        ("GODEBUG", "madvdontneed=0"),
        ("GOHEAP_LEAST_HEAP", "64KiB"),
        ("GOHEAP_CHECK", "1"),
        ("GOHEAP_POISON", "1"),
        ("GOHEAP_RANDOMIZE", "1"),
    ];
    let body = || {
        judge_many(
            "the_same_duties_hold_whatever_the_knobs_say",
            15,
            programs(Order::Concurrent, 1..=THREADS, 250),
        )
    };
    for (knob, value) in settings {
        let configure = |command: &mut std::process::Command| {
            command.env(knob, value);
        };
        child::run(the_same_duties_hold_whatever_the_knobs_say, configure, body).expect_success();
    }
}

/// What once went wrong, or is likely to: each a program as its Debug form writes it.
mod regressions {
    use super::*;

    #[track_caller]
    fn passes(program: Program) {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(judge(&program), Ok(()));
    }

    fn alloc(slot: u8, size: usize, zeroed: bool) -> Command {
        Command::Alloc {
            slot,
            size,
            align_log2: 3,
            zeroed,
        }
    }

    #[test]
    fn nothing_at_all() {
        passes(Program::new(Order::Lockstep, &[&[]]));
    }

    #[test]
    fn pages_dirtied_freed_and_asked_for_zeroed() {
        let dirty_then_zeroed = |between| {
            let commands = [
                alloc(0, 3 << 20, false),
                Command::Free { slot: 0 },
                between,
                between,
                alloc(0, 3 << 20, true),
            ];
            passes(Program::new(Order::Lockstep, &[&commands]));
        };
        dirty_then_zeroed(Command::Collect);
        dirty_then_zeroed(Command::FreeOsMemory);
    }

    #[test]
    fn an_object_over_several_chunks() {
        let commands = [
            alloc(0, MAX_SIZE, false),
            alloc(1, 8, false),
            Command::Free { slot: 0 },
            Command::Collect,
        ];
        passes(Program::new(Order::Lockstep, &[&commands]));
    }

    #[test]
    fn an_object_freed_where_it_was_not_allocated() {
        let give = Command::HandOver { slot: 0, to: 1 };
        let giver = [alloc(0, 48, false), give, alloc(0, 100_000, false), give];
        let taker = [
            Command::Collect,
            Command::Collect,
            Command::Free { slot: 0 },
            Command::Collect,
        ];
        passes(Program::new(Order::Lockstep, &[&giver, &taker]));
    }

    #[test]
    fn realloc_between_small_and_large_and_back() {
        let mut commands = vec![alloc(0, 1, true)];
        commands.extend(
            [
                8,
                9,
                32_768,
                32_769,
                1 << 20,
                MAX_SIZE,
                32_769,
                32_768,
                9,
                1,
            ]
            .map(|size| Command::Realloc { slot: 0, size }),
        );
        passes(Program::new(Order::Lockstep, &[&commands]));
    }

    #[test]
    fn every_alignment_at_sizes_below_and_above_it() {
        let mut commands = Vec::new();
        for align_log2 in 0..=MAX_ALIGN_LOG2 {
            for size in [1, 1 << align_log2, (1 << align_log2) + 1] {
                commands.push(Command::Alloc {
                    slot: commands.len() as u8,
                    size,
                    align_log2,
                    zeroed: false,
                });
            }
        }
        passes(Program::new(Order::Lockstep, &[&commands]));
    }

    #[test]
    fn a_limit_below_what_is_live() {
        let commands = [
            alloc(0, 4 << 20, false),
            Command::SetMemoryLimit(1 << 20),
            alloc(1, 4 << 20, false),
            Command::Collect,
            alloc(2, 64, false),
            Command::SetMemoryLimit(0),
            alloc(3, 64, false),
            Command::Free { slot: 0 },
            alloc(4, 4 << 20, true),
        ];
        passes(Program::new(Order::Lockstep, &[&commands]));
    }

    /// Found by fuzzing: who asked first was told of the other's refusal, and the other of none.
    #[test]
    fn two_threads_refused_at_once() {
        let thread = [
            Command::FailNext(11),
            alloc(0, 128 << 10, true),
            alloc(1, MAX_SIZE, true),
            alloc(2, 80, true),
            Command::FreeOsMemory,
            alloc(3, MAX_SIZE, true),
        ];
        let program = Program::new(Order::Concurrent, &[&thread, &thread, &thread]);
        for _ in 0..30 {
            let heap = Simulated::new(Idle::ByAge, Hardened::default());
            assert_eq!(run(&heap, &program), Ok(()));
            heap.leave();
        }
    }
}
