//! What colours stretches of the heap have in pictures, and what these mean.

use clap::ValueEnum;
use goheap_stats::map::{Run, State};
use plotters::prelude::*;

use crate::amount;
use crate::picture::{Area, Drawn, FAINT, INK, plain};

/// Red, green and blue, from 0 to 255; not whole, for means are taken.
pub type Shade = [f64; 3];

/// What spans are told apart by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// How many of their slots are live
    #[default]
    Occupancy,
    /// Whether they are in use, in a cache or unswept
    State,
    /// How large their slots are
    Class,
}

/// What idle pages are told apart by, whatever spans are.
const IDLE: [(State, &str); 4] = [
    (State::Retained, "idle, retained"),
    (State::Released, "idle, released"),
    (State::Untouched, "never used"),
    (State::SetAside, "set aside by a thread"),
];

impl By {
    /// The colour of a run.
    pub fn shade(self, run: &Run) -> Shade {
        match run.state {
            State::InUse | State::Cached | State::Unswept => match self {
                Self::Occupancy => ramp(run.occupancy()),
                Self::State => of_state(run.state),
                Self::Class => of_class(run.class),
            },
            idle => of_state(idle),
        }
    }

    /// What the colours of spans among `runs` mean, but for a ramp's.
    fn meanings(self, runs: &[Run]) -> Vec<(Shade, String)> {
        match self {
            Self::Occupancy => Vec::new(),
            Self::State => [State::InUse, State::Cached, State::Unswept]
                .map(|state| (of_state(state), format!("span, {}", state.name())))
                .into(),
            Self::Class => {
                let spans = runs.iter().filter(|run| run.state.is_span());
                let mut classes: Vec<(u8, u64)> = spans
                    .map(|run| (run.class, if run.class == 0 { 0 } else { run.slot_bytes }))
                    .collect();
                classes.sort_by_key(|&(_, bytes)| bytes);
                classes.dedup();
                let name = |bytes| match bytes {
                    0 => "large objects".to_owned(),
                    bytes => amount::bytes(bytes),
                };
                classes
                    .iter()
                    .map(|&(class, bytes)| (of_class(class), name(bytes)))
                    .collect()
            }
        }
    }
}

/// A span's colour by how full it is: orange if hardly, dark blue if wholly.
fn ramp(occupancy: f64) -> Shade {
    let stops = [
        [240.0, 160.0, 48.0],
        [127.0, 181.0, 224.0],
        [26.0, 90.0, 150.0],
    ];
    let at = occupancy.clamp(0.0, 1.0) * 2.0;
    let below = (at as usize).min(1);
    let part = at - below as f64;
    std::array::from_fn(|i| stops[below][i] * (1.0 - part) + stops[below + 1][i] * part)
}

fn of_state(state: State) -> Shade {
    match state {
        State::InUse => [31.0, 111.0, 178.0],
        State::Cached => [240.0, 160.0, 48.0],
        State::Unswept => [179.0, 38.0, 30.0],
        State::SetAside | State::SetAsideReleased => [183.0, 150.0, 200.0],
        State::Retained => [116.0, 183.0, 124.0],
        State::Released => [222.0, 226.0, 233.0],
        State::Untouched | State::Padding => [243.0, 245.0, 248.0],
        State::Stacks => [120.0, 130.0, 145.0],
    }
}

/// Neighbouring classes are far apart on the wheel: by the golden angle.
fn of_class(class: u8) -> Shade {
    if class == 0 {
        return [140.0; 3];
    }
    let hue = f64::from(class) * 137.5 % 360.0 / 360.0;
    let (r, g, b) = HSLColor(hue, 0.55, 0.55).to_backend_color().rgb;
    [r, g, b].map(f64::from)
}

/// As it is drawn.
pub fn rgb([r, g, b]: Shade) -> RGBColor {
    RGBColor(r as u8, g as u8, b as u8)
}

/// Where the key begins and ends from left to right, and the height of a line of it.
const LEFT: i32 = 20;
const RIGHT: i32 = 1160;
const LINE: i32 = 20;

/// What the colours mean.
pub struct Key {
    has_ramp: bool,
    /// Colour, meaning, and where from the key's top left corner it lies.
    entries: Vec<(Shade, String, (i32, i32))>,
}

impl Key {
    /// That of a picture of `runs`.
    pub fn of(by: By, runs: &[Run]) -> Self {
        let has_ramp = by == By::Occupancy;
        let (mut x, mut y) = (if has_ramp { LEFT + 363 } else { LEFT }, 0);
        let idle = IDLE.map(|(state, name)| (of_state(state), name.to_owned()));
        let all = by.meanings(runs).into_iter().chain(idle);
        let entries = all.map(|(color, meaning)| {
            let width = 36 + 7 * meaning.len() as i32;
            if x + width > RIGHT {
                (x, y) = (LEFT, y + LINE);
            }
            let at = (x, y);
            x += width;
            (color, meaning, at)
        });
        Self {
            entries: entries.collect(),
            has_ramp,
        }
    }

    /// Of all but its first line.
    pub fn more_lines(&self) -> i32 {
        self.entries.last().map_or(0, |(_, _, (_, y))| *y)
    }

    /// Draws it, from `top` on.
    pub fn draw(&self, page: &Area<'_>, top: i32) -> Drawn {
        let text = plain(13, &INK);
        if self.has_ramp {
            page.draw_text("spans, live slots: 0 %", &text, (LEFT, top))?;
            for step in 0..=10 {
                let x = LEFT + 140 + step * 13;
                let color = rgb(ramp(f64::from(step) / 10.0));
                page.draw(&Rectangle::new(
                    [(x, top), (x + 13, top + 13)],
                    color.filled(),
                ))?;
            }
            page.draw_text("100 %", &text, (LEFT + 291, top))?;
        }
        for (color, meaning, (x, y)) in &self.entries {
            let (x, y) = (*x, top + y);
            let square = [(x, y), (x + 13, y + 13)];
            page.draw(&Rectangle::new(square, rgb(*color).filled()))?;
            page.draw(&Rectangle::new(square, FAINT.mix(0.4).stroke_width(1)))?;
            page.draw_text(meaning, &text, (x + 20, y))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(class: u8, slot_bytes: u64, state: State) -> Run {
        Run {
            class,
            slot_bytes,
            slots: 8,
            live: 4,
            ..Run::idle(0, 8192, state)
        }
    }

    #[test]
    fn spans_are_told_apart_by_what_was_asked_for_and_nothing_else() {
        let some = [
            span(2, 16, State::InUse),
            span(3, 24, State::InUse),
            span(3, 24, State::Cached),
        ];
        let shades = |by: By| some.each_ref().map(|run| by.shade(run));
        let [a, b, c] = shades(By::Occupancy);
        assert!(a == b && b == c);
        let [a, b, c] = shades(By::State);
        assert!(a == b && b != c);
        let [a, b, c] = shades(By::Class);
        assert!(a != b && b == c);
    }

    #[test]
    fn the_key_of_many_classes_takes_more_lines() {
        let runs: Vec<Run> = (1..60)
            .map(|class| span(class, u64::from(class) * 8, State::InUse))
            .collect();
        let key = Key::of(By::Class, &runs);
        assert_eq!(key.entries.len(), 59 + IDLE.len());
        assert!(key.more_lines() >= 3 * LINE);
        assert_eq!(Key::of(By::Occupancy, &runs).more_lines(), 0);
    }
}
