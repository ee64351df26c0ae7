//! The report's picture: memory over time, stacked by state, as paths of an SVG.

use serde::Serialize;

use super::timeline::Row;
use crate::amount;

/// The drawing's size, without what is written around it.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 340.0;

/// Everything the template draws.
#[derive(Serialize)]
pub struct Chart {
    width: f64,
    height: f64,
    /// From the bottom up.
    areas: Vec<Shape>,
    rss: String,
    goal: String,
    /// A stroke below the picture for each look that found a new cycle …
    cycles: String,
    /// … and for each that found memory handed back.
    scavenged: String,
    across: Vec<Tick>,
    up: Vec<Tick>,
    /// Seconds of the whole width, bytes of the whole height.
    seconds: f64,
    bytes: f64,
}

#[derive(Serialize)]
struct Shape {
    class: &'static str,
    name: &'static str,
    path: String,
}

#[derive(Serialize)]
struct Tick {
    at: f64,
    text: String,
}

/// The states of memory, from the bottom up: class, name, and bytes in a row.
type State = (&'static str, &'static str, fn(&Row) -> u64);
const STATES: [State; 5] = [
    ("live", "live at the last cycle", |row| row.live),
    ("since", "allocated since, or dead", |row| row.since),
    ("slots", "free slots in spans", |row| row.slots),
    ("retained", "idle, retained", |row| row.retained),
    ("released", "released", |row| row.released),
];

/// Draws the rows.
pub fn of(rows: &[Row]) -> Chart {
    let seconds = rows.last().map_or(0.0, |row| row.seconds).max(1e-3);
    let highest = rows.iter().map(|row| row.rss.max(row.heap_sys)).max();
    let (step, steps) = scale(highest.unwrap_or(0).max(1 << 20));
    let bytes = step * f64::from(steps);
    let x = |row: &Row| row.seconds / seconds * WIDTH;
    let y = |amount: f64| HEIGHT - (amount / bytes).min(1.0) * HEIGHT;
    let line = |value: &dyn Fn(&Row) -> f64| {
        let points: Vec<String> = rows
            .iter()
            .map(|row| format!("{:.1} {:.1}", x(row), y(value(row))))
            .collect();
        match points.is_empty() {
            true => String::new(),
            false => format!("M{}", points.join("L")),
        }
    };
    let up_to = |row: &Row, state: usize| -> f64 {
        STATES[..state]
            .iter()
            .map(|state| (state.2)(row) as f64)
            .sum()
    };
    let areas = STATES.iter().enumerate().map(|(index, &(class, name, _))| {
        let upper = line(&|row| up_to(row, index + 1));
        let lower: Vec<String> = rows
            .iter()
            .rev()
            .map(|row| format!("L{:.1} {:.1}", x(row), y(up_to(row, index))))
            .collect();
        let path = match upper.is_empty() {
            true => upper,
            false => format!("{upper}{}Z", lower.concat()),
        };
        Shape { class, name, path }
    });
    let strokes = |happened: &dyn Fn(&Row, &Row) -> bool| -> String {
        let pairs = rows.windows(2).filter(|pair| happened(&pair[0], &pair[1]));
        pairs
            .map(|pair| format!("M{:.1} 0v8", x(&pair[1])))
            .collect()
    };
    Chart {
        width: WIDTH,
        height: HEIGHT,
        areas: areas.collect(),
        rss: line(&|row| row.rss as f64),
        // A goal beyond the picture is none: collection is off.
        goal: line(&|row| row.goal as f64),
        cycles: strokes(&|before, now| now.cycles != before.cycles),
        scavenged: strokes(&|before, now| now.released_ever > before.released_ever),
        across: across(seconds),
        up: (0..=steps)
            .map(|n| f64::from(n) * step)
            .map(|amount| Tick {
                at: y(amount),
                text: amount::bytes(amount as u64),
            })
            .collect(),
        seconds,
        bytes,
    }
}

/// A step of 1, 2 or 5 times a power of two's unit, and how many of it hold `highest`.
fn scale(highest: u64) -> (f64, u32) {
    let mut unit = 1024.0_f64;
    while unit * 1024.0 <= highest as f64 {
        unit *= 1024.0;
    }
    let steps = [
        0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 25.0, 50.0, 100.0, 200.0, 256.0,
    ];
    let step = steps
        .map(|step| step * unit)
        .into_iter()
        .find(|step| step * 5.0 >= highest as f64)
        .unwrap_or(highest as f64 / 5.0);
    (step, (highest as f64 / step).ceil().max(1.0) as u32)
}

/// Ticks along the time: at 1, 2 or 5 times a power of ten, five to ten of them.
fn across(seconds: f64) -> Vec<Tick> {
    let power = 10.0_f64.powf((seconds / 10.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|times| times * power)
        .into_iter()
        .find(|step| seconds / step <= 10.0)
        .unwrap_or(seconds);
    let decimals = (-step.log10().floor()).clamp(0.0, 4.0) as usize;
    (0..=10)
        .map(|n| f64::from(n) * step)
        .take_while(|at| *at <= seconds)
        .map(|at| Tick {
            at: at / seconds * WIDTH,
            text: format!("{at:.decimals$} s"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_holds_what_is_to_be_shown_in_few_steps() {
        for highest in [
            1,
            1 << 20,
            (1 << 20) + 1,
            300 << 20,
            1023 << 20,
            5 << 30,
            1 << 50,
        ] {
            let (step, steps) = scale(highest);
            assert!(step * f64::from(steps) >= highest as f64, "{highest}");
            assert!((1..=5).contains(&steps), "{highest}: {steps}");
        }
    }

    #[test]
    fn the_time_has_a_few_ticks_within_the_picture() {
        for seconds in [1e-3, 0.02, 0.999, 2.03, 10.0, 86_400.0] {
            let ticks = across(seconds);
            assert!((3..=11).contains(&ticks.len()), "{seconds}");
            assert!(ticks.iter().all(|tick| (0.0..=WIDTH).contains(&tick.at)));
        }
    }

    #[test]
    fn nothing_seen_is_an_empty_picture() {
        let chart = of(&[]);
        assert!(chart.rss.is_empty() && chart.areas.iter().all(|area| area.path.is_empty()));
    }
}
