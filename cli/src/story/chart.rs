//! The story as one picture: a panel a trace, a pair of stacked bars a step.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::told::Told;
use crate::amount::MIB;
use crate::fidelity::Counter;
use crate::picture::{Area, Drawn, FAINT, INK, Plane, bold, plain, rule, svg};

const WIDTH: u32 = 1280;
const HEAD: u32 = 118;
const PANEL: u32 = 236;
/// Traces with more steps than this get a row of their own.
const NARROW: usize = 8;

/// Whose bar, and its shades from what is allocated to what is released.
struct Side {
    name: &'static str,
    shades: [RGBColor; 3],
    /// Where the bar stands within its step, which is 1 wide.
    from: f64,
    to: f64,
}

const SIDES: [Side; 2] = [
    Side {
        name: "goheap",
        shades: [
            RGBColor(194, 85, 10),
            RGBColor(242, 153, 74),
            RGBColor(253, 217, 181),
        ],
        from: 0.12,
        to: 0.48,
    },
    Side {
        name: "Go 1.27.3",
        shades: [
            RGBColor(20, 96, 150),
            RGBColor(94, 165, 214),
            RGBColor(196, 223, 242),
        ],
        from: 0.52,
        to: 0.88,
    },
];

/// Draws the chart, as SVG.
pub fn draw(stories: &[Told]) -> Drawn<String> {
    let (narrow, wide): (Vec<&Told>, Vec<&Told>) =
        stories.iter().partition(|told| told.steps() <= NARROW);
    let rows = narrow.len().div_ceil(2) + wide.len();
    let height = HEAD + PANEL * rows as u32 + 12;
    svg((WIDTH, height), |page| {
        let (head, mut rest) = page.split_vertically(HEAD);
        legend(&head)?;
        for pair in narrow.chunks(2) {
            let (row, below) = rest.split_vertically(PANEL);
            for (told, area) in pair.iter().zip(row.split_evenly((1, 2))) {
                panel(told, &area)?;
            }
            rest = below;
        }
        for told in wide {
            let (row, below) = rest.split_vertically(PANEL);
            panel(told, &row)?;
            rest = below;
        }
        Ok(())
    })
}

fn legend(area: &Area<'_>) -> Drawn {
    let left = 24;
    let title = bold(22);
    area.draw_text("Where the memory is that ps shows", &title, (left, 12))?;
    let text = plain(13, &INK);
    let faint = plain(13, &FAINT);
    area.draw_text(
        "each trace of allocations step by step, in MB of 2^20 bytes; Go: the median of 12 runs",
        &faint,
        (left, 42),
    )?;
    let parts = [
        ("HeapAlloc: allocated, live or dead", 240),
        ("free within spans", 140),
        ("idle, retained", 115),
        ("idle, released", 0),
    ];
    for (side, y) in SIDES.iter().zip([68, 92]) {
        area.draw_text(side.name, &text, (left, y))?;
        let mut x = left + 84;
        for (index, (name, width)) in parts.iter().enumerate() {
            let square = [(x, y), (x + 13, y + 13)];
            match side.shades.get(index) {
                Some(shade) => area.draw(&Rectangle::new(square, shade.filled()))?,
                None => area.draw(&Rectangle::new(square, side.shades[1].stroke_width(1)))?,
            }
            area.draw_text(name, &text, (x + 20, y))?;
            x += 20 + width + 16;
        }
    }
    let x = 860;
    let lines = [
        (INK, 3, "RSS: what ps shows", 68),
        (FAINT, 1, "Sys: address space from the system", 92),
    ];
    for (color, width, name, y) in lines {
        let line = vec![(x, y + 7), (x + 22, y + 7)];
        area.draw(&PathElement::new(line, color.stroke_width(width)))?;
        area.draw_text(name, &text, (x + 30, y))?;
    }
    Ok(())
}

fn panel(told: &Told, area: &Area<'_>) -> Drawn {
    let steps = told.steps();
    let highest = (0..steps)
        .flat_map(|step| {
            [Counter::Sys, Counter::HeapSys, Counter::Rss].map(|counter| told.pair(step, counter))
        })
        .fold(0.0_f64, |highest, (ours, gos)| highest.max(ours).max(gos));
    let top = (highest / MIB).max(1.0) * 1.06;
    let mut plane = ChartBuilder::on(area)
        .margin_left(14)
        .margin_right(18)
        .margin_top(30)
        .margin_bottom(6)
        .x_label_area_size(24)
        .y_label_area_size(38)
        .build_cartesian_2d(0.0..steps as f64, 0.0..top)?;
    rule(&mut plane, (0, 5), "", top)?;
    let title = bold(15);
    area.draw_text(told.shipped.name, &title, (24, 8))?;
    for step in 0..steps {
        for (index, side) in SIDES.iter().enumerate() {
            let of = |counter| {
                let (ours, gos) = told.pair(step, counter);
                (if index == 0 { ours } else { gos }) / MIB
            };
            bar(&mut plane, side, step as f64, &of)?;
        }
        let style = plain(11, &INK).pos(Pos::new(HPos::Center, VPos::Top));
        let label = told.records[step].label.clone();
        let middle = (step as f64 + 0.5, 0.0);
        plane.draw_series([EmptyElement::at(middle) + Text::new(label, (0, 7), style)])?;
    }
    Ok(())
}

fn bar(plane: &mut Plane<'_, '_>, side: &Side, step: f64, of: &dyn Fn(Counter) -> f64) -> Drawn {
    let (from, to) = (step + side.from, step + side.to);
    let tops = [
        of(Counter::HeapAlloc),
        of(Counter::HeapInuse),
        of(Counter::HeapInuse) + of(Counter::HeapIdle) - of(Counter::HeapReleased),
    ];
    let mut bottom = 0.0;
    for (top, shade) in tops.into_iter().zip(side.shades) {
        let part = Rectangle::new([(from, bottom), (to, top)], shade.filled());
        plane.draw_series([part])?;
        bottom = top;
    }
    let released = [(from, bottom), (to, of(Counter::HeapSys))];
    plane.draw_series([Rectangle::new(released, side.shades[1].stroke_width(1))])?;
    for (counter, color, width) in [(Counter::Sys, FAINT, 1), (Counter::Rss, INK, 3)] {
        let height = of(counter);
        let line = vec![(from, height), (to, height)];
        plane.draw_series([PathElement::new(line, color.stroke_width(width))])?;
    }
    Ok(())
}
