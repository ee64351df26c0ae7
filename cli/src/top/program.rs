//! One program on the screen.

use std::collections::VecDeque;

use goheap_stats::Snapshot;
use goheap_stats::shared_page::Command;
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Row, Table};

use super::PATIENCE;
use crate::observe::{self, Facts, Program};
use crate::stats::classes;
use crate::{Error, amount};
use goheap_stats::States;

/// Looks remembered: as many as a very wide screen has columns.
const REMEMBERED: usize = 500;

const COLORS: [Color; 5] = [
    Color::Blue,
    Color::Cyan,
    Color::Yellow,
    Color::Green,
    Color::DarkGray,
];
const RSS: Color = Color::Red;

/// A program, and what was seen of it.
pub struct Watched {
    program: Program,
    /// The newest last.
    past: VecDeque<(States, u64)>,
    snapshot: Option<Snapshot>,
    facts: Facts,
    said: Option<String>,
    coloured: bool,
}

impl Watched {
    /// Opens the page of that process.
    ///
    /// # Errors
    /// As [`observe::open`].
    pub fn open(pid: u32) -> Result<Self, Error> {
        let program = observe::open(pid)?;
        Ok(Self {
            facts: program.facts.clone(),
            program,
            past: VecDeque::new(),
            snapshot: None,
            said: None,
            coloured: std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty()),
        })
    }

    /// Asks the program.
    pub fn look(&mut self) {
        self.ask(Command::Look);
    }

    /// Has it collect.
    pub fn gc(&mut self) {
        self.ask(Command::Gc);
    }

    /// Has it give memory back.
    pub fn free(&mut self) {
        self.ask(Command::FreeOsMemory);
    }

    fn ask(&mut self, command: Command) {
        let patience = match command {
            Command::Look => PATIENCE,
            _ => PATIENCE * 10,
        };
        match self.program.page.ask_within(command, patience) {
            Ok(snapshot) => {
                self.said = None;
                self.facts.rss = snapshot.rss;
                if self.past.len() == REMEMBERED {
                    self.past.pop_front();
                }
                self.past.push_back((States::of(&snapshot), snapshot.rss));
                self.snapshot = Some(snapshot);
            }
            Err(error) => self.said = Some(error.to_string()),
        }
    }

    /// Draws it.
    pub fn draw(&mut self, frame: &mut Frame<'_>) {
        let [title, aims, chart, legend, table, bottom] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(2),
            Constraint::Fill(3),
            Constraint::Length(6),
            Constraint::Fill(2),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        let name = format!("{} ({})", self.facts.name, self.facts.pid);
        frame.render_widget(Line::from(name).bold(), title);
        if let Some(snapshot) = &self.snapshot {
            frame.render_widget(Text::from(words(snapshot)), aims);
            self.draw_past(chart, frame.buffer_mut());
            draw_legend(snapshot, legend, frame);
            draw_classes(snapshot, table, frame);
        }
        let line = match &self.said {
            Some(said) => Line::from(said.as_str()).red(),
            None => Line::from("g collect   f give memory back   Esc list   q quit").dim(),
        };
        frame.render_widget(line, bottom);
    }

    /// A column a look, two dots a cell: each dot has the colour of the state that its bytes are in.
    fn draw_past(&self, area: Rect, buffer: &mut Buffer) {
        let highest = self
            .past
            .iter()
            .map(|(states, rss)| (*rss).max(sum(states, COLORS.len())))
            .max()
            .unwrap_or(0)
            .max(1);
        let scale = amount::bytes(highest);
        let [left, plot] =
            Layout::horizontal([Constraint::Length(11), Constraint::Fill(1)]).areas(area);
        buffer.set_string(left.x, left.y, format!("{scale:>10}"), Style::new().dim());
        if left.height > 1 {
            let bottom = left.y + left.height - 1;
            buffer.set_string(left.x, bottom, format!("{:>10}", "0"), Style::new().dim());
        }
        let dots = u64::from(plot.height) * 2;
        let shown = self.past.iter().rev().take(plot.width.into());
        for ((states, rss), column) in shown.zip((0..plot.width).rev()) {
            for row in 0..plot.height {
                let [upper, lower] = [0, 1].map(|half| {
                    let from_bottom = dots - 1 - (u64::from(row) * 2 + half);
                    dot(states, *rss, highest, from_bottom, dots)
                });
                let cell = &mut buffer[(plot.x + column, plot.y + row)];
                if !self.coloured {
                    cell.set_symbol(glyph(if lower == RSS { lower } else { upper }));
                    continue;
                }
                match (upper, lower) {
                    (Color::Reset, Color::Reset) => {}
                    (Color::Reset, lower) => _ = cell.set_symbol("▄").set_fg(lower),
                    (upper, lower) => _ = cell.set_symbol("▀").set_fg(upper).set_bg(lower),
                }
            }
        }
    }
}

