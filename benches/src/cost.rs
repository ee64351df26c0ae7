//! What a measurement yields: time on the wall, and of all processors.

use std::time::{Duration, Instant};

/// What so many operations took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// On the wall.
    pub wall: Duration,
    /// Of the whole process's threads, background threads included, user's and kernel's.
    pub processor: Duration,
}

impl Cost {
    /// What `work` costs.
    pub fn of(work: impl FnOnce()) -> Self {
        let (begun, used) = (Instant::now(), processor_time());
        work();
        Self {
            wall: begun.elapsed(),
            processor: processor_time().saturating_sub(used),
        }
    }
}

fn processor_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel fills in the structure that is passed.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
