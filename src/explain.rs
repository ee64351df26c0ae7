//! What the process's resident memory is: the heap's part, and that joined with the kernel's.

use crate::profile;
use crate::runtime::{HEAP, RUNTIME};
use goheap_allocator::os;
use goheap_stats::explain::{Explanation, Holdings, Mappings};
use std::io;

/// Says of every byte of the process's resident memory why it is there. The sum is what the kernel
/// counts; what the heap holds is told slot by slot, at the granularity of physical pages. How much of what is live was
/// asked for, and how much is rounding, is an estimate from the heap profile's samples, with its error. Other threads
/// go on meanwhile: what is live and what is dead is counted within microseconds all the same; the other causes are
/// what the walk through the heap has met. Costs a look at each resident slot of the
/// heap and the kernel's walk over the process's mappings: some ten milliseconds for 100 MiB.
///
/// # Errors
/// `/proc/thread-self/smaps` cannot be read.
pub fn explain() -> io::Result<Explanation> {
    RUNTIME.start();
    // What is read takes memory itself, so that is taken first.
    let mut smaps = String::with_capacity(256 << 10);
    // The process's own entries are empty where the main thread has ended.
    let program = std::fs::read_link("/proc/thread-self/exe").unwrap_or_default();
    let held = holdings();
    io::Read::read_to_string(
        &mut std::fs::File::open("/proc/thread-self/smaps")?,
        &mut smaps,
    )?;
    let maps = Mappings::read(&smaps, &program.to_string_lossy(), held.from..held.to);
    let released_ever = HEAP.pages().released_ever.get();
    Ok(Explanation::of(&held, &maps, released_ever))
}

/// What the resident memory of the heap holds. Allocates nothing.
pub fn holdings() -> Holdings {
    let held = HEAP.holdings(os::resident);
    Holdings {
        live: held.live,
        sampled: profile::sampled(&held),
        dead: held.dead,
        tails: held.tails,
        cached: held.cached,
        retained: held.retained,
        released: held.released,
        stacks: held.stacks,
        span_blocks: held.span_blocks,
        cache_blocks: held.cache_blocks,
        table_blocks: held.table_blocks,
        from: held.from as u64,
        to: held.to as u64,
        released_ever: held.released_ever,
        free: held.free,
    }
}
