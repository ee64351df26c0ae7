//! What the figures say, in sentences.

use super::told::Told;

const MIB: f64 = (1 << 20) as f64;

/// Bytes as megabytes of 2^20, with one decimal.
pub fn mb(bytes: f64) -> String {
    format!("{:.1}", bytes / MIB)
}

/// How close the replay came to Go's.
pub fn fidelity(told: &Told) -> String {
    let (held, off): (Vec<_>, Vec<_>) = told.verdicts.iter().partition(|verdict| verdict.holds());
    let mut text = format!(
        "{} of {} counters behave as Go's did",
        held.len(),
        told.verdicts.len()
    );
    for (index, verdict) in off.iter().enumerate() {
        text += if index == 0 { "; off are " } else { ", " };
        text += &format!(
            "{} by {:.0} %",
            verdict.counter.name(),
            verdict.mean * 100.0
        );
    }
    text + "."
}

/// Why ps shows more than the heap profile: at the step where it does most.
pub fn why(told: &Told) -> String {
    let over = |step: &usize| told.records[*step].rss.saturating_sub(told.live[*step]);
    let step = (1..told.steps()).max_by_key(over).unwrap_or_default();
    let parts = told.parts(step);
    let mut text = format!(
        "{}: {} At {}, ps shows {} MB where the program holds {}: ",
        told.shipped.name,
        lesson(told.shipped.name),
        told.records[step].label,
        mb(told.records[step].rss as f64),
        mb(parts.live),
    );
    let causes = [
        (parts.dead, "dead and waiting for a cycle"),
        (parts.slots, "free slots and tails of spans"),
        (parts.retained, "idle and kept for reuse"),
        (parts.rest, "the process itself and the heap's records"),
    ];
    let mut first = true;
    for (bytes, cause) in causes {
        if bytes >= MIB / 20.0 {
            text += if first { "" } else { ", " };
            text += &format!("{} MB {cause}", mb(bytes));
            first = false;
        }
    }
    if parts.rest < -MIB / 20.0 {
        text += &format!("; {} MB of that are not touched yet", mb(-parts.rest));
    }
    text + "."
}

/// What happens in a trace that makes it so.
fn lesson(name: &str) -> &'static str {
    match name {
        "thread-values" => {
            "a slice, then a map, of ten 1 MB values grows by doubling, and every array it has \
             outgrown stays until a cycle comes by."
        }
        "thread-values-gc" => {
            "the same with a collection after each part: what was dead turns idle, and idle \
             memory is kept."
        }
        "thread-values-prealloc" => {
            "made large enough at once, nothing is outgrown, yet what was dropped is still \
             counted: no cycle was due."
        }
        "thread-values-prealloc-gc" => {
            "made large enough and collected, the heap profile is empty, and the pages stay \
             with the process."
        }
        "thread-pointers" => {
            "a slice, then a map, of ten pointers to 1 MB each: small arrays grow, and the \
             values die with them."
        }
        "thread-pointers-gc" => {
            "the same with a collection after each part: all of it turns idle, and is kept for \
             the next part."
        }
        "hole" => {
            "a 10 MB block is freed and 40 KB put in its place, twenty times: the next block no \
             longer fits where the last one was, so the heap needs room beside the hole."
        }
        "idle-twice" => {
            "250 MB are dropped and collected twice: the background scavenger hands them back \
             at 1 % of the processors' time, seconds later."
        }
        _ => "",
    }
}
