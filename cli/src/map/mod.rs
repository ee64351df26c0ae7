//! `goheap map PID`: a running program's heap by address, what each stretch of it is, and how full.
//!
//! | file | idea |
//! | --- | --- |
//! | `text.rs` | the map and its figures in a terminal |
//! | `page.rs`, `page.html` | the map as a page to point at |
//! | `drawing.rs` | the map as a picture |
//! | `color.rs` | what colours stretches have, and what these mean |
//! | `timeline.rs` | looks at a heap, one after the other, as a picture: time across, address up |

mod color;
mod drawing;
mod page;
mod text;
mod timeline;

pub use timeline::Timeline;

use color::By;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use goheap_stats::map::{Age, Fragmentation, Moment, Run, State};
use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};

use crate::observe::{self, Facts};
use crate::{Error, amount, picture};

/// Show a running program's heap by address: what each stretch of it is, and how full.
///
/// The program is one whose allocator is goheap, or one that `goheap run` started. Only its own
/// user and root may look at it. It looks through its heap for this, and goes on meanwhile.
#[derive(clap::Args)]
pub struct Options {
    /// The process.
    pid: u32,
    /// Print JSON: every run of pages, and what they come to.
    #[arg(long, conflicts_with = "timeline")]
    json: bool,
    /// Write a page to point at, or a picture, by the file's ending.
    #[arg(long, value_name = "FILE.html|svg|png", value_parser = page_or_picture)]
    out: Option<PathBuf>,
    /// What the spans of a picture are told apart by; a page has all three.
    #[arg(
        long,
        value_enum,
        default_value_t,
        requires = "out",
        conflicts_with = "timeline"
    )]
    by: By,
    /// Look again and again, and draw time across, address up.
    #[arg(long, requires = "out")]
    timeline: bool,
    /// How long: 30s, 2m, 500ms.
    #[arg(long = "for", value_name = "TIME", default_value = "30s", value_parser = amount::time, requires = "timeline")]
    lasts: Duration,
    /// Time between two looks: 50ms, 1s; a number alone is milliseconds.
    #[arg(long, value_name = "TIME", default_value = "200ms", value_parser = amount::between_looks(1), requires = "timeline")]
    every: Duration,
}

fn page_or_picture(path: &str) -> Result<PathBuf, String> {
    let html = PathBuf::from(path);
    if picture::is(&html, "html") {
        return Ok(html);
    }
    picture::path(path).map_err(|_| {
        "a map is a page or a picture: give it a name that ends in .html, .svg or .png".into()
    })
}

/// A heap at one moment.
pub struct Look {
    facts: Facts,
    moment: Moment,
    runs: Vec<Run>,
    cut: Fragmentation,
}

impl Look {
    /// Asks the program.
    fn at(program: &observe::Program) -> Result<Self, Error> {
        let (_, moment, runs) = program.page.map()?;
        Ok(Self {
            facts: program.facts.clone(),
            cut: Fragmentation::of(&moment, &runs),
            moment,
            runs,
        })
    }
}

/// Requests for which it is said how much of the free memory serves them: from a page to 64 MiB.
const REQUESTS: [u64; 8] = [
    8 << 10,
    32 << 10,
    128 << 10,
    512 << 10,
    1 << 20,
    4 << 20,
    10 << 20,
    64 << 20,
];

/// Asks the program, then prints and draws.
pub fn run(options: &Options) -> Result<(), Error> {
    let program = observe::open(options.pid)?;
    let out = options.out.as_deref().map(picture::File::create);
    let out = out.transpose()?;
    let html = options
        .out
        .as_deref()
        .is_some_and(|path| picture::is(path, "html"));
    if options.timeline {
        let timeline = timeline::Timeline::of(&program, options.lasts, options.every)?;
        let (name, pid) = (&program.facts.name, program.facts.pid);
        return match out {
            Some(out) if html => out.write_bytes(timeline.page(name, pid)?.as_bytes()),
            Some(out) => out.write(timeline.draw(name, pid)),
            None => Ok(()),
        };
    }
    let look = Look::at(&program)?;
    match out {
        Some(out) if html => out.write_bytes(page::of(&look, options.by)?.as_bytes())?,
        Some(out) => out.write(drawing::draw(&look, options.by))?,
        None => {}
    }
    let mut stdout = BufWriter::new(io::stdout().lock());
    if options.json {
        serde_json::to_writer(&mut stdout, &Shown::of(&look))
            .map_err(io::Error::from)
            .and_then(|()| writeln!(stdout))
            .and_then(|()| stdout.flush())
    } else {
        write!(stdout, "{}", text::of(&look)).and_then(|()| stdout.flush())
    }
    .map_err(Error::unwritten)
}

/// What `--json` prints. Sizes in bytes.
#[derive(Serialize)]
struct Shown<'a> {
    pid: u32,
    program: &'a str,
    /// Cycles completed.
    cycle: u32,
    heap_inuse: u64,
    heap_idle: u64,
    heap_released: u64,
    fragmentation: &'a Fragmentation,
    usable: Vec<Usable>,
    #[serde(serialize_with = "runs")]
    runs: &'a Look,
}

/// Free memory of use for a request.
#[derive(Serialize)]
struct Usable {
    request: u64,
    bytes: u64,
    /// Of all free memory; 1 where there is none.
    share: f64,
}

fn usable(cut: &Fragmentation) -> Vec<Usable> {
    let of = |request| {
        let bytes = cut.usable_for(request);
        let share = match cut.free {
            0 => 1.0,
            free => bytes as f64 / free as f64,
        };
        Usable {
            request,
            bytes,
            share,
        }
    };
    REQUESTS.map(of).into()
}

impl<'a> Shown<'a> {
    fn of(look: &'a Look) -> Self {
        Self {
            pid: look.facts.pid,
            program: &look.facts.name,
            cycle: look.moment.cycle,
            heap_inuse: look.cut.in_use(),
            heap_idle: look.cut.idle(),
            heap_released: look.cut.released(),
            fragmentation: &look.cut,
            usable: usable(&look.cut),
            runs: look,
        }
    }
}

fn runs<S: Serializer>(look: &&Look, to: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Written {
        address: u64,
        bytes: u64,
        state: State,
        #[serde(flatten)]
        span: Option<Span>,
    }
    #[derive(Serialize)]
    struct Span {
        class: u8,
        slot_bytes: u64,
        slots: u16,
        live: u16,
        dead: u16,
        waiting: u16,
        age: Age,
    }
    let mut list = to.serialize_seq(Some(look.runs.len()))?;
    for run in &look.runs {
        let span = run.state.is_span().then(|| Span {
            class: run.class,
            slot_bytes: run.slot_bytes,
            slots: run.slots,
            live: run.live,
            dead: run.dead,
            waiting: run.waiting,
            age: look.moment.age(run),
        });
        list.serialize_element(&Written {
            address: run.address,
            bytes: run.bytes,
            state: run.state,
            span,
        })?;
    }
    list.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_the_ending_says() {
        for good in ["a.html", "a.HTML", "a.svg", "a.png"] {
            assert_eq!(page_or_picture(good), Ok(good.into()));
        }
        assert!(page_or_picture("a.gif").is_err_and(|why| why.contains(".html, .svg or .png")));
    }
}
