//! Page bitmaps: one chunk's 512 pages, and summaries that find a run of free
//! pages among many chunks without reading their bitmaps.

mod chunk;
pub(crate) mod summary;

pub use chunk::{ChunkBits, PageBits};
pub use summary::{Found, LEVELS, Summaries, Summary};
