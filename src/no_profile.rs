//! In the place of `profile/` where that is left out: nothing is sampled.

use core::ffi::CStr;
use goheap_allocator::heap::Holdings;
use goheap_stats::explain::Sampled;

pub fn sample(_: *mut u8, _: usize) {}

/// `None`: nothing is sampled.
pub fn sampled(_: &Holdings) -> Option<Sampled> {
    None
}

pub fn configure(_rate: u64, _at_exit: bool) {}

pub fn begin() {}

pub fn serve() {}

pub fn before_end() {}

pub fn watch_signal() {}

pub fn look_for_peak() {}

pub fn is_much(_bytes: u64, _resident: u64) -> bool {
    false
}

/// `false`: there are no profiles.
pub fn hand_over(_: &CStr, _peak: bool) -> bool {
    false
}

pub fn fork_lock() {}

/// # Safety
/// None.
pub unsafe fn fork_unlock() {}

pub fn after_fork_in_child() {}
