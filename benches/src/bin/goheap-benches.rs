//! Runs all workloads on all contestants, interleaved, and prints and writes what came out.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;
use std::{fs, io};

use goheap_benches::contestant::Contestant;
use goheap_benches::machine;
use goheap_benches::rounds;
use goheap_benches::spread::Spread;
use goheap_benches::workload::{BENCHES, Bench};

const USAGE: &str = "\
Usage: goheap-benches [--quick | --full] [NAME]

  --quick  5 rounds of short measurements: a few minutes (what happens without any)
  --full   15 rounds of measurements five times as long
  NAME     only the workloads that have this in their name

Prints a table; a run of all workloads is also written to benches/results/.";

/// How long and how often to measure.
struct Effort {
    name: &'static str,
    rounds: usize,
    /// How many times a workload's quick number of operations.
    scale: u64,
}

const QUICK: Effort = Effort {
    name: "quick",
    rounds: 5,
    scale: 1,
};
const FULL: Effort = Effort {
    name: "full",
    rounds: 15,
    scale: 5,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["--one", bench, operations, contestant] => {
            return measure_one(bench, operations, contestant);
        }
        [] | ["--quick"] => compare(&QUICK, ""),
        ["--full"] => compare(&FULL, ""),
        ["--quick", name] => compare(&QUICK, name),
        ["--full", name] => compare(&FULL, name),
        [name] if !name.starts_with('-') => compare(&QUICK, name),
        _ => Err(io::Error::other(USAGE)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// In a process of its own: prints nanoseconds an operation, and the peak of memory in KiB.
fn measure_one(bench: &str, operations: &str, contestant: &str) -> ExitCode {
    let bench = BENCHES.iter().find(|candidate| candidate.name == bench);
    let (Some(bench), Ok(operations), Some(contestant)) = (
        bench,
        operations.parse::<u64>(),
        Contestant::named(contestant),
    ) else {
        return ExitCode::FAILURE;
    };
    let time = contestant.measure(&bench.workload, operations);
    let nanoseconds = time.as_secs_f64() * 1e9 / operations as f64;
    println!("{nanoseconds} {}", machine::peak_rss_kib());
    ExitCode::SUCCESS
}

/// What came out for one workload on one contestant.
struct Row {
    nanoseconds: Spread,
    /// This contestant's time by goheap's in the same round.
    ratio: Spread,
    peak_kib: Spread,
}

fn compare(effort: &Effort, only: &str) -> io::Result<()> {
    let command = format!(
        "cargo run --release -p goheap-benches --features peers -- --{}",
        effort.name
    );
    let columns =
        "ns: for an allocation and a free, over rounds; ratio: by goheap's of the same round";
    let mut csv = machine::header(&command, columns);
    csv.push_str(
        "bench,allocator,ns_median,ns_min,ns_max,ratio,ratio_min,ratio_max,peak_rss_kib\n",
    );
    println!(
        "{:<16} {:<10} {:>8} {:>17}  {:>6} {:>13} {:>10}",
        "bench", "allocator", "ns", "min – max", "ratio", "min – max", "peak MiB"
    );
    for bench in BENCHES.iter().filter(|bench| bench.name.contains(only)) {
        let rows = measure_all(bench, effort)?;
        for (contestant, row) in Contestant::ALL.iter().zip(&rows) {
            print_row(bench.name, contestant.name(), row);
            write_row(&mut csv, bench.name, contestant.name(), row);
        }
        println!();
    }
    if only.is_empty() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
        fs::create_dir_all(&path)?;
        fs::write(path.join(format!("{}.csv", effort.name)), csv)?;
        println!("written to benches/results/{}.csv", effort.name);
    }
    Ok(())
}

fn measure_all(bench: &Bench, effort: &Effort) -> io::Result<Vec<Row>> {
    let operations = (bench.operations * effort.scale).to_string();
    let rounds = rounds::run(&["--one", bench.name, &operations], effort.rounds)?;
    let row = |index: usize| {
        let figures = |which: usize| rounds.iter().map(move |round| round[index][which]);
        Row {
            nanoseconds: Spread::of(figures(0)),
            ratio: Spread::of(rounds.iter().map(|round| round[index][0] / round[0][0])),
            peak_kib: Spread::of(figures(1)),
        }
    };
    Ok((0..Contestant::ALL.len()).map(row).collect())
}

fn print_row(bench: &str, contestant: &str, row: &Row) {
    let Row {
        nanoseconds: ns,
        ratio,
        peak_kib,
    } = row;
    println!(
        "{bench:<16} {contestant:<10} {:>8.1} {:>7.1} – {:>7.1}  {:>6.2} {:>5.2} – {:>5.2} {:>10.1}",
        ns.median,
        ns.min,
        ns.max,
        ratio.median,
        ratio.min,
        ratio.max,
        peak_kib.median / 1024.0
    );
}

fn write_row(csv: &mut String, bench: &str, contestant: &str, row: &Row) {
    let Row {
        nanoseconds: ns,
        ratio,
        peak_kib,
    } = row;
    writeln!(
        csv,
        "{bench},{contestant},{:.2},{:.2},{:.2},{:.3},{:.3},{:.3},{:.0}",
        ns.median, ns.min, ns.max, ratio.median, ratio.min, ratio.max, peak_kib.median
    )
    .expect("a string takes anything");
}
