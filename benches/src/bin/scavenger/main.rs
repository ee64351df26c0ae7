//! What the scavenger costs, in three measurements, each in processes of its own:
//!
//! - *giving back*: `free_os_memory` on gigabytes that were freed, against the system calls alone on
//!   a bare mapping with the same ranges. Once all of it is free, once every second block of 64 KiB.
//! - *pacing*: the processor time of a process that does nothing while the background scavenger
//!   gives a burst back, as a share of all processors' time.
//! - *taking back*: a heap that swells and shrinks: page faults and time, against one whose scavenger
//!   does next to nothing. What was given back and is wanted again costs a fault.

mod give_back;
mod pace;
mod waves;

use std::fmt::Write;
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode};

use clap::Parser;
use goheap_benches::machine;
use goheap_benches::rounds::{self, Told};
use goheap_benches::spread::Spread;

/// Measures what giving memory back costs, and taking it again. Writes benches/results/scavenger.csv.
#[derive(Parser)]
struct Arguments {
    /// Gigabytes to give back
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=64))]
    gigabytes: u64,
    /// How often each is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Measure one in this process
    #[arg(long, hide = true)]
    one: Option<String>,
}

/// What a process can be asked to measure, and with which environment.
struct Side {
    name: &'static str,
    environment: Environment,
}

type Environment = &'static [(&'static str, &'static str)];

impl Side {
    const fn new(name: &'static str, environment: Environment) -> Self {
        Self { name, environment }
    }
}

/// No cycle and no return of memory but those that are asked for.
const AT_REST: Environment = &[
    ("GOGC", "off"),
    ("GOHEAP_SCAVENGE_PERCENT", "0.01"),
    ("GOHEAP_RETAIN_PERCENT", "10000"),
];
/// Cycles, and no return of memory but what is asked for.
const STILL: Environment = &[
    ("GOHEAP_SCAVENGE_PERCENT", "0.01"),
    ("GOHEAP_RETAIN_PERCENT", "10000"),
];

const WHOLE: Side = Side::new("whole", AT_REST);
const BARE_WHOLE: Side = Side::new("bare-whole", &[]);
const HOLES: Side = Side::new("holes", AT_REST);
const BARE_HOLES: Side = Side::new("bare-holes", &[]);
const PACE: Side = Side::new("pace", &[]);
const WAVES: Side = Side::new("waves", &[]);
const STILL_WAVES: Side = Side::new("waves", STILL);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let bytes = (arguments.gigabytes as usize) << 30;
    let done = match arguments.one.as_deref() {
        None => compare(&arguments),
        Some(one) => {
            match one {
                "whole" => give_back::on_goheap(bytes, 1),
                "bare-whole" => give_back::bare(bytes, 1),
                "holes" => give_back::on_goheap(bytes, 2),
                "bare-holes" => give_back::bare(bytes, 2),
                "pace" => pace::print(),
                _ => waves::print(),
            }
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// A line of the table.
struct Row {
    what: &'static str,
    unit: &'static str,
    figure: Spread,
}

fn compare(arguments: &Arguments) -> io::Result<()> {
    let ask = |side: &Side| -> io::Result<Told> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--gigabytes", &arguments.gigabytes.to_string()]);
        command.args(["--one", side.name]);
        command.envs(side.environment.iter().copied());
        rounds::ask(command)
    };
    // A pair's sides take turns, so that a ratio compares neighbours.
    let pairs = |sides: [&Side; 2]| -> io::Result<Vec<[Told; 2]>> {
        (0..arguments.rounds)
            .map(|_| Ok([ask(sides[0])?, ask(sides[1])?]))
            .collect()
    };
    let mut rows = Vec::new();
    for (what, ratio, sides) in [
        (
            ["all of it: goheap", "all of it: bare"],
            "all of it: ratio",
            [&WHOLE, &BARE_WHOLE],
        ),
        (
            ["every second 64 KiB: goheap", "every second 64 KiB: bare"],
            "every second 64 KiB: ratio",
            [&HOLES, &BARE_HOLES],
        ),
    ] {
        let told = pairs(sides)?;
        for (side, what) in what.into_iter().enumerate() {
            rows.push(Row {
                what,
                unit: "ms",
                figure: Spread::of(told.iter().map(|pair| pair[side].figures[0])),
            });
        }
        let ratios = told
            .iter()
            .map(|pair| pair[0].figures[0] / pair[1].figures[0]);
        rows.push(Row {
            what: ratio,
            unit: "",
            figure: Spread::of(ratios),
        });
    }
    let paced = (0..arguments.rounds)
        .map(|_| ask(&PACE))
        .collect::<io::Result<Vec<_>>>()?;
    for (at, (what, unit)) in pace::FIGURES.into_iter().enumerate() {
        let figure = Spread::of(paced.iter().map(|told| told.figures[at]));
        rows.push(Row { what, unit, figure });
    }
    let told = pairs([&WAVES, &STILL_WAVES])?;
    for (side, names) in waves::FIGURES.into_iter().enumerate() {
        for (at, (what, unit)) in names.into_iter().enumerate() {
            let figure = Spread::of(told.iter().map(|pair| pair[side].figures[at]));
            rows.push(Row { what, unit, figure });
        }
    }
    report(arguments, &rows)
}

fn report(arguments: &Arguments, rows: &[Row]) -> io::Result<()> {
    let command = format!(
        "cargo run --release -p goheap-benches --bin scavenger -- --gigabytes {} --rounds {}",
        arguments.gigabytes, arguments.rounds
    );
    let mut csv = machine::header(&command, "medians of the rounds, and their ends");
    csv += "what,unit,median,min,max\n";
    for Row { what, unit, figure } in rows {
        let Spread { median, min, max } = figure;
        println!("{what:<40} {median:>10.3} {unit:<10} {min:.3} – {max:.3}");
        writeln!(csv, "{what},{unit},{median:.3},{min:.3},{max:.3}")
            .expect("a string takes anything");
    }
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
    std::fs::create_dir_all(&results)?;
    std::fs::write(results.join("scavenger.csv"), csv)?;
    println!("written to benches/results/scavenger.csv");
    Ok(())
}
