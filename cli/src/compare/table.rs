//! The comparison as a table: a row a counter.

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};

use super::Comparison;
use crate::amount::MIB;
use crate::fidelity::Counter;
use crate::figures::Record;

/// How far goheap is from Go in one counter.
pub struct Row {
    /// Mean error over all snapshots and runs.
    pub mean: f64,
    /// What it may be.
    pub allowed: f64,
    /// Runs in which it holds.
    pub holds: usize,
    /// The greatest error of any run, and the snapshot that it was at.
    pub worst: (f64, String),
    /// Go's own: its most deviant run against the others.
    pub own: f64,
}

impl Comparison {
    /// One counter over all runs.
    pub fn row(&self, counter: Counter) -> Row {
        let of = || self.verdicts.iter().map(|run| &run[counter as usize]);
        let worst = of().max_by(|a, b| a.worst.0.total_cmp(&b.worst.0));
        Row {
            mean: of().map(|verdict| verdict.mean).sum::<f64>() / self.verdicts.len() as f64,
            allowed: of().map(|verdict| verdict.allowed).fold(0.0, f64::max),
            holds: of().filter(|verdict| verdict.holds()).count(),
            worst: worst.map_or((0.0, String::new()), |verdict| verdict.worst.clone()),
            own: self.reference.own(counter),
        }
    }
}

/// The table.
pub fn of(comparison: &Comparison) -> Table {
    let rule = LineStyle::none().fill('─').junction('─');
    let runs = comparison.ours.len();
    let mut table = Table::new();
    table
        .load_style(TableStyle::new().header_separator(rule))
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header([
            "at the end, MB".to_owned(),
            comparison.go.clone(),
            "goheap".into(),
            "mean error".into(),
            "allowed".into(),
            "Go's own".into(),
            "holds".into(),
            "worst".into(),
            "at".into(),
        ]);
    for counter in Counter::ALL {
        let row = comparison.row(counter);
        let shown = |runs: &[Vec<Record>]| {
            let median = median_of(runs, |first, last| counter.since_baseline(last, first));
            match counter {
                Counter::NumGc => format!("{median:.0}"),
                _ => format!("{:.2}", median / MIB),
            }
        };
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        table.add_row([
            counter.name().to_owned(),
            shown(&comparison.gos),
            shown(&comparison.ours),
            percent(row.mean),
            percent(row.allowed),
            percent(row.own),
            format!("{} of {runs}", row.holds),
            percent(row.worst.0),
            if row.worst.0 > 0.0 {
                row.worst.1
            } else {
                String::new()
            },
        ]);
    }
    table.add_row([
        "processor, ms".to_owned(),
        format!("{:.1}", processor(&comparison.gos) * 1e3),
        format!("{:.1}", processor(&comparison.ours) * 1e3),
    ]);
    for column in table.column_iter_mut().skip(1).take(7) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// goheap's processor time as a share of Go's, each the median of its runs.
pub fn share_of_time(ours: &[Vec<Record>], gos: &[Vec<Record>]) -> f64 {
    processor(ours) / processor(gos)
}

/// The processor time that a replay took, in seconds.
fn processor(runs: &[Vec<Record>]) -> f64 {
    median_of(runs, |_, last| last.processor_seconds)
}

/// The median over the runs of what their first and last snapshots say.
fn median_of(runs: &[Vec<Record>], of: impl Fn(&Record, &Record) -> f64) -> f64 {
    let mut values: Vec<f64> = runs
        .iter()
        .filter_map(|run| Some(of(run.first()?, run.last()?)))
        .collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len().saturating_sub(1) / 2;
    values.get(middle).copied().unwrap_or_default()
}

/// All in all.
pub fn sentence(comparison: &Comparison) -> String {
    let rows = Counter::ALL.map(|counter| comparison.row(counter));
    let runs = comparison.ours.len();
    let hold = rows.iter().filter(|row| row.holds == runs).count();
    let mean = |of: fn(&Row) -> f64| rows.iter().map(of).sum::<f64>() / rows.len() as f64 * 100.0;
    format!(
        "{hold} of {} counters hold in {}; the mean error over all is {:.1} %, Go's against itself {:.1} %.\n\
         RSS, Sys, TotalAlloc, NumGC and processor time count from the baseline; goheap took {:.2} of Go's time.",
        rows.len(),
        if runs == 1 {
            "the run".to_owned()
        } else {
            format!("all {runs} runs")
        },
        mean(|row| row.mean),
        mean(|row| row.own),
        share_of_time(&comparison.ours, &comparison.gos),
    )
}
