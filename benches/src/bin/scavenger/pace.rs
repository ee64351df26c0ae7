//! What the background scavenger takes of the machine while it works.

use std::thread::{available_parallelism, sleep};
use std::time::Duration;

use goheap::GoHeap;
use goheap_benches::cost::Cost;
use goheap_benches::workload::object::Object;

static HEAP: GoHeap = GoHeap::new();

const BURST: usize = 2 << 30;
const BLOCK: usize = 1 << 20;
const WATCHED: Duration = Duration::from_secs(8);

/// What is printed, in this order.
pub const FIGURES: [(&str, &str); 2] = [
    ("pacing: of all processors' time", "%"),
    ("pacing: given back in 8 s", "MiB"),
];

/// Drops a burst and prints what happens in the seconds after, in which the program sleeps.
pub fn print() {
    let blocks: Vec<Object> = (0..BURST / BLOCK)
        .map(|_| {
            let object = Object::new(&HEAP, BLOCK);
            object.touch();
            object
        })
        .collect();
    blocks.iter().for_each(|object| object.free(&HEAP));
    // After the first collection the burst still counts as what the heap may need soon.
    goheap::gc();
    goheap::gc();
    let before = goheap::read_mem_stats().heap_released;
    let cost = Cost::of(|| sleep(WATCHED));
    let released = goheap::read_mem_stats().heap_released - before;
    let processors = available_parallelism().map_or(1, usize::from);
    let all = cost.wall.as_secs_f64() * processors as f64;
    let share = cost.processor.as_secs_f64() / all * 100.0;
    println!("{share} {}", released as f64 / f64::from(1 << 20));
}
