//! The map as a page: one file, which asks for nothing from anywhere.

use minijinja::value::Serde;
use minijinja::{Environment, Value, context};

use clap::ValueEnum;
use goheap_stats::PAGE_STYLE;
use goheap_stats::map::State;
use serde::Serialize;

use super::color::By;
use super::{Look, usable};
use crate::picture::Drawn;
use crate::{Error, amount};

const MAP: &str = include_str!("page.html");
const PICTURE: &str = include_str!("picture.html");

/// The page of a look, which shows spans told apart `by` that at first.
pub fn of(look: &Look, by: By) -> Result<String, Error> {
    let cut = &look.cut;
    let facts = [
        ("in spans", amount::bytes(cut.in_use())),
        ("idle", amount::bytes(cut.idle())),
        ("of that released", amount::bytes(cut.released())),
        ("free runs", cut.free_runs.values().sum::<u64>().to_string()),
        ("largest free run", amount::bytes(cut.largest_free_run)),
        ("sparse spans", cut.sparse_spans.to_string()),
        ("held by them", amount::bytes(cut.sparse_bytes)),
        ("live in them", amount::bytes(cut.sparse_live)),
        ("with one object", cut.lone_spans.to_string()),
        ("cycles so far", look.moment.cycle.to_string()),
    ];
    let usable: Vec<(String, String, f64)> = usable(cut)
        .iter()
        .map(|of| {
            (
                amount::bytes(of.request),
                amount::bytes(of.bytes),
                of.share * 100.0,
            )
        })
        .collect();
    render(
        "map.html",
        MAP,
        context! {
            facts => Value::from(Serde(facts)),
            program => look.facts.name.clone(),
            pid => look.facts.pid,
            by => by.to_possible_value().map(|value| value.get_name().to_owned()),
            cut => Value::from(Serde(cut)),
            usable => Value::from(Serde(usable)),
            data => Value::from(Serde(Data::of(look))),
        },
    )
}

/// A page around a picture of the heap over time that is SVG.
pub fn around(name: &str, pid: u32, svg: Drawn<String>) -> Result<String, Error> {
    let svg =
        svg.map_err(|error| Error::system("draw the picture")(std::io::Error::other(error)))?;
    let context = context! { program => name, pid, svg => Value::from_safe_string(svg) };
    render("picture.html", PICTURE, context)
}

fn render(name: &'static str, template: &'static str, with: Value) -> Result<String, Error> {
    let mut environment = Environment::new();
    environment.add_filter("bytes", amount::bytes);
    environment.add_global("style", Value::from_safe_string(PAGE_STYLE.into()));
    // The name's ending has values escaped.
    environment
        .add_template(name, template)
        .and_then(|()| environment.get_template(name)?.render(with))
        .map_err(|error| Error::system("make the page")(std::io::Error::other(error)))
}

/// What the page draws from: a list of numbers a run.
#[derive(Serialize)]
struct Data {
    states: [&'static str; State::ALL.len()],
    from: u64,
    /// Bytes from the run before to this, pages, state, and of spans bytes of a slot, slots, live, dead, waiting, and
    /// the age's bounds in cycles and seconds.
    runs: Vec<Vec<f64>>,
}

impl Data {
    fn of(look: &Look) -> Self {
        let from = look.runs.first().map_or(0, |run| run.address);
        let mut at = from;
        let runs = look.runs.iter().map(|run| {
            let gap = run.address.saturating_sub(at);
            at = run.address + run.bytes;
            let mut numbers = vec![
                gap as f64,
                (run.bytes / 8192) as f64,
                f64::from(run.state as u8),
            ];
            if run.state.is_span() {
                let age = look.moment.age(run);
                let tenth = |seconds: f64| (seconds * 10.0).round() / 10.0;
                numbers.extend([run.slot_bytes as f64]);
                numbers.extend([run.slots, run.live, run.dead, run.waiting].map(f64::from));
                numbers.extend([age.least_cycles, age.most_cycles].map(f64::from));
                numbers.extend([age.least_seconds, age.most_seconds].map(tenth));
            }
            numbers
        });
        Self {
            states: State::ALL.map(State::name),
            from,
            runs: runs.collect(),
        }
    }
}
