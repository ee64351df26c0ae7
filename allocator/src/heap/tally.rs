//! What lives and what is dead, by counting what came and went.
//!
//! A walk over the heap takes milliseconds, in which threads that free and allocate as fast as they can turn over more
//! than the heap holds: objects move past it in both directions. What was handed out less what ever died is told
//! within microseconds, and without looking at the heap. `holdings.rs` takes its sums from here, and
//! from the walk where they lie.

use super::Heap;
use crate::os::Os;
use crate::size_class::SizeClass;

/// Bytes by slot size. Exact while all threads rest, and else within half of what they allocate meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tally {
    /// Of objects that nobody has freed.
    pub live: u64,
    /// Of objects that were freed, and that no sweep has reclaimed.
    pub dead: u64,
}

/// Who reads may be interrupted: the best of so many readings is taken, or the first in which less was
/// allocated meanwhile.
const READINGS: usize = 8;
const CLOSE: u64 = 64 << 10;

impl<O: Os> Heap<O> {
    pub(super) fn tally(&self) -> Tally {
        let (mut best, mut tally) = (u64::MAX, Tally { live: 0, dead: 0 });
        for _ in 0..READINGS {
            let (meanwhile, read) = self.read_tally();
            if meanwhile < best {
                (best, tally) = (meanwhile, read);
            }
            if best <= CLOSE {
                break;
            }
        }
        tally
    }

    /// Also says how much was allocated while it read. What died is read between two readings of what was handed
    /// out, so what one thread allocates and another frees meanwhile cannot be in the former alone; and in a program that
    /// frees as fast as it allocates, half of what comes between the two is in both.
    fn read_tally(&self) -> (u64, Tally) {
        // Else an epoch might close: what died in it would be found in neither place, or in both.
        let registry = self.registry.lock();
        let before = self.handed_out();
        let mut died = registry.died;
        self.for_each_cache(|cache| {
            let mut drained = cache.drained.lock();
            self.drain(cache, &mut drained);
            died += drained.deaths.bytes;
        });
        let counts = self.central.all_counts();
        let freed: u64 = counts.map(|c| c.freed_bytes.get()).sum();
        let meanwhile = self.handed_out().saturating_sub(before);
        // Where frees are carried out at once, nothing is written down of them.
        let died = died.max(freed);
        let tally = Tally {
            live: (before + meanwhile / 2).saturating_sub(died),
            dead: died - freed,
        };
        (meanwhile, tally)
    }

    /// Bytes handed out since the start.
    fn handed_out(&self) -> u64 {
        let mut bytes = self.large_bytes();
        self.for_each_cache(|cache| {
            let classes = SizeClass::all().skip(1);
            bytes += classes
                .map(|class| cache.allocated(class) * class.bytes() as u64)
                .sum::<u64>();
        });
        bytes
    }
}
