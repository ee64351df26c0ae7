//! Several allocators' resident sets over the same work, in one picture.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::allocators::Outcome;
use crate::amount::MIB;
use crate::picture::{COLORS, Drawn, FAINT, bold, plain, rule, svg};

const SIZE: (u32, u32) = (960, 480);

/// Draws them.
pub fn draw(title: &str, outcomes: &[Outcome]) -> Drawn<String> {
    svg(SIZE, |page| {
        let bold = bold(18);
        page.draw_text(
            &format!("Resident memory on the work of {title}"),
            &bold,
            (24, 12),
        )?;
        let faint = plain(12, &FAINT);
        page.draw_text(
        "MB of 2^20 bytes over what the process had before, by the share of allocations and frees done",
        &faint,
        (24, 36),
    )?;
        let highest = outcomes
            .iter()
            .flat_map(|outcome| &outcome.resident)
            .fold(0.0_f64, |most, &rss| most.max(rss));
        let top = (highest / MIB).max(0.1) * 1.06;
        let mut plane = ChartBuilder::on(page)
            .margin_top(60)
            .margin_left(16)
            .margin_right(130)
            .margin_bottom(10)
            .x_label_area_size(30)
            .y_label_area_size(48)
            .build_cartesian_2d(0.0..100.0, 0.0..top)?;
        rule(&mut plane, (10, 10), " %", top)?;
        let mut labels = Vec::new();
        for (outcome, color) in outcomes.iter().zip(COLORS.iter().cycle()) {
            let last = (outcome.resident.len().max(2) - 1) as f64;
            let line = outcome
                .resident
                .iter()
                .enumerate()
                .map(|(at, &rss)| (at as f64 * 100.0 / last, rss / MIB))
                .collect::<Vec<_>>();
            plane.draw_series([PathElement::new(line, color.stroke_width(2))])?;
            let end = outcome.resident.last().copied().unwrap_or_default() / MIB;
            labels.push((plane.backend_coord(&(100.0, end)), &outcome.name, *color));
        }
        // Names stand where the lines end, one below the other where those are close.
        labels.sort_by_key(|((_, y), ..)| *y);
        let mut free = 0;
        let room = SIZE.1 as i32 - 16 * labels.len() as i32;
        for (index, ((x, y), name, color)) in labels.into_iter().enumerate() {
            let y = y.min(room + 16 * index as i32 - 24).max(free);
            free = y + 16;
            let style = plain(14, &color).pos(Pos::new(HPos::Left, VPos::Center));
            page.draw_text(name, &style, (x + 8, y))?;
        }
        Ok(())
    })
}
