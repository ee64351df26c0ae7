//! The allocator of this binary: the system's or goheap, as a variable says.
//!
//! A binary has one global allocator. This one decides with its first allocation, for the
//! whole life of the process, so that one binary can be run under both and differs in
//! nothing else.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::CStr;
use std::sync::atomic::{AtomicU8, Ordering};

use goheap::GoHeap;

/// `system`, or anything else for goheap.
pub const VARIABLE: &CStr = c"GOHEAP_TEST_ALLOCATOR";

const UNDECIDED: u8 = 0;
const SYSTEM: u8 = 1;
const GOHEAP: u8 = 2;

pub struct Chosen {
    goheap: GoHeap,
    choice: AtomicU8,
}

impl Chosen {
    pub const fn new() -> Self {
        Self {
            goheap: GoHeap::new(),
            choice: AtomicU8::new(UNDECIDED),
        }
    }

    pub fn is_goheap(&self) -> bool {
        match self.choice.load(Ordering::Relaxed) {
            UNDECIDED => self.decide() == GOHEAP,
            choice => choice == GOHEAP,
        }
    }

    /// Whoever decides decides the same, so it does not matter who comes first.
    #[cold]
    fn decide(&self) -> u8 {
        // SAFETY: the name ends in a zero byte; nothing in these tests changes the environment.
        let choice = unsafe {
            let value = libc::getenv(VARIABLE.as_ptr());
            match !value.is_null() && libc::strcmp(value, c"system".as_ptr()) == 0 {
                true => SYSTEM,
                false => GOHEAP,
            }
        };
        self.choice.store(choice, Ordering::Relaxed);
        choice
    }
}

// SAFETY: each method passes its contract on, and an object goes back to where it came from,
// since the choice never changes once it is made.
unsafe impl GlobalAlloc for Chosen {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract.
        unsafe {
            match self.is_goheap() {
                true => self.goheap.alloc(layout),
                false => System.alloc(layout),
            }
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract.
        unsafe {
            match self.is_goheap() {
                true => self.goheap.dealloc(pointer, layout),
                false => System.dealloc(pointer, layout),
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract.
        unsafe {
            match self.is_goheap() {
                true => self.goheap.alloc_zeroed(layout),
                false => System.alloc_zeroed(layout),
            }
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's contract.
        unsafe {
            match self.is_goheap() {
                true => self.goheap.realloc(pointer, layout, size),
                false => System.realloc(pointer, layout, size),
            }
        }
    }
}
