//! Several traces: a row each, and both sides held to the same.
//!
//! What Go's runs of a trace show against each other is what a program that behaves like Go may show. So each
//! run of Go is judged by the range of Go's other runs, and the run of goheap that was made beside
//! it by the same. Where references were recorded earlier, both sides are judged by these. Of several traces the times
//! are put together by their geometric mean.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use super::table::share_of_time;
use super::{Sides, own};
use crate::Error;
use crate::fidelity::{Counter, Reference, Verdict};
use crate::figures::Record;

/// How one side's runs of a trace came off.
#[derive(Clone, Copy, Default)]
pub struct Score {
    /// Counters that hold, the mean over the runs.
    holds: f64,
    /// Those that hold in the worst run.
    least: usize,
    /// Mean error over all counters and runs.
    mean: f64,
    /// That of RSS.
    rss: f64,
}

/// A trace, and how both sides came off.
pub struct Row {
    name: String,
    kept_aside: bool,
    ours: Score,
    gos: Score,
    /// goheap's processor time as a share of Go's.
    time: f64,
    /// The counter in which goheap is off most, and its mean error.
    worst: (Counter, f64),
}

/// What each side's runs are judged to be.
struct Judged {
    ours: Vec<Vec<Verdict>>,
    gos: Vec<Vec<Verdict>>,
}

/// Runs each trace and prints its row.
pub fn run(sides: &Sides, traces: &[&Path], expected: Option<&Path>) -> Result<(), Error> {
    let mut rows = Vec::new();
    for trace in traces {
        let name = trace.file_stem().unwrap_or_default().display().to_string();
        rows.push(row(sides, trace, name, false, expected)?);
    }
    sides.progress.finish_and_clear();
    print(&rows).map_err(Error::unwritten)
}

/// The same with the project's own traces, those kept aside last.
pub fn run_own(sides: &Sides) -> Result<(), Error> {
    let folder = tempfile::tempdir().map_err(Error::system("make a temporary folder"))?;
    let mut rows = Vec::new();
    for own in own::all() {
        let path = folder.path().join(format!("{}.trace", own.name));
        fs::write(&path, own.text()).map_err(Error::system(format!("write {}", path.display())))?;
        rows.push(row(sides, &path, own.name.into(), own.kept_aside, None)?);
        // Some are large, and never needed again.
        let _ = fs::remove_file(&path);
    }
    rows.sort_by_key(|row| row.kept_aside);
    sides.progress.finish_and_clear();
    print(&rows).map_err(Error::unwritten)
}

fn row(
    sides: &Sides,
    trace: &Path,
    name: String,
    kept_aside: bool,
    expected: Option<&Path>,
) -> Result<Row, Error> {
    let (ours, gos) = sides.play(trace, &name)?;
    let judged = match expected {
        Some(folder) => {
            let path = folder.join(format!("{name}.json"));
            let text = fs::read_to_string(&path)
                .map_err(Error::system(format!("read {}", path.display())))?;
            let reference = Reference::from_json(&name, &text)?;
            let judge = |runs: &[Vec<Record>]| {
                let verdicts = runs.iter().map(|run| reference.compare(&name, run));
                verdicts.collect::<Result<Vec<_>, _>>()
            };
            Judged {
                ours: judge(&ours)?,
                gos: judge(&gos)?,
            }
        }
        None => beside_each_other(&name, &ours, &gos)?,
    };
    let mean_of = |counter: Counter| {
        let means = judged.ours.iter().map(|run| run[counter as usize].mean);
        means.sum::<f64>() / judged.ours.len() as f64
    };
    let worst = Counter::ALL.map(|counter| (counter, mean_of(counter)));
    let worst = worst.into_iter().max_by(|a, b| a.1.total_cmp(&b.1));
    Ok(Row {
        name,
        kept_aside,
        ours: score(&judged.ours),
        gos: score(&judged.gos),
        time: share_of_time(&ours, &gos),
        worst: worst.unwrap_or((Counter::Rss, 0.0)),
    })
}

