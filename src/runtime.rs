//! Static wiring: the one heap of the process, the state above it, and how it starts.
//!
//! Everything is made at compile time, and starts on the first allocation that
//! finds no cache: the environment is read, `fork` is watched. Background threads
//! start later, when there is something to do for them.

use crate::background;
use crate::clock;
use crate::collector::Collector;
use crate::guard;
use crate::http;
use crate::options::Options;
use crate::profile;
use crate::publish;
use crate::thread;
use crate::tls::{self, Life};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64};
use goheap_allocator::Heap;
use goheap_allocator::lock::{Lock, Rank};
use goheap_allocator::os::{self, Advice, Linux};
use goheap_pacer::{LEAST_OF_QUOTA, SweepPace, UnderLimit, within_quota};
use goheap_scavenger::{Goals, NEWEST, Policy};

/// The process's heap.
pub static HEAP: Heap<Linux> = Heap::new(Linux);
/// What stands above it.
pub static RUNTIME: Runtime = Runtime::new();

/// What the slow paths look at, and the collector behind its lock.
pub struct Runtime {
    state: AtomicU32,
    /// The handlers for forks are there. A child that starts the heap anew has them from its parent.
    minds_forks: AtomicBool,
    /// Begins and ends cycles.
    pub collector: Lock<Collector>,
    /// Heap live bytes at which an allocation must see the collector.
    pub attention: AtomicU64,
    /// The trigger, as of the last time that it was computed.
    pub trigger: AtomicU64,
    /// Heap live bytes at which the mark under way is over; [`u64::MAX`] if there is none.
    pub mark_ends_at: AtomicU64,
    /// When the mark under way is over, on the monotonic clock; [`u64::MAX`] if there is none.
    pub mark_deadline_ns: AtomicU64,
    /// The memory limit, for allocations.
    pub memory_limit: AtomicI64,
    /// When it has a cycle begin.
    pub under_limit: PublishedLimit,
    /// Bytes of objects that the heap keeps beside those it has [heard](Heap::heard) of, as of the last sweep's
    /// begin; wraps.
    pub unheard: AtomicU64,
    /// Whether the CPU limiter is on.
    pub limiting: AtomicBool,
    /// What the sweep owes, as published by the collector.
    pub debt: Debt,
    /// What the scavenger is to keep.
    pub goals: PublishedGoals,
    /// Nanoseconds that allocations spent scavenging since the limiter last heard of it.
    pub assist_ns: AtomicU64,
    /// Nanoseconds spent collecting and sweeping since the start.
    pub gc_ns: AtomicU64,
    /// Set when sweeping ends, until the scavenger was told.
    pub sweep_ended: AtomicBool,
    /// Monotonic clock at the start.
    pub started_ns: AtomicU64,
    /// The process that the background threads run in.
    pub process: AtomicU32,
    /// Processors that count as the process's, as of the start.
    pub processors: AtomicU32,
    /// The physical page, bytes.
    pub physical_page: AtomicU64,
    /// Percent that the scavenger keeps beyond its goal.
    pub retain_percent: AtomicU64,
    /// Nanoseconds without a cycle before one is forced.
    pub forced_period_ns: AtomicU64,
    /// Whether tiny objects share blocks.
    pub tiny: AtomicBool,
    /// `GODEBUG=scavtrace=1`.
    pub scavtrace: AtomicBool,
    /// Go 1.`go` is whose scavenger this is.
    go: AtomicU8,
}

/// States. Any other number is the process that starts the heap.
const NEW: u32 = 0;
const RUNNING: u32 = u32::MAX;

impl Runtime {
    const fn new() -> Self {
        Self {
            state: AtomicU32::new(NEW),
            minds_forks: AtomicBool::new(false),
            collector: Lock::new(Rank::Cycle, Collector::new()),
            attention: AtomicU64::new(u64::MAX),
            trigger: AtomicU64::new(u64::MAX),
            mark_ends_at: AtomicU64::new(u64::MAX),
            mark_deadline_ns: AtomicU64::new(u64::MAX),
            memory_limit: AtomicI64::new(i64::MAX),
            under_limit: PublishedLimit::never(),
            unheard: AtomicU64::new(0),
            limiting: AtomicBool::new(false),
            debt: Debt::none(),
            goals: PublishedGoals::none(),
            assist_ns: AtomicU64::new(0),
            gc_ns: AtomicU64::new(0),
            sweep_ended: AtomicBool::new(false),
            started_ns: AtomicU64::new(0),
            process: AtomicU32::new(0),
            processors: AtomicU32::new(1),
            physical_page: AtomicU64::new(4096),
            retain_percent: AtomicU64::new(10),
            forced_period_ns: AtomicU64::new(120_000_000_000),
            tiny: AtomicBool::new(true),
            scavtrace: AtomicBool::new(false),
            go: AtomicU8::new(NEWEST),
        }
    }

