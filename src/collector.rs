//! The collector: what it knows of cycles, and what their beginning and end decide. `cycle.rs` says
//! what a cycle is, and is where threads come from.

use crate::background;
use crate::clock;
use crate::control;
use crate::cycle::{self, Why};
use crate::history::History;
use crate::options::Options;
use crate::runtime::{HEAP, RUNTIME, Runtime};
use crate::wake;
use core::sync::atomic::Ordering::Relaxed;
use goheap_allocator::PAGE;
use goheap_allocator::heap::Allocated;
use goheap_allocator::os;
use goheap_allocator::span::Tag;
use goheap_pacer::{
    Config, Controller, CpuLimiter, CycleWork, GO_ROOTS, HEAP_SCAN, MarkInputs, Rules, SweepPace,
    Sweeper, UnderLimit, Window,
};
use goheap_scavenger::{GoalInputs, Goals, Pace};
use goheap_stats::{GcTrace, PhaseClock, PhaseCpu};

/// How many times a mark's length a program that does not run is waited for.
const RESTS: u64 = 4;

/// When something is to be done at the latest, on the monotonic clock; [`u64::MAX`] for never.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    /// The mark under way is over.
    pub mark_end_ns: u64,
    /// What is not swept by then is the background thread's.
    pub sweep_ns: u64,
    /// There was no cycle for so long that one is forced.
    pub forced_ns: u64,
    /// Cycles follow each other so closely that the next will soon want one of these.
    pub next_ns: u64,
}

/// What the background threads are to be [told](cycle::with_collector) once the collector's lock is free. Times are on the
/// monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Calls {
    /// The sweeper, to look by then.
    pub sweeper_by: Option<u64>,
    /// The scavenger, that a cycle began then, unless it was forced.
    pub cycle_began: Option<u64>,
}

impl Calls {
    const NONE: Self = Self {
        sweeper_by: None,
        cycle_began: None,
    };
}

/// A mark under way.
#[derive(Clone, Copy, Debug)]
struct Mark {
    condemned: Tag,
    /// Bytes that died before the mark began.
    dead: u64,
    heap_at_start: u64,
    /// It is over when so much is live …
    ends_at: u64,
    /// … or when the process has run until this time of its processor clock …
    runs_until_ns: u64,
    /// … or, for a program that does not run, at this time of the monotonic clock.
    rests_until_ns: u64,
    /// When these are to be looked at, on the monotonic clock.
    deadline_ns: u64,
    /// When the sweep was finished for it, and when it began.
    began_ns: u64,
    marking_ns: u64,
    forced: bool,
}

/// Begins and ends cycles.
pub struct Collector {
    controller: Controller,
    limiter: CpuLimiter,
    mark: Option<Mark>,
    /// Bytes in spans when the last cycle ended.
    last_in_use: u64,
    /// When the last cycle ended, on the monotonic clock.
    last_end_ns: u64,
    /// On the monotonic clock.
    sweeper: Sweeper,
    calls: Calls,
    /// What had been allocated by the time of the last trigger.
    last_allocated: Allocated,
    history: History,
    gctrace: bool,
    check: bool,
}

impl Collector {
    /// As Go starts: GOGC=100, no limit. [`Collector::start`] sets what the environment says.
    pub const fn new() -> Self {
        Self {
            controller: Controller::new(Config {
                gc_percent: 100,
                memory_limit: i64::MAX,
                least_heap: 4 << 20,
            }),
            limiter: CpuLimiter::new(1),
            mark: None,
            last_in_use: 0,
            last_end_ns: 0,
            sweeper: Sweeper::new(),
            calls: Calls::NONE,
            last_allocated: Allocated::NONE,
            history: History::NEW,
            gctrace: false,
            check: false,
        }
    }

    /// Sets what the environment says.
    pub fn start(&mut self, runtime: &Runtime, options: &Options) {
        let config = Config {
            gc_percent: options.gc_percent,
            memory_limit: options.memory_limit,
            least_heap: options.least_heap,
        };
        self.controller = Controller::with_rules(config, Rules::go(options.go));
        self.controller.set_scannable_roots(GO_ROOTS);
        self.limiter.set_procs(runtime.processors.load(Relaxed));
        self.last_end_ns = runtime.started_ns.load(Relaxed);
        self.gctrace = options.gctrace;
        self.check = options.check;
        self.controller.commit(0, true);
        self.publish(runtime, true);
    }

