//! Runs workloads on all contestants, interleaved; prints, writes and draws what came out.

mod chart;
mod outcome;
mod report;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use goheap_benches::contestant::Contestant;
use goheap_benches::workload::{BENCHES, Bench};
use goheap_benches::{global, machine, rounds};
use indicatif::{ProgressBar, ProgressStyle};
use outcome::Outcome;

#[global_allocator]
static CHOSEN: global::Chosen = global::Chosen;

/// Measures goheap against its peers: those of the `peers` feature, the system's allocator, and
/// tcmalloc where Debian's libtcmalloc-minimal4 is installed.
///
/// Prints a table of ratios, and writes all figures and a picture of them to benches/results/.
#[derive(Parser)]
struct Arguments {
    /// 3 rounds of short measurements: a few minutes for everything (what happens without any)
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// 11 rounds of measurements ten times as long: two hours for everything
    #[arg(long)]
    full: bool,
    /// Only workloads that have this in their name, such as micro, threads, remote, patterns, programs
    name: Option<String>,
    /// Measure one workload in this process
    #[arg(long, hide = true, num_args = 3, value_names = ["BENCH", "OPERATIONS", "ALLOCATOR"])]
    one: Option<Vec<String>>,
}

/// How long and how often to measure.
struct Effort {
    name: &'static str,
    rounds: usize,
    /// How many times a workload's quick number of operations.
    scale: u64,
}

const QUICK: Effort = Effort {
    name: "quick",
    rounds: 3,
    scale: 1,
};
const FULL: Effort = Effort {
    name: "full",
    rounds: 11,
    scale: 10,
};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let effort = if arguments.full { &FULL } else { &QUICK };
    let done = match &arguments.one {
        Some(one) => measure_one(&one[0], &one[1], &one[2]),
        None => compare(effort, arguments.name.as_deref()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// In a process of its own: prints what [`Outcome::of`] reads.
fn measure_one(bench: &str, operations: &str, contestant: &str) -> io::Result<()> {
    let bench = BENCHES.iter().find(|candidate| candidate.name == bench);
    let (Some(bench), Ok(operations), Some(contestant)) = (
        bench,
        operations.parse::<u64>(),
        Contestant::named(contestant),
    ) else {
        return Err(io::Error::other("no such workload, number or allocator"));
    };
    let cost = bench.run(contestant, operations);
    let (mut metadata, mut in_use) = (0, 0);
    if contestant == Contestant::GoHeap {
        let stats = goheap::read_mem_stats();
        metadata = stats.sys - stats.heap_sys - stats.stack_sys;
        in_use = stats.heap_inuse;
    }
    let each = |time: std::time::Duration| time.as_secs_f64() * 1e9 / operations as f64;
    let peak = machine::peak_rss_kib();
    println!(
        "{} {} {peak} {metadata} {in_use}",
        each(cost.wall),
        each(cost.processor)
    );
    io::stdout().flush()?;
    // Nothing is left to do, and some allocators crash where threads end as the process does.
    // SAFETY: ends the process, whatever its threads do.
    unsafe { libc::_exit(0) }
}

fn compare(effort: &Effort, name: Option<&str>) -> io::Result<()> {
    let wanted = |bench: &&Bench| bench.name.contains(name.unwrap_or_default());
    let benches: Vec<&Bench> = BENCHES.iter().filter(wanted).collect();
    if benches.is_empty() {
        let names: Vec<&str> = BENCHES.iter().map(|bench| bench.name).collect();
        let message = format!(
            "no workload has {:?} in its name; there are {}",
            name.unwrap_or_default(),
            names.join(", ")
        );
        return Err(io::Error::other(message));
    }
    let contestants = Contestant::all();
    let steps = benches.len() * contestants.len() * effort.rounds;
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {eta} {msg}");
    let progress = ProgressBar::new(steps as u64)
        .with_style(style.map_err(|error| io::Error::other(error.to_string()))?);
    let mut outcomes = Vec::new();
    for bench in benches {
        progress.set_message(bench.name);
        let operations = (bench.operations * effort.scale).to_string();
        let arguments = ["--one", bench.name, &operations];
        let rounds = rounds::run(&contestants, &arguments, effort.rounds, || progress.inc(1))?;
        outcomes.push(Outcome::of(bench, &contestants, &rounds));
    }
    progress.finish_and_clear();
    report::print(&outcomes);
    let argument = name.map_or_else(String::new, |name| format!(" {name}"));
    let command = format!(
        "cargo run --release -p goheap-benches --features peers -- --{}{argument}",
        effort.name
    );
    let suffix = argument.replace([' ', '/'], "-");
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
    std::fs::create_dir_all(&results)?;
    let csv = results.join(format!("{}{suffix}.csv", effort.name));
    std::fs::write(&csv, report::csv(&command, &outcomes)?)?;
    let svg = csv.with_extension("svg");
    let mut picture = String::new();
    chart::draw(&outcomes, &mut picture).map_err(io::Error::other)?;
    std::fs::write(&svg, picture)?;
    println!("written to {} and {}", csv.display(), svg.display());
    Ok(())
}
