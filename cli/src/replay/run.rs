//! The measured part: from the baseline to the last operation.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::io;
use std::ptr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use goheap::MemStats;

use super::load::Trace;
use super::off_heap::OffHeap;
use super::resident::Resident;
use crate::Error;
use crate::trace::Op;

/// The heap at one moment. As large as in Go's own replayer, since the array of
/// these is on the heap in both.
pub struct Snapshot {
    /// Time since the baseline.
    pub since_baseline: Duration,
    /// Resident bytes of the process, read before the rest.
    pub rss: u64,
    /// All of the heap's figures.
    pub stats: MemStats,
}

/// Why a replay stopped.
pub enum Failed {
    /// The heap returned null.
    Allocation {
        /// The operation's index.
        op: usize,
        /// The bytes asked for.
        size: usize,
    },
    /// Anything else.
    Other(Error),
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Other(error) => error,
            Failed::Allocation { size, .. } => Self::System {
                doing: format!("allocate {size} bytes"),
                source: io::ErrorKind::OutOfMemory.into(),
            },
        }
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Other(Error::system("replay")(error))
    }
}

/// What Go's runtime itself holds on its heap before `main`, by size and count: 65 KB in some forty
/// spans, as measured at the baseline of Go 1.27.3's replayer. The heap's figures count it there, so
/// it must be here: each cycle doubles what it starts from, and a few percent of the least heap are
/// a few percent of every heap that grows out of it.
const RUNTIME: &[(usize, usize)] = &[
    (8, 1),
    (16, 30),
    (24, 13),
    (32, 11),
    (48, 12),
    (64, 10),
    (80, 2),
    (96, 5),
    (112, 4),
    (128, 2),
    (144, 1),
    (160, 2),
    (176, 1),
    (192, 1),
    (208, 4),
    (224, 1),
    (240, 1),
    (256, 1),
    (288, 1),
    (320, 2),
    (352, 4),
    (384, 1),
    (416, 1),
    (448, 1),
    (480, 14),
    (512, 3),
    (640, 2),
    (768, 1),
    (896, 1),
    (1024, 1),
    (1152, 1),
    (1280, 1),
    (1408, 1),
    (1536, 1),
    (1792, 1),
    (2048, 3),
    (4096, 1),
    (8192, 1),
    (16384, 1),
];

fn stand_in() -> Vec<Vec<u8>> {
    let sizes = RUNTIME
        .iter()
        .flat_map(|&(size, count)| std::iter::repeat_n(size, count));
    sizes.map(|size| vec![1; size]).collect()
}

/// Runs the trace. The first snapshot is the baseline.
pub fn replay(trace: &Trace) -> Result<Vec<Snapshot>, Failed> {
    let runtime = stand_in();
    let mut objects = Objects {
        // On the heap, as Go's table is; zeroed memory that is not touched yet.
        table: vec![ptr::null_mut(); trace.ids],
        sizes: OffHeap::filled(0, trace.ids)?,
    };
    let mut snapshots = Vec::with_capacity(trace.labels.len());
    let resident = Resident::open().map_err(Failed::Other)?;
    goheap::gc();
    goheap::free_os_memory();
    goheap::gc();

    let start = Instant::now();
    let take = || {
        let since_baseline = start.elapsed();
        let rss = resident.bytes()?;
        Ok::<_, io::Error>(Snapshot {
            since_baseline,
            rss,
            stats: goheap::read_mem_stats(),
        })
    };
    snapshots.push(take()?);
    for (index, &op) in trace.ops.iter().enumerate() {
        match op {
            Op::Allocate { id, size } => objects
                .allocate(id as usize, size)
                .ok_or(Failed::Allocation { op: index, size })?,
            Op::Free { id } => objects.drop(id as usize),
            Op::Collect => goheap::gc(),
            Op::Release => goheap::free_os_memory(),
            Op::Percent(percent) => _ = goheap::set_gc_percent(percent),
            Op::Limit(bytes) => _ = goheap::set_memory_limit(bytes),
            Op::Sleep(ms) => sleep(Duration::from_millis(ms.into())),
            Op::Snapshot(_) => snapshots.push(take()?),
        }
    }
    drop(runtime);
    Ok(snapshots)
}

/// The trace's objects by id: null, or allocated here with the size beside it.
struct Objects {
    table: Vec<*mut u8>,
    sizes: OffHeap<usize>,
}

impl Objects {
    /// Allocates as Go's `make([]byte, size)` does, touches each 4096th byte,
    /// then drops what the id held before: in that order, as an assignment does.
    /// None when the heap is out of memory.
    fn allocate(&mut self, id: usize, size: usize) -> Option<()> {
        let object = match size {
            0 => ptr::null_mut(),
            _ => {
                let layout = Layout::from_size_align(size, 1).ok()?;
                // SAFETY: the layout's size is not 0.
                let object = unsafe { alloc_zeroed(layout) };
                if object.is_null() {
                    return None;
                }
                for at in (0..size).step_by(4096) {
                    // SAFETY: within the object. Volatile, or the allocation might be elided.
                    unsafe { object.add(at).write_volatile(1) };
                }
                object
            }
        };
        self.drop(id);
        (self.table[id], self.sizes[id]) = (object, size);
        Some(())
    }

    /// Drops what the id holds, if anything.
    fn drop(&mut self, id: usize) {
        let object = std::mem::replace(&mut self.table[id], ptr::null_mut());
        if !object.is_null() {
            // SAFETY: allocated above with this layout, and no longer in the table.
            unsafe { dealloc(object, Layout::from_size_align_unchecked(self.sizes[id], 1)) };
        }
    }
}
