//! Allocation traces: what a program asked of its heap, in which order.
//!
//! | file | idea |
//! | --- | --- |
//! | [`text`](self) | the language written by hand and by generators: one thread, collections, snapshots |
//! | [`event`] | what a recorded program did, one event at a time |
//! | [`resolve`] | addresses made into ids |
//! | [`recording`] | the compact file that `goheap record` writes |
//! | [`heaptrack`] | the recordings of heaptrack |
//! | [`open`] | which of these a file is |

pub mod event;
pub mod heaptrack;
pub mod open;
pub mod recording;
pub mod resolve;
mod text;

pub use text::{Fault, Item, MAX_IDS, Op, Reader, Reason};
