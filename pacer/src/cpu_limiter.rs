//! Keeps the collector from eating the program: a leaky bucket of CPU time.
//!
//! The collector's CPU time runs into the bucket, the program's out of it, one
//! to one; hence a limit of 50 %. The bucket holds a second of CPU for each
//! processor: so much may be spent in a burst before the limiter steps in.
//!
//! ```text
//! window    = (now − last update) × processors
//! collector = assists + (window / 4 while a cycle runs)
//! program   = window − idle − collector
//! fill     += collector − program, kept within 0 … 1 s × processors
//! limiting  = the bucket is full
//! ```
//!
//! Idle time is nobody's. Were it the program's, a heap that does nothing but
//! collect on one of many processors would never be found out. A pause counts as
//! the collector's on every processor, since it keeps all of them from the
//! program.
//!
//! Invariant: 0 ≤ fill ≤ capacity. An idle day earns no credit beyond an empty
//! bucket, so the next bad second is noticed as early as any other.
//!
//! While it limits, the runtime stops assisting: allocation no longer scavenges
//! for the memory limit, and the limit may be exceeded. That is the choice: rather
//! more memory than no progress. The runtime updates at each change between a
//! cycle and no cycle, after assists, and whenever 10 ms went by.
//!
//! Go collects assist and idle time in atomics and reads the clock; here both
//! are arguments. The first call sets the clock and counts nothing, where Go
//! relies on having been told its processors once before.

/// Nanoseconds of CPU time the bucket holds per processor. Go:
/// `capacityPerProc`.
const CAPACITY_PER_PROC: u64 = 1_000_000_000;

/// Nanoseconds after which an update is due. Go: `gcCPULimiterUpdatePeriod`.
const UPDATE_PERIOD: u64 = 10_000_000;

/// One part in so many of all processors is the collector's while a cycle runs.
/// Go: `gcBackgroundUtilization`, 25 %.
const BACKGROUND_PART: i128 = 4;

/// Limits the collector's share of the CPU to one half over a window of about two
/// seconds. Times are nanoseconds of a monotonic clock with any origin.
///
/// Go: `gcCPULimiterState` in `mgclimit.go`.
#[derive(Clone, Debug)]
pub struct CpuLimiter {
    procs: u32,
    /// CPU nanoseconds in the bucket.
    fill: u64,
    /// CPU nanoseconds that did not fit any more. Saturates.
    overflow: u64,
    limiting: bool,
    /// When the last window ended; `None` before the first call.
    last_update: Option<u64>,
}

impl CpuLimiter {
    /// An empty bucket for `procs` processors; none counts as one.
    pub const fn new(procs: u32) -> Self {
        Self {
            procs: if procs == 0 { 1 } else { procs },
            fill: 0,
            overflow: 0,
            limiting: false,
            last_update: None,
        }
    }

    /// Whether the collector has to hold back. Go: `limiting`.
    pub const fn limiting(&self) -> bool {
        self.limiting
    }

    /// Whether more than 10 ms went by since the last update. Go: `needUpdate`.
    pub const fn needs_update(&self, now_ns: u64) -> bool {
        match self.last_update {
            Some(last) => now_ns.saturating_sub(last) > UPDATE_PERIOD,
            None => true,
        }
    }

    /// Accounts for the time since the last update. `gc_running`: a cycle was in
    /// progress all that time; call this whenever that changes. `assist_ns` is
    /// CPU time that allocations spent on the collector's behalf, `idle_ns` CPU
    /// time that nobody wanted, both since the last update. A clock that runs
    /// backwards changes nothing. Go: `update`.
    pub fn update(&mut self, now_ns: u64, gc_running: bool, assist_ns: u64, idle_ns: u64) {
        let Some(window) = self.window(now_ns) else {
            return;
        };
        let background = if gc_running {
            window / BACKGROUND_PART
        } else {
            0
        };
        let collector = background + i128::from(assist_ns);
        let program = window - i128::from(idle_ns) - collector;
        self.accumulate(collector - program);
    }

    /// Accounts for the time since the last update as a pause of the whole
    /// program. [`update`](Self::update) when it begins, this when it ends.
    /// Go: `finishGCTransition`.
    pub fn pause(&mut self, now_ns: u64) {
        if let Some(window) = self.window(now_ns) {
            self.accumulate(window);
        }
    }

    /// Changes the number of processors, and with it the bucket's capacity, for
    /// the time from now on: [`update`](Self::update) first. Go: `resetCapacity`.
    pub const fn set_procs(&mut self, procs: u32) {
        self.procs = if procs == 0 { 1 } else { procs };
        let capacity = self.capacity();
        if self.fill > capacity {
            self.fill = capacity;
            self.limiting = true;
        } else if self.fill < capacity {
            self.limiting = false;
        }
    }

    /// CPU nanoseconds in the bucket: at most a second for each processor.
    pub const fn fill_ns(&self) -> u64 {
        self.fill
    }

    /// CPU nanoseconds that the collector took and that found the bucket full.
    pub const fn overflow_ns(&self) -> u64 {
        self.overflow
    }

    const fn capacity(&self) -> u64 {
        self.procs as u64 * CAPACITY_PER_PROC
    }

    /// CPU nanoseconds since the last call, which ends the window. Wide enough
    /// that nothing in this file can overflow.
    fn window(&mut self, now_ns: u64) -> Option<i128> {
        let last = self.last_update.unwrap_or(now_ns);
        let wall = now_ns.checked_sub(last)?;
        self.last_update = Some(now_ns);
        Some(i128::from(wall) * i128::from(self.procs))
    }

    /// Go: `accumulate`.
    fn accumulate(&mut self, change: i128) {
        if change == 0 {
            return;
        }
        let capacity = i128::from(self.capacity());
        let level = i128::from(self.fill) + change;
        self.limiting = level >= capacity;
        let spilled = u64::try_from((level - capacity).max(0)).unwrap_or(u64::MAX);
        self.overflow = self.overflow.saturating_add(spilled);
        self.fill = u64::try_from(level.clamp(0, capacity)).unwrap_or(0);
    }
}
