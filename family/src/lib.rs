//! What a library that stands before the program's malloc has beside `malloc`, `calloc`, `realloc`, `free` and
//! `memalign` of its own: all that is made of these, the same whatever serves them.
//!
//! The functions here call those by their names, as everybody does. So where the executable has
//! a malloc of its own, which is before any library's, blocks are its blocks here, too.
//!
//! | file | idea |
//! | --- | --- |
//! | `derived.rs` | C's functions that come down to others |
//! | `operators.rs` | C++'s `new` and `delete` |
//! | `deep.rs` | libraries that would have libc's malloc for themselves |

mod deep;
mod derived;
mod operators;

pub use derived::{pvalloc, valloc};
