//! Processes that measure, in turn.
//!
//! Each figure comes from a process of its own, so that no allocator runs in the traces of
//! another: its background threads, its caches, the memory it keeps. The contestants take
//! turns within a round, and who begins moves on by one each round, so that what changes on
//! the machine meanwhile meets them all alike and a ratio compares neighbours.

use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::contestant::Contestant;
use crate::machine;

/// What one process told, and how much memory it had.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The numbers that it printed.
    pub figures: Vec<f64>,
    /// Its resident memory in KiB: the mean over its life, looked at every 2 ms.
    pub mean_rss_kib: f64,
}

/// By round, then in the order of the contestants.
pub type Rounds = Vec<Vec<Told>>;

/// Runs this program again with `arguments` and the contestant's name, for each of the
/// `contestants` in each round. Calls `after` after each process.
pub fn run(
    contestants: &[Contestant],
    arguments: &[&str],
    rounds: usize,
    after: impl Fn(),
) -> io::Result<Rounds> {
    let mut all = Vec::new();
    for round in 0..rounds {
        let mut told = vec![Told::default(); contestants.len()];
        for turn in 0..contestants.len() {
            let index = (round + turn) % contestants.len();
            told[index] = run_one(contestants[index], arguments)?;
            after();
        }
        all.push(told);
    }
    Ok(all)
}

fn run_one(contestant: Contestant, arguments: &[&str]) -> io::Result<Told> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments).arg(contestant.name());
    if let Some(library) = contestant.preload() {
        command.env("LD_PRELOAD", library);
    }
    if arguments
        .iter()
        .any(|argument| argument.starts_with("programs/"))
    {
        command.env(crate::global::VARIABLE, contestant.name());
    }
    ask(command)
}

/// Runs a process to its end. What it prints are numbers.
pub fn ask(mut command: Command) -> io::Result<Told> {
    let mut process = command.stdout(Stdio::piped()).spawn()?;
    let (mut sum, mut looks) = (0.0, 0.0);
    let status = loop {
        if let Some(status) = process.try_wait()? {
            break status;
        }
        if let Some(kib) = machine::rss_kib(process.id()) {
            sum += kib as f64;
            looks += 1.0;
        }
        thread::sleep(Duration::from_millis(2));
    };
    let mut text = String::new();
    if let Some(mut output) = process.stdout.take() {
        output.read_to_string(&mut text)?;
    }
    let figures: Result<Vec<f64>, _> = text.split_whitespace().map(str::parse).collect();
    match figures {
        Ok(figures) if status.success() && !figures.is_empty() => Ok(Told {
            figures,
            mean_rss_kib: sum / f64::max(looks, 1.0),
        }),
        _ => Err(io::Error::other(format!(
            "{command:?} ended with {status}: {text}"
        ))),
    }
}