/// The colour of a dot, the lowest being number 0.
fn dot(states: &States, rss: u64, highest: u64, number: u64, dots: u64) -> Color {
    let share = |bytes: u64| bytes as f64 / highest as f64 * dots as f64;
    if rss > 0 && (share(rss).ceil() as u64).saturating_sub(1) == number {
        return RSS;
    }
    let middle = number as f64 + 0.5;
    let state = (0..COLORS.len()).find(|&state| middle < share(sum(states, state + 1)));
    state.map_or(Color::Reset, |state| COLORS[state])
}

/// What stands for a colour where there are none (`NO_COLOR`), and beside it in the legend.
fn glyph(color: Color) -> &'static str {
    const GLYPHS: [&str; 5] = ["█", "▓", "▒", "░", "·"];
    let state = COLORS.iter().position(|state| *state == color);
    match state {
        _ if color == RSS => "━",
        Some(state) => GLYPHS[state],
        None => " ",
    }
}

/// The lowest `count` states together.
fn sum(states: &States, count: usize) -> u64 {
    states.named()[..count].iter().map(|(_, bytes)| bytes).sum()
}

fn words(snapshot: &Snapshot) -> Vec<Line<'static>> {
    vec![
        Line::from(format!(
            "cycles {} ({} asked for){}   live {}   next at {}   goal {}   GOGC={} GOMEMLIMIT={}",
            snapshot.num_gc,
            snapshot.num_forced_gc,
            if snapshot.marking != 0 { ", marking" } else { "" },
            amount::bytes(snapshot.heap_live),
            amount::goal(snapshot.trigger),
            amount::goal(snapshot.next_gc),
            amount::percent(snapshot.gc_percent),
            amount::limit(snapshot.memory_limit),
        )),
        Line::from(format!(
            "objects {}   allocated in all {}   handed back in all {}   collecting {:.2} % of the processors",
            snapshot.heap_objects,
            amount::bytes(snapshot.total_alloc),
            amount::bytes(snapshot.released_ever),
            snapshot.gc_cpu_fraction * 100.0
        ))
        .dim(),
    ]
}

fn draw_legend(snapshot: &Snapshot, area: Rect, frame: &mut Frame<'_>) {
    let mut lines = vec![legend_line(RSS, "RSS", snapshot.rss)];
    let named = States::of(snapshot).named();
    lines.extend(
        named
            .iter()
            .zip(COLORS)
            .rev()
            .map(|((name, bytes), color)| legend_line(color, name, *bytes)),
    );
    frame.render_widget(Text::from(lines), area);
}

fn legend_line(color: Color, name: &'static str, bytes: u64) -> Line<'static> {
    Line::from(vec![
        Span::from(format!(" {} ", glyph(color))).fg(color),
        Span::from(format!("{name:<24}")),
        Span::from(format!("{:>12}", amount::bytes(bytes))).bold(),
    ])
}

/// The classes that hold most.
fn draw_classes(snapshot: &Snapshot, area: Rect, frame: &mut Frame<'_>) {
    let mut classes = classes(snapshot);
    classes.sort_by_key(|class| std::cmp::Reverse(class.bytes));
    let cells = |texts: [String; 5]| {
        Row::new(texts.map(|text| Text::from(text).alignment(Alignment::Right)))
    };
    let rows = classes.iter().map(|class| {
        let size = match class.size {
            0 => "large".into(),
            size => size.to_string(),
        };
        let counts = [class.mallocs, class.frees, class.objects].map(|n| n.to_string());
        let [mallocs, frees, objects] = counts;
        cells([size, mallocs, frees, objects, amount::bytes(class.bytes)])
    });
    let header = ["CLASS", "ALLOCATED", "RECLAIMED", "OBJECTS", "BYTES"].map(str::to_owned);
    let widths = [8, 14, 14, 12, 12].map(Constraint::Length);
    let table = Table::new(rows, widths).header(cells(header).style(Style::new().bold().dim()));
    frame.render_widget(table, area);
}
