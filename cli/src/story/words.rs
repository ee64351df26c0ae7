//! What the figures say, in sentences.

use super::told::{Parts, Told};
use crate::amount::MIB;

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
    let record = &told.records[step];
    format!(
        "  {}\n  At {}: {} MB by ps, {} MB by HeapAlloc, {} MB held by the program. {}",
        lesson(told.shipped.name),
        record.label,
        mb(record.rss as f64),
        mb(record.mem_stats.heap_alloc as f64),
        mb(told.live[step] as f64),
        causes(&told.parts(step)),
    )
}

/// What the resident set holds beyond what the program does. Parts that would
/// read 0.0 are left out.
fn causes(parts: &Parts) -> String {
    const LEAST: f64 = MIB / 20.0;
    let named = [
        (parts.dead, "dead and waiting for a cycle"),
        (parts.slots, "free slots and tails of spans"),
        (parts.retained, "idle and kept for reuse"),
        (parts.rest, "the process itself and the heap's records"),
    ];
    let named = named.iter().filter(|(bytes, _)| *bytes >= LEAST);
    let list: Vec<_> = named
        .map(|(bytes, cause)| format!("{} {cause}", mb(*bytes)))
        .collect();
    let untouched = match parts.rest {
        rest if rest <= -LEAST => format!(", of which {} not touched yet", mb(-rest)),
        _ => String::new(),
    };
    format!("The rest: {}{untouched}.", list.join(", "))
}

/// What happens in a trace that makes it so.
fn lesson(name: &str) -> &'static str {
    match name {
        "thread-values" => {
            "A slice, then a map, of ten 1 MB values grows by doubling, and every array it has \
             outgrown stays until a cycle comes by."
        }
        "thread-values-gc" => {
            "The same with a collection after each part: what was dead turns idle, and idle \
             memory is kept."
        }
        "thread-values-prealloc" => {
            "Made large enough at once, nothing is outgrown, yet what was dropped is still \
             counted: no cycle was due."
        }
        "thread-values-prealloc-gc" => {
            "Made large enough and collected, the heap profile is empty, and the pages stay \
             with the process."
        }
        "thread-pointers" => {
            "A slice, then a map, of ten pointers to 1 MB each: small arrays grow, and the \
             values die with them."
        }
        "thread-pointers-gc" => {
            "The same with a collection after each part: all of it turns idle, and is kept for \
             the next part."
        }
        "hole" => {
            "A 10 MB block is freed and 40 KB put in its place, twenty times: the next block no \
             longer fits where the last one was, so the heap needs room beside the hole."
        }
        "idle-twice" => {
            "250 MB are dropped and collected twice: the background scavenger hands them back \
             at 1 % of the processors' time, seconds later."
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_said_once_and_nothings_are_left_out() {
        let parts = Parts {
            live: 5.0 * MIB,
            dead: 26.04 * MIB,
            slots: 0.01 * MIB,
            retained: 8.0 * MIB,
            rest: 3.3 * MIB,
        };
        assert_eq!(
            causes(&parts),
            "The rest: 26.0 dead and waiting for a cycle, 8.0 idle and kept for reuse, \
             3.3 the process itself and the heap's records."
        );
    }

    #[test]
    fn memory_that_is_not_touched_is_no_negative_process() {
        let parts = Parts {
            live: 0.0,
            dead: 0.0,
            slots: 0.0,
            retained: 8.0 * MIB,
            rest: -2.0 * MIB,
        };
        assert_eq!(
            causes(&parts),
            "The rest: 8.0 idle and kept for reuse, of which 2.0 not touched yet."
        );
    }
}
