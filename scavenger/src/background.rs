//! The background scavenger of whichever version: one question, one answer.
//!
//! The thread asks [`Background::step`] what to do, does it, and reports back by
//! [`Background::released`] or [`Background::slept`]; when parked, it waits until
//! goals change and asks again. How each decides stands in `engine.rs`, `average.rs`,
//! `line.rs` and, for passes, [`Passes::next`].
//!
//! Invariant: [`Step::Pass`] comes from passes only, and they release in no other way.

use crate::engine::QUANTUM;
use crate::policy::{Pace, Passes, Policy};
use crate::{Average, Engine, Goals, Line, LineInputs, Step};

/// What is no more than this goes at once, where it is all that a turn is to do: 32 runs of one page at the most. By Go's calls,
/// one for each run, up to 30 µs each, it would take less than a millisecond, too, and so the turn counts as one of a
/// millisecond in both ways.
const AT_ONCE: u64 = 4 * QUANTUM;

/// What a step depends on.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// What is to be retained.
    pub goals: Goals,
    /// Bytes of heap retained now.
    pub heap_retained: u64,
    /// Bytes mapped and backed now.
    pub mapped_ready: u64,
    /// Nanoseconds since the start of the process.
    pub now_ns: u64,
}

/// A background scavenger, without the thread.
#[derive(Clone, Debug)]
pub struct Background(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Controlled(Engine),
    Averaged(Average),
    Line(Line),
    /// When the next one is due, in nanoseconds since the start.
    Passes(Passes, u64),
}

impl Background {
    /// One at rest, that is to take `percent` of the processors' time (see [`Engine::new`])
    /// where that is how it is paced.
    pub const fn new(policy: &Policy, percent: f64) -> Self {
        Self(match policy.pace {
            Pace::Controlled => Kind::Controlled(Engine::new(percent)),
            Pace::Averaged => Kind::Averaged(Average::new(Engine::share(percent))),
            Pace::Line => Kind::Line(Line::new()),
            Pace::Passes(passes) => Kind::Passes(passes, passes.next(0)),
        })
    }

    /// What to do next.
    pub const fn step(&mut self, v: &View) -> Step {
        let excess = v.goals.excess(v.heap_retained, v.mapped_ready);
        let met = excess == 0;
        match &mut self.0 {
            Kind::Controlled(engine) => match engine.step(met) {
                Step::Release(_) if engine.is_turn_new() && excess <= AT_ONCE => {
                    Step::ReleaseAtOnce(excess.next_multiple_of(QUANTUM))
                }
                step => step,
            },
            Kind::Averaged(average) => average.step(met),
            Kind::Line(line) => line.step(v.heap_retained, v.goals.gc_percent, v.now_ns),
            Kind::Passes(passes, due) => {
                if v.now_ns < *due {
                    return Step::Sleep(*due - v.now_ns);
                }
                *due = passes.next(v.now_ns);
                Step::Pass(passes.idle)
            }
        }
    }

    /// `bytes` were released within `took_ns` nanoseconds; less than asked for says that
    /// there is no more to be found.
    pub const fn released(&mut self, bytes: u64, took_ns: u64) {
        match &mut self.0 {
            Kind::Controlled(engine) => engine.released(bytes, took_ns),
            Kind::Averaged(average) => average.released(bytes, took_ns),
            Kind::Line(line) => line.released(bytes),
            Kind::Passes(..) => {}
        }
    }

    /// The sleep is over, and lasted `ns` nanoseconds; the process may run on `procs` processors.
    pub const fn slept(&mut self, ns: u64, procs: u32) {
        match &mut self.0 {
            Kind::Controlled(engine) => engine.slept(ns, procs),
            Kind::Averaged(average) => average.slept(ns),
            Kind::Line(line) => line.slept(),
            Kind::Passes(..) => {}
        }
    }

    /// The pacer has committed: a line is drawn anew.
    pub const fn plan(&mut self, i: &LineInputs, now_ns: u64) {
        if let Kind::Line(line) = &mut self.0 {
            line.plan(i, now_ns);
        }
    }

    /// Whether a controller faulted since this was last asked.
    pub const fn controller_reset(&mut self) -> bool {
        match &mut self.0 {
            Kind::Controlled(engine) => engine.controller_reset(),
            _ => false,
        }
    }
}
