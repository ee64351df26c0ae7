//! The program that every policy is watched under, and what it sees of itself.
//!
//! A working set of 8 MiB stays; 64 MiB of small and large objects come within some
//! seconds, and go at once. Then the program does nothing for twelve minutes. The clock of
//! the heap is sped up by [`SCALE`], so all of it takes twelve seconds.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::Error;

/// How many times as fast the heap's clock runs.
pub const SCALE: u32 = 60;
/// Minutes that the program rests.
pub const REST: f64 = 12.0;

const WORKING_SET: usize = 8 << 20;
const BURST: usize = 64 << 20;
/// Bytes of the burst between two looks.
const STEP: usize = 4 << 20;
const STEP_TIME: Duration = Duration::from_millis(15);
const LOOK: Duration = Duration::from_millis(25);
/// More than there are looks; their list must not grow while it is being filled.
const LOOKS: usize = 2048;

/// One look.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Minutes since the burst was dropped, on the heap's clock; negative before.
    pub minutes: f64,
    /// Resident bytes, as ps shows them.
    pub rss: u64,
    /// Of these, given back lazily: the kernel takes them when it needs memory.
    pub lazy: u64,
    /// Cycles up to now.
    pub cycles: u32,
}

/// Runs the program, and prints a line of JSON for each look.
pub fn run() -> Result<(), Error> {
    let watch = Watch::open()?;
    let mut samples: Vec<(Instant, Sample)> = Vec::with_capacity(LOOKS);
    let mut look = || samples.push((Instant::now(), watch.look()));
    let working_set = objects(WORKING_SET, 4 << 10);
    look();
    let mut burst = Vec::new();
    for step in 0..BURST / STEP {
        let size = if step % 2 == 0 { 16 << 10 } else { 1 << 20 };
        burst.push(objects(STEP, size));
        thread::sleep(STEP_TIME);
        look();
    }
    drop(burst);
    let dropped = Instant::now();
    let rest = Duration::from_secs_f64(REST * 60.0 / f64::from(SCALE));
    while dropped.elapsed() < rest {
        look();
        thread::sleep(LOOK);
    }
    drop(working_set);
    let mut out = io::stdout().lock();
    for (at, mut sample) in samples {
        let seconds = match at.checked_duration_since(dropped) {
            Some(after) => after.as_secs_f64(),
            None => -(dropped - at).as_secs_f64(),
        };
        sample.minutes = seconds * f64::from(SCALE) / 60.0;
        serde_json::to_writer(&mut out, &sample)
            .map_err(io::Error::from)
            .and_then(|()| out.write_all(b"\n"))
            .map_err(Error::unwritten)?;
    }
    Ok(())
}

/// Objects of `size` bytes, `total` bytes in all, every page of them touched.
fn objects(total: usize, size: usize) -> Vec<Vec<u8>> {
    (0..total / size).map(|_| vec![1; size]).collect()
}

/// `/proc/self/smaps_rollup`, kept open, and read without allocating.
struct Watch(File);

impl Watch {
    fn open() -> Result<Self, Error> {
        let path = "/proc/self/smaps_rollup";
        File::open(path)
            .map(Self)
            .map_err(Error::system(format!("open {path}")))
    }

    fn look(&self) -> Sample {
        let mut text = [0; 2048];
        let read = self.0.read_at(&mut text, 0).unwrap_or(0);
        let text = str::from_utf8(&text[..read]).unwrap_or("");
        Sample {
            minutes: 0.0,
            rss: kib(text, "Rss:") << 10,
            lazy: kib(text, "LazyFree:") << 10,
            cycles: goheap::read_mem_stats().num_gc,
        }
    }
}

/// The figure behind that name; 0 where the kernel does not say.
fn kib(text: &str, name: &str) -> u64 {
    let mut lines = text.lines();
    let figure = lines.find_map(|line| line.strip_prefix(name));
    figure
        .and_then(|f| f.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::kib;

    #[test]
    fn a_figure_is_found_by_its_name() {
        let text = "7f00 [rollup]\nRss:       1848 kB\nLazyFree:    12 kB\n";
        assert_eq!((kib(text, "Rss:"), kib(text, "LazyFree:")), (1848, 12));
        assert_eq!(kib(text, "Swap:"), 0);
    }
}
