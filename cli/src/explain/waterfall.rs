//! The causes as a waterfall: each bar begins where the one above it ends.

use goheap_stats::explain::{Cause, Explanation};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{PROFILE, Shown};
use crate::amount;
use crate::observe::Facts;
use crate::picture::{Drawn, FAINT, GRID, INK, bold, plain, svg};

const WIDTH: u32 = 960;
const HEAD: i32 = 64;
const ROW: i32 = 26;
const LEFT: i32 = 210;
const RIGHT: i32 = 850;

/// What objects hold, what the heap holds beside them, its own, and what is not the heap's.
fn shade(cause: Cause) -> RGBColor {
    match cause {
        Cause::Live => RGBColor(194, 85, 10),
        Cause::Rounding => RGBColor(222, 122, 40),
        Cause::Dead | Cause::Free | Cause::Tails | Cause::Caches => RGBColor(242, 153, 74),
        Cause::Retained | Cause::LazilyFreed | Cause::HugePages => RGBColor(240, 190, 130),
        Cause::SpanData | Cause::CacheData | Cause::TableData => RGBColor(94, 165, 214),
        Cause::Unknown => RGBColor(201, 42, 42),
        _ => RGBColor(134, 142, 150),
    }
}

/// Draws it, as SVG.
pub fn draw(facts: &Facts, explained: &Explanation) -> Drawn<String> {
    let shown = Shown::of(explained);
    let causes = shown.causes.iter().filter(|part| part.bytes > 0);
    let count = causes.clone().count() + 1 + usize::from(shown.profile.is_some());
    let height = HEAD + ROW * count as i32 + 14;
    svg((WIDTH, height as u32), |page| {
        let title = bold(20);
        let head = format!("Where the memory of {} ({}) is", facts.name, facts.pid);
        page.draw_text(&head, &title, (20, 12))?;
        let faint = plain(13, &FAINT);
        let note = format!("{}; resident bytes, each with one cause", shown.title());
        page.draw_text(&note, &faint, (20, 38))?;
        let text = plain(13, &INK);
        let names = text.pos(Pos::new(HPos::Right, VPos::Center));
        let amounts = text.pos(Pos::new(HPos::Left, VPos::Center));
        let total = shown.rss.max(shown.profile.unwrap_or(0)).max(1) as f64;
        let x = |bytes: u64| LEFT + (f64::from(RIGHT - LEFT) * bytes as f64 / total) as i32;
        let mut below = 0;
        let mut y = HEAD;
        let first = shown.profile.map(|bytes| {
            let words = format!("{} as of the last cycle", amount::bytes(bytes));
            (PROFILE, 0, bytes, FAINT, words)
        });
        let last = (
            "resident (RSS)",
            0,
            shown.rss,
            INK,
            amount::bytes(shown.rss),
        );
        let bars = causes.map(|part| {
            let from = below;
            below += part.bytes;
            let words = match part.error.filter(|_| part.of == Cause::Live) {
                Some(error) => format!("{} ± {}", amount::bytes(part.bytes), amount::bytes(error)),
                None => amount::bytes(part.bytes),
            };
            (part.cause, from, part.bytes, shade(part.of), words)
        });
        for (name, from, bytes, color, words) in first.into_iter().chain(bars).chain([last]) {
            let (left, right) = (x(from), x(from + bytes).max(x(from) + 1));
            let middle = y + ROW / 2;
            page.draw(&PathElement::new(
                vec![(LEFT, y + ROW), (RIGHT, y + ROW)],
                GRID,
            ))?;
            page.draw(&Rectangle::new(
                [(left, y + 4), (right, y + ROW - 4)],
                color.filled(),
            ))?;
            page.draw_text(name, &names, (LEFT - 10, middle))?;
            page.draw_text(&words, &amounts, (right + 6, middle))?;
            y += ROW;
        }
        Ok(())
    })
}