    /// What the program has seen.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The heap size at which the cycle to come should be over, in bytes.
    pub fn goal(&self) -> u64 {
        self.controller.goal(cycle::memory())
    }

    /// What the pacer knows.
    pub fn controller(&self) -> &Controller {
        &self.controller
    }

    /// Sets GOGC; returns the old one.
    pub fn set_gc_percent(&mut self, percent: i32) -> i32 {
        let old = self.controller.set_gc_percent(percent);
        self.commit();
        if percent < 0 && self.mark.is_some() {
            // As in Go: who turns collection off does not find a cycle running afterwards.
            self.end(os::monotonic_ns());
        }
        old
    }

    /// Sets the memory limit unless `bytes` is negative; returns the old one.
    pub fn set_memory_limit(&mut self, bytes: i64) -> i64 {
        let old = self.controller.set_memory_limit(bytes);
        if bytes >= 0 && bytes != old {
            self.commit();
        }
        old
    }

    /// When the background thread has something to do, as of `now`.
    pub fn due(&self, now: u64) -> Due {
        Due {
            mark_end_ns: self.mark.map_or(u64::MAX, |m| m.deadline_ns),
            sweep_ns: self.sweeper.helps_from(),
            forced_ns: self.forced_at_ns(),
            next_ns: self.sweeper.next_look(now),
        }
    }

    /// When the next cycle is forced if there is none before, on the monotonic clock.
    /// Never while collection is off, as in Go.
    fn forced_at_ns(&self) -> u64 {
        if self.controller.gc_percent() < 0 {
            return u64::MAX;
        }
        let period = RUNTIME.forced_period_ns.load(Relaxed);
        clock::when_forced(self.last_end_ns.saturating_add(period))
    }

    /// Ends the mark under way if the program has allocated its window, or will have with the `bytes` that it is about to
    /// allocate, or has run for its time: on a busy machine that is later than the clock on the wall says.
    pub fn end_if_over(&mut self, now: u64, bytes: u64) {
        let Some(mark) = &mut self.mark else { return };
        let allocated = HEAP.live().get().saturating_add(bytes) >= mark.ends_at;
        if !allocated && now < mark.deadline_ns {
            return;
        }
        if !allocated && now < mark.rests_until_ns {
            let left = mark.runs_until_ns.saturating_sub(os::process_cpu_ns());
            if left > 0 {
                mark.deadline_ns = now.saturating_add(left).min(mark.rests_until_ns);
                RUNTIME.mark_deadline_ns.store(mark.deadline_ns, Relaxed);
                return;
            }
        }
        self.end(now);
    }

    /// Begins a cycle if one is due; `bytes` were just allocated.
    pub fn begin_if_due(&mut self, now: u64, bytes: u64) {
        if self.mark.is_none() {
            if self.limiter.needs_update(now) {
                self.feed_limiter(now, false);
            }
            let due = HEAP.live().get() >= self.controller.trigger(cycle::memory()).trigger;
            if due && HEAP.progress().is_done() {
                self.begin(now, false, bytes);
                if !self.controller.rules().concurrent() {
                    self.end(os::monotonic_ns());
                }
            }
        }
    }

    /// Runs a cycle up to its sweep, if all is swept and no mark is under way. `false`: something was in
    /// the way, and more has to be swept first.
    pub fn collect(&mut self, why: Why) -> bool {
        let now = os::monotonic_ns();
        if self.mark.is_some() {
            self.end(now);
            return false;
        }
        if !HEAP.progress().is_done() {
            return false;
        }
        if why == Why::Periodic && now < self.forced_at_ns() {
            return true;
        }
        self.begin(now, why == Why::Forced, 0);
        self.end(os::monotonic_ns());
        true
    }

