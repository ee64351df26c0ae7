//! A global allocator that is any of the contestants: which one, the environment says before the
//! process's first allocation. All pay the same for being chosen: a load and a jump.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;

use crate::contestant::{Contestant, Measure};

/// The variable that has a contestant's name. Without it, the system's allocator serves.
pub const VARIABLE: &str = "GOHEAP_BENCHES_GLOBAL";

const UNDECIDED: u8 = u8::MAX;
static CHOSEN: AtomicU8 = AtomicU8::new(UNDECIDED);

/// The allocator.
#[derive(Debug)]
pub struct Chosen;

#[cold]
fn choose() -> u8 {
    // Every thread that comes here finds the same; so there is nothing to wait for.
    // SAFETY: the name ends in zero, and nobody changes the environment before `main`.
    let name = unsafe { libc::getenv(c"GOHEAP_BENCHES_GLOBAL".as_ptr()) };
    let named = if name.is_null() {
        None
    } else {
        // SAFETY: a string of the environment ends in zero.
        let name = unsafe { std::ffi::CStr::from_ptr(name) };
        name.to_str().ok().and_then(Contestant::named)
    };
    let chosen = named.unwrap_or(Contestant::Glibc) as u8;
    CHOSEN.store(chosen, Relaxed);
    chosen
}

#[inline(always)]
fn chosen() -> Contestant {
    let number = match CHOSEN.load(Relaxed) {
        UNDECIDED => choose(),
        number => number,
    };
    // SAFETY: made of a contestant, by `choose`.
    unsafe { std::mem::transmute::<u8, Contestant>(number) }
}

// SAFETY: each call goes to one allocator, the same for the whole of the process.
unsafe impl GlobalAlloc for Chosen {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        struct Call(Layout);
        impl Measure for Call {
            type Figure = *mut u8;
            #[inline(always)]
            fn measure<A: GlobalAlloc + Sync>(&self, heap: &'static A, _: u64) -> *mut u8 {
                // SAFETY: the caller's contract.
                unsafe { heap.alloc(self.0) }
            }
        }
        chosen().measure(&Call(layout), 1)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        struct Call(Layout);
        impl Measure for Call {
            type Figure = *mut u8;
            #[inline(always)]
            fn measure<A: GlobalAlloc + Sync>(&self, heap: &'static A, _: u64) -> *mut u8 {
                // SAFETY: the caller's contract.
                unsafe { heap.alloc_zeroed(self.0) }
            }
        }
        chosen().measure(&Call(layout), 1)
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        struct Call(*mut u8, Layout);
        impl Measure for Call {
            type Figure = ();
            #[inline(always)]
            fn measure<A: GlobalAlloc + Sync>(&self, heap: &'static A, _: u64) {
                // SAFETY: the caller's contract.
                unsafe { heap.dealloc(self.0, self.1) }
            }
        }
        chosen().measure(&Call(at, layout), 1);
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        struct Call(*mut u8, Layout, usize);
        impl Measure for Call {
            type Figure = *mut u8;
            #[inline(always)]
            fn measure<A: GlobalAlloc + Sync>(&self, heap: &'static A, _: u64) -> *mut u8 {
                // SAFETY: the caller's contract.
                unsafe { heap.realloc(self.0, self.1, self.2) }
            }
        }
        chosen().measure(&Call(at, layout, new_size), 1)
    }
}
