//! The two words that the heap keeps in each thread: where its cache is, and how far its life has come.
//!
//! Both lie where `goheap_allocator::os::thread_words` has them.

use core::ptr::with_exposed_provenance;
use goheap_allocator::Cache;
use goheap_allocator::os::thread_words::{NOTHING, read, write};

/// Bytes at which they lie in the thread's block.
const CACHE: usize = 0;
const LIFE: usize = 8;

/// How far a thread's life has come.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Life {
    /// Has had no cache yet.
    New = 0,
    /// Has one.
    Running = 1,
    /// Has handed it back.
    Ended = 2,
    /// Has none, and is the one that starts the heap.
    Starting = 3,
}

/// The calling thread's cache. If it has none, it is nothing: bins without slots, a log without room.
#[inline(always)]
pub fn at_hand() -> &'static Cache {
    // SAFETY: a cache, which is never unmapped and is this thread's; or zeroes, of which a cache
    // may consist and which are as long as one.
    unsafe { &*with_exposed_provenance(read::<CACHE>()) }
}

/// The calling thread's cache, if it has one.
pub fn cache() -> Option<&'static Cache> {
    (read::<CACHE>() != nothing()).then(at_hand)
}

fn nothing() -> usize {
    (&raw const NOTHING).expose_provenance()
}

/// Gives the calling thread a cache.
pub fn begin(cache: *mut Cache) {
    write::<CACHE>(cache.expose_provenance());
    write::<LIFE>(Life::Running as usize);
}

/// Takes it away for good.
pub fn end() {
    write::<CACHE>(nothing());
    write::<LIFE>(Life::Ended as usize);
}

/// Makes the calling thread, for the length of `call`, the one that starts the heap.
pub fn starting(call: impl FnOnce()) {
    let before = read::<LIFE>();
    write::<LIFE>(Life::Starting as usize);
    call();
    write::<LIFE>(before);
}

/// How far the calling thread's life has come.
pub fn life() -> Life {
    match read::<LIFE>() {
        0 => Life::New,
        1 => Life::Running,
        2 => Life::Ended,
        _ => Life::Starting,
    }
}
