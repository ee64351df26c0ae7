//! `libgoheap.so`: C's malloc family over goheap's heap, for any program that is started with it
//! in `LD_PRELOAD`.
//!
//! The loader puts these functions in the place of libc's, in the program, in every library and in
//! libc itself, so all of the process's heap is Go's kind. What comes down to them is in `goheap_family`, C++'s
//! `new` and `delete`, too. What they promise is what C and glibc do: blocks at multiples of 16, an
//! object of its own for size 0, `ENOMEM` beyond `PTRDIFF_MAX`, no change of errno unless they fail.
//!
//! | file | idea |
//! | --- | --- |
//! | `malloc.rs` | allocate, grow, free |
//! | `inspect.rs` | what a block holds, what the heap holds; trim |
//! | `start.rs` | the program's start |
//! | `end.rs` | ends of a process that nothing else hears of |
//! | `limit.rs` | a limit that the program sets to its own address space, or locks its memory within |
//! | `namespace.rs` | what only a process of one thread may |
//!
//! The crate has no state. The first call may come from the loader, before libc is
//! set up; nothing here, nor below, calls anything that would need it.

mod end;
mod errno;
mod inspect;
mod limit;
mod malloc;
mod namespace;
mod start;
