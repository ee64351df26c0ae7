//! The pacer and the CPU limiter against Go's own, call by call.
//!
//! `oracle/go1.27.3.txt` was printed by Go 1.27.3 itself, driven with random
//! cycles (`oracle/run.sh`). The same calls are made here, and every figure that
//! Go came up with must come out to the byte, the nanosecond and the last bit.

use goheap_pacer::{Config, Controller, CpuLimiter, CycleWork, Memory};

const ORACLE: &str = include_str!("oracle/go1.27.3.txt");
const GO_LEAST_HEAP: u64 = 4 << 20;

/// The words of a line, taken one after the other.
struct Line<'a>(std::str::SplitWhitespace<'a>);

impl Line<'_> {
    fn next<T: std::str::FromStr<Err: std::fmt::Debug>>(&mut self) -> T {
        self.0.next().expect("a word").parse().expect("a number")
    }

    fn memory(&mut self) -> Memory {
        Memory {
            heap_free: self.next(),
            heap_alloc: self.next(),
            mapped_ready: self.next(),
        }
    }

    fn float(&mut self) -> f64 {
        f64::from_bits(self.next())
    }
}

#[test]
fn every_goal_trigger_and_runway_is_gos() {
    let mut pacer = Controller::new(Config {
        gc_percent: 0,
        memory_limit: 0,
        least_heap: 0,
    });
    let mut triggers = 0;
    for (number, text) in ORACLE.lines().enumerate() {
        let mut line = Line(text.split_whitespace());
        let at = format!("line {}: {text}", number + 1);
        match line.next::<String>().as_str() {
            "new" => {
                pacer = Controller::new(Config {
                    gc_percent: line.next(),
                    memory_limit: line.next(),
                    least_heap: GO_LEAST_HEAP,
                });
            }
            "trigger" => {
                let got = pacer.trigger(line.memory());
                assert_eq!(got.trigger, line.next::<u64>(), "trigger, {at}");
                assert_eq!(got.goal, line.next::<u64>(), "goal, {at}");
                assert_eq!(pacer.runway(), line.next::<u64>(), "runway, {at}");
                assert_eq!(pacer.cons_mark(), line.float(), "cons/mark, {at}");
                triggers += 1;
            }
            "start" => pacer.start_cycle(line.next()),
            "end" => {
                let memory = line.memory();
                let work = CycleWork {
                    heap_live: line.next(),
                    scan_work: line.next(),
                    utilization: line.float(),
                    idle_utilization: line.float(),
                };
                pacer.end_cycle(memory, work);
                assert_eq!(
                    pacer.last_heap_goal(),
                    line.next::<u64>(),
                    "last goal, {at}"
                );
            }
            "live" => {
                pacer.reset_live(line.next(), line.next());
                pacer.set_scannable_roots(line.next());
            }
            "percent" => {
                pacer.set_gc_percent(line.next());
            }
            "limit" => {
                pacer.set_memory_limit(line.next());
            }
            "commit" => pacer.commit(line.next(), line.next()),
            _ => {}
        }
    }
    assert!(triggers > 400, "only {triggers} triggers were compared");
}

#[test]
fn every_level_of_the_limiters_bucket_is_gos() {
    let mut limiter = CpuLimiter::new(1);
    let (mut updates, mut limited) = (0, 0);
    for (number, text) in ORACLE.lines().enumerate() {
        let mut line = Line(text.split_whitespace());
        let at = format!("line {}: {text}", number + 1);
        match line.next::<String>().as_str() {
            "limiter" => {
                limiter = CpuLimiter::new(line.next());
                limiter.update(line.next(), false, 0, 0);
                continue;
            }
            "due" => {
                assert_eq!(
                    limiter.needs_update(line.next()),
                    line.next::<bool>(),
                    "{at}"
                );
                continue;
            }
            "update" => limiter.update(line.next(), line.next(), line.next(), 0),
            "pause" => limiter.pause(line.next()),
            "procs" => limiter.set_procs(line.next()),
            _ => continue,
        }
        assert_eq!(limiter.fill_ns(), line.next::<u64>(), "fill, {at}");
        assert_eq!(limiter.overflow_ns(), line.next::<u64>(), "overflow, {at}");
        assert_eq!(limiter.limiting(), line.next::<bool>(), "limiting, {at}");
        updates += 1;
        limited += u32::from(limiter.limiting());
    }
    assert!(
        updates > 300 && limited > 10,
        "{updates} updates, {limited} of them limiting"
    );
}
