//! All programs, a row each.

use goheap_stats::Snapshot;
use goheap_stats::shared_page::Command;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Style, Stylize};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Row, Table, TableState};

use super::{PATIENCE, programs};
use crate::amount;
use crate::observe::Facts;
use goheap_stats::States;

/// The list, and which row is chosen.
pub struct List {
    rows: Vec<(Facts, Option<Snapshot>)>,
    state: TableState,
    said: Option<String>,
}

const HEADER: [&str; 10] = [
    "PID", "PROGRAM", "RSS", "LIVE", "GOAL", "IN USE", "IDLE", "RELEASED", "CYCLES", "GOGC",
];
/// Columns of text stand to the left, figures to the right.
const TEXT_COLUMNS: [usize; 1] = [1];

impl List {
    /// A list in which nothing is yet.
    pub fn new() -> Self {
        Self {
            rows: Vec::new(),
            state: TableState::new(),
            said: None,
        }
    }

    /// Asks every program.
    pub fn look(&mut self) {
        let chosen = self.chosen();
        self.rows = programs()
            .into_iter()
            .map(|program| {
                let snapshot = program.page.ask_within(Command::Look, PATIENCE);
                (program.facts, snapshot.ok())
            })
            .collect();
        // The same program stays chosen though others come and go.
        let same = self
            .rows
            .iter()
            .position(|(facts, _)| Some(facts.pid) == chosen);
        self.state.select(same.or(match self.rows.is_empty() {
            true => None,
            false => Some(0),
        }));
    }

    /// The process of the chosen row.
    pub fn chosen(&self) -> Option<u32> {
        let (facts, _) = self.rows.get(self.state.selected()?)?;
        Some(facts.pid)
    }

    /// Chooses another row.
    pub fn move_by(&mut self, rows: isize) {
        let last = self.rows.len().saturating_sub(1);
        if let Some(now) = self.state.selected() {
            self.state
                .select(Some(now.saturating_add_signed(rows).min(last)));
        }
        self.said = None;
    }

    /// Shows a message until another row is chosen.
    pub fn say(&mut self, text: String) {
        self.said = Some(text);
    }

    /// Draws it.
    pub fn draw(&mut self, frame: &mut Frame<'_>) {
        let [top, middle, bottom] = Layout::vertical([
            Constraint::Length(2),
            Constraint::Fill(1),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        let count = match self.rows.len() {
            0 => "no program runs on goheap".to_owned(),
            1 => "1 program on goheap".to_owned(),
            n => format!("{n} programs on goheap"),
        };
        frame.render_widget(Line::from(count).bold(), top);
        let widths = [9, 16, 11, 11, 11, 11, 11, 11, 8, 6].map(Constraint::Length);
        let table = Table::new(self.rows.iter().map(row), widths)
            .header(cells(HEADER.map(str::to_owned)).style(Style::new().bold().dim()))
            .row_highlight_style(Style::new().reversed());
        frame.render_stateful_widget(table, middle, &mut self.state);
        let keys = "↑ ↓ choose   Enter open   q quit";
        let line = match &self.said {
            Some(said) => Line::from(said.as_str()).red(),
            None => Line::from(keys).dim(),
        };
        frame.render_widget(line, bottom);
    }
}

fn row((facts, snapshot): &(Facts, Option<Snapshot>)) -> Row<'static> {
    let mut texts = [const { String::new() }; HEADER.len()];
    texts[0] = facts.pid.to_string();
    texts[1] = facts.name.clone();
    texts[2] = amount::bytes(facts.rss);
    match snapshot {
        Some(snapshot) => {
            let states = States::of(snapshot);
            texts[3] = amount::bytes(snapshot.heap_live);
            texts[4] = amount::goal(snapshot.next_gc);
            texts[5] = amount::bytes(snapshot.heap_inuse);
            texts[6] = amount::bytes(states.retained);
            texts[7] = amount::bytes(states.released);
            texts[8] = snapshot.num_gc.to_string();
            texts[9] = amount::percent(snapshot.gc_percent);
        }
        None if facts.state == 'T' => texts[3] = "stopped".into(),
        None => texts[3] = "no answer".into(),
    }
    cells(texts)
}

fn cells<const N: usize>(texts: [String; N]) -> Row<'static> {
    Row::new(texts.into_iter().enumerate().map(|(column, text)| {
        let text = Text::from(text);
        match TEXT_COLUMNS.contains(&column) {
            true => text,
            false => text.right_aligned(),
        }
    }))
}
