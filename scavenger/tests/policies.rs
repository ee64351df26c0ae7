//! What each version of Go gives back, and when: whole timelines of a background
//! scavenger, without a clock.

use goheap_scavenger::{
    Background, GoalInputs, Goals, Growth, HeapGoal, LineInputs, NEWEST, Pace, Policy, QUANTUM,
    Step, View,
};

const MIB: u64 = 1 << 20;
const MS: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MS;
const MINUTE: u64 = 60 * SECOND;

/// A heap that fell idle at some moment, and a background scavenger that works on it.
struct Heap {
    background: Background,
    goals: Goals,
    retained: u64,
    idle_since: u64,
    now: u64,
    /// Bytes that one release takes at least: a page, or a huge page that is idle as a whole.
    grain: u64,
    /// Nanoseconds that a release of one grain takes.
    cost: u64,
    procs: u32,
}

impl Heap {
    fn under(minor: u8) -> Self {
        Self {
            background: Background::new(&Policy::go(minor), 1.0),
            goals: Goals::NONE,
            retained: 100 * MIB,
            idle_since: 0,
            now: 0,
            grain: 8 << 10,
            cost: 3_000,
            procs: 2,
        }
    }

    /// With goals as after a burst of 90 MiB was dropped, and collected.
    fn collected(mut self, minor: u8) -> Self {
        let policy = Policy::go(minor);
        self.goals = Goals::compute(&burst_over(), &policy);
        let inputs = LineInputs {
            heap_retained: self.retained,
            goal: self.goals.gc_percent,
            idle_huge: 0,
            huge_page: 2 * MIB,
            physical_page: 4096,
        };
        self.background.plan(&inputs, self.now);
        self
    }

    fn view(&self) -> View {
        View {
            goals: self.goals,
            heap_retained: self.retained,
            mapped_ready: self.retained,
            now_ns: self.now,
        }
    }

    /// Lets time pass up to `end`.
    fn run_until(&mut self, end: u64) {
        while self.now < end {
            match self.background.step(&self.view()) {
                Step::Release(bytes) | Step::ReleaseAtOnce(bytes) => {
                    let wanted = bytes.next_multiple_of(self.grain);
                    let released = wanted.min(self.retained);
                    let took = released.div_ceil(self.grain) * self.cost;
                    self.retained -= released;
                    self.now += took;
                    self.background.released(released, took);
                }
                Step::Sleep(ns) => {
                    // A sleep takes 50 µs longer than it should.
                    let slept = ns + 50_000;
                    self.now += slept;
                    self.background.slept(slept, self.procs);
                }
                Step::Park => self.now = end,
                Step::Pass(idle) => {
                    if self.now.saturating_sub(self.idle_since) > idle {
                        self.retained = 0;
                    }
                }
            }
        }
    }

    /// How long it took until no more than `bytes` were retained.
    fn time_until_at_most(&mut self, bytes: u64, patience: u64) -> u64 {
        let start = self.now;
        while self.retained > bytes && self.now < start + patience {
            self.run_until(self.now + MS);
        }
        assert!(self.retained <= bytes, "{} left", self.retained);
        self.now - start
    }
}

fn burst_over() -> GoalInputs {
    GoalInputs {
        memory_limit: i64::MAX,
        mapped_ready: 100 * MIB,
        heap_goal: 10 * MIB,
        last_heap_goal: 100 * MIB,
        last_heap_in_use: 100 * MIB,
        heap_retained: 100 * MIB,
        physical_page: 4096,
        retain_percent: 10,
    }
}

#[test]
fn under_go1_3_nothing_goes_back_within_five_idle_minutes_then_all_of_it() {
    for idle_since in [0, 10 * SECOND, 59 * SECOND, 7 * MINUTE] {
        let mut heap = Heap::under(3);
        heap.idle_since = idle_since;
        heap.run_until(idle_since + 5 * MINUTE - SECOND);
        assert_eq!(heap.retained, 100 * MIB, "{idle_since}");
        heap.run_until(idle_since + 6 * MINUTE + SECOND);
        assert_eq!(heap.retained, 0, "{idle_since}");
    }
}

