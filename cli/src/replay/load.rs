//! A trace read from its file into what a replay runs.

use std::fs::File;
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
    let text = Mapped::open(path)?;
    let lines = text.map.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let mut trace = Trace {
        ids: 0,
        labels: vec!["baseline".into()],
        ops: OffHeap::with_capacity(lines).map_err(Error::system("map room for the trace"))?,
    };
    for item in text.items() {
        match item? {
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
        let line = Mapped::open(path).map_or(0, |text| {
            let mut reader = Reader::new(&text.map);
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

/// A text in memory.
pub struct Mapped<'a> {
    map: Mmap,
    path: &'a Path,
}

impl<'a> Mapped<'a> {
    /// Maps the file, which is a regular one.
    pub fn open(path: &'a Path) -> Result<Self, Error> {
        let reading = || format!("read {}", path.display());
        let file = File::open(path).map_err(Error::system(reading()))?;
        // SAFETY: the mapping is private and read as bytes; whoever shortens a trace
        // while it is being read gets a bus error, as with any mapped file.
        let map = unsafe { Mmap::map(&file) }.map_err(Error::system(reading()))?;
        Ok(Self { map, path })
    }

    /// What it says, line by line.
    pub fn items(&self) -> impl Iterator<Item = Result<Item<'_>, Error>> {
        Reader::new(&self.map).map(|item| {
            item.map_err(|fault| Error::Trace {
                path: self.path.into(),
                fault,
            })
        })
    }
}
