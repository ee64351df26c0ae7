//! All workloads in one picture: each a line, each contestant a dot on it.

use std::error::Error;

use goheap_benches::workload::Group;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::outcome::Outcome;

const WIDTH: i32 = 960;
const TOP: i32 = 92;
const LINE: i32 = 18;
const LEFT: i32 = 210;
const RIGHT: i32 = WIDTH - 40;
const INK: RGBColor = RGBColor(33, 37, 41);
const FAINT: RGBColor = RGBColor(134, 142, 150);
const GRID: RGBColor = RGBColor(233, 236, 239);
/// Told apart by those who do not see all colours, too (Okabe and Ito); goheap's first.
const COLORS: [RGBColor; 7] = [
    RGBColor(213, 94, 0),
    RGBColor(0, 114, 178),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(120, 120, 120),
];
/// The ends of the scale; what lies beyond is drawn there.
const SCALE: (f64, f64) = (0.03125, 16.0);
const TICKS: [f64; 10] = [0.03125, 0.0625, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0];

fn across(ratio: f64) -> i32 {
    let (from, to) = (SCALE.0.log2(), SCALE.1.log2());
    let share = (ratio.clamp(SCALE.0, SCALE.1).log2() - from) / (to - from);
    LEFT + (share * f64::from(RIGHT - LEFT)).round() as i32
}

fn label(tick: f64) -> String {
    if tick < 1.0 {
        format!("1/{}", 1.0 / tick)
    } else {
        tick.to_string()
    }
}

/// Draws them, as SVG.
pub fn draw(
    outcomes: &[Outcome<'_>],
    svg: &mut String,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let groups = Group::ALL
        .iter()
        .filter(|group| {
            outcomes
                .iter()
                .any(|outcome| outcome.bench.group == **group)
        })
        .count() as i32;
    let height = TOP + (outcomes.len() as i32 + groups) * LINE + 12;
    let page = SVGBackend::with_string(svg, (WIDTH as u32, height as u32)).into_drawing_area();
    page.fill(&WHITE)?;
    let text = |size: i32, color: &RGBColor, at: HPos| {
        ("sans-serif", size)
            .into_font()
            .color(color)
            .pos(Pos::new(at, VPos::Center))
    };
    let bold = ("sans-serif", 18)
        .into_font()
        .style(FontStyle::Bold)
        .color(&INK);
    page.draw_text(
        "Time by goheap's: right of 1, goheap is faster",
        &bold,
        (24, 12),
    )?;
    let contestants = outcomes.first().map_or(&[][..], |outcome| &outcome.rows);
    for (index, row) in contestants.iter().enumerate() {
        let x = 30 + 120 * index as i32;
        page.draw(&Circle::new(
            (x, 50),
            5,
            COLORS[index % COLORS.len()].filled(),
        ))?;
        page.draw_text(
            row.contestant.name(),
            &text(13, &INK, HPos::Left),
            (x + 10, 50),
        )?;
    }
    for tick in TICKS {
        let x = across(tick);
        let color = if tick == 1.0 { &FAINT } else { &GRID };
        page.draw(&PathElement::new([(x, TOP - 12), (x, height - 12)], color))?;
        page.draw_text(&label(tick), &text(12, &FAINT, HPos::Center), (x, TOP - 22))?;
    }
    let mut y = TOP;
    let mut group = None;
    for outcome in outcomes {
        if group.replace(outcome.bench.group) != Some(outcome.bench.group) {
            let name = outcome.bench.group.name();
            page.draw_text(name, &text(13, &INK, HPos::Left), (24, y))?;
            y += LINE;
        }
        let name = outcome
            .bench
            .name
            .split_once('/')
            .map_or("", |(_, name)| name);
        page.draw_text(name, &text(12, &FAINT, HPos::Left), (40, y))?;
        page.draw(&PathElement::new([(LEFT, y), (RIGHT, y)], GRID))?;
        for (index, row) in outcome.rows.iter().enumerate().rev() {
            let dot = (across(1.0 / row.ratio.median), y);
            page.draw(&Circle::new(dot, 5, COLORS[index % COLORS.len()].filled()))?;
        }
        y += LINE;
    }
    page.present()?;
    Ok(())
}