#[test]
fn from_go1_4_to_go1_12_the_pass_that_finds_it_old_may_be_two_and_a_half_minutes_late() {
    for minor in 4..=12 {
        let mut heap = Heap::under(minor);
        heap.idle_since = SECOND;
        heap.run_until(7 * MINUTE + 29 * SECOND);
        assert_eq!(heap.retained, 100 * MIB, "go1.{minor}");
        heap.run_until(7 * MINUTE + 31 * SECOND);
        assert_eq!(heap.retained, 0, "go1.{minor}");
    }
}

#[test]
fn go1_13_gives_back_an_ordinary_page_a_millisecond_down_to_a_tenth_above_the_goal() {
    let mut heap = Heap::under(13).collected(13);
    assert_eq!(heap.goals.gc_percent, 11 * MIB);
    heap.run_until(SECOND);
    // 1000 pages of 4 KiB, within a page of the heap's and one sleep.
    let gone = 100 * MIB - heap.retained;
    assert!((3_900 << 10..=4_100 << 10).contains(&gone), "{gone}");
    heap.run_until(MINUTE);
    let left = heap.retained;
    assert!(left <= 11 * MIB && left > 11 * MIB - (64 << 10), "{left}");
}

#[test]
fn under_go1_13_what_is_idle_in_huge_pages_goes_back_a_huge_page_a_millisecond() {
    let mut heap = Heap::under(13).collected(13);
    heap.grain = 2 * MIB;
    let inputs = LineInputs {
        heap_retained: heap.retained,
        goal: 11 * MIB,
        idle_huge: 100 * MIB,
        huge_page: 2 * MIB,
        physical_page: 4096,
    };
    heap.background.plan(&inputs, 0);
    let took = heap.time_until_at_most(11 * MIB, MINUTE);
    // 44 huge pages, and 256 ordinary ones for the odd mebibyte.
    assert!((250 * MS..400 * MS).contains(&took), "{took}");
}

#[test]
fn go1_14_to_go1_17_take_about_one_percent_of_one_processor() {
    for minor in [14, 15, 16, 17] {
        for procs in [1, 16] {
            let mut heap = Heap::under(minor).collected(minor);
            heap.procs = procs;
            let took = heap.time_until_at_most(11 * MIB, MINUTE);
            let worked = 89 * MIB / (8 << 10) * 3_000;
            let share = worked as f64 / took as f64;
            assert!((0.008..0.013).contains(&share), "go1.{minor}: {share}");
        }
    }
}

#[test]
fn from_go1_18_on_it_is_one_percent_of_all_processors() {
    for minor in [18, 22, NEWEST] {
        let [few, many] = [2, 16].map(|procs| {
            let mut heap = Heap::under(minor).collected(minor);
            heap.retained = 2_000 * MIB;
            heap.procs = procs;
            // The controller starts cautiously; what counts is what it comes to.
            heap.time_until_at_most(1_000 * MIB, 10 * MINUTE);
            let took = heap.time_until_at_most(100 * MIB, 10 * MINUTE);
            (900 * MIB / (8 << 10) * 3_000) as f64 / took as f64
        });
        assert!((0.015..0.025).contains(&few), "go1.{minor}: {few}");
        assert!((0.12..0.20).contains(&many), "go1.{minor}: {many}");
    }
}

#[test]
fn there_is_no_goal_before_go1_13_and_in_use_counts_from_go1_14_on() {
    for minor in 1..=12 {
        let goals = Goals::compute(&burst_over(), &Policy::go(minor));
        assert_eq!(goals, Goals::NONE, "go1.{minor}");
    }
    // Twice as much in use as the pacer's goal says: only the later ones see it.
    let fragmented = GoalInputs {
        last_heap_in_use: 200 * MIB,
        ..burst_over()
    };
    let goal = |minor| Goals::compute(&fragmented, &Policy::go(minor)).gc_percent;
    assert_eq!(goal(13), 11 * MIB);
    for minor in 14..=NEWEST {
        assert_eq!(goal(minor), 22 * MIB, "go1.{minor}");
    }
}

