//! The comparison as a picture: a panel a counter, each side's range and median over the snapshots.

use plotters::prelude::*;

use super::Comparison;
use crate::amount::MIB;
use crate::fidelity::Counter;
use crate::figures::Record;
use crate::picture::{Area, COLORS, Drawn, FAINT, INK, bold, plain, rule, svg};

const WIDTH: u32 = 1200;
const HEAD: u32 = 84;
const PANEL: u32 = 190;
const OURS: RGBColor = COLORS[0];
const GOS: RGBColor = COLORS[1];

/// Draws it.
pub fn draw(comparison: &Comparison) -> Drawn<String> {
    let rows = Counter::ALL.len().div_ceil(2);
    let height = HEAD + PANEL * rows as u32 + 12;
    svg((WIDTH, height), |page| {
        let (head, rest) = page.split_vertically(HEAD);
        legend(comparison, &head)?;
        for (counter, area) in Counter::ALL.into_iter().zip(rest.split_evenly((rows, 2))) {
            panel(comparison, counter, &area)?;
        }
        Ok(())
    })
}

fn legend(comparison: &Comparison, area: &Area<'_>) -> Drawn {
    let bold = bold(20);
    let title = format!("{}: goheap and {}", comparison.name, comparison.go);
    area.draw_text(&title, &bold, (24, 12))?;
    let text = plain(13, &INK);
    let mut x = 24;
    for (name, color) in [("goheap", OURS), (comparison.go.as_str(), GOS)] {
        area.draw(&Rectangle::new(
            [(x, 50), (x + 26, 62)],
            color.mix(0.25).filled(),
        ))?;
        let line = vec![(x, 56), (x + 26, 56)];
        area.draw(&PathElement::new(line, color.stroke_width(2)))?;
        area.draw_text(name, &text, (x + 34, 49))?;
        x += 130;
    }
    let faint = plain(13, &FAINT);
    let runs = comparison.ours.len();
    let what = format!(
        "median and range of {runs} runs at each snapshot, in MB of 2^20 bytes; NumGC in cycles"
    );
    area.draw_text(&what, &faint, (x + 10, 49))?;
    Ok(())
}

/// Least, median and greatest value at each snapshot, as the picture shows them.
fn ranges(counter: Counter, runs: &[Vec<Record>]) -> Vec<[f64; 3]> {
    let unit = if counter == Counter::NumGc { 1.0 } else { MIB };
    let snapshots = runs.first().map_or(0, Vec::len);
    let at = |snapshot: usize| {
        let mut values: Vec<f64> = runs
            .iter()
            .filter_map(|run| Some(counter.since_baseline(run.get(snapshot)?, run.first()?) / unit))
            .collect();
        values.sort_by(f64::total_cmp);
        let of = |index: usize| values.get(index).copied().unwrap_or_default();
        [
            of(0),
            of(values.len().saturating_sub(1) / 2),
            of(values.len().saturating_sub(1)),
        ]
    };
    (0..snapshots).map(at).collect()
}

fn panel(comparison: &Comparison, counter: Counter, area: &Area<'_>) -> Drawn {
    let sides = [
        (ranges(counter, &comparison.gos), GOS),
        (ranges(counter, &comparison.ours), OURS),
    ];
    let all = || sides.iter().flat_map(|(ranges, _)| ranges.iter().flatten());
    let least = all().fold(0.0_f64, |least, &value| least.min(value));
    let most = all().fold(0.0_f64, |most, &value| most.max(value));
    let top = most + (most - least).max(0.1) * 0.06;
    let last = sides[0].0.len().max(2) - 1;
    let mut plane = ChartBuilder::on(area)
        .margin_left(14)
        .margin_right(24)
        .margin_top(32)
        .margin_bottom(8)
        .y_label_area_size(44)
        .x_label_area_size(6)
        .build_cartesian_2d(0.0..last as f64, least..top)?;
    rule(&mut plane, (0, 5), "", top - least)?;
    for (ranges, color) in sides {
        let points = |which: usize| {
            let of = move |(at, range): (usize, &[f64; 3])| (at as f64, range[which]);
            ranges.iter().enumerate().map(of)
        };
        let around: Vec<_> = points(0)
            .chain(points(2).collect::<Vec<_>>().into_iter().rev())
            .collect();
        plane.draw_series([Polygon::new(around, color.mix(0.25).filled())])?;
        plane.draw_series([PathElement::new(
            points(1).collect::<Vec<_>>(),
            color.stroke_width(2),
        )])?;
    }
    let row = comparison.row(counter);
    let bold = bold(14);
    area.draw_text(counter.name(), &bold, (24, 10))?;
    let runs = comparison.ours.len();
    let verdict = format!(
        "mean error {:.1} % of {:.1} % allowed; holds in {} of {runs}",
        row.mean * 100.0,
        row.allowed * 100.0,
        row.holds
    );
    let color = if row.holds == runs { FAINT } else { OURS };
    let style = plain(12, &color);
    area.draw_text(&verdict, &style, (150, 12))?;
    Ok(())
}
