//! A trace read from its file into what a replay runs.

use std::fs::File;
use std::io;
use std::path::Path;

use memmap2::Mmap;

use super::off_heap::OffHeap;
use super::run::Failed;
use crate::Error;
use crate::trace::{Fault, Item, Op, Reader, Reason};

/// A trace ready to run.
pub struct Trace {
    /// Ids are below this.
    pub ids: usize,
    /// The snapshots' names, `baseline` first.
    pub labels: Vec<String>,
    /// What to do, outside the heap.
    pub ops: OffHeap<Op>,
}

/// Reads and checks the whole trace. The file is mapped meanwhile, and gone
/// from memory afterwards.
pub fn load(path: &Path) -> Result<Trace, Error> {
    let text = map(path)?;
    let lines = text.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let mut trace = Trace {
        ids: 0,
        labels: vec!["baseline".into()],
        ops: OffHeap::with_capacity(lines).map_err(Error::system("map room for the trace"))?,
    };
    for item in Reader::new(&text) {
        let item = item.map_err(|fault| Error::Trace {
            path: path.into(),
            fault,
        })?;
        match item {
            Item::Ids(count) => trace.ids = count as usize,
            Item::Op(op) => trace.ops.push(op),
            Item::Snapshot(index, label) => {
                trace.labels.push(label.into());
                trace.ops.push(Op::Snapshot(index));
            }
        }
    }
    Ok(trace)
}

impl Trace {
    /// The error of a replay that failed in one of its operations. Operations
    /// do not carry their lines, so the file is read once more to find it.
    pub fn fault_at(&self, path: &Path, failed: Failed) -> Error {
        let Failed::Allocation { op, size } = failed else {
            return failed.into();
        };
        let line = map(path).map_or(0, |text| {
            let mut reader = Reader::new(&text);
            let mut left = op + 1;
            while left > 0 {
                match reader.next() {
                    Some(Ok(Item::Ids(_))) => {}
                    Some(Ok(_)) => left -= 1,
                    _ => break,
                }
            }
            reader.line()
        });
        Error::Trace {
            path: path.into(),
            fault: Fault {
                line,
                reason: Reason::NoMemory(size),
            },
        }
    }
}

fn map(path: &Path) -> Result<Mmap, Error> {
    let reading = || format!("read {}", path.display());
    let file = File::open(path).map_err(Error::system(reading()))?;
    let metadata = file.metadata().map_err(Error::system(reading()))?;
    if !metadata.is_file() {
        // A pipe or a folder cannot be mapped, and the system's reason would mislead.
        return Err(Error::System {
            doing: reading(),
            source: io::Error::other("it is no regular file"),
        });
    }
    // SAFETY: the mapping is private and read as bytes; whoever shortens a trace
    // while it is being read gets a bus error, as with any mapped file.
    unsafe { Mmap::map(&file) }.map_err(Error::system(reading()))
}
