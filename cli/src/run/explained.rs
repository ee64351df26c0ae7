//! Where a program's memory was while it ran: the highest and the last time that it was explained.
//!
//! Explaining has the program look through its heap, and the kernel through its mappings, so it is not done at each look:
//! the highest look of all may not be among them.

use goheap_stats::explain::Cause;
use serde::Serialize;

use crate::explain::{self, Shown};
use crate::observe::Page;

/// What was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Explained {
    /// Where the most was resident of all the times that it was explained.
    pub at_most: Option<Told>,
    /// The last time.
    pub last: Option<Told>,
}

/// The causes at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    /// Since the program was started.
    pub seconds: f64,
    #[serde(flatten)]
    shown: Shown,
    /// On the two largest causes.
    sentences: Vec<String>,
}

impl Explained {
    /// Has the program explained, which was looked at `seconds` after its start.
    pub fn look(&mut self, page: &Page, pid: u32, seconds: f64) {
        // It has ended meanwhile, or is stopped.
        let Ok((snapshot, explained)) = explain::of(page, pid) else {
            return;
        };
        let told = Told {
            seconds,
            sentences: explain::sentences_on(&snapshot, &explained),
            shown: Shown::of(&explained),
        };
        let most = self.at_most.as_ref().map_or(0, |most| most.shown.rss);
        if told.shown.rss > most {
            self.at_most = Some(told.clone());
        }
        self.last = Some(told);
    }

    /// What the report draws.
    pub fn falls(&self) -> Vec<Fall> {
        let whole = self
            .at_most
            .as_ref()
            .map_or(1, |most| most.shown.rss.max(1));
        let of = |when, told: &Told| Fall {
            when,
            seconds: told.seconds,
            rss: told.shown.rss,
            bars: told.bars(whole),
            sentences: told.sentences.clone(),
        };
        let when = |told: &Option<Told>| told.as_ref().map(|told| told.seconds);
        if when(&self.at_most) == when(&self.last) {
            let last = self.last.iter();
            return last
                .map(|told| of("The last time, and the highest", told))
                .collect();
        }
        let at_most = self.at_most.iter().map(|told| of("The highest time", told));
        let last = self.last.iter().map(|told| of("The last time", told));
        at_most.chain(last).collect()
    }
}

/// A waterfall: each bar begins where the one before ends. In percent of the highest one.
#[derive(Serialize)]
pub struct Fall {
    when: &'static str,
    seconds: f64,
    rss: u64,
    bars: Vec<Bar>,
    sentences: Vec<String>,
}

#[derive(Serialize)]
struct Bar {
    name: &'static str,
    class: &'static str,
    bytes: u64,
    error: Option<u64>,
    from: f64,
    width: f64,
}

impl Told {
    fn bars(&self, whole: u64) -> Vec<Bar> {
        let percent = |bytes: u64| bytes as f64 / whole as f64 * 100.0;
        let mut below = 0;
        let profile = self.shown.profile.map(|bytes| Bar {
            name: explain::PROFILE,
            class: "profile",
            bytes,
            error: None,
            from: 0.0,
            width: percent(bytes).min(100.0),
        });
        let causes = self.shown.causes.iter().filter(|part| part.bytes > 0);
        let causes = causes.map(|part| {
            let from = below;
            below += part.bytes;
            Bar {
                name: part.cause,
                class: class(part.of),
                bytes: part.bytes,
                error: part.error.filter(|_| part.of == Cause::Live),
                from: percent(from),
                width: percent(part.bytes),
            }
        });
        let mut bars: Vec<Bar> = profile.into_iter().chain(causes).collect();
        bars.push(Bar {
            name: "resident (RSS)",
            class: "rss",
            bytes: self.shown.rss,
            error: None,
            from: 0.0,
            width: percent(self.shown.rss),
        });
        bars
    }
}

/// The colour of a cause, of those that the states of memory have.
fn class(cause: Cause) -> &'static str {
    match cause {
        Cause::Live | Cause::Rounding => "live",
        Cause::Dead => "since",
        Cause::Free | Cause::Tails | Cause::Caches => "slots",
        Cause::Retained | Cause::LazilyFreed | Cause::HugePages => "retained",
        _ => "other",
    }
}