    /// Closes the epoch: what is dead now is what this cycle frees.
    fn begin(&mut self, now: u64, forced: bool, bytes: u64) {
        self.feed_limiter(now, false);
        wake::world_stops(now);
        // What this cycle frees the scavenger does not find yet; a forced one has freed it before that is awake.
        self.calls.cycle_began = (!forced).then_some(now);
        let (condemned, dead) = HEAP.close_epoch();
        control::check_if(self.check);
        let live = HEAP.live().get();
        self.controller.start_cycle(live);
        let now_allocated = HEAP.allocated();
        let last = core::mem::replace(&mut self.last_allocated, now_allocated);
        let kept = now_allocated.kept_bytes().saturating_sub(dead.bytes) as f64
            / now_allocated.kept_bytes().max(1) as f64;
        let window = Window::of_mark(&MarkInputs {
            heap_live: live,
            goal: self.controller.goal(cycle::memory()),
            objects: now_allocated.kept_objects().saturating_sub(dead.objects),
            // How many spans hold only what is dead is not known before the sweep.
            spans: (HEAP.spans() as f64 * kept) as u64,
            allocated_bytes: now_allocated.bytes.saturating_sub(last.bytes),
            allocated_objects: now_allocated.objects.saturating_sub(last.objects),
        });
        // The allocation that met the trigger is yet to be zeroed and written to: its time is part
        // of the mark's.
        let ends_at = live.saturating_add(window.bytes.saturating_sub(bytes));
        let marking = os::monotonic_ns();
        self.mark = Some(Mark {
            condemned,
            dead: dead.bytes,
            heap_at_start: live,
            ends_at,
            runs_until_ns: os::process_cpu_ns().saturating_add(window.ns),
            rests_until_ns: marking.saturating_add(window.ns.saturating_mul(RESTS)),
            deadline_ns: marking.saturating_add(window.ns),
            began_ns: now,
            marking_ns: marking,
            forced,
        });
        RUNTIME.attention.store(u64::MAX, Relaxed);
        RUNTIME.under_limit.publish(UnderLimit::NEVER);
        RUNTIME.mark_ends_at.store(ends_at, Relaxed);
        RUNTIME
            .mark_deadline_ns
            .store(marking.saturating_add(window.ns), Relaxed);
        self.history.pause(marking.saturating_sub(now), 0);
        if !forced {
            self.calls.sweeper_by = Some(marking.saturating_add(window.ns));
        }
    }

    /// Counts the live heap, sets the next goals, and starts the sweep.
    fn end(&mut self, now: u64) {
        let Some(mark) = self.mark.take() else { return };
        self.feed_limiter(now, true);
        let runtime = &RUNTIME;
        runtime.mark_ends_at.store(u64::MAX, Relaxed);
        runtime.mark_deadline_ns.store(u64::MAX, Relaxed);
        let live = HEAP.live().get();
        let kept = HEAP.allocated().kept_bytes();
        let unheard = kept.wrapping_sub(HEAP.heard());
        runtime.unheard.store(unheard, Relaxed);
        let marked = kept.saturating_sub(mark.dead);
        let work = CycleWork::modelled(live);
        let goal = self.controller.goal(cycle::memory());
        self.controller.end_cycle(cycle::memory(), work);
        self.controller.reset_live(marked, HEAP_SCAN);
        HEAP.live().set(marked);
        runtime.sweep_ended.store(false, Relaxed);
        // Before anybody sweeps: this is the peak.
        self.last_in_use = HEAP.pages().bytes.in_use.get();
        HEAP.start_sweep(mark.condemned);
        control::check_if(self.check);
        self.history.cycles = self.history.cycles.wrapping_add(1);
        self.history.forced = self.history.forced.wrapping_add(u32::from(mark.forced));
        HEAP.pages().next_generation();
        self.commit();
        let end = os::monotonic_ns();
        let since_last = end.saturating_sub(self.last_end_ns);
        self.sweeper.cycle_ended(end, since_last, mark.forced);
        self.last_end_ns = end;
        wake::world_stops(end);
        self.account(self.history.cycles, |limiter| limiter.pause(end));
        self.history
            .pause(end.saturating_sub(now), os::wall_clock_ns());
        if self.gctrace {
            self.trace(&mark, goal, live, marked, now, end);
        }
        self.calls.sweeper_by = Some(self.sweeper.helps_from());
    }

