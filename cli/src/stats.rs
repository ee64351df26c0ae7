//! `goheap stats PID`: what a running program's heap says of itself, once.

use comfy_table::{CellAlignment, ContentArrangement, Table};
use goheap_stats::shared_page::Command;
use goheap_stats::{ClassCounts, Snapshot};
use serde::Serialize;

use crate::Error;
use crate::amount;
use crate::figures::Figures;
use crate::observe::{self, Facts};
use crate::output;
use goheap_stats::States;

/// Print the counters of a running program on goheap.
///
/// The program is one whose allocator is goheap, or one that `goheap run` started. Only its own
/// user and root may look at it.
#[derive(clap::Args)]
pub struct Options {
    /// The process.
    pid: u32,
    /// Print JSON, under the names of Go's MemStats.
    #[arg(long)]
    json: bool,
}

/// Asks the program, then prints.
pub fn run(options: &Options) -> Result<(), Error> {
    let program = observe::open(options.pid)?;
    let snapshot = program.page.ask(Command::Look)?;
    let text = if options.json {
        output::json(&Shown::of(&program.facts, &snapshot))?
    } else {
        text(&program.facts, &snapshot)
    };
    output::print(text)
}

/// What `--json` prints.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown<'a> {
    #[serde(rename = "PID")]
    pid: u32,
    name: &'a str,
    uptime_seconds: f64,
    #[serde(rename = "RSS")]
    rss: u64,
    #[serde(flatten)]
    aims: Aims,
    mem_stats: Figures,
    classes: Vec<Class>,
}

impl<'a> Shown<'a> {
    fn of(facts: &'a Facts, snapshot: &Snapshot) -> Self {
        Self {
            pid: facts.pid,
            name: &facts.name,
            uptime_seconds: uptime(snapshot),
            rss: facts.rss,
            aims: Aims::of(snapshot),
            mem_stats: Figures::from(&snapshot.mem_stats()),
            classes: classes(snapshot),
        }
    }
}

/// What the pacer and the scavenger know and aim at, under names like Go's.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct Aims {
    #[serde(rename = "GOGC")]
    pub gc_percent: i64,
    #[serde(rename = "GOMEMLIMIT")]
    pub memory_limit: i64,
    pub heap_live: u64,
    pub heap_marked: u64,
    pub trigger: u64,
    pub marking: bool,
    pub mapped_ready: u64,
    pub scavenge_goal: u64,
    pub released_ever: u64,
}

impl Aims {
    /// Of that moment.
    pub fn of(snapshot: &Snapshot) -> Self {
        Self {
            gc_percent: snapshot.gc_percent,
            memory_limit: snapshot.memory_limit,
            heap_live: snapshot.heap_live,
            heap_marked: snapshot.heap_marked,
            trigger: snapshot.trigger,
            marking: snapshot.marking != 0,
            mapped_ready: snapshot.mapped_ready,
            scavenge_goal: snapshot.scavenge_goal,
            released_ever: snapshot.released_ever,
        }
    }
}

/// A size class that the program has used.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct Class {
    /// Bytes of an object; 0 stands for large objects, of any size over 32 KiB.
    pub size: u32,
    pub mallocs: u64,
    pub frees: u64,
    /// Allocated, and by no sweep reclaimed.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The size classes in use, large objects last.
pub fn classes(snapshot: &Snapshot) -> Vec<Class> {
    let kept = |class: &ClassCounts| class.mallocs.saturating_sub(class.frees);
    let (large, small) = snapshot.classes.split_at(1);
    let of_small: u64 = small.iter().map(|c| kept(c) * u64::from(c.size)).sum();
    let used = small.iter().chain(large).filter(|class| class.mallocs > 0);
    used.map(|class| Class {
        size: class.size,
        mallocs: class.mallocs,
        frees: class.frees,
        objects: kept(class),
        bytes: match class.size {
            0 => snapshot.heap_alloc.saturating_sub(of_small),
            size => kept(class) * u64::from(size),
        },
    })
    .collect()
}

/// Seconds since the program's heap started.
pub fn uptime(snapshot: &Snapshot) -> f64 {
    snapshot.taken_ns.saturating_sub(snapshot.started_ns) as f64 / 1e9
}

fn text(facts: &Facts, snapshot: &Snapshot) -> String {
    let mut text = format!(
        "{} ({}), for {:.1} s on goheap\n\n",
        facts.name,
        facts.pid,
        uptime(snapshot)
    );
    let mut memory = table(["memory", "bytes", ""]);
    for (name, bytes) in States::of(snapshot).named() {
        memory.add_row([name.into(), bytes.to_string(), amount::bytes(bytes)]);
    }
    for (name, bytes) in [
        ("heap, all of the above", snapshot.heap_sys),
        ("got from the system (Sys)", snapshot.sys),
        ("resident (RSS)", facts.rss),
    ] {
        memory.add_row([name.into(), bytes.to_string(), amount::bytes(bytes)]);
    }
    text += &format!("{memory}\n\n");
    text += &format!(
        "cycles {} ({} asked for), next at {}, goal {}, GOGC={}, GOMEMLIMIT={}\n",
        snapshot.num_gc,
        snapshot.num_forced_gc,
        amount::goal(snapshot.trigger),
        amount::goal(snapshot.next_gc),
        amount::percent(snapshot.gc_percent),
        amount::limit(snapshot.memory_limit),
    );
    text += &format!(
        "allocated since the start {} in {} objects; collecting took {:.2} % of the processors\n\n",
        amount::bytes(snapshot.total_alloc),
        snapshot.mallocs,
        snapshot.gc_cpu_fraction * 100.0
    );
    let mut table = table(["size class", "allocated", "reclaimed", "objects", "bytes"]);
    for class in classes(snapshot) {
        let size = match class.size {
            0 => "large".into(),
            size => size.to_string(),
        };
        let counts = [class.mallocs, class.frees, class.objects, class.bytes];
        table.add_row(std::iter::once(size).chain(counts.map(|n| n.to_string())));
    }
    text + &table.to_string()
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_style(crate::story::STYLE)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
