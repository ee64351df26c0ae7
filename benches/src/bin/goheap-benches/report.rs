//! The table on the terminal, and the file with all figures.

use std::io;

use comfy_table::{CellAlignment, Table, TableStyle};
use goheap_benches::machine;
use goheap_benches::workload::Group;

use crate::outcome::{Outcome, geometric_mean};

/// Prints a line for each workload, goheap beside the best peer, and the means by group.
pub fn print(outcomes: &[Outcome<'_>]) {
    let mut table = Table::new();
    table.load_style(TableStyle::new());
    table.set_header([
        "workload",
        "goheap ns",
        "best peer",
        "ns",
        "ratio",
        "min – max",
        "peak MiB",
        "its",
    ]);
    for outcome in outcomes {
        let (own, Some(best)) = (outcome.own(), outcome.best_peer()) else {
            continue;
        };
        table.add_row([
            outcome.bench.name.to_owned(),
            format!("{:.1}", own.wall_ns.median),
            best.contestant.name().to_owned(),
            format!("{:.1}", best.wall_ns.median),
            format!("{:.2}", best.ratio.median),
            format!("{:.2} – {:.2}", best.ratio.min, best.ratio.max),
            format!("{:.1}", own.peak_kib / 1024.0),
            format!("{:.1}", best.peak_kib / 1024.0),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}\n");
    println!(
        "ratio: goheap's time by the best peer's, median of rounds; of the processors for programs"
    );
    for group in Group::ALL {
        let of_group = || {
            outcomes
                .iter()
                .filter(|outcome| outcome.bench.group == group)
        };
        if of_group().next().is_none() {
            continue;
        }
        let best: Vec<f64> = of_group()
            .filter_map(Outcome::best_peer)
            .map(|row| row.ratio.median)
            .collect();
        print!(
            "{:<9} {:.2} of each row's best",
            group.name(),
            geometric_mean(&best)
        );
        let contestants = outcomes.first().map_or(0, |outcome| outcome.rows.len());
        for index in 1..contestants {
            let name = outcomes[0].rows[index].contestant.name();
            let ratios: Vec<f64> = of_group().map(|o| o.rows[index].ratio.median).collect();
            print!(", {:.2} of {name}", geometric_mean(&ratios));
        }
        println!();
    }
}

/// All figures, with the machine and the command at the head.
pub fn csv(command: &str, outcomes: &[Outcome<'_>]) -> io::Result<Vec<u8>> {
    let columns = "ns: for an operation; ratio: goheap's time by this one's of the same round, of the \
                   processors for programs; metadata: goheap's bytes outside of its heap, and the heap's in spans";
    let mut writer = csv::Writer::from_writer(machine::header(command, columns).into_bytes());
    writer.write_record([
        "bench",
        "allocator",
        "ns",
        "ns_min",
        "ns_max",
        "processor_ns",
        "ratio",
        "ratio_min",
        "ratio_max",
        "peak_rss_kib",
        "mean_rss_kib",
        "metadata",
        "in_spans",
    ])?;
    for outcome in outcomes {
        for row in &outcome.rows {
            writer.write_record([
                outcome.bench.name.to_owned(),
                row.contestant.name().to_owned(),
                format!("{:.2}", row.wall_ns.median),
                format!("{:.2}", row.wall_ns.min),
                format!("{:.2}", row.wall_ns.max),
                format!("{:.2}", row.processor_ns.median),
                format!("{:.3}", row.ratio.median),
                format!("{:.3}", row.ratio.min),
                format!("{:.3}", row.ratio.max),
                format!("{:.0}", row.peak_kib),
                format!("{:.0}", row.mean_kib),
                format!("{:.0}", row.metadata),
                format!("{:.0}", row.in_use),
            ])?;
        }
    }
    writer.into_inner().map_err(|error| error.into_error())
}
