//! The goheap program: replays allocation traces on goheap and tells, beside
//! what Go did with the same traces, where memory goes.
//!
//! `main.rs` makes goheap the global allocator and calls [`main`]; all else is here,
//! where tests reach it. One file or folder a subcommand; `steer.rs` has three, `gc`, `free` and `set`. What they
//! have in common:
//!
//! | file | idea |
//! | --- | --- |
//! | `observe/` | running programs on goheap: finding them, asking them |
//! | `preload.rs`, `program.rs`, `clash.rs` | the libraries to start a program on, and whether it can be |
//! | `passed_on.rs` | ending as the program ended that was started |
//! | `trace/` | traces of allocations, in all their forms |
//! | `shipped.rs`, `fidelity.rs` | the traces that come with the program, and the rule by which a replay is held to Go's |
//! | `figures.rs` | what a replay prints, read and written |
//! | `picture.rs`, `thinned.rs` | charts and their files; lists that stay short |
//! | `amount.rs`, `output.rs`, `error.rs` | numbers as people read them; what is printed; what can go wrong |

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use goheap::options::KNOBS;

mod amount;
mod clash;
pub mod compare;
mod error;
pub mod explain;
pub mod fidelity;
pub mod figures;
pub mod map;
pub mod observe;
mod output;
mod passed_on;
mod picture;
pub mod preload;
mod profile;
mod program;
pub mod record;
pub mod replay;
pub mod run;
pub mod shipped;
pub mod stats;
pub mod steer;
pub mod story;
mod thinned;
pub mod top;
pub mod trace;

pub use error::Error;

/// Go's memory manager under a Rust program.
///
/// Without a command, tells the story: replays eight small allocation traces,
/// each in a process of its own, and shows what each of their steps does to the
/// process's memory, beside what Go 1.27.3 did.
#[derive(Parser)]
#[command(name = "goheap", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    story: story::Options,
}

#[derive(Subcommand)]
enum Command {
    Compare(compare::Options),
    Record(record::Options),
    Replay(replay::Options),
    Run(run::Options),
    Top(top::Options),
    Stats(stats::Options),
    Explain(explain::Options),
    Map(map::Options),
    Profile(profile::Options),
    Gc(steer::Gc),
    Free(steer::Free),
    Set(steer::Set),
    Story(story::Choice),
    /// The program that `story --policies` watches.
    #[command(hide = true)]
    Burst,
}

/// Runs the program that the command line asks for. Errors go to stderr and
/// make the exit code 1; a command line that makes no sense makes it 2.
pub fn main() -> ExitCode {
    // All sites are this program's own, and the tables for a sample's stack would be on the heap that a replay measures.
    goheap::profile::set_rate(0);
    let matches = Arguments::command().after_long_help(knobs()).get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let done = match &arguments.command {
        Some(Command::Compare(options)) => nothing_more(compare::run(options)),
        Some(Command::Record(options)) => record::run(options),
        Some(Command::Replay(options)) => replay::run(options),
        Some(Command::Run(options)) => run::run(options),
        Some(Command::Top(options)) => nothing_more(top::run(options)),
        Some(Command::Stats(options)) => nothing_more(stats::run(options)),
        Some(Command::Explain(options)) => nothing_more(explain::run(options)),
        Some(Command::Map(options)) => nothing_more(map::run(options)),
        Some(Command::Profile(options)) => nothing_more(profile::run(options)),
        Some(Command::Gc(options)) => nothing_more(steer::gc(options)),
        Some(Command::Free(options)) => nothing_more(steer::free(options)),
        Some(Command::Set(options)) => nothing_more(steer::set(options)),
        Some(Command::Story(choice)) => nothing_more(story::tell(choice)),
        Some(Command::Burst) => nothing_more(story::policies::burst::run()),
        None => nothing_more(story::run(&arguments.story)),
    };
    match done {
        Ok(code) => code,
        // As other programs end whose reader has seen enough: by SIGPIPE, in a shell's words.
        Err(error) if error.is_unread() => ExitCode::from(128 + libc::SIGPIPE as u8),
        Err(error) => {
            output::say(error);
            ExitCode::FAILURE
        }
    }
}

fn nothing_more(result: Result<(), Error>) -> Result<ExitCode, Error> {
    result.map(|()| ExitCode::SUCCESS)
}

/// The knobs of the heap that this program and every other on goheap obeys, for `--help`.
fn knobs() -> String {
    let mut text = String::from("Environment, read by every program on goheap:\n");
    for knob in KNOBS {
        text += &format!(
            "  {}  (default {})\n      {}\n      Takes {}.\n",
            knob.name, knob.default, knob.does, knob.takes
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_goes_where_out_says_in_each_subcommand() {
        Arguments::command().debug_assert();
        for line in [
            "goheap --out a.svg",
            "goheap story --out a.svg",
            "goheap compare a.trace --out a.svg",
            "goheap replay a.trace --allocator system --out a.svg",
            "goheap explain 1 --out a.svg",
            "goheap map 1 --out a.svg",
            "goheap profile 1 --out a.pb.gz",
            "goheap record --out a.trace true",
            "goheap run --out a true",
        ] {
            if let Err(error) = Arguments::try_parse_from(line.split(' ')) {
                panic!("{line}: {error}");
            }
        }
    }
}
