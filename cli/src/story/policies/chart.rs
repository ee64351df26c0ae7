//! All policies in one picture: a panel each, RSS over the minutes.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::burst::{REST, SCALE, Sample};
use super::watched::Watched;
use super::words;
use crate::amount::MIB;
use crate::picture::{Area, Drawn, FAINT, INK, bold, plain, rule, svg};

const WIDTH: u32 = 1280;
const HEAD: u32 = 96;
const COLUMNS: usize = 3;
const PANEL: u32 = 196;
const KEPT: RGBColor = RGBColor(20, 96, 150);
const KEPT_FILL: RGBColor = RGBColor(163, 201, 229);
const LAZY: RGBColor = RGBColor(250, 214, 177);
const CYCLE: RGBColor = RGBColor(194, 85, 10);
/// The axis begins a little before the burst is dropped.
const FROM: f64 = -0.6;

/// Draws the chart, as SVG.
pub fn draw(all: &[Watched]) -> Drawn<String> {
    let rows = all.len().div_ceil(COLUMNS);
    let height = HEAD + PANEL * rows as u32 + 10;
    svg((WIDTH, height), |page| {
        let (head, body) = page.split_vertically(HEAD);
        legend(&head)?;
        let peak = all.iter().map(Watched::peak).max().unwrap_or(0) as f64 / MIB;
        let panels = body.split_evenly((rows, COLUMNS));
        for (watched, area) in all.iter().zip(&panels) {
            panel(watched, peak.max(1.0) * 1.08, area)?;
        }
        Ok(())
    })
}

fn legend(area: &Area<'_>) -> Drawn {
    let left = 24;
    area.draw_text(
        "A burst, then twelve minutes of rest, under Go's policies",
        &bold(22),
        (left, 12),
    )?;
    let text = plain(13, &INK);
    let faint = plain(13, &FAINT);
    area.draw_text(
        &format!(
            "RSS in MB of 2^20 bytes, over minutes since 64 MB of a program's 72 were dropped; \
             the heap's clock ran {SCALE} times as fast"
        ),
        &faint,
        (left, 42),
    )?;
    let y = 68;
    let swatches = [
        (left, KEPT_FILL, "resident and kept"),
        (
            left + 165,
            LAZY,
            "given back lazily: in RSS until the kernel needs it",
        ),
    ];
    for (x, color, name) in swatches {
        area.draw(&Rectangle::new([(x, y), (x + 13, y + 13)], color.filled()))?;
        area.draw_text(name, &text, (x + 20, y))?;
    }
    let x = left + 545;
    area.draw(&PathElement::new(
        vec![(x, y + 7), (x + 22, y + 7)],
        KEPT.stroke_width(2),
    ))?;
    area.draw_text("RSS: what ps shows", &text, (x + 30, y))?;
    let x = x + 190;
    area.draw(&PathElement::new(
        vec![(x + 6, y - 1), (x + 6, y + 14)],
        CYCLE.stroke_width(1),
    ))?;
    area.draw_text("a cycle", &text, (x + 14, y))?;
    Ok(())
}

fn panel(watched: &Watched, top: f64, area: &Area<'_>) -> Drawn {
    let mut plane = ChartBuilder::on(area)
        .margin_left(14)
        .margin_right(18)
        .margin_top(44)
        .margin_bottom(4)
        .x_label_area_size(22)
        .y_label_area_size(32)
        .build_cartesian_2d(FROM..REST, 0.0..top)?;
    rule(&mut plane, (7, 5), "", top)?;
    area.draw_text(&watched.versions.name(), &bold(15), (24, 6))?;
    let faint = plain(12, &FAINT);
    area.draw_text(words::short(watched.versions), &faint, (24, 25))?;
    let right = plain(12, &INK).pos(Pos::new(HPos::Right, VPos::Top));
    let edge = area.dim_in_pixel().0 as i32 - 18;
    area.draw_text(&words::back(watched), &right, (edge, 25))?;

    let line = |of: fn(&Sample) -> u64| {
        let shown = watched.samples.iter().filter(|s| s.minutes >= FROM);
        bends(
            shown
                .map(|s| (s.minutes, of(s) as f64 / MIB))
                .collect::<Vec<_>>(),
        )
    };
    let rss = line(|s| s.rss);
    let kept = line(|s| s.rss.saturating_sub(s.lazy));
    plane.draw_series(AreaSeries::new(rss.clone(), 0.0, LAZY.filled()))?;
    plane.draw_series(AreaSeries::new(kept, 0.0, KEPT_FILL.filled()))?;
    for at in watched.cycles() {
        let mark = vec![(at, 0.0), (at, top)];
        plane.draw_series([PathElement::new(mark, CYCLE.mix(0.55).stroke_width(1))])?;
    }
    plane.draw_series(LineSeries::new(rss, KEPT.stroke_width(2)))?;
    Ok(())
}

/// The points without those in the middle of level stretches.
fn bends(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let level = |a: usize, b: usize| (points[a].1 - points[b].1).abs() < 0.05;
    let last = points.len().saturating_sub(1);
    (0..points.len())
        .filter(|&i| i == 0 || i == last || !level(i - 1, i) || !level(i, i + 1))
        .map(|i| points[i])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::bends;

    #[test]
    fn a_line_is_drawn_through_its_bends() {
        let points = vec![
            (0.0, 9.0),
            (1.0, 9.0),
            (2.0, 9.0),
            (3.0, 1.0),
            (4.0, 1.0),
            (5.0, 1.0),
        ];
        let bent = [(0.0, 9.0), (2.0, 9.0), (3.0, 1.0), (5.0, 1.0)];
        assert_eq!(bends(points), bent);
        assert_eq!(bends(vec![]), []);
    }
}
