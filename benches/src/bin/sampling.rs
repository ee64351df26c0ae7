//! Counts what sampling for the heap profile costs: instructions of the single-threaded workloads with and without.
//!
//! At the default rate the difference is less than what one run differs from another, since cycles fall elsewhere. So
//! each workload is sampled so often that one object in some eight is, and what comes out is divided: what a sample costs, from
//! its slot over the walk to the sweep that forgets it, does not depend on how many there are.

use std::alloc::{GlobalAlloc, Layout};
use std::hint::black_box;
use std::io;
use std::process::{Command, ExitCode};

use clap::Parser;
use goheap::GoHeap;
use goheap_benches::contestant::Contestant;
use goheap_benches::workload::{BENCHES, Bench, Group};

/// Bytes from one sample to the next unless somebody says otherwise.
const DEFAULT: f64 = (512 << 10) as f64;
/// Objects from one sample to the next while it is counted.
const OBJECTS: f64 = 8.0;
/// This part of a quick measurement's operations is counted, which callgrind makes last some fifty times as long.
const PART: u64 = 4;

/// Counts what sampling for the heap profile costs at its default rate; needs valgrind.
#[derive(Parser)]
struct Arguments {
    /// Only workloads that have this in their names
    #[arg(default_value = "micro/")]
    filter: String,
    /// Run one workload, for callgrind to watch
    #[arg(long, value_name = "WORKLOAD", hide = true)]
    one: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let benches = BENCHES
        .iter()
        .filter(|bench| bench.group == Group::Micro && bench.name.contains(&arguments.filter));
    if let Some(name) = &arguments.one {
        return match BENCHES.iter().find(|bench| bench.name == name) {
            Some(bench) => {
                watched(bench);
                ExitCode::SUCCESS
            }
            None => ExitCode::FAILURE,
        };
    }
    println!(
        "{:<24} {:>12} {:>9} {:>8}",
        "workload", "an object", "a sample", "share"
    );
    for bench in benches {
        match Cost::of(bench) {
            Ok(cost) => println!(
                "{:<24} {:>12.1} {:>9.0} {:>7.2}%",
                bench.name,
                cost.object,
                cost.sample,
                cost.share * 100.0
            ),
            Err(error) => {
                eprintln!("{}: {error}", bench.name);
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// What came out for a workload.
struct Cost {
    /// Instructions for each object allocated, without samples.
    object: f64,
    /// Those that a sample adds.
    sample: f64,
    /// Those that samples add at the default rate, as a share.
    share: f64,
}

impl Cost {
    fn of(bench: &Bench) -> io::Result<Self> {
        let without = Count::of(bench, 0.0)?;
        let size = without.bytes / without.objects;
        let rate = (OBJECTS * size).min(DEFAULT).round();
        let with = Count::of(bench, rate)?;
        let samples = |rate: f64| without.objects * -(-size / rate).exp_m1();
        let sample = (with.instructions - without.instructions) / samples(rate);
        Ok(Self {
            object: without.instructions / without.objects,
            sample,
            share: sample * samples(DEFAULT) / without.instructions,
        })
    }
}

/// A run under callgrind.
struct Count {
    instructions: f64,
    objects: f64,
    bytes: f64,
}

impl Count {
    fn of(bench: &Bench, rate: f64) -> io::Result<Self> {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .args(["--collect-atstart=no", "--cache-sim=no"])
            .arg("--toggle-collect=*sampling::counted*")
            .arg(std::env::current_exe()?)
            .args(["--one", bench.name])
            .env("GOHEAP_PROFILE_RATE", rate.to_string())
            .output()?;
        let (told, said) = (
            String::from_utf8_lossy(&output.stderr),
            String::from_utf8_lossy(&output.stdout),
        );
        let collected = told
            .lines()
            .find_map(|line| line.split("Collected :").nth(1));
        let (objects, bytes) = said.trim().split_once(' ').unwrap_or_default();
        let number = |text: &str| text.trim().parse().ok();
        match (collected.and_then(number), number(objects), number(bytes)) {
            (Some(instructions), Some(objects), Some(bytes)) => Ok(Self {
                instructions,
                objects,
                bytes,
            }),
            _ => Err(io::Error::other(format!(
                "callgrind counted nothing: {told}"
            ))),
        }
    }
}

fn operations(bench: &Bench) -> u64 {
    (bench.operations / PART).max(1)
}

/// Runs a workload once for the heap to grow, and once to be counted; says what that allocated.
fn watched(bench: &Bench) {
    let rate = goheap::profile::set_rate(0);
    if rate > 0 {
        // What walks need is set up by the first sample.
        goheap::profile::set_rate(1);
        let layout = Layout::new::<[u64; 1 << 13]>();
        let heap = GoHeap::new();
        // SAFETY: the size is not zero, and the block is freed once.
        unsafe { heap.dealloc(black_box(heap.alloc(layout)), layout) };
        goheap::profile::set_rate(rate);
    }
    bench.run(Contestant::GoHeap, operations(bench));
    let before = goheap::read_mem_stats();
    counted(bench);
    let after = goheap::read_mem_stats();
    println!(
        "{} {}",
        after.mallocs - before.mallocs,
        after.total_alloc - before.total_alloc
    );
}

#[inline(never)]
fn counted(bench: &Bench) {
    black_box(bench.run(Contestant::GoHeap, operations(bench)));
}
