//! What is noted in the course of a replay, without allocating.

use std::io;
use std::time::{Duration, Instant};

use goheap::MemStats;

use super::resident::Resident;
use crate::Error;

/// The resident set at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// Since the baseline.
    pub since: Duration,
    /// In bytes.
    pub rss: u64,
}

/// The heap at one moment. As large as in Go's own replayer, since the array of
/// these is on the heap in both.
pub struct Snapshot {
    /// Nanoseconds since the baseline.
    pub since_ns: u64,
    /// Nanoseconds that the process's threads have run since the baseline.
    pub processor_ns: u64,
    /// Resident bytes of the process, read before the rest.
    pub rss: u64,
    /// All of the heap's figures.
    pub stats: MemStats,
}

/// Clocks, and the resident set.
pub struct Watch {
    start: Instant,
    processor_start: u64,
    resident: Resident,
}

impl Watch {
    /// Opens what there is to open.
    pub fn open() -> Result<Self, Error> {
        let mut watch = Self {
            start: Instant::now(),
            processor_start: 0,
            resident: Resident::open()?,
        };
        watch.start();
        Ok(watch)
    }

    /// The baseline is now.
    pub fn start(&mut self) {
        self.start = Instant::now();
        self.processor_start = processor_ns();
    }

    /// Looks at the resident set.
    pub fn sample(&self) -> io::Result<Sample> {
        Ok(Sample {
            since: self.start.elapsed(),
            rss: self.resident.bytes()?,
        })
    }

    /// Looks at the resident set and the heap.
    pub fn snapshot(&self) -> io::Result<Snapshot> {
        let Sample { since, rss } = self.sample()?;
        Ok(Snapshot {
            since_ns: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
            processor_ns: processor_ns().saturating_sub(self.processor_start),
            rss,
            stats: goheap::read_mem_stats(),
        })
    }
}

/// What all threads of this process have run, those that have ended as well.
fn processor_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: fills the structure; the clock is there on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}
