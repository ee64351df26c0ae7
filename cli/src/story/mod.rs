//! The story: where the memory is that ps shows and the heap profile does not.
//!
//! Eight small traces run on goheap, each in a process of its own, so that each
//! starts from an empty heap. What each step did is shown as tables, as a chart,
//! and in a sentence, beside what Go 1.27.3 did with the same trace.

mod chart;
mod live;
pub mod policies;
mod table;
mod told;
mod words;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::{Error, output, picture, shipped};
pub use table::STYLE;
use told::Told;

/// What the story can be told otherwise.
#[derive(clap::Args)]
pub struct Options {
    /// Where to write the story's chart.
    #[arg(long, value_name = "FILE", default_value = "goheap-story.svg", value_parser = crate::picture::path)]
    out: PathBuf,
}

/// Tell the story, as without a command, or that of Go's policies through the versions.
#[derive(clap::Args)]
pub struct Choice {
    /// Watch one burst and a rest under the policy of each version of Go instead.
    #[arg(long)]
    policies: bool,
    /// Where to write the chart [default: goheap-story.svg, or goheap-policies.svg].
    #[arg(long, value_name = "FILE", value_parser = crate::picture::path)]
    out: Option<PathBuf>,
}

/// Tells which of the two stories is asked for.
pub fn tell(options: &Choice) -> Result<(), Error> {
    let named = |default: &str| options.out.clone().unwrap_or_else(|| default.into());
    if options.policies {
        policies::run(&named("goheap-policies.svg"))
    } else {
        run(&Options {
            out: named("goheap-story.svg"),
        })
    }
}

/// Runs the traces, then shows them.
pub fn run(options: &Options) -> Result<(), Error> {
    let out = picture::File::create(&options.out)?;
    let traces: Vec<_> = shipped::all()
        .into_iter()
        .filter(|shipped| shipped.name != "sizes")
        .collect();
    let progress = ProgressBar::new(traces.len() as u64).with_style(
        ProgressStyle::with_template("{bar:24} {pos} of {len} replays, {msg} ({elapsed})")
            .expect("the template is well-formed"),
    );
    progress.enable_steady_tick(Duration::from_millis(200));
    let mut stories = Vec::new();
    for shipped in traces {
        progress.set_message(shipped.name);
        stories.push(Told::by_running(shipped)?);
        progress.inc(1);
    }
    progress.finish_and_clear();

    print(&stories).map_err(Error::unwritten)?;
    out.write(chart::draw(&stories))?;
    output::print(format_args!("Chart: {}", options.out.display()))
}

fn print(stories: &[Told]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "What each step of a trace does to a process's memory, in MB of 2^20 bytes:\n\
         goheap, measured now, beside Go 1.27.3, the median of its runs.\n"
    )?;
    for told in stories {
        writeln!(out, "{}", told.shipped.name)?;
        writeln!(out, "{}", table::of(told))?;
        writeln!(out, "{}\n", words::fidelity(told))?;
    }
    writeln!(out, "Why ps shows more than the heap profile\n")?;
    for told in stories {
        writeln!(out, "{}\n{}\n", told.shipped.name, words::why(told))?;
    }
    Ok(())
}