#[test]
fn the_background_heeds_a_limit_from_go1_22_on_and_allocation_from_go1_19_on() {
    let limited = GoalInputs {
        memory_limit: 90 << 20,
        last_heap_goal: 0,
        ..burst_over()
    };
    for minor in 1..=NEWEST {
        let goals = Goals::compute(&limited, &Policy::go(minor));
        let expected = if minor >= 22 { 89_653_248 } else { u64::MAX };
        assert_eq!(goals.memory_limit, expected, "go1.{minor}");
        assert_eq!(
            Policy::go(minor).limit_factor.is_some(),
            minor >= 19,
            "go1.{minor}"
        );
    }
}

#[test]
fn memory_is_returned_lazily_from_go1_12_to_go1_15() {
    let lazy: Vec<u8> = (1..=NEWEST).filter(|&m| Policy::go(m).lazily).collect();
    assert_eq!(lazy, [12, 13, 14, 15]);
}

#[test]
fn growth_gives_back_nothing_then_all_of_it_then_what_exceeds_the_goal() {
    for minor in 1..=NEWEST {
        let expected = match minor {
            ..=11 => Growth::Nothing,
            12 => Growth::Largest,
            _ => Growth::Overage,
        };
        assert_eq!(Policy::go(minor).growth, expected, "go1.{minor}");
    }
}

#[test]
fn the_newest_is_what_the_newest_version_does() {
    for minor in 22..=NEWEST {
        assert_eq!(Policy::go(minor), Policy::NEWEST);
    }
    let newest = Policy::NEWEST;
    assert_eq!(
        (newest.pace, newest.heap_goal),
        (Pace::Controlled, HeapGoal::OfInUse)
    );
    assert!(newest.passes().is_none());
}

#[test]
fn a_pass_comes_on_the_minute_whatever_happened_before() {
    let Some(passes) = Policy::go(1).passes() else {
        panic!("go1.1 scavenges in passes");
    };
    assert_eq!(passes.next(0), MINUTE);
    assert_eq!(passes.next(MINUTE - 1), MINUTE);
    assert_eq!(passes.next(MINUTE), 2 * MINUTE);
    assert_eq!(passes.next(u64::MAX), u64::MAX);
}

fn at(now_ns: u64) -> View {
    View {
        goals: Goals::NONE,
        heap_retained: 0,
        mapped_ready: 0,
        now_ns,
    }
}

#[test]
fn a_pass_is_due_on_the_minute_and_the_next_one_a_minute_later() {
    let mut background = Background::new(&Policy::go(1), 1.0);
    assert_eq!(background.step(&at(MINUTE - 1)), Step::Sleep(1));
    assert_eq!(background.step(&at(MINUTE)), Step::Pass(5 * MINUTE));
    assert_eq!(background.step(&at(MINUTE)), Step::Sleep(MINUTE));
}

#[test]
fn only_a_controller_can_fault_and_that_is_told_once() {
    for minor in 1..=NEWEST {
        let mut background = Background::new(&Policy::go(minor), 1.0);
        let mut faults = 0;
        // At work, then asleep for centuries: an integral without end, where there is one.
        for _ in 0..200 {
            background.released(1, MS);
            background.slept(u64::MAX, 1);
            faults += u32::from(background.controller_reset());
            assert!(!background.controller_reset(), "go1.{minor}: told twice");
        }
        assert_eq!(faults > 0, minor >= 18, "go1.{minor}: {faults}");
        assert!(faults < 200, "go1.{minor}");
    }
}

