//! The measured part: from the baseline to the last operation.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::hint::black_box;
use std::io;
use std::iter;
use std::ptr;
use std::sync::Barrier;
use std::thread::{self, sleep};
use std::time::Duration;

use super::go_runtime::GoRuntime;
use super::load::Trace;
use super::off_heap::OffHeap;
use super::watch::{Snapshot, Watch};
use crate::Error;
use crate::trace::Op;

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

/// What Go's runtime itself holds on its heap before `main`, by size and count, less what this
/// program does: 56 KB, as measured at the baseline of Go 1.27.3's replayer. The heap's figures count it
/// there, so it must be here: each cycle doubles what it starts from, and a few percent of the least heap
/// are a few percent of every heap that grows out of it. One that has 8 bytes there is one of 896 here: what
/// matters is its span, and here it would share a block with others.
const RUNTIME: &[(usize, usize)] = &[
    (16, 20),
    (24, 11),
    (32, 7),
    (48, 10),
    (64, 8),
    (80, 1),
    (112, 3),
    (144, 1),
    (160, 2),
    (192, 1),
    (208, 3),
    (256, 1),
    (288, 1),
    (320, 2),
    (352, 4),
    (384, 1),
    (448, 1),
    (480, 9),
    (512, 2),
    (640, 1),
    (768, 1),
    (896, 1),
    (1024, 2),
    (1152, 8),
    (16384, 2),
];

/// Go's mark takes them from the heap in blocks of half that (`workbufAlloc`), one or two for a small heap.
const WORK_BUFFERS: usize = 64 << 10;

/// Holds what Go's runtime does as long as `during` runs, in spans that nothing else comes to lie in:
/// in Go these objects are apart from a trace's, since they have pointers. Here they are in the
/// cache of a thread that does nothing else.
fn beside_the_runtime<T>(during: impl FnOnce() -> T) -> T {
    /// Also when `during` unwinds, or the thread would be waited for for ever.
    struct Release<'a>(&'a Barrier);
    impl Drop for Release<'_> {
        fn drop(&mut self) {
            self.0.wait();
        }
    }
    let (held, over) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            let sizes = RUNTIME
                .iter()
                .flat_map(|&(size, count)| iter::repeat_n(size, count));
            let objects: Vec<Vec<u8>> = sizes.map(|size| vec![1; size]).collect();
            held.wait();
            over.wait();
            drop(objects);
        });
        held.wait();
        let _release = Release(&over);
        during()
    })
}

/// Runs the trace. The first snapshot is the baseline.
pub fn replay(trace: &Trace) -> Result<Vec<Snapshot>, Failed> {
    beside_the_runtime(|| replay_alone(trace))
}

fn replay_alone(trace: &Trace) -> Result<Vec<Snapshot>, Failed> {
    let mut objects = Objects {
        // On the heap, as Go's table is; zeroed memory that is not touched yet.
        table: vec![0; trace.ids],
        sizes: OffHeap::filled(0, trace.ids)?,
    };
    let mut snapshots = Vec::with_capacity(trace.labels.len());
    let mut watch = Watch::open().map_err(Failed::Other)?;
    goheap::gc();
    goheap::free_os_memory();
    // A mark's work buffers, which Go takes from the heap: idle afterwards, and retained.
    drop(black_box(vec![1_u8; WORK_BUFFERS]));
    goheap::gc();

    let mut beside = GoRuntime::at_baseline()?;
    watch.start();
    snapshots.push(watch.snapshot()?);
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
            Op::Snapshot(_) => {
                beside.grow();
                let mut snapshot = watch.snapshot()?;
                snapshot.stats.gc_sys += beside.mapped();
                snapshot.stats.sys += beside.mapped();
                snapshots.push(snapshot);
            }
        }
    }
    Ok(snapshots)
}

/// The trace's objects by id: 0, or the address of one allocated here with the size beside it.
/// Addresses, since a vector of null pointers is written out, and one of zeros is not.
struct Objects {
    table: Vec<usize>,
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
        (self.table[id], self.sizes[id]) = (object.expose_provenance(), size);
        Some(())
    }

    /// Drops what the id holds, if anything.
    fn drop(&mut self, id: usize) {
        let object = std::mem::take(&mut self.table[id]);
        if object != 0 {
            let object = ptr::with_exposed_provenance_mut(object);
            // SAFETY: allocated above with this layout, and no longer in the table.
            unsafe { dealloc(object, Layout::from_size_align_unchecked(self.sizes[id], 1)) };
        }
    }
}
