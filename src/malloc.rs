//! The heap as C sees it: blocks whose size nobody tells when they are freed. The preload library
//! makes `malloc` and its kin of these; NULL, errno and bad arguments are its business.
//!
//! Blocks lie at multiples of 16, as C's `max_align_t` asks for. So Go's classes of 8 and
//! 24 bytes serve none of them, and no two blocks share a slot: [tiny ones](goheap_allocator::tiny) would
//! have to lie closer. What a block's size is its span
//! knows, found by the address. Nothing here changes errno.

use crate::runtime::HEAP;
use crate::{guard, slow, thread};
use core::ffi::c_int;
use core::ptr::NonNull;
use goheap_allocator::heap::report_and_abort;
use goheap_allocator::size_class::MAX_SMALL;
use goheap_allocator::span::Misuse;
use goheap_allocator::{SizeClass, os};

/// Every block lies at a multiple of this, in bytes.
pub const ALIGN: usize = 16;

/// A block of `bytes` out of the calling thread's cache: nothing is called, nothing waited for.
/// `None`: [`allocate`] must do it.
#[inline(always)]
pub fn from_cache(bytes: usize) -> Option<NonNull<u8>> {
    let class = SizeClass::of_16(bytes)?;
    // SAFETY: the calling thread's cache.
    unsafe { thread::at_hand().alloc(class) }
}

/// The same, of zeroes.
#[inline(always)]
pub fn zeroed_from_cache(bytes: usize) -> Option<NonNull<u8>> {
    let class = SizeClass::of_16(bytes)?;
    // SAFETY: the calling thread's cache; the class was chosen for this size.
    unsafe { thread::at_hand().alloc_zeroed(class, bytes) }
}

/// A block of `bytes` at a multiple of `align`, a power of two; `zeroed` says what it must hold.
/// Null if the system refuses memory.
pub fn allocate(bytes: usize, align: usize, zeroed: bool) -> *mut u8 {
    let align = align.max(ALIGN);
    os::keeping_errno(|| match SizeClass::fitting(bytes, align) {
        Some(class) if zeroed => slow::alloc_zeroed(class, bytes),
        Some(class) => slow::alloc(class, bytes),
        None => slow::alloc_large(bytes.max(1), align, zeroed),
    })
}

/// Frees a block. As all frees are, it is checked later, when the thread's log is flushed.
///
/// # Safety
/// `at` came from this heap, and nobody uses the block any more.
#[inline(always)]
pub unsafe fn free(at: NonNull<u8>) {
    let address = at.as_ptr().expose_provenance();
    // SAFETY: the calling thread's cache.
    if !unsafe { thread::at_hand().log(address) } {
        free_slowly(address);
    }
}

#[cold]
fn free_slowly(address: usize) {
    os::keeping_errno(|| slow::free(address));
}

/// The class and the bytes of a block's slot; of a guarded one, of the slot that it keeps.
fn slot_of(address: usize) -> Option<(SizeClass, usize)> {
    HEAP.slot_of(address)
        .or_else(|| guard::owns(address).then(|| HEAP.slot_of(guard::shadow_of(address)))?)
}

/// How many bytes the block at `at` has room for, rounding included; `None` where no block is.
/// Costs a look at its span.
pub fn usable_bytes(at: NonNull<u8>) -> Option<usize> {
    slot_of(at.as_ptr().addr()).map(|(_, bytes)| bytes)
}

/// Gives a block room for `bytes`, moving it if need be; null if the system refuses memory, and then
/// the block is as it was.
///
/// It stays where it is if at least half of its room is wanted, or if it is large and the pages behind
/// it are idle. A large block that must move to grow grows by a quarter at least, as
/// `slow::realloc` says.
///
/// # Safety
/// `at` came from this heap, and nobody else uses the block.
pub unsafe fn reallocate(at: NonNull<u8>, bytes: usize) -> *mut u8 {
    let address = at.as_ptr().expose_provenance();
    let Some((class, room)) = slot_of(address) else {
        report_and_abort(address, Misuse::Foreign)
    };
    let same_class = class != SizeClass::LARGE && SizeClass::of_16(bytes) == Some(class);
    if same_class || (bytes <= room && bytes >= room / 2) {
        return at.as_ptr();
    }
    let mut new = core::ptr::null_mut();
    if bytes > room && room > MAX_SMALL {
        // SAFETY: the caller's contract.
        if os::keeping_errno(|| unsafe { slow::make_room(at.as_ptr(), bytes) }).is_ok() {
            return at.as_ptr();
        }
        new = allocate(bytes.max(room + room / 4), ALIGN, false);
    }
    if new.is_null() {
        new = from_cache(bytes).map_or_else(|| allocate(bytes, ALIGN, false), NonNull::as_ptr);
    }
    if !new.is_null() {
        // SAFETY: a fresh block overlaps no other, and both hold what is copied; the old one is the
        // caller's to free.
        unsafe {
            new.copy_from_nonoverlapping(at.as_ptr(), room.min(bytes));
            free(at);
        }
    }
    new
}

/// Gives up the address space that the heap reserved and has not used, as far as it is of no use where
/// the process may have `limit` bytes of it. To be called before such a limit is set.
pub fn give_up_address_space(limit: usize) {
    HEAP.shrink(limit);
}

/// Locks the process's memory as `mlockall` does, and answers as it does, errno included. Of the heap's own tables, gigabytes of which
/// hardly any is ever touched, each page is locked when it is.
pub fn lock_all(flags: c_int) -> c_int {
    // The tables are to be there: what is mapped later is filled.
    if let Some(block) = NonNull::new(allocate(1, ALIGN, false)) {
        // SAFETY: a block of this heap's that nobody uses.
        unsafe { free(block) };
    }
    os::lock_all(flags, &HEAP.tables())
}
