//! A heap over time: a look a column, address up.
//!
//! A look is kept as the mean colour of each stretch of address space, not as its runs: of a heap of many GiB, hundreds
//! of looks fit so. Stretches are doubled when the heap outgrows them.

use std::thread;
use std::time::{Duration, Instant};

use goheap_stats::map::Run;
use plotters::prelude::*;

use super::color::{By, Key, rgb};
use super::{drawing, page};
use crate::observe::Program;
use crate::picture::{Area, Drawn, FAINT, INK, plain, svg};
use crate::thinned::Thinned;
use crate::{Error, amount};

const WIDTH: i32 = 1180;
const LEFT: i32 = 120;
const RIGHT: i32 = WIDTH - 24;
const HEAD: i32 = 96;
const HEIGHT: i32 = 560;
/// Stretches that a heap is looked at in, at the most.
const MOST: u64 = 1 << 8;
/// Colours that differ by less than this, of 255, are one: the eye does not tell them apart, and the picture is smaller.
const STEP: f64 = 5.0;
const PAGE: u64 = 8192;
/// Looks that are kept, at the most.
const LOOKS: usize = 300;

/// The sum of a stretch's colours, each for its bytes, and the bytes.
type Cell = ([f64; 3], f64);

/// One look: when, and its stretches from the heap's begin on.
struct Column {
    seconds: f64,
    cells: Vec<Cell>,
}

/// All looks.
pub struct Timeline {
    columns: Thinned<Column>,
    /// The lowest address.
    from: u64,
    /// Bytes of a stretch.
    each: u64,
    lasts: f64,
}

impl Default for Timeline {
    fn default() -> Self {
        Self {
            columns: Thinned::new(LOOKS),
            from: 0,
            each: PAGE,
            lasts: 0.0,
        }
    }
}

impl Timeline {
    /// Looks at the program for so long, at most so often; a program that ends has been looked at until then.
    pub fn of(program: &Program, lasts: Duration, every: Duration) -> Result<Self, Error> {
        let mut timeline = Self::default();
        let begun = Instant::now();
        loop {
            let looked = begun.elapsed();
            match program.page.map() {
                Ok((_, _, runs)) => timeline.add(looked.as_secs_f64(), &runs),
                Err(error) if timeline.is_empty() => return Err(error),
                Err(_) => break,
            }
            timeline.lasts = begun.elapsed().as_secs_f64();
            if looked + every > lasts {
                break;
            }
            thread::sleep(every.saturating_sub(begun.elapsed() - looked));
        }
        Ok(timeline)
    }

    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.columns.kept.is_empty()
    }

    /// Adds a look, so many seconds after the first one's time.
    pub fn add(&mut self, seconds: f64, runs: &[Run]) {
        let Some(first) = runs.first() else { return };
        self.lasts = self.lasts.max(seconds);
        if self.is_empty() {
            self.from = first.address;
        }
        let mut cells: Vec<Cell> = Vec::new();
        for run in runs {
            // Another reservation may lie below the first.
            let Some(mut at) = run.address.checked_sub(self.from) else {
                continue;
            };
            let end = at + run.bytes;
            while end > self.each * MOST {
                self.double();
                halve(&mut cells);
            }
            let color = By::Occupancy.shade(run);
            while at < end {
                let cell = (at / self.each) as usize;
                let upto = end.min((cell as u64 + 1) * self.each);
                if cells.len() <= cell {
                    cells.resize(cell + 1, ([0.0; 3], 0.0));
                }
                let (sum, weight) = &mut cells[cell];
                let part = (upto - at) as f64;
                (0..3).for_each(|i| sum[i] += color[i] * part);
                *weight += part;
                at = upto;
            }
        }
        self.columns.push(Column { seconds, cells });
    }

    fn double(&mut self) {
        self.each *= 2;
        for column in &mut self.columns.kept {
            halve(&mut column.cells);
        }
    }

    /// Draws it.
    pub fn draw(&self, name: &str, pid: u32) -> Drawn<String> {
        let columns = &self.columns.kept;
        let rows = columns.iter().map(|column| column.cells.len()).max();
        let rows = rows.unwrap_or(0).max(1) as i32;
        svg((WIDTH as u32, (HEAD + HEIGHT + 44) as u32), |page| {
            drawing::title("The heap over time, address up:", name, pid, page)?;
            let words = format!(
                "{} looks; {} of address space from {:#x} on; a colour is the mean of {}",
                self.columns.count,
                amount::bytes(rows as u64 * self.each),
                self.from,
                amount::bytes(self.each)
            );
            page.draw_text(&words, &plain(13, &FAINT), (20, 38))?;
            Key::of(By::Occupancy, &[]).draw(page, 62)?;
            let lasts = self.lasts.max(1e-3);
            let x =
                |seconds: f64| LEFT + (f64::from(RIGHT - LEFT) * (seconds / lasts).min(1.0)) as i32;
            let y = |row: i32| {
                HEAD + HEIGHT - (i64::from(HEIGHT) * i64::from(row) / i64::from(rows)) as i32
            };
            let ends = columns.iter().skip(1).map(|column| column.seconds);
            for (column, end) in columns.iter().zip(ends.chain([lasts])) {
                let (left, right) = (x(column.seconds), x(end).max(x(column.seconds) + 1));
                self.column(column, (left, right), &y, page)?;
            }
            self.axes(rows, &y, page)
        })
    }

    /// A page around the drawing.
    pub fn page(&self, name: &str, pid: u32) -> Result<String, Error> {
        page::around(name, pid, self.draw(name, pid))
    }

    fn column(
        &self,
        column: &Column,
        (left, right): (i32, i32),
        y: &dyn Fn(i32) -> i32,
        page: &Area<'_>,
    ) -> Drawn {
        let color = |(sum, weight): &Cell| {
            let mean = |sum: f64| (sum / weight / STEP).round() * STEP;
            (*weight > 0.0).then(|| rgb(sum.map(mean)))
        };
        let mut row = 0;
        for same in column.cells.chunk_by(|a, b| color(a) == color(b)) {
            let above = row + same.len() as i32;
            if let Some(color) = color(&same[0]) {
                page.draw(&Rectangle::new(
                    [(left, y(above)), (right, y(row))],
                    color.filled(),
                ))?;
            }
            row = above;
        }
        Ok(())
    }

    fn axes(&self, rows: i32, y: &dyn Fn(i32) -> i32, page: &Area<'_>) -> Drawn {
        let faint = plain(11, &FAINT);
        for part in 0..=4 {
            let row = rows * part / 4;
            let address = format!("{:#x}", self.from + row as u64 * self.each);
            page.draw_text(&address, &faint, (20, y(row) - 6))?;
        }
        for part in 0..=10 {
            let x = LEFT + (RIGHT - LEFT) * part / 10;
            page.draw(&PathElement::new(
                [(x, HEAD + HEIGHT), (x, HEAD + HEIGHT + 5)],
                FAINT,
            ))?;
            let seconds = format!("{:.1} s", self.lasts * f64::from(part) / 10.0);
            page.draw_text(&seconds, &faint, (x - 12, HEAD + HEIGHT + 9))?;
        }
        let ground = [(LEFT, HEAD + HEIGHT), (RIGHT, HEAD + HEIGHT)];
        page.draw(&PathElement::new(ground, INK))?;
        Ok(())
    }
}

