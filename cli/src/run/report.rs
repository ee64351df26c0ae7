//! A run as a page to read: one file, which asks for nothing from anywhere. It has a link to the map beside it.

use goheap_stats::PAGE_STYLE;
use minijinja::value::Serde;
use minijinja::{Environment, Value, context};

use super::chart;
use super::summary::Summary;
use super::timeline::{Row, Timeline};
use crate::{Error, amount};

const TEMPLATE: &str = include_str!("report.html");

/// The page; `map` is the file with the map over time, if there is one.
pub fn page(summary: &Summary, timeline: &Timeline, map: Option<&str>) -> Result<String, Error> {
    let mut environment = Environment::new();
    environment.add_filter("bytes", amount::bytes);
    environment.add_global("style", Value::from_safe_string(PAGE_STYLE.into()));
    render(&mut environment, summary, timeline, map)
        .map_err(|error| Error::system("make the report")(std::io::Error::other(error)))
}

fn render(
    environment: &mut Environment<'_>,
    summary: &Summary,
    timeline: &Timeline,
    map: Option<&str>,
) -> Result<String, minijinja::Error> {
    // The name's ending has values escaped.
    environment.add_template("report.html", TEMPLATE)?;
    environment.get_template("report.html")?.render(context! {
        summary => Value::from(Serde(summary)),
        facts => Value::from(Serde(facts(summary))),
        chart => Value::from(Serde(chart::of(&timeline.rows.kept))),
        map,
        falls => Value::from(Serde(summary.explained.falls())),
        rows => Value::from(Serde(timeline.rows.kept.iter().map(hover).collect::<Vec<_>>())),
    })
}

/// What is read out where the pointer is.
fn hover(row: &Row) -> (f64, [u64; 9]) {
    let seconds = (row.seconds * 1e4).round() / 1e4;
    let figures = [
        row.live,
        row.since,
        row.slots,
        row.retained,
        row.released,
        row.rss,
        // Beyond what numbers in a script hold exactly; no such goal is one.
        row.goal.min(1 << 53),
        row.cycles.into(),
        row.released_ever,
    ];
    (seconds, figures)
}

/// The run in a few pairs of words.
fn facts(summary: &Summary) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("ended", summary.ended()),
        ("ran for", format!("{:.2} s", summary.seconds)),
        ("RSS at most", amount::bytes(summary.peaks.rss)),
    ];
    if let Some(last) = summary.last {
        facts.extend([
            ("RSS at the end", amount::bytes(last.rss)),
            ("cycles", last.cycles.to_string()),
            ("allocated in all", amount::bytes(last.total_alloc)),
            ("objects in all", last.mallocs.to_string()),
            ("handed back in all", amount::bytes(last.released_ever)),
            ("GOGC at the end", amount::percent(last.gogc)),
            ("GOMEMLIMIT at the end", amount::limit(last.memory_limit)),
        ]);
    }
    facts
}