fn beside_each_other(
    name: &str,
    ours: &[Vec<Record>],
    gos: &[Vec<Record>],
) -> Result<Judged, Error> {
    let mut judged = Judged {
        ours: Vec::new(),
        gos: Vec::new(),
    };
    for (left_out, our) in ours.iter().enumerate() {
        let mut others = gos.to_vec();
        let go = others.swap_remove(left_out);
        let reference = Reference::of_runs(name, &others)?;
        judged.ours.push(reference.compare(name, our)?);
        judged.gos.push(reference.compare(name, &go)?);
    }
    Ok(judged)
}

fn score(runs: &[Vec<Verdict>]) -> Score {
    let n = runs.len().max(1) as f64;
    let holds = |run: &Vec<Verdict>| run.iter().filter(|verdict| verdict.holds()).count();
    let means = runs.iter().flatten().map(|verdict| verdict.mean);
    let rss = runs.iter().map(|run| run[Counter::Rss as usize].mean);
    Score {
        holds: runs.iter().map(holds).sum::<usize>() as f64 / n,
        least: runs.iter().map(holds).min().unwrap_or(0),
        mean: means.sum::<f64>() / n / Counter::ALL.len() as f64,
        rss: rss.sum::<f64>() / n,
    }
}

/// As Markdown, which reads well as it is.
fn print(rows: &[Row]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "| trace | goheap holds | Go holds | goheap's mean error | Go's | goheap's RSS | Go's | goheap's time of Go's | off most |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |"
    )?;
    for row in rows {
        let worst = off_most(row.worst);
        line(&mut out, &row.name, (row.ours, row.gos), row.time, &worst)?;
    }
    let sets: [(&str, &[bool]); 3] = [
        ("all", &[false, true]),
        ("not kept aside", &[false]),
        ("kept aside", &[true]),
    ];
    let both = rows.iter().any(|row| row.kept_aside);
    for (name, which) in &sets[..if both { 3 } else { 1 }] {
        let of: Vec<_> = rows
            .iter()
            .filter(|row| which.contains(&row.kept_aside))
            .collect();
        let ours = mean(of.iter().map(|row| row.ours));
        let gos = mean(of.iter().map(|row| row.gos));
        let logs = of.iter().map(|row| row.time.ln()).sum::<f64>();
        let time = (logs / of.len() as f64).exp();
        line(&mut out, &format!("**{name}**"), (ours, gos), time, "")?;
    }
    Ok(())
}

fn line(
    out: &mut impl Write,
    name: &str,
    (ours, gos): (Score, Score),
    time: f64,
    rest: &str,
) -> io::Result<()> {
    let holds = |score: Score| format!("{:.1} ({})", score.holds, score.least);
    let percent = |share: f64| format!("{:.2} %", share * 100.0);
    writeln!(
        out,
        "| {name} | {} | {} | {} | {} | {} | {} | {time:.2} | {rest} |",
        holds(ours),
        holds(gos),
        percent(ours.mean),
        percent(gos.mean),
        percent(ours.rss),
        percent(gos.rss),
    )
}

fn off_most((counter, mean): (Counter, f64)) -> String {
    match mean {
        ..0.0005 => String::new(),
        _ => format!("{} {:.1} %", counter.name(), mean * 100.0),
    }
}

fn mean(scores: impl Iterator<Item = Score> + Clone) -> Score {
    let n = scores.clone().count().max(1) as f64;
    Score {
        holds: scores.clone().map(|score| score.holds).sum::<f64>() / n,
        least: scores.clone().map(|score| score.least).min().unwrap_or(0),
        mean: scores.clone().map(|score| score.mean).sum::<f64>() / n,
        rss: scores.map(|score| score.rss).sum::<f64>() / n,
    }
}