/// Four MiB above the goal, of pages that are idle one by one.
fn on_a_line() -> (Background, impl Fn(u64, u64) -> View) {
    let goal = 6 * MIB;
    let mut background = Background::new(&Policy::go(13), 1.0);
    let inputs = LineInputs {
        heap_retained: 10 * MIB,
        goal,
        idle_huge: 0,
        huge_page: 2 * MIB,
        physical_page: 4096,
    };
    background.plan(&inputs, 0);
    let view = move |heap_retained, now_ns| View {
        goals: Goals {
            gc_percent: goal,
            memory_limit: u64::MAX,
        },
        heap_retained,
        mapped_ready: heap_retained,
        now_ns,
    };
    (background, view)
}

#[test]
fn go1_13_releases_a_page_a_millisecond_and_waits_where_it_is_ahead() {
    let (mut b, view) = on_a_line();
    // After 100 ms, 100 pages should be gone.
    assert_eq!(b.step(&view(10 * MIB, 100 * MS)), Step::Release(100 * 4096));
    b.released(50 * 4096, MS);
    let left = 10 * MIB - 50 * 4096;
    assert_eq!(b.step(&view(left, 100 * MS)), Step::Release(50 * 4096));
    // 200 are: it is a hundred ahead.
    let left = 10 * MIB - 200 * 4096;
    assert_eq!(b.step(&view(left, 100 * MS)), Step::Sleep(100 * MS));
    // Just on the line, the shortest sleep.
    let left = 10 * MIB - 100 * 4096;
    assert_eq!(b.step(&view(left, 100 * MS)), Step::Sleep(MS / 10));
    assert_eq!(b.step(&view(6 * MIB, 100 * MS)), Step::Park);
}

#[test]
fn go1_13_waits_longer_each_time_that_it_finds_nothing_to_release() {
    let (mut b, view) = on_a_line();
    let due = view(10 * MIB, 100 * MS);
    for sleep in [MS / 10, MS / 5, 2 * MS / 5] {
        assert_eq!(b.step(&due), Step::Release(100 * 4096));
        b.released(0, MS);
        assert_eq!(b.step(&due), Step::Sleep(sleep));
        b.slept(sleep, 2);
    }
    // Once something is found, it begins anew.
    b.released(4096, MS);
    b.released(0, MS);
    assert_eq!(b.step(&due), Step::Sleep(MS / 10));
}

#[test]
fn only_go1_19_to_1_21_have_the_slip_of_95_times_the_limit() {
    for minor in 1..=27 {
        let factor = Policy::go(minor).limit_factor;
        match minor {
            ..=18 => assert_eq!(factor, None),
            19..=21 => assert_eq!(factor, Some(95.0)),
            _ => assert_eq!(factor, Some(0.95)),
        }
    }
}

/// What the newest version releases in its first turn with so much in excess, if a quantum takes 24 µs.
fn first_turn(excess: u64) -> Vec<Step> {
    let mut background = Background::new(&Policy::NEWEST, 1.0);
    let mut left = excess;
    let mut releases = Vec::new();
    loop {
        let view = View {
            goals: Goals {
                gc_percent: 10 * MIB,
                memory_limit: u64::MAX,
            },
            heap_retained: 10 * MIB + left,
            mapped_ready: 20 * MIB,
            now_ns: 0,
        };
        let step = background.step(&view);
        let (Step::Release(bytes) | Step::ReleaseAtOnce(bytes)) = step else {
            return releases;
        };
        background.released(bytes, bytes / QUANTUM * 24_000);
        left = left.saturating_sub(bytes);
        releases.push(step);
    }
}

#[test]
fn what_takes_less_than_a_turn_however_it_is_done_goes_at_once_and_more_by_quanta() {
    assert_eq!(first_turn(1), [Step::ReleaseAtOnce(QUANTUM)]);
    assert_eq!(
        first_turn(3 * QUANTUM + 1),
        [Step::ReleaseAtOnce(4 * QUANTUM)]
    );
    // 42 of 24 µs each make a millisecond.
    assert_eq!(first_turn(50 * MIB), [Step::Release(QUANTUM); 42]);
    // What is left after some is not the whole turn's.
    assert_eq!(first_turn(4 * QUANTUM + 1), [Step::Release(QUANTUM); 5]);
}