    /// Go 1.`this` is whose scavenger it is.
    #[cfg(feature = "http")]
    pub fn version(&self) -> u8 {
        self.go.load(Relaxed)
    }

    /// How memory goes back.
    pub fn policy(&self) -> Policy {
        Policy::go(self.go.load(Relaxed))
    }

    /// Waits until everything is set up; or it is nobody's yet, and now the calling thread's to do. A child that was
    /// forked while another thread was at it is without that thread, and begins anew.
    fn is_mine_to_start(&self) -> bool {
        let own = os::process_id();
        loop {
            let state = self.state.load(Acquire);
            if state == RUNNING || tls::life() == Life::Starting {
                return false;
            }
            if state == own {
                // It needs microseconds and waits for nobody.
                os::yield_now();
                continue;
            }
            let taken = self.state.compare_exchange(state, own, Acquire, Relaxed);
            if taken.is_ok() {
                return true;
            }
        }
    }

    /// Makes sure that everything is set up. Cheap once it is.
    pub fn start(&self) {
        if self.state.load(Acquire) == RUNNING {
            return;
        }
        if !self.is_mine_to_start() {
            return;
        }
        // Before any lock of the heap is taken: a fork would leave it taken in the child. May allocate, which
        // works for this thread.
        if !self.minds_forks.swap(true, Relaxed) {
            tls::starting(|| os::at_fork(before_fork, after_fork_in_parent, after_fork_in_child));
        }
        // So may the clock, where a library has put its own in the place of libc's.
        tls::starting(|| self.started_ns.store(os::monotonic_ns(), Relaxed));
        let options = Options::from_environment();
        self.process.store(os::process_id(), Relaxed);
        self.processors.store(processors(&options), Relaxed);
        self.physical_page
            .store(os::Os::physical_page(&Linux) as u64, Relaxed);
        self.retain_percent.store(options.retain_percent, Relaxed);
        clock::set_scale(options.time_scale);
        self.forced_period_ns
            .store(clock::real(options.forced_period_ns), Relaxed);
        self.go.store(options.go, Relaxed);
        let policy = self.policy();
        // What is watched lies apart, as in Go under its race detector.
        let whole = options.poison || options.guard > 0;
        self.tiny.store(options.tiny && !whole, Relaxed);
        self.scavtrace.store(options.scavtrace, Relaxed);
        HEAP.set_eager(options.eager);
        profile::configure(options.profile_rate, options.profile_at_exit);
        if options.randomize {
            HEAP.randomize(os::random());
        }
        if options.poison {
            HEAP.watch(!options.eager);
        }
        if options.guard > 0 {
            HEAP.guard(options.guard);
        }
        HEAP.pages().configure(
            if options.madv_free {
                Advice::Free
            } else {
                Advice::DontNeed
            },
            options.disable_thp,
            policy.spares_dense,
        );
        if policy.passes().is_some() {
            HEAP.pages().keep_ages(clock::now_ms);
        }
        background::configure(&policy, options.scavenge_percent);
        publish::configure(options.publish);
        http::configure(options.http);
        self.collector.lock().start(self, &options);
        self.state.store(RUNNING, Release);
    }
}

/// How many processors count as the process's (Go: `schedinit` in `proc.go`, `defaultGOMAXPROCS` in `cgroup_linux.go`).
/// Go's monitor asks again each second, of files that it holds open. Here nobody does: a program may count on which descriptor it gets next,
/// and only at the start, as a rule, is there no other thread that opens one.
fn processors(options: &Options) -> u32 {
    if options.processors > 0 {
        return options.processors;
    }
    let allowed = os::processors();
    // No quota makes fewer of so few.
    if !options.minds_quota || allowed <= LEAST_OF_QUOTA {
        return allowed;
    }
    os::cpu_quota().map_or(allowed, |quota| {
        within_quota(allowed, quota.us, quota.period_us)
    })
}

