//! The map in a terminal: a letter a stretch, and the figures.

use goheap_stats::map::{Fragmentation, Run, State, TENTHS};

use super::{Look, usable};
use crate::amount;

/// Letters of a line, and lines at the most.
const COLUMNS: u64 = 64;
const LINES: u64 = 48;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// All of it.
pub fn of(look: &Look) -> String {
    let cut = &look.cut;
    let mut text = format!(
        "{} ({}), its heap by address\n\n",
        look.facts.name, look.facts.pid
    );
    text += &picture(&look.runs);
    for total in cut.states.iter().filter(|total| total.bytes > 0) {
        let (bytes, runs) = (amount::bytes(total.bytes), total.runs);
        text += &format!("{:<20} {bytes:>11}  in {runs} runs\n", total.state.name());
    }
    let spans = &cut.classes;
    text += "\n      bytes   spans          in        live        dead        free  spans by live slots, 0 to 100 %\n";
    for class in spans {
        let name = match class.slot_bytes {
            0 => "large".into(),
            bytes => bytes.to_string(),
        };
        let columns = [
            class.bytes,
            class.live,
            class.dead,
            class.free + class.waiting,
        ];
        let [all, live, dead, free] = columns.map(amount::bytes);
        let spans = class.spans;
        let bars = bars(&class.occupancy);
        text +=
            &format!("{name:>11} {spans:>7} {all:>11} {live:>11} {dead:>11} {free:>11}  {bars}\n");
    }
    text + &free(cut) + &sparse(cut)
}

/// Letters for stretches of one length, from the lowest address on.
fn picture(runs: &[Run]) -> String {
    let bytes: u64 = runs.iter().map(|run| run.bytes).sum();
    let mut each = 8192;
    while bytes / each > COLUMNS * LINES {
        each *= 2;
    }
    let mut lines = format!(
        "A letter is {}: █▓▒░ spans, by how much of them lives; + idle, retained; - released; · never used; s stacks\n",
        amount::bytes(each)
    );
    let mut letters = 0;
    let mut left: Vec<(u64, char)> = Vec::new();
    let mut room = each;
    let mut at = runs.first().map_or(0, |run| run.address);
    let mut flush = |left: &mut Vec<(u64, char)>, at: u64| {
        if letters % COLUMNS == 0 {
            lines += &format!("\n{at:#014x} ");
        }
        let largest = left.drain(..).max_by_key(|&(bytes, _)| bytes);
        lines.push(largest.map_or(' ', |(_, letter)| letter));
        letters += 1;
    };
    for run in runs {
        let mut rest = run.bytes;
        while rest > 0 {
            let part = rest.min(room);
            if room == each {
                at = run.address + (run.bytes - rest);
            }
            match left
                .iter_mut()
                .find(|(_, letter)| *letter == letter_of(run))
            {
                Some((bytes, _)) => *bytes += part,
                None => left.push((part, letter_of(run))),
            }
            (rest, room) = (rest - part, room - part);
            if room == 0 {
                flush(&mut left, at);
                room = each;
            }
        }
    }
    if !left.is_empty() {
        flush(&mut left, at);
    }
    lines + "\n\n"
}

fn letter_of(run: &Run) -> char {
    match run.state {
        State::Retained | State::SetAside => '+',
        State::Released | State::SetAsideReleased => '-',
        State::Untouched | State::Padding => '·',
        State::Stacks => 's',
        _ => match run.occupancy() {
            full if full > 0.75 => '█',
            full if full > 0.5 => '▓',
            full if full > 0.25 => '▒',
            _ => '░',
        },
    }
}

fn bars(counts: &[u64; TENTHS]) -> String {
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let bar = |&count: &u64| match count {
        0 => ' ',
        _ => BARS[(count * 8).div_ceil(most).clamp(1, 8) as usize - 1],
    };
    format!("|{}|", counts.iter().map(bar).collect::<String>())
}

fn free(cut: &Fragmentation) -> String {
    let runs: u64 = cut.free_runs.values().sum();
    let mut text = format!(
        "\nfree: {} in {runs} runs, the largest {}; of use for a request of\n",
        amount::bytes(cut.free),
        amount::bytes(cut.largest_free_run)
    );
    for usable in usable(cut) {
        let (request, bytes) = (amount::bytes(usable.request), amount::bytes(usable.bytes));
        text += &format!(
            "{request:>11} {:>6.1} %  {bytes:>11}\n",
            usable.share * 100.0
        );
    }
    text
}

fn sparse(cut: &Fragmentation) -> String {
    if cut.sparse_spans == 0 {
        return "\nNo span is sparse.\n".into();
    }
    let mut text = format!(
        "\nsparse: {} spans of {} are held by {} of live objects, {} of them by one object each.\n\
         The oldest of these objects; an age lies between the two bounds:\n",
        cut.sparse_spans,
        amount::bytes(cut.sparse_bytes),
        amount::bytes(cut.sparse_live),
        cut.lone_spans
    );
    for of in cut.oldest.iter().take(5) {
        let age = of.age;
        text += &format!(
            "  {:#014x}  {} of {} slots of {} B  {} to {} cycles, {:.1} to {:.1} s\n",
            of.address,
            of.live,
            of.slots,
            of.slot_bytes,
            age.least_cycles,
            age.most_cycles,
            age.least_seconds,
            age.most_seconds
        );
    }
    text
}
