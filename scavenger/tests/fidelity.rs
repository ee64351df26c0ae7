//! The scavenger's policy against Go's own, call by call.
//!
//! `oracle/go1.27.3.txt` was printed by Go 1.27.3 itself, driven with random
//! figures (`oracle/run.sh`). The same calls are made here, and every figure that
//! Go came up with must come out to the byte, the nanosecond and the last bit.

use goheap_scavenger::{ChunkDensity, Engine, GoalInputs, Goals, PiController, Policy, Step};

const ORACLE: &str = include_str!("oracle/go1.27.3.txt");

/// The words of a line, taken one after the other.
struct Line<'a>(std::str::SplitWhitespace<'a>);

impl Line<'_> {
    fn next<T: std::str::FromStr<Err: std::fmt::Debug>>(&mut self) -> T {
        self.0.next().expect("a word").parse().expect("a number")
    }

    fn float(&mut self) -> f64 {
        f64::from_bits(self.next())
    }
}

/// Calls `each` with the kind, the rest and a description of every line.
fn for_each_line(mut each: impl FnMut(&str, Line, &str)) {
    for (number, text) in ORACLE.lines().enumerate() {
        let (kind, rest) = text.split_once(' ').unwrap_or((text, ""));
        each(
            kind,
            Line(rest.split_whitespace()),
            &format!("line {}: {text}", number + 1),
        );
    }
}

#[test]
fn every_goal_is_gos() {
    let mut compared = 0;
    for_each_line(|kind, mut line, at| {
        if kind != "goals" {
            return;
        }
        let goals = Goals::compute(
            &GoalInputs {
                memory_limit: line.next(),
                mapped_ready: line.next(),
                heap_goal: line.next(),
                last_heap_goal: line.next(),
                last_heap_in_use: line.next(),
                heap_retained: line.next(),
                physical_page: line.next(),
                retain_percent: 10,
            },
            &Policy::NEWEST,
        );
        assert_eq!(goals.gc_percent, line.next::<u64>(), "{at}");
        assert_eq!(goals.memory_limit, line.next::<u64>(), "{at}");
        compared += 1;
    });
    assert!(compared >= 300, "only {compared} goals were compared");
}

#[test]
fn every_density_word_is_gos() {
    let mut chunk = ChunkDensity::ZERO;
    let mut compared = 0;
    for_each_line(|kind, mut line, at| {
        if kind == "chunk" {
            chunk = ChunkDensity::ZERO;
            return;
        }
        if !matches!(kind, "alloc" | "free" | "empty" | "next") {
            return;
        }
        let (pages, generation) = (line.next(), line.next());
        chunk = match kind {
            "alloc" => chunk.alloc(pages, generation),
            "free" => chunk.free(pages, generation),
            "empty" => chunk.set_empty(),
            _ => chunk,
        };
        assert_eq!(chunk.pack(), line.next::<u64>(), "{at}");
        let next = generation.wrapping_add(1);
        assert_eq!(
            chunk.should_scavenge(generation, false),
            line.next::<bool>(),
            "{at}"
        );
        assert_eq!(
            chunk.should_scavenge(generation, true),
            line.next::<bool>(),
            "{at}"
        );
        assert_eq!(
            chunk.should_scavenge(next, false),
            line.next::<bool>(),
            "{at}"
        );
        compared += 1;
    });
    assert!(compared >= 400, "only {compared} words were compared");
}

#[test]
fn every_output_of_the_controller_is_gos() {
    let mut controller = PiController::SCAVENGER;
    let mut faults = 0;
    for_each_line(|kind, mut line, at| {
        if kind != "pi" {
            return;
        }
        let result = controller.next(line.float(), 0.01, line.float());
        let (output, ok) = (line.float(), line.next::<bool>());
        assert_eq!(result.is_ok(), ok, "{at}");
        match result {
            Ok(got) => assert_eq!(got, output, "{at}"),
            Err(_) => faults += 1,
        }
    });
    assert!(faults > 10, "only {faults} faults were compared");
}

#[test]
fn every_step_of_the_engine_is_gos() {
    let mut engine = Engine::new(1.0);
    let mut procs = 0;
    let mut step = Step::Park;
    let mut compared = 0;
    for_each_line(|kind, mut line, at| {
        match kind {
            "engine" => {
                engine = Engine::new(1.0);
                procs = line.next();
                return;
            }
            // Go asks before each release; what follows if the goals are unmet is
            // known only from the next line.
            "met" => {
                step = engine.step(line.next());
                return;
            }
            // At the end of a turn Go does not ask whether the goals are met, and
            // the answer must make no difference.
            "release" => {
                assert_eq!(step, Step::Release(line.next()), "{at}");
                engine.released(line.next(), line.next());
                step = engine.step(true);
                let unasked = engine.step(false);
                if !matches!(unasked, Step::Release(_)) {
                    assert_eq!(step, unasked, "{at}");
                }
            }
            "sleep" => {
                assert_eq!(step, Step::Sleep(line.next()), "{at}");
                engine.slept(line.next(), procs);
                step = Step::Park;
            }
            "park" => assert_eq!(step, Step::Park, "{at}"),
            _ => return,
        }
        compared += 1;
    });
    assert!(compared > 800, "only {compared} steps were compared");
}
