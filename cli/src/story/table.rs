//! A trace as a table: a row a step, a column a counter, goheap's figure before Go's.

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};

use super::told::Told;
use super::words::mb;
use crate::fidelity::Counter;

/// What the story follows through its steps.
pub const SHOWN: [Counter; 5] = [
    Counter::Sys,
    Counter::HeapAlloc,
    Counter::HeapIdle,
    Counter::HeapReleased,
    Counter::Rss,
];

/// One rule, below the header.
pub const STYLE: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// The trace's table.
pub fn of(told: &Told) -> Table {
    let mut table = Table::new();
    table
        .load_style(STYLE)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header());
    for step in 0..told.steps() {
        let mut row = vec![told.records[step].label.clone()];
        for counter in SHOWN {
            let (ours, gos) = told.pair(step, counter);
            row.push(format!("{} {:>5}", mb(ours), mb(gos)));
        }
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn header() -> Vec<String> {
    let counters = SHOWN.map(|counter| format!("{}\ngoheap    Go", counter.name()));
    std::iter::once("\nstep".into()).chain(counters).collect()
}
