//! `libgoheap_record.so`: notes what a program asks of the system's malloc, for any program that
//! `goheap record` starts with it in `LD_PRELOAD`.
//!
//! It stands before libc's malloc family and calls it, so that what is recorded is the
//! program as it runs without. Each call becomes an event in a ring that the
//! recording process reads ([`goheap_ring`]): before the call where memory is given back, after it
//! where it is given, so that the ring's order is one that could have happened.
//!
//! | file | idea |
//! | --- | --- |
//! | `malloc.rs` | the calls |
//! | `note.rs` | a call's event, and whether this process has a ring |
//! | `attach.rs` | making the ring |
//! | `thread.rs` | the thread's number |
//! | `deep.rs`, of the preload library | libraries that would have libc's malloc for themselves |
//!
//! The first call may come from the loader, before libc is set up, and any may come from a signal's
//! handler or a forked child: nothing here allocates, locks or keeps a file open.

mod attach;
#[path = "../../preload/src/deep.rs"]
mod deep;
mod malloc;
mod note;
mod thread;
