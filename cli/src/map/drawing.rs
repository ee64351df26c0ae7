//! The map as a picture: a cell a page, lowest address first, line by line.

use goheap_stats::map::Run;
use plotters::prelude::*;

use super::Look;
use super::color::{By, Key, rgb};
use crate::amount;
use crate::picture::{Area, Drawn, FAINT, bold, plain, svg};

const WIDTH: i32 = 1180;
const LEFT: i32 = 120;
/// Where the key begins, and from there the map if the key has one line.
const KEY: i32 = 62;
const BELOW: i32 = 34;
const PAGE: u64 = 8192;
/// Cells of a line and pixels of a cell, from the largest; and how high a picture should be at most.
const SIZES: [(u64, i32); 4] = [(64, 16), (128, 8), (256, 4), (512, 2)];
const HIGHEST: i32 = 1200;

/// Cells of the map: so many in a line, of so many pixels, each of so many pages.
struct Grid {
    columns: u64,
    pixels: i32,
    pages: u64,
}

/// A run, and the cell at which it begins.
type Placed<'a> = (&'a Run, u64);

impl Grid {
    /// The largest cells with which the runs fit, and where each lies.
    fn of(runs: &[Run]) -> (Self, Vec<Placed<'_>>, u64) {
        let mut grid = Grid {
            columns: 64,
            pixels: 16,
            pages: 1,
        };
        for (columns, pixels) in SIZES {
            (grid.columns, grid.pixels) = (columns, pixels);
            let (placed, lines) = grid.place(runs);
            if lines as i32 * pixels <= HIGHEST {
                return (grid, placed, lines);
            }
        }
        loop {
            grid.pages *= 2;
            let (placed, lines) = grid.place(runs);
            if lines as i32 * grid.pixels <= HIGHEST {
                return (grid, placed, lines);
            }
        }
    }

    /// In pages from the first line's begin on; what lies behind a gap begins a line.
    fn place<'a>(&self, runs: &'a [Run]) -> (Vec<Placed<'a>>, u64) {
        let line = self.columns * self.pages;
        let (mut at, mut end) = (0_u64, None);
        let mut placed = Vec::with_capacity(runs.len());
        for run in runs {
            if end.is_some_and(|end| end != run.address) {
                at = at.next_multiple_of(line);
            }
            placed.push((run, at));
            at += run.bytes / PAGE;
            end = Some(run.address + run.bytes);
        }
        (placed, at.div_ceil(line))
    }
}

/// Draws it.
pub fn draw(look: &Look, by: By) -> Drawn<String> {
    let (grid, placed, lines) = Grid::of(&look.runs);
    let key = Key::of(by, &look.runs);
    let top = KEY + key.more_lines() + BELOW;
    let height = top + lines as i32 * grid.pixels + 16;
    svg((WIDTH as u32, height as u32), |page| {
        head(look, page)?;
        key.draw(page, KEY)?;
        let map = page.margin(top, 0, 0, 0);
        addresses(&grid, &placed, &map)?;
        if grid.pages == 1 {
            placed
                .iter()
                .try_for_each(|&(run, at)| cells(&grid, run, at, by, &map))
        } else {
            mixed(&grid, &placed, lines, by, &map)
        }
    })
}

fn head(look: &Look, page: &Area<'_>) -> Drawn {
    title("The heap of", &look.facts.name, look.facts.pid, page)?;
    let cut = &look.cut;
    let spans: u64 = cut.classes.iter().map(|class| class.spans).sum();
    let words = format!(
        "{} in {spans} spans, {} idle, {} of that released; the largest free run is {}; {} sparse spans hold {}",
        amount::bytes(cut.in_use()),
        amount::bytes(cut.idle()),
        amount::bytes(cut.released()),
        amount::bytes(cut.largest_free_run),
        cut.sparse_spans,
        amount::bytes(cut.sparse_bytes),
    );
    page.draw_text(&words, &plain(13, &FAINT), (20, 38))?;
    Ok(())
}

/// A picture's title.
pub fn title(what: &str, name: &str, pid: u32, page: &Area<'_>) -> Drawn {
    let words = format!("{what} {name} ({pid})");
    page.draw_text(&words, &bold(20), (20, 12))?;
    Ok(())
}

/// The address at which some lines begin.
fn addresses(grid: &Grid, placed: &[Placed<'_>], map: &Area<'_>) -> Drawn {
    let line = grid.columns * grid.pages;
    let every = (48 / grid.pixels).max(1) as u64;
    let mut next = 0;
    for &(run, at) in placed {
        while next * line < at + run.bytes / PAGE {
            if next * line >= at {
                let address = run.address + (next * line - at) * PAGE;
                let y = next as i32 * grid.pixels;
                map.draw_text(&format!("{address:#x}"), &plain(11, &FAINT), (20, y))?;
                next += every;
            } else {
                next += 1;
            }
        }
    }
    Ok(())
}

/// A run's pages, line by line; cells that are large enough leave a gap between runs.
fn cells(grid: &Grid, run: &Run, from: u64, by: By, map: &Area<'_>) -> Drawn {
    let color = rgb(by.shade(run)).filled();
    let (mut at, end) = (from, from + run.bytes / PAGE);
    let gap = i32::from(grid.pixels >= 8);
    while at < end {
        let upto = end.min((at / grid.columns + 1) * grid.columns);
        let y = (at / grid.columns) as i32 * grid.pixels;
        let x = |cell: u64| LEFT + cell as i32 * grid.pixels;
        let (left, right) = (x(at % grid.columns), x(at % grid.columns + (upto - at)));
        let corners = [
            (left, y),
            (right - gap * i32::from(upto == end), y + grid.pixels - gap),
        ];
        map.draw(&Rectangle::new(corners, color))?;
        at = upto;
    }
    Ok(())
}

/// Cells that are several pages, in the mean of their colours.
fn mixed(grid: &Grid, placed: &[Placed<'_>], lines: u64, by: By, map: &Area<'_>) -> Drawn {
    let mut sums = vec![([0.0_f64; 3], 0.0_f64); (lines * grid.columns) as usize];
    for &(run, from) in placed {
        let color = by.shade(run);
        let (mut at, end) = (from, from + run.bytes / PAGE);
        while at < end {
            let upto = end.min((at / grid.pages + 1) * grid.pages);
            let (sum, weight) = &mut sums[(at / grid.pages) as usize];
            let part = (upto - at) as f64;
            (0..3).for_each(|i| sum[i] += color[i] * part);
            *weight += part;
            at = upto;
        }
    }
    let color =
        |(sum, weight): &([f64; 3], f64)| (*weight > 0.0).then(|| rgb(sum.map(|s| s / weight)));
    for (line, cells) in sums.chunks(grid.columns as usize).enumerate() {
        let y = line as i32 * grid.pixels;
        let mut x = LEFT;
        for same in cells.chunk_by(|a, b| color(a) == color(b)) {
            let right = x + same.len() as i32 * grid.pixels;
            if let Some(color) = color(&same[0]) {
                map.draw(&Rectangle::new(
                    [(x, y), (right, y + grid.pixels)],
                    color.filled(),
                ))?;
            }
            x = right;
        }
    }
    Ok(())
}
