//! Counts the instructions of the heap's paths, and holds them against `benches/instructions.golden`.
//!
//! Times vary by a tenth from run to run on a shared machine, counts by nothing: callgrind runs
//! one [`stage`] a process, and collects while a function of [`counted`] is under way. So what a
//! path costs is a number that a review can see change, and a test can check. Counts hold
//! for one compiler and one kind of processor; the golden file's head says which, and
//! elsewhere they are shown and not checked.

mod counted;
mod golden;
mod stage;

use std::io;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use clap::Parser;
use golden::{Count, Golden};
use stage::{STAGES, Stage};

/// Counts the instructions of the heap's paths; needs valgrind.
#[derive(Parser)]
struct Arguments {
    /// Fail where a count differs from the golden file's by more than 2 %
    #[arg(long, conflicts_with = "renew")]
    check: bool,
    /// Write the counts to the golden file
    #[arg(long)]
    renew: bool,
    /// Set one stage, for callgrind to watch
    #[arg(long, value_name = "STAGE", hide = true)]
    one: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(name) = &arguments.one {
        return match STAGES.iter().find(|stage| stage.name == name) {
            Some(stage) => {
                println!("{}", (stage.set)());
                ExitCode::SUCCESS
            }
            None => ExitCode::FAILURE,
        };
    }
    if let Err(error) = Command::new("valgrind").arg("--version").output() {
        println!("instructions are not counted: valgrind cannot be run ({error})");
        return ExitCode::SUCCESS;
    }
    match count_all().and_then(|counts| conclude(&arguments, &counts)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// All counts, in the order of [`STAGES`], on all processors.
fn count_all() -> io::Result<Vec<Count>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut counts = Vec::new();
        while let Some(stage) = STAGES.get(next.fetch_add(1, Relaxed)) {
            counts.push((stage.name, count(stage)?));
        }
        Ok(counts)
    };
    let all = thread::scope(|scope| {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a counting thread does not panic"))
            .collect::<io::Result<Vec<_>>>()
    })?;
    let mut counts = all.concat();
    counts.sort_by_key(|(name, _)| STAGES.iter().position(|stage| stage.name == *name));
    Ok(counts)
}

/// Instructions for one operation of a stage.
fn count(stage: &Stage) -> io::Result<f64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .args(["--collect-atstart=no", "--cache-sim=no"])
        .arg(format!("--toggle-collect=*counted::{}*", stage.counts))
        .arg(std::env::current_exe()?)
        .args(["--one", stage.name])
        // No cycle but those that a stage makes, and so no background thread.
        .env("GOGC", "off")
        .output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    let collected = told
        .lines()
        .find_map(|line| line.split("Collected :").nth(1)?.trim().parse::<f64>().ok());
    let operations = String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse::<f64>();
    match (collected, operations) {
        (Some(collected), Ok(operations)) if collected > 0.0 && output.status.success() => {
            Ok(collected / operations)
        }
        _ => Err(io::Error::other(format!(
            "callgrind counted nothing in {}: {told}",
            stage.name
        ))),
    }
}

fn conclude(arguments: &Arguments, counts: &[Count]) -> io::Result<ExitCode> {
    if arguments.renew {
        golden::write(counts)?;
        println!("written to {}", golden::path().display());
        return Ok(ExitCode::SUCCESS);
    }
    let golden = Golden::read()?;
    let changed = golden.compare(counts);
    for (name, count) in counts {
        let then = golden.count(name);
        let then = then.map_or_else(|| "new".to_owned(), |then| format!("{then:.2}"));
        println!("{name:<24} {count:>9.2}   golden {then:>9}");
    }
    if !arguments.check || changed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(other) = golden.made_elsewhere() {
        println!("not checked: {other}");
        return Ok(ExitCode::SUCCESS);
    }
    for change in &changed {
        eprintln!("{change}");
    }
    eprintln!(
        "Where that is meant, renew the counts in the same commit:\n  \
         cargo run --release -p goheap-benches --bin instructions -- --renew"
    );
    Ok(ExitCode::FAILURE)
}
