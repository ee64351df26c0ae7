//! The file that `goheap record` writes.
//!
//! [`MAGIC`], the version as four bytes, then blocks. All numbers of a fixed length are little-endian.
//!
//! | a block has | bytes |
//! | --- | --- |
//! | its kind: `H`, `E` or `Z` | 1 |
//! | the length of what is in it | 4 |
//! | the length as it stands here | 4 |
//! | a zstd frame with a checksum | that many |
//!
//! The first block, `H`, is a [`Head`] in JSON; the last, `Z`, a [`Total`]. Those between, `E`, are
//! events, each block readable by itself. It begins with the time and the thread that the block before
//! ended with, as variable-length numbers (seven bits a byte, the lowest first, the top bit says that
//! more follows). An event's first byte has its kind in the low three bits, and the
//! microseconds since the event before above them, or 31 where a number follows that says them:
//!
//! | kind | then follow |
//! | --- | --- |
//! | 0 allocate, 1 allocate zeroed | id, size |
//! | 2, 3 the same, aligned | id, size, alignment's logarithm |
//! | 4 reallocate | id, size |
//! | 5 free | id |
//! | 6 the next events are another thread's | the thread's number |
//!
//! An id is the difference to the last one in the block (0 at first), zigzag-encoded.
//!
//! A file may stop anywhere, since programs and machines do: all whole blocks are
//! read, and where they end is said. What is damaged otherwise is an error, but for the few bits of a
//! zstd frame that change nothing of what is read.

mod number;
mod read;
mod write;

use serde::{Deserialize, Serialize};

pub use read::Reader;
pub use write::Writer;

/// What a recording begins with: no text, and harmed by what harms binary files.
pub const MAGIC: [u8; 8] = *b"\x89goheap\n";
/// The version that is written, and the only one that is read.
pub const VERSION: u32 = 1;
/// Most bytes that a block may hold.
const MOST: usize = 1 << 20;
/// A microsecond count that stands in the first byte is below this.
const LONG_PAUSE: u64 = 31;

const ALLOCATE: u8 = 0;
const ZEROED: u8 = 1;
const ALIGNED: u8 = 2;
const ALIGNED_ZEROED: u8 = 3;
const REALLOCATE: u8 = 4;
const FREE: u8 = 5;
const THREAD: u8 = 6;

/// Whose recording it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The program and its arguments.
    pub program: Vec<String>,
    /// Its process.
    pub pid: u32,
    /// When it began, in seconds since 1970.
    pub started: u64,
}

/// What a whole recording has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    /// Events.
    pub events: u64,
    /// Ids are below this.
    pub ids: u32,
    /// Threads that did anything.
    pub threads: u32,
    /// Microseconds from the first event to the end of the program.
    pub micros: u64,
    /// Frees of what the program had from before the recording: a parent's, after a fork.
    pub unknown: u64,
    /// Events that were begun but never written: the program was killed amid them.
    pub lost: u64,
}