unsafe extern "C" fn before_fork() {
    thread::fork_lock();
    RUNTIME.collector.fork_lock();
    HEAP.fork_lock();
    background::fork_lock();
    guard::fork_lock();
    profile::fork_lock();
}

unsafe extern "C" fn after_fork_in_parent() {
    // SAFETY: `before_fork` took them in this thread.
    unsafe {
        profile::fork_unlock();
        guard::fork_unlock();
        background::fork_unlock();
        HEAP.fork_unlock();
        RUNTIME.collector.fork_unlock();
        thread::fork_unlock();
    }
}

unsafe extern "C" fn after_fork_in_child() {
    RUNTIME.process.store(os::process_id(), Relaxed);
    background::forget_threads();
    publish::after_fork_in_child();
    http::after_fork_in_child();
    profile::after_fork_in_child();
    // SAFETY: this thread is the copy of the one that took them.
    unsafe { after_fork_in_parent() };
}

/// The sweep's pace, as published by the collector for every thread that allocates. Its words are
/// read one by one: who reads an old basis with a new ratio sweeps a little too much or too little
/// once, and looks again (as in Go, where `deductSweepCredit` does the same).
pub struct Debt {
    pages_per_byte: AtomicU64,
    heap_live_basis: AtomicU64,
    pages_swept_basis: AtomicU64,
}

impl Debt {
    const fn none() -> Self {
        Self {
            pages_per_byte: AtomicU64::new(0),
            heap_live_basis: AtomicU64::new(0),
            pages_swept_basis: AtomicU64::new(0),
        }
    }

    /// Publishes `pace`; callers hold the collector's lock.
    pub fn publish(&self, pace: SweepPace) {
        self.pages_per_byte
            .store(pace.pages_per_byte.to_bits(), Relaxed);
        self.heap_live_basis.store(pace.heap_live_basis, Relaxed);
        self.pages_swept_basis
            .store(pace.pages_swept_basis, Relaxed);
    }

    /// What was published last.
    pub fn pace(&self) -> SweepPace {
        SweepPace {
            pages_per_byte: f64::from_bits(self.pages_per_byte.load(Relaxed)),
            heap_live_basis: self.heap_live_basis.load(Relaxed),
            pages_swept_basis: self.pages_swept_basis.load(Relaxed),
        }
    }

    /// Nothing is owed any more.
    pub fn clear(&self) {
        self.pages_per_byte.store(0, Relaxed);
    }
}

/// When the memory limit has a cycle begin, as published by the collector. Read while it changes, it may say that a cycle
/// is due where none is: the collector knows better. Or that none is due: so until the next allocation.
pub struct PublishedLimit([AtomicU64; 6]);

impl PublishedLimit {
    const fn never() -> Self {
        Self([const { AtomicU64::new(0) }; 6])
    }

    /// Publishes it; callers hold the collector's lock.
    pub fn publish(&self, of: UnderLimit) {
        let words = [
            of.limit,
            of.head_room_percent,
            of.percent_goal,
            of.heap_marked,
            of.least_heap,
            of.runway,
        ];
        for (word, value) in self.0.iter().zip(words) {
            word.store(value, Relaxed);
        }
    }

    /// What was published last.
    pub fn get(&self) -> UnderLimit {
        let [
            limit,
            head_room_percent,
            percent_goal,
            heap_marked,
            least_heap,
            runway,
        ] = self.0.each_ref().map(|word| word.load(Relaxed));
        UnderLimit {
            limit,
            head_room_percent,
            percent_goal,
            heap_marked,
            least_heap,
            runway,
        }
    }
}

/// The scavenger's goals, as published by the collector. Each stands by itself.
pub struct PublishedGoals {
    gc_percent: AtomicU64,
    memory_limit: AtomicU64,
}

impl PublishedGoals {
    const fn none() -> Self {
        Self {
            gc_percent: AtomicU64::new(u64::MAX),
            memory_limit: AtomicU64::new(u64::MAX),
        }
    }

    /// Publishes `goals`; callers hold the collector's lock.
    pub fn publish(&self, goals: Goals) {
        self.gc_percent.store(goals.gc_percent, Relaxed);
        self.memory_limit.store(goals.memory_limit, Relaxed);
    }

    /// What was published last.
    pub fn get(&self) -> Goals {
        Goals {
            gc_percent: self.gc_percent.load(Relaxed),
            memory_limit: self.memory_limit.load(Relaxed),
        }
    }
}
