//! `goheap explain PID`: why each byte of a running program's resident memory is there.

mod waterfall;

use std::fs;
use std::path::PathBuf;

use goheap_stats::Snapshot;
use goheap_stats::explain::{Cause, Explanation, Mappings, Settings, sentences};
use goheap_stats::shared_page::Command;
use serde::Serialize;

use crate::observe::{self, Facts, Page};
use crate::{Error, amount, output, picture};

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
        output::json(&Shown::of(&explained))?
    } else {
        text(&program.facts, &snapshot, &explained)
    };
    output::print(text)
}

/// What the process's memory is, and a snapshot of about the same moment.
///
/// # Errors
/// It has ended, or does not answer.
pub fn of(page: &Page, pid: u32) -> Result<(Snapshot, Explanation), Error> {
    let folder = observe::proc_folder(pid);
    let exe = fs::read_link(folder.join("exe")).unwrap_or_default();
    let (snapshot, held) = page.explain()?;
    let smaps = folder.join("smaps");
    let smaps = fs::read(&smaps).map_err(Error::system(format!("read {}", smaps.display())))?;
    let maps = Mappings::read(
        &String::from_utf8_lossy(&smaps),
        &exe.to_string_lossy(),
        held.from..held.to,
    );
    // How much went back meanwhile. Who answers was there all the time: of one that ends, the kernel lists
    // the mappings up to where it was when it ended, or none.
    let now = page.ask(Command::Look)?;
    Ok((snapshot, Explanation::of(&held, &maps, now.released_ever)))
}

/// What `--json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// What the heap profile shows in use, as of the last cycle, in bytes; not there if nothing is sampled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<u64>,
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
    /// Their standard error, if they are an estimate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<u64>,
    /// The same for a program.
    #[serde(skip)]
    pub of: Cause,
}

impl Shown {
    /// From what to what it leads.
    fn title(&self) -> &'static str {
        match self.profile {
            Some(_) => "from what the heap profile says to what ps says",
            None => "from what is live to what ps says",
        }
    }

    /// Of an explanation.
    pub fn of(explained: &Explanation) -> Self {
        let part = |&(cause, bytes): &(Cause, u64)| Part {
            cause: explained.name(cause),
            bytes,
            error: match cause {
                Cause::Live | Cause::Rounding => explained.sampled.map(|s| s.requested.error),
                _ => None,
            },
            of: cause,
        };
        Self {
            profile: explained.sampled.map(|sampled| sampled.in_use),
            rss: explained.rss,
            causes: explained.causes.iter().map(part).collect(),
        }
    }
}

/// How the heap profile's figure is called.
pub const PROFILE: &str = "heap profile";
/// Columns of the widest bar.
const BAR: u64 = 40;

fn text(facts: &Facts, snapshot: &Snapshot, explained: &Explanation) -> String {
    let shown = Shown::of(explained);
    let mut text = format!("{} ({}), {}\n\n", facts.name, facts.pid, shown.title());
    let rss = shown.rss.max(1);
    let column =
        |bytes: u64| (bytes as u128 * u128::from(BAR) / u128::from(rss)).min(BAR.into()) as usize;
    let mut line = |name: &str, from: u64, bytes: u64, bar: &str, after: String| {
        let (from, to) = (column(from), column(from + bytes));
        text += &format!(
            "{name:<24} {:>11}  {}{}{after}\n",
            amount::bytes(bytes),
            " ".repeat(from),
            bar.repeat((to - from).max(1))
        );
    };
    if let Some(bytes) = shown.profile {
        line(PROFILE, 0, bytes, "░", "  as of the last cycle".into());
    }
    let mut below = 0;
    for part in shown.causes.iter().filter(|part| part.bytes > 0) {
        let error = part.error.filter(|_| part.of == Cause::Live);
        let error = error.map(|error| format!("  ± {}", amount::bytes(error)));
        line(
            part.cause,
            below,
            part.bytes,
            "█",
            error.unwrap_or_default(),
        );
        below += part.bytes;
    }
    line("resident (RSS)", 0, shown.rss, "█", String::new());
    if shown.profile.is_none() {
        text += "\nNothing is sampled (GOHEAP_PROFILE_RATE=0): there is no heap profile, and no telling what of \
                 live objects is rounding.\n";
    }
    text + "\n" + &sentences_on(snapshot, explained).join("\n")
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