    /// What the background threads are to be told.
    pub fn take_calls(&mut self) -> Calls {
        core::mem::replace(&mut self.calls, Calls::NONE)
    }

    /// Tells the CPU limiter of the time since it last heard; `marking` says what it was.
    fn feed_limiter(&mut self, now: u64, marking: bool) {
        let assists = RUNTIME.assist_ns.swap(0, Relaxed);
        let cycle = self.history.cycles.wrapping_add(1);
        self.account(cycle, |limiter| limiter.update(now, marking, assists, 0));
        RUNTIME.limiting.store(self.limiter.limiting(), Relaxed);
    }

    /// Has the CPU limiter account for time, and notes the cycle in which it came on.
    fn account(&mut self, cycle: u32, of: impl FnOnce(&mut CpuLimiter)) {
        let was_limiting = self.limiter.limiting();
        of(&mut self.limiter);
        if self.limiter.limiting() && !was_limiting {
            self.history.limited_in = cycle;
        }
    }

    /// Recomputes everything that follows from the controller (Go: `gcControllerCommit`).
    fn commit(&mut self) {
        let done = HEAP.progress().is_done();
        self.controller.commit(HEAP.live().get(), done);
        self.publish(&RUNTIME, done);
    }

    fn publish(&mut self, runtime: &Runtime, sweep_done: bool) {
        let limit = self.controller.memory_limit();
        runtime.memory_limit.store(limit, Relaxed);
        let memory = cycle::memory();
        let due = self.controller.trigger(memory);
        // By the limit, what is due changes with every allocation.
        let (attention, under_limit) = match self.mark {
            Some(_) => (u64::MAX, UnderLimit::NEVER),
            None => {
                let by_percent = self.controller.percent_trigger();
                (by_percent.trigger, self.controller.under_limit())
            }
        };
        runtime.attention.store(attention, Relaxed);
        runtime.under_limit.publish(under_limit);
        runtime.trigger.store(due.trigger, Relaxed);
        let progress = HEAP.progress();
        runtime.debt.publish(if sweep_done {
            SweepPace::DONE
        } else {
            SweepPace::plan(
                due.trigger,
                HEAP.live().get(),
                progress.pages_swept(),
                HEAP.pages().bytes.in_use.get() / PAGE as u64,
            )
        });
        let bytes = &HEAP.pages().bytes;
        let policy = runtime.policy();
        let inputs = GoalInputs {
            memory_limit: limit,
            mapped_ready: memory.mapped_ready,
            heap_goal: due.goal,
            last_heap_goal: self.controller.last_heap_goal(),
            last_heap_in_use: self.last_in_use,
            heap_retained: bytes.backed(),
            physical_page: runtime.physical_page.load(Relaxed),
            retain_percent: runtime.retain_percent.load(Relaxed),
        };
        let goals = Goals::compute(&inputs, &policy);
        runtime.goals.publish(goals);
        if policy.pace == Pace::Line {
            background::draw_line(inputs.heap_retained, goals.gc_percent, inputs.physical_page);
        }
    }

    fn trace(&self, mark: &Mark, goal: u64, live: u64, marked: u64, ending: u64, end: u64) {
        let start = RUNTIME.started_ns.load(Relaxed);
        let clock = PhaseClock {
            sweep_termination_ns: mark.marking_ns.saturating_sub(mark.began_ns),
            mark_ns: ending.saturating_sub(mark.marking_ns),
            mark_termination_ns: end.saturating_sub(ending),
        };
        background::print_line(format_args!(
            "{}",
            GcTrace {
                number: self.history.cycles,
                since_start_ns: mark.began_ns.saturating_sub(start),
                cpu_fraction: cycle::gc_cpu_fraction(end),
                clock,
                cpu: PhaseCpu {
                    sweep_termination_ns: clock.sweep_termination_ns,
                    assist_ns: 0,
                    background_ns: 0,
                    idle_ns: 0,
                    mark_termination_ns: clock.mark_termination_ns,
                },
                heap_at_start: mark.heap_at_start,
                heap_at_end: live,
                heap_marked: marked,
                heap_goal: goal,
                stacks: 0,
                globals: 0,
                processors: RUNTIME.processors.load(Relaxed),
                forced: mark.forced,
            }
        ));
    }
}
