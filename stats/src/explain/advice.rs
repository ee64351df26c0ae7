//! The largest causes, and what moves each, in sentences.

use super::{Cause, Explanation};

/// What the pacer is set to, for the sentences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// GOGC; negative: off.
    pub gc_percent: i64,
    /// Heap bytes at which the next cycle comes; [`u64::MAX`] if none will.
    pub trigger: u64,
}

/// A sentence on each of the `count` largest causes. `size` names a class's bytes, `amount` writes bytes down.
pub fn sentences(
    explained: &Explanation,
    settings: Settings,
    count: usize,
    size: impl Fn(usize) -> u64,
    amount: impl Fn(u64) -> String,
) -> Vec<String> {
    let mut causes = explained.causes;
    causes.sort_by_key(|&(_, bytes)| core::cmp::Reverse(bytes));
    let largest = causes.iter().take(count).filter(|(_, bytes)| *bytes > 0);
    largest
        .map(|&(cause, bytes)| {
            let bytes = amount(bytes);
            match cause {
                Cause::Free => free(explained, &bytes, &size, &amount),
                Cause::Dead => dead(settings, &bytes, &amount),
                Cause::Live if explained.sampled.is_none() => format!(
                    "{bytes} is live, what size classes round up included: nothing is sampled \
                     (GOHEAP_PROFILE_RATE=0), so the two cannot be told apart."
                ),
                _ => format!("{bytes} {}", plain(cause)),
            }
        })
        .collect()
}

fn dead(settings: Settings, bytes: &str, amount: &impl Fn(u64) -> String) -> String {
    let Settings {
        gc_percent,
        trigger,
    } = settings;
    if gc_percent < 0 && trigger < 1 << 60 {
        return format!(
            "{bytes} is dead and waits for the next cycle at {}, which GOMEMLIMIT brings: GOGC=100, or a lower \
             GOMEMLIMIT, would bring it sooner.",
            amount(trigger)
        );
    }
    if gc_percent < 0 {
        return format!(
            "{bytes} is dead and waits for a cycle that GOGC=off puts off: GOGC=100, or a GOMEMLIMIT, would bring one."
        );
    }
    let when = if trigger < 1 << 60 {
        format!(" at {}", amount(trigger))
    } else {
        String::new()
    };
    match gc_percent / 2 {
        0 => format!(
            "{bytes} is dead and waits for the next cycle{when}, which GOGC={gc_percent} brings as early as a GOGC can."
        ),
        half => format!(
            "{bytes} is dead and waits for the next cycle{when}: GOGC={half} would about halve it."
        ),
    }
}

fn free(
    explained: &Explanation,
    bytes: &str,
    size: &impl Fn(usize) -> u64,
    amount: &impl Fn(u64) -> String,
) -> String {
    let largest = explained.free.iter().enumerate().max_by_key(|(_, b)| **b);
    let (class, most) = largest.map_or((0, 0), |(class, most)| (class, *most));
    format!(
        "{bytes} is free slots of spans that hold objects, too, {} of it for objects of {} bytes: no knob \
         gives it back while one object of a span lives; new objects of that size use it first, and GOGC \
         below its value keeps the next peak lower.",
        amount(most),
        size(class)
    )
}

/// What follows the bytes.
fn plain(cause: Cause) -> &'static str {
    match cause {
        Cause::Live => {
            "is live: the program holds it, and `goheap profile` tells who allocated it; only freeing it moves it, GOGC does not."
        }
        Cause::Rounding => {
            "is what size classes round up: no knob moves it; sizes just under a class do, and `goheap map` \
             shows the classes in use."
        }
        Cause::Dead | Cause::Free => "waits in spans: a lower GOGC moves it.",
        Cause::Tails => {
            "is what spans have beyond their last slot: sizes that fill a class move it."
        }
        Cause::Caches => "waits in threads' caches: fewer threads that allocate move it.",
        Cause::Retained => {
            "is idle and kept for the next growth: the scavenger gives what is too much back by and by, `goheap free` \
             all of it at once, and under a GOMEMLIMIT less is kept."
        }
        Cause::LazilyFreed => {
            "was given back by MADV_FREE, and the kernel has not taken it yet: GODEBUG=madvdontneed=1 makes \
             it go at once."
        }
        Cause::HugePages => {
            "was given back or never used, and came with huge pages: GODEBUG=disablethp=1 keeps these out of the heap."
        }
        Cause::SpanData | Cause::CacheData | Cause::TableData => {
            "is the heap's own bookkeeping: fewer and larger objects move it."
        }
        Cause::Stacks => "is threads' stacks: fewer threads move it.",
        Cause::CHeap => {
            "is C's heap, and memory that others than this heap mapped, as Java's and JavaScript's runtimes do for their \
             objects: no knob of this heap moves it; look for theirs, or for a leak in C code."
        }
        Cause::Files => {
            "is files that are mapped, which the kernel takes back when it needs it, and shared memory, which stays until it \
             is unmapped or swapped out."
        }
        Cause::Binary => {
            "is the program and its libraries: stripping and fewer dependencies move it."
        }
        Cause::Unknown => "has no known cause.",
    }
}
