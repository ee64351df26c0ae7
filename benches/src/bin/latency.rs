//! How long single allocations and frees take, over a churn: 20,000 objects live, each time a
//! random one replaced by one of 8 bytes plus an exponential number of mean 200, at most 32 KiB.
//!
//! A mean hides what a heap does seldom: a refill, a flush, a sweep, a cycle. Here is the
//! distribution, by allocator, with what reading the clock costs, which is in every figure.

use std::alloc::{GlobalAlloc, Layout};
use std::fmt::Write;
use std::hint::black_box;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use goheap_benches::contestant::{Contestant, Measure};
use goheap_benches::machine;
use goheap_benches::numbers::Numbers;
use goheap_benches::rounds;
use goheap_benches::spread::Spread;
use hdrhistogram::Histogram;

const LIVE: u32 = 20_000;
const REPLACEMENTS: u64 = 1_500_000;
/// More than a call can take.
const MINUTE_NS: u64 = 60_000_000_000;
const ROUNDS: usize = 5;
const QUANTILES: [f64; 6] = [0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999];
const HEADINGS: [&str; 7] = ["p50", "p90", "p99", "p99.9", "p99.99", "p99.999", "max"];
const KINDS: [&str; 3] = ["clock", "alloc", "free"];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["--one", contestant] => Contestant::named(contestant)
            .map(|contestant| contestant.measure(&Churn, REPLACEMENTS))
            .ok_or_else(|| io::Error::other("no such allocator")),
        [] => compare(),
        _ => Err(io::Error::other("Usage: latency")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the quantiles of each kind, in nanoseconds.
struct Churn;

impl Measure for Churn {
    type Figure = ();

    fn measure<A: GlobalAlloc + Sync>(&self, heap: &'static A, operations: u64) {
        let trace = trace(operations);
        let mut times = Times::new();
        churn(heap, &trace, &mut times);
        for histogram in [&times.clock, &times.alloc, &times.free] {
            let quantiles = QUANTILES.map(|quantile| histogram.value_at_quantile(quantile));
            let quantiles = quantiles.map(|value| value.to_string()).join(" ");
            println!("{quantiles} {}", histogram.max());
        }
    }
}

struct Times {
    clock: Histogram<u64>,
    alloc: Histogram<u64>,
    free: Histogram<u64>,
}

impl Times {
    fn new() -> Self {
        let histogram =
            || Histogram::new_with_bounds(1, MINUTE_NS, 3).expect("the bounds are in order");
        Self {
            clock: histogram(),
            alloc: histogram(),
            free: histogram(),
        }
    }
}

/// Which object is replaced, and the size of the new one. Made beforehand: not timed.
fn trace(operations: u64) -> Vec<(u32, u32)> {
    let mut numbers = Numbers::new(1);
    let mut step = || {
        let slot = numbers.below(LIVE);
        let size = 8.0 - 200.0 * numbers.fraction().ln();
        (slot, size.min(32_768.0) as u32)
    };
    (0..operations).map(|_| step()).collect()
}

#[inline(never)]
fn churn<A: GlobalAlloc>(heap: &A, trace: &[(u32, u32)], times: &mut Times) {
    let mut objects = vec![(std::ptr::null_mut::<u8>(), 0_u32); LIVE as usize];
    let layout = |size: u32| Layout::from_size_align(size as usize, 8).expect("a layout");
    for &(slot, size) in trace {
        let object = &mut objects[slot as usize];
        let begun = Instant::now();
        record(&mut times.clock, begun.elapsed());
        if !object.0.is_null() {
            let layout = layout(object.1);
            let begun = Instant::now();
            // SAFETY: allocated by this heap with this layout, and replaced below.
            unsafe { heap.dealloc(object.0, layout) };
            record(&mut times.free, begun.elapsed());
        }
        let layout = layout(size);
        let begun = Instant::now();
        // SAFETY: the size is at least 8.
        let pointer = unsafe { black_box(heap.alloc(layout)) };
        record(&mut times.alloc, begun.elapsed());
        assert!(!pointer.is_null());
        // SAFETY: the object is that large, and only this function holds it.
        unsafe { pointer.cast::<u64>().write_unaligned(u64::from(size)) };
        *object = (pointer, size);
    }
    for (pointer, size) in objects.into_iter().filter(|object| !object.0.is_null()) {
        // SAFETY: as above; nothing uses it from here on.
        unsafe { heap.dealloc(pointer, layout(size)) };
    }
}

fn record(histogram: &mut Histogram<u64>, time: Duration) {
    histogram.saturating_record(time.as_nanos() as u64);
}

fn compare() -> io::Result<()> {
    let contestants = Contestant::all();
    let rounds = rounds::run(&contestants, &["--one"], ROUNDS, || ())?;
    let command = "cargo run --release -p goheap-benches --features peers --bin latency";
    let columns =
        format!("ns for a single call; of {ROUNDS} rounds the median, for max the greatest");
    let mut csv = machine::header(command, &columns);
    writeln!(csv, "kind,allocator,{}", HEADINGS.join(",")).expect("a string takes anything");
    print!("{:<6} {:<10}", "ns", "allocator");
    HEADINGS.iter().for_each(|heading| print!(" {heading:>9}"));
    println!();
    for (kind, kind_name) in KINDS.iter().enumerate() {
        for (index, contestant) in contestants.iter().enumerate() {
            let figure = |which: usize| {
                let at = kind * HEADINGS.len() + which;
                let spread = Spread::of(rounds.iter().map(|round| round[index].figures[at]));
                if which == QUANTILES.len() {
                    spread.max
                } else {
                    spread.median
                }
            };
            let figures: Vec<f64> = (0..HEADINGS.len()).map(figure).collect();
            print!("{kind_name:<6} {:<10}", contestant.name());
            figures.iter().for_each(|figure| print!(" {figure:>9.0}"));
            println!();
            let cells: Vec<String> = figures
                .iter()
                .map(|figure| format!("{figure:.0}"))
                .collect();
            writeln!(csv, "{kind_name},{},{}", contestant.name(), cells.join(","))
                .expect("a string takes anything");
        }
        println!();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
    std::fs::create_dir_all(&path)?;
    std::fs::write(path.join("latency.csv"), csv)?;
    println!("written to benches/results/latency.csv");
    Ok(())
}
