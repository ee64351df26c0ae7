//! The calling thread's cache.
//!
//! One pointer in thread-local storage (`tls.rs`). A pthread key hands the cache back when
//! the thread ends. What runs after that, other destructors say, uses a cache
//! that all such threads share.

use crate::background;
use crate::runtime::{HEAP, RUNTIME};
use crate::tls::{self, Life};
use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicPtr, AtomicU32};
use goheap_allocator::Cache;
use goheap_allocator::lock::{Guard, Lock, Rank};
use goheap_allocator::os::{self, ThreadKey};

/// The pthread key plus one; 0 before there is one.
static KEY: AtomicU32 = AtomicU32::new(0);
static SHARED: Lock<()> = Lock::new(Rank::Shared, ());
static SHARED_CACHE: AtomicPtr<Cache> = AtomicPtr::new(null_mut());

pub use crate::tls::{at_hand, cache};

/// A cache that the calling thread may use now.
pub enum Access {
    /// Its own.
    Own(&'static Cache),
    /// The one shared by threads that are ending, held by a lock.
    Shared(
        &'static Cache,
        #[expect(dead_code, reason = "held, not looked at")] Guard<'static, ()>,
    ),
}

impl Access {
    /// The cache.
    pub fn cache(&self) -> &'static Cache {
        match self {
            Access::Own(c) | Access::Shared(c, _) => c,
        }
    }
}

/// A cache for the calling thread: its own, made on its first call, or the shared one.
/// `None` if the OS refuses memory for one.
pub fn access() -> Option<Access> {
    if let Some(cache) = cache() {
        return Some(Access::Own(cache));
    }
    RUNTIME.start();
    if tls::life() == Life::New
        && let Some(key) = key()
    {
        let cache = acquire();
        // SAFETY: caches are never unmapped.
        if let Some(own) = unsafe { cache.as_ref() } {
            tls::begin(cache);
            // SAFETY: a thread's cache is what `hand_back` takes. May allocate, which works by now.
            unsafe { key.set(cache.cast()) };
            return Some(Access::Own(own));
        }
    }
    shared()
}

fn shared() -> Option<Access> {
    let guard = SHARED.lock();
    let mut cache = SHARED_CACHE.load(Relaxed);
    if cache.is_null() {
        cache = acquire();
        SHARED_CACHE.store(cache, Relaxed);
    }
    // SAFETY: caches are never unmapped; the lock makes it the calling thread's.
    unsafe { cache.as_ref() }.map(|c| Access::Shared(c, guard))
}

/// A cache for a thread, null if the OS refuses memory for one.
fn acquire() -> *mut Cache {
    let cache = HEAP.acquire_cache();
    // SAFETY: caches are never unmapped, and this one is the caller's.
    if let Some(cache) = unsafe { cache.as_ref() }
        && !RUNTIME.tiny.load(Relaxed)
    {
        // SAFETY: the same.
        unsafe { cache.share_nothing() };
    }
    cache
}

fn key() -> Option<ThreadKey> {
    let known = KEY.load(Acquire);
    let raw = if known != 0 {
        known - 1
    } else {
        let made = ThreadKey::new(hand_back)?.to_raw();
        // A key that loses the race is never set, so never calls.
        match KEY.compare_exchange(0, made + 1, Release, Acquire) {
            Ok(_) => made,
            Err(other) => other - 1,
        }
    };
    // SAFETY: from `to_raw`, above or in the thread that won.
    Some(unsafe { ThreadKey::from_raw(raw) })
}

unsafe extern "C" fn hand_back(cache: *mut c_void) {
    tls::end();
    // SAFETY: the key's value is this thread's cache, which it no longer uses.
    unsafe { HEAP.release_cache(cache.cast()) };
    if os::is_main_thread() {
        background::main_thread_ended();
    }
}

/// The shared cache's lock, for the span of a `fork`.
pub fn fork_lock() {
    SHARED.fork_lock();
}

/// Ends [`fork_lock`].
///
/// # Safety
/// The calling thread took it.
pub unsafe fn fork_unlock() {
    // SAFETY: the caller's contract.
    unsafe { SHARED.fork_unlock() };
}
