//! Processes that measure, in turn.
//!
//! Each figure comes from a process of its own, so that no allocator runs in the traces of
//! another: its background threads, its caches, the memory it keeps. The contestants take
//! turns within a round, and who begins moves on by one each round, so that what changes on
//! the machine meanwhile meets them all alike and a ratio compares neighbours.

use std::io;
use std::process::{Command, Stdio};

use crate::contestant::Contestant;

/// Figures by round, then in the order of [`Contestant::ALL`].
pub type Rounds = Vec<Vec<Vec<f64>>>;

/// Runs this program again with `arguments` and the contestant's name, for each contestant
/// in each round, and collects the numbers that it prints.
pub fn run(arguments: &[&str], rounds: usize) -> io::Result<Rounds> {
    let program = std::env::current_exe()?;
    let contestants = Contestant::ALL.len();
    let mut all = Vec::new();
    for round in 0..rounds {
        let mut figures = vec![Vec::new(); contestants];
        for turn in 0..contestants {
            let index = (round + turn) % contestants;
            let output = Command::new(&program)
                .args(arguments)
                .arg(Contestant::ALL[index].name())
                .stderr(Stdio::inherit())
                .output()?;
            let text = String::from_utf8_lossy(&output.stdout);
            let numbers: Result<Vec<f64>, _> = text.split_whitespace().map(str::parse).collect();
            figures[index] = match numbers {
                Ok(numbers) if output.status.success() && !numbers.is_empty() => numbers,
                _ => {
                    let name = Contestant::ALL[index].name();
                    let message = format!(
                        "{name} in {arguments:?} ended with {}: {text}",
                        output.status
                    );
                    return Err(io::Error::other(message));
                }
            };
        }
        all.push(figures);
    }
    Ok(all)
}
