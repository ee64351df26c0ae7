//! What a block holds, what the heap holds; trim.

use core::ptr::NonNull;
use libc::{c_int, c_void, size_t};

/// How many bytes of a block may be used; 0 for null.
///
/// # Safety
/// `at` is null or a block.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc_usable_size(at: *mut c_void) -> size_t {
    NonNull::new(at.cast())
        .and_then(goheap::malloc::usable_bytes)
        .unwrap_or(0)
}

/// Collects, and gives all idle memory back to the system; `keep`, which glibc leaves at the top of
/// its heap, has no counterpart. 1 if any went back.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_trim(_keep: size_t) -> c_int {
    let before = goheap::read_mem_stats().heap_released;
    goheap::free_os_memory();
    c_int::from(goheap::read_mem_stats().heap_released > before)
}

/// glibc's parameters mean nothing here: any is taken, and none does anything.
#[unsafe(no_mangle)]
pub extern "C" fn mallopt(_parameter: c_int, _value: c_int) -> c_int {
    1
}

/// The heap in glibc's terms, in bytes.
#[unsafe(no_mangle)]
pub extern "C" fn mallinfo2() -> libc::mallinfo2 {
    let stats = goheap::read_mem_stats();
    libc::mallinfo2 {
        arena: stats.heap_sys as size_t,
        ordblks: 0,
        smblks: 0,
        hblks: 0,
        hblkhd: 0,
        usmblks: 0,
        fsmblks: 0,
        uordblks: stats.heap_alloc as size_t,
        fordblks: stats.heap_sys.saturating_sub(stats.heap_alloc) as size_t,
        keepcost: stats.heap_idle.saturating_sub(stats.heap_released) as size_t,
    }
}

/// The same in numbers of 32 bits; what does not fit is cut, as glibc does.
#[unsafe(no_mangle)]
pub extern "C" fn mallinfo() -> libc::mallinfo {
    let wide = mallinfo2();
    libc::mallinfo {
        arena: wide.arena as c_int,
        ordblks: 0,
        smblks: 0,
        hblks: 0,
        hblkhd: 0,
        usmblks: 0,
        fsmblks: 0,
        uordblks: wide.uordblks as c_int,
        fordblks: wide.fordblks as c_int,
        keepcost: wide.keepcost as c_int,
    }
}
