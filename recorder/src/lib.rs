//! `libgoheap_record.so`: notes what a program asks of its malloc, for any program that
//! `goheap record` starts with it in `LD_PRELOAD`.
//!
//! It stands before the malloc family that the program has without it (what comes down to other calls is in
//! `goheap_family`) and calls that, so that what is recorded is the program as it runs without. Each call becomes an event in a ring that the
//! recording process reads ([`goheap_ring`]): before the call where memory is given back, after it
//! where it is given, so that the ring's order is one that could have happened.
//!
//! | file | idea |
//! | --- | --- |
//! | `malloc.rs` | the calls |
//! | `next.rs` | the malloc that they are passed to |
//! | `note.rs` | a call's event, and whether this process has a ring |
//! | `attach.rs` | making the ring |
//! | `thread.rs` | the thread's number |
//!
//! The first call may come from the loader, before libc is set up, and any may come from a signal's
//! handler or a forked child: nothing here allocates, locks or keeps a file open.

mod attach;
mod malloc;
mod next;
mod note;
mod thread;

// Nothing of it is called here, but all of it exported.
use goheap_family as _;
