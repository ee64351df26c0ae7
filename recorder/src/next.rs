//! The malloc that the program runs on without this library: of all libraries that have one, the first that the
//! loader finds behind this one. Mostly libc's; that of jemalloc, tcmalloc or mimalloc where these are linked.
//!
//! Each block is then that malloc's own, as is what else it has for its blocks: `malloc_usable_size`,
//! jemalloc's `sdallocx`. Would libc's functions be called whatever there is, these would be handed blocks of
//! another heap.

use core::ffi::CStr;
use core::marker::PhantomData;
use core::mem::transmute_copy;
use core::ptr::null_mut;
use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering::Relaxed;
use libc::{RTLD_NEXT, c_void, size_t};

pub static MALLOC: Next<unsafe extern "C" fn(size_t) -> *mut c_void> = Next::named(c"malloc");
pub static CALLOC: Next<unsafe extern "C" fn(size_t, size_t) -> *mut c_void> =
    Next::named(c"calloc");
pub static REALLOC: Next<unsafe extern "C" fn(*mut c_void, size_t) -> *mut c_void> =
    Next::named(c"realloc");
pub static MEMALIGN: Next<unsafe extern "C" fn(size_t, size_t) -> *mut c_void> =
    Next::named(c"memalign");
pub static FREE: Next<unsafe extern "C" fn(*mut c_void)> = Next::named(c"free");

/// The next library's function of that name.
pub struct Next<F> {
    name: &'static CStr,
    found: AtomicPtr<c_void>,
    function: PhantomData<F>,
}

impl<F> Next<F> {
    const fn named(name: &'static CStr) -> Self {
        Self {
            name,
            found: AtomicPtr::new(null_mut()),
            function: PhantomData,
        }
    }

    #[inline]
    pub fn get(&self) -> F {
        // Relaxed: whoever finds null looks for the same function.
        let mut found = self.found.load(Relaxed);
        if found.is_null() {
            found = self.look();
        }
        const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
        // SAFETY: C's function of that name, which is not null, and F its type.
        unsafe { transmute_copy(&found) }
    }

    /// Allocates nothing unless it fails, which it does not: libc has them all.
    #[cold]
    #[inline(never)]
    fn look(&self) -> *mut c_void {
        // SAFETY: a text.
        let found = unsafe { libc::dlsym(RTLD_NEXT, self.name.as_ptr()) };
        if found.is_null() {
            // SAFETY: ends the process.
            unsafe { libc::abort() }
        }
        self.found.store(found, Relaxed);
        found
    }
}
