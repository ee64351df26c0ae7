//! A heap that swells and shrinks: is what was given back wanted again?

use std::mem::MaybeUninit;
use std::thread::sleep;
use std::time::Duration;

use goheap::GoHeap;
use goheap_benches::cost::Cost;
use goheap_benches::numbers::Numbers;
use goheap_benches::workload::object::Object;

static HEAP: GoHeap = GoHeap::new();

const LOW: usize = 32 << 20;
const HIGH: usize = 256 << 20;
const BLOCK: usize = 4 << 10;
/// In these the heap grows to its size.
const FIRST: usize = 3;
const WAVES: usize = 8;
/// Between two waves, nothing happens.
const REST: Duration = Duration::from_millis(500);

/// What is printed, in this order: with the scavenger, and almost without.
pub const FIGURES: [[(&str, &str); 2]; 2] = [
    [
        ("waves: page faults once grown", "a wave"),
        ("waves: processor time once grown", "ms a wave"),
    ],
    [
        ("waves, nothing given back: page faults", "a wave"),
        ("waves, nothing given back: time", "ms a wave"),
    ],
];

/// Prints the page faults and the processor time of a wave.
pub fn print() {
    let mut numbers = Numbers::new(1);
    let mut live = Vec::with_capacity(HIGH / BLOCK);
    (0..FIRST).for_each(|_| wave(&mut live, &mut numbers));
    let faults = page_faults();
    let cost = Cost::of(|| (0..WAVES).for_each(|_| wave(&mut live, &mut numbers)));
    let faults = page_faults() - faults;
    let each = |total: f64| total / WAVES as f64;
    let ms = cost.processor.as_secs_f64() * 1e3;
    println!("{} {}", each(faults as f64), each(ms));
}

fn wave(live: &mut Vec<Object>, numbers: &mut Numbers) {
    while live.len() < HIGH / BLOCK {
        live.push(Object::new(&HEAP, BLOCK));
    }
    numbers.shuffle(live);
    for object in live.drain(LOW / BLOCK..) {
        object.free(&HEAP);
    }
    sleep(REST);
}

fn page_faults() -> i64 {
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: the kernel fills the structure in.
    unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init().ru_minflt
    }
}
