//! `goheap explain PID`: why each byte of a running program's resident memory is there.

mod waterfall;

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use goheap_stats::Snapshot;
use goheap_stats::explain::{Cause, Explanation, Mappings, Settings, sentences};
use goheap_stats::shared_page::Command;
use serde::Serialize;

use crate::observe::{self, Facts, Page};
use crate::{Error, amount, picture};

/// Tell why each byte of a running program's resident memory is there.
///
/// The program is one whose allocator is goheap, or one that `goheap run` started. Only its own
/// user and root may look at it. It looks through its heap for this, and goes on meanwhile.
#[derive(clap::Args)]
pub struct Options {
    /// The process.
    pid: u32,
    /// Print JSON: the resident set, and the bytes of each cause.
    #[arg(long)]
    json: bool,
    /// Draw the causes as a waterfall into this file, SVG or PNG by its ending.
    #[arg(long, value_name = "FILE.svg|png", value_parser = picture::path)]
    out: Option<PathBuf>,
}

/// Asks the program and the kernel, then prints.
pub fn run(options: &Options) -> Result<(), Error> {
    let program = observe::open(options.pid)?;
    let picture = options.out.as_deref().map(picture::File::create);
    let picture = picture.transpose()?;
    let (snapshot, explained) = of(&program.page, program.facts.pid)?;
    if let Some(picture) = picture {
        picture.write(waterfall::draw(&program.facts, &explained))?;
    }
    let text = if options.json {
        let shown = Shown::of(&explained);
        serde_json::to_string_pretty(&shown)
            .map_err(io::Error::from)
            .map_err(Error::system("write JSON"))?
    } else {
        text(&program.facts, &snapshot, &explained)
    };
    writeln!(io::stdout().lock(), "{text}").map_err(Error::system("write to stdout"))
}

/// What the process's memory is, and a snapshot of about the same moment.
///
/// # Errors
/// It has ended, or does not answer.
pub fn of(page: &Page, pid: u32) -> Result<(Snapshot, Explanation), Error> {
    let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let (snapshot, held) = page.explain()?;
    let smaps = fs::read(format!("/proc/{pid}/smaps"))
        .map_err(Error::system(format!("read /proc/{pid}/smaps")))?;
    let maps = Mappings::read(
        &String::from_utf8_lossy(&smaps),
        &exe.to_string_lossy(),
        held.from..held.to,
    );
    // How much went back meanwhile; a program that has ended since takes nothing off.
    let now = page.ask(Command::Look);
    let released_ever = now.map_or(held.released_ever, |now| now.released_ever);
    Ok((snapshot, Explanation::of(&held, &maps, released_ever)))
}

/// What `--json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// The resident set in bytes.
    pub rss: u64,
    /// All causes, in order.
    pub causes: Vec<Part>,
}

/// A cause.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
    /// In words.
    pub cause: &'static str,
    /// Its bytes.
    pub bytes: u64,
}

impl Shown {
    /// Of an explanation.
    pub fn of(explained: &Explanation) -> Self {
        let part = |&(cause, bytes): &(Cause, u64)| Part {
            cause: cause.name(),
            bytes,
        };
        Self {
            rss: explained.rss,
            causes: explained.causes.iter().map(part).collect(),
        }
    }
}

/// Columns of the widest bar.
const BAR: u64 = 40;

fn text(facts: &Facts, snapshot: &Snapshot, explained: &Explanation) -> String {
    let mut text = format!(
        "{} ({}), from what is live to what ps says\n\n",
        facts.name, facts.pid
    );
    let rss = explained.rss.max(1);
    let column = |bytes: u64| (bytes as u128 * u128::from(BAR) / u128::from(rss)) as usize;
    let mut below = 0;
    for &(cause, bytes) in explained.causes.iter().filter(|(_, bytes)| *bytes > 0) {
        let (from, to) = (column(below), column(below + bytes));
        below += bytes;
        text += &format!(
            "{:<24} {:>11}  {}{}\n",
            cause.name(),
            amount::bytes(bytes),
            " ".repeat(from),
            "█".repeat((to - from).max(1))
        );
    }
    text += &format!(
        "{:<24} {:>11}  {}\n\n",
        "resident (RSS)",
        amount::bytes(explained.rss),
        "█".repeat(BAR as usize)
    );
    text + &sentences_on(snapshot, explained).join("\n")
}

/// What moves the two largest causes.
pub fn sentences_on(snapshot: &Snapshot, explained: &Explanation) -> Vec<String> {
    let settings = Settings {
        gc_percent: snapshot.gc_percent,
        trigger: snapshot.trigger,
    };
    let size = |class: usize| u64::from(snapshot.classes[class].size);
    sentences(explained, settings, 2, size, amount::bytes)
}