/// Joins each two stretches.
fn halve(cells: &mut Vec<Cell>) {
    let joined = cells.chunks(2).map(|pair| {
        let mut sum = pair[0];
        for (color, weight) in &pair[1..] {
            (0..3).for_each(|i| sum.0[i] += color[i]);
            sum.1 += weight;
        }
        sum
    });
    *cells = joined.collect();
}

#[cfg(test)]
mod tests {
    use super::*;
    use goheap_stats::map::State;

    #[test]
    fn a_heap_that_outgrows_its_stretches_is_seen_in_larger_ones() {
        let mut timeline = Timeline::default();
        let base = 0xc0_0000_0000;
        timeline.add(0.0, &[Run::idle(base, 3 * PAGE, State::Retained)]);
        assert_eq!((timeline.from, timeline.each), (base, PAGE));
        let large = MOST * 3 * PAGE;
        let runs = [
            Run::idle(base, large / 2, State::Released),
            Run::idle(base + large / 2, large / 2, State::Retained),
        ];
        timeline.add(1.0, &runs);
        assert_eq!(timeline.each, 4 * PAGE);
        let bytes = |column: &Column| column.cells.iter().map(|cell| cell.1).sum::<f64>();
        let sums: Vec<f64> = timeline.columns.kept.iter().map(bytes).collect();
        assert_eq!(sums, [3.0 * PAGE as f64, large as f64]);
        let color = |cell: &Cell| cell.0.map(|sum| sum / cell.1);
        let cells = &timeline.columns.kept[1].cells;
        assert_eq!(
            color(&cells[0]),
            By::Occupancy.shade(&Run::idle(0, PAGE, State::Released))
        );
        assert_eq!(
            color(&cells[cells.len() - 1]),
            By::Occupancy.shade(&Run::idle(0, PAGE, State::Retained))
        );
    }
}
