//! One burst and a rest under the policy of every version of Go that differs from the one
//! before: a process each, all at the same time, with the heap's clock sped up.

pub mod burst;
mod chart;
mod watched;
mod words;

use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use comfy_table::{CellAlignment, ContentArrangement, Table};
use indicatif::{ProgressBar, ProgressStyle};

use self::burst::{REST, SCALE};
use self::watched::{Running, Versions, Watched};
use super::table::STYLE;
use crate::{Error, output, picture};

/// Runs the bursts, then shows them.
pub fn run(path: &Path) -> Result<(), Error> {
    let out = picture::File::create(path)?;
    let all = watch(Versions::all())?;
    print(&all).map_err(Error::unwritten)?;
    out.write(chart::draw(&all))?;
    output::print(format_args!("Chart: {}", path.display()))
}

fn watch(versions: Vec<Versions>) -> Result<Vec<Watched>, Error> {
    let steps = (REST * 60.0 / f64::from(SCALE) * 10.0) as u64;
    let progress = ProgressBar::new(steps).with_style(
        ProgressStyle::with_template("{bar:24} {msg} ({elapsed})")
            .expect("the template is well-formed"),
    );
    let running: Vec<_> = versions
        .into_iter()
        .map(Running::start)
        .collect::<Result<_, _>>()?;
    progress.set_message(format!(
        "{} policies, {REST} minutes each, {SCALE} times as fast",
        running.len()
    ));
    // Their output fits into a pipe's buffer only so far: each is read to its end by a thread.
    let readers: Vec<_> = running
        .into_iter()
        .map(|one| thread::spawn(|| one.finish()))
        .collect();
    let begun = Instant::now();
    while readers.iter().any(|reader| !reader.is_finished()) {
        progress.set_position((begun.elapsed().as_millis() as u64 / 100).min(steps));
        thread::sleep(Duration::from_millis(50));
    }
    progress.finish_and_clear();
    let finished = readers.into_iter().map(|reader| {
        reader
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    finished.collect()
}

fn print(all: &[Watched]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "A program of 8 MB gets 64 MB more, drops them, and rests for {REST} minutes: RSS in MB of\n\
         2^20 bytes, and when nine tenths of the burst had gone back. The clock runs {SCALE} times as fast.\n"
    )?;
    writeln!(out, "{}\n", table(all))?;
    for watched in all {
        writeln!(out, "{}\n", words::of(watched))?;
    }
    Ok(())
}

fn table(all: &[Watched]) -> Table {
    let mb = |bytes: u64| format!("{:.0}", bytes as f64 / f64::from(1 << 20));
    let mut table = Table::new();
    table
        .load_style(STYLE)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header([
            "policy",
            "burst",
            "after 1 min",
            "3 min",
            "6 min",
            "12 min",
            "90 % back",
            "how",
        ]);
    for watched in all {
        let mut row = vec![watched.versions.name(), mb(watched.peak())];
        row.extend([1.0, 3.0, 6.0, REST].map(|minutes| mb(watched.at(minutes).rss)));
        row.push(
            watched
                .back_after(words::NEARLY_ALL)
                .map_or("—".into(), words::clock),
        );
        row.push(words::advice(watched.versions).into());
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1).take(6) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
