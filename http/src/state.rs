//! What the live page draws: the heap by state, the goals, the cycles since the last look.

use goheap_stats::{MemStats, PAUSE_RING, Snapshot, States};
use serde::Serialize;

use crate::process;

/// The heap at one moment, for a script: numbers up to 2⁵³, sizes in bytes.
#[derive(Debug, Serialize)]
pub struct State {
    pid: u32,
    program: Vec<String>,
    /// Tells one program from the next that runs under the same address.
    started_ns: u64,
    /// Seconds since the heap started.
    seconds: f64,
    rss: u64,
    states: States,
    heap_live: u64,
    heap_sys: u64,
    sys: u64,
    /// Null: there is none.
    goal: Option<u64>,
    trigger: Option<u64>,
    gogc: i64,
    memory_limit: Option<i64>,
    /// What counts against that limit.
    mapped_ready: u64,
    released_ever: u64,
    total_alloc: u64,
    mallocs: u64,
    objects: u64,
    cycles: u32,
    forced: u32,
    gc_cpu_fraction: f64,
    /// The latest cycles, the last ones that there is a record of at the most.
    latest: Vec<Cycle>,
}

/// One cycle.
#[derive(Debug, Serialize)]
struct Cycle {
    number: u32,
    /// When it ended, in seconds since the heap started.
    seconds: f64,
    /// How long it held a thread up.
    pause_ns: u64,
}

/// Beyond any memory: there is no such goal.
const NONE: u64 = 1 << 53;

impl State {
    /// Of that moment, with the cycles after number `since`.
    pub fn of(stats: &MemStats, snapshot: &Snapshot, since: u32) -> Self {
        let seconds = snapshot.taken_ns.saturating_sub(snapshot.started_ns) as f64 / 1e9;
        let some = |bytes: u64| (bytes < NONE).then_some(bytes);
        Self {
            pid: std::process::id(),
            program: process::command_line(),
            started_ns: snapshot.started_ns / 1000,
            seconds,
            rss: process::resident().unwrap_or(0),
            states: States::of(snapshot),
            heap_live: snapshot.heap_live,
            heap_sys: snapshot.heap_sys,
            sys: snapshot.sys,
            goal: some(snapshot.next_gc),
            trigger: some(snapshot.trigger),
            gogc: snapshot.gc_percent,
            memory_limit: Some(snapshot.memory_limit).filter(|&limit| limit != i64::MAX),
            mapped_ready: snapshot.mapped_ready,
            released_ever: snapshot.released_ever,
            total_alloc: snapshot.total_alloc,
            mallocs: snapshot.mallocs,
            objects: snapshot.heap_objects,
            cycles: snapshot.num_gc,
            forced: snapshot.num_forced_gc,
            gc_cpu_fraction: snapshot.gc_cpu_fraction,
            latest: latest(stats, since, seconds),
        }
    }
}

/// The cycles after number `since`, of a snapshot taken now, `seconds` after the start.
fn latest(stats: &MemStats, since: u32, seconds: f64) -> Vec<Cycle> {
    let known = stats.num_gc.saturating_sub(PAUSE_RING as u32);
    let now_ns = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |time| time.as_nanos() as u64);
    let numbers = since.max(known) + 1..=stats.num_gc;
    let cycle = |number: u32| {
        let at = (number as usize + PAUSE_RING - 1) % PAUSE_RING;
        let ago = now_ns.saturating_sub(stats.pause_end[at]) as f64 / 1e9;
        Cycle {
            number,
            seconds: seconds - ago,
            pause_ns: stats.pause_ns[at],
        }
    };
    numbers.map(cycle).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cycles_come_once_each_and_in_order() {
        let mut stats = MemStats::zeroed();
        stats.num_gc = 300;
        stats.pause_ns[(300 + 255) % PAUSE_RING] = 77;
        let numbers = |since| -> Vec<u32> {
            latest(&stats, since, 10.0)
                .iter()
                .map(|cycle| cycle.number)
                .collect()
        };
        assert_eq!(numbers(298), [299, 300]);
        assert!(numbers(300).is_empty() && numbers(1000).is_empty());
        // Of the first ones there is no record any more.
        assert_eq!(
            (numbers(0).first(), numbers(0).len()),
            (Some(&45), PAUSE_RING)
        );
        assert_eq!(latest(&stats, 299, 10.0)[0].pause_ns, 77);
    }
}
