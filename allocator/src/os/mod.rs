//! The one place that talks to the kernel.
//!
//! Heap memory has three states, and these are the only moves:
//!
//! ```text
//!   reserve        commit            (touch)
//!  ───────▶ Reserved ───▶ Committed ◀───────▶ backed by memory
//!                              ▲      release
//! ```
//! *Reserved* is address space that nothing may touch. *Committed* may be
//! touched and reads as zero until it is. `release` tells the kernel that the
//! contents are no longer wanted; the range stays committed. Nothing here
//! keeps figures: accounting is its callers' business (Go splits `mem.go` from
//! `mem_linux.go` in the same way).
//!
//! [`Os`] is a trait so that tests can hand the heap an OS that refuses.

mod cgroup;
mod guarded;
mod line;
mod linux;
mod locked;
mod modules;
mod process;
mod release;
mod resident;
mod shared;
mod signal;
pub mod thread_words;

pub use cgroup::{CpuQuota, cpu_quota};
pub use guarded::{
    close_guarded, module_of, open_guarded, reserve_guarded, tell_of_faults, thread_id,
};
pub use line::Line;
pub use linux::{
    Futex, Linux, monotonic_ns, process_cpu_ns, stderr_line, thread_cpu_ns, wall_clock_ns,
    yield_now,
};
pub use locked::lock_all;
pub use modules::{Module, for_each_module, is_readable, module_changes};
pub use process::{
    ThreadKey, at_exit, at_fork, environment, exit_as_last_thread, has_environment, is_main_thread,
    is_privileged, keeping_errno, only_own_threads, own_descriptors, process_id, processors,
    random, set_errno, start_thread, thread_name,
};
pub use resident::resident;
pub use shared::{
    ProcessId, Resident, for_some_names, process_exists, share, share_again, tell, unlink, unshare,
    wait_shared, wake_shared,
};
pub use signal::{UserSignal, is_on_signal_stack, take_user_signal, user_signal};

use core::fmt;
use core::ptr::NonNull;

/// How pages are handed back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Gone at once; reads as zero afterwards (`MADV_DONTNEED`).
    DontNeed,
    /// Taken when the kernel needs it; counts against the process until then (`MADV_FREE`).
    Free,
}

/// Where memory begins, and for how many bytes it goes.
pub type Range = (NonNull<u8>, usize);

/// A refused request: what was asked, where, for how much, and the kernel's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OsError {
    /// The operation, in the kernel's words.
    pub operation: &'static str,
    /// Where it was to happen; 0 where the kernel was to choose.
    pub address: usize,
    /// For how many bytes.
    pub bytes: usize,
    /// The kernel's errno.
    pub errno: i32,
}

impl fmt::Display for OsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} bytes at {:#x} failed, errno {}",
            self.operation, self.bytes, self.address, self.errno
        )
    }
}

impl core::error::Error for OsError {}

/// What the heap needs of an operating system's memory.
///
/// # Safety
/// `reserve` and `map` must return ranges that nobody else uses, of the length
/// and alignment asked for; memory from `map`, and committed memory that was
/// not written since its commit or its last release with [`Advice::DontNeed`],
/// must read as zero.
pub unsafe trait Os: Sync {
    /// Reserves `bytes` of address space at a multiple of `align`, at `hint` if that is free.
    ///
    /// # Errors
    /// The kernel's refusal.
    fn reserve(&self, hint: usize, bytes: usize, align: usize) -> Result<NonNull<u8>, OsError>;

    /// How many bytes of address space, or of data in it, the process may have; [`usize::MAX`] if there is no limit.
    fn address_space(&self) -> usize;

    /// How many bytes that may be written to the system promises to all of its processes together; [`usize::MAX`] if it
    /// promises more than it has, as is usual.
    fn commit_limit(&self) -> usize;

    /// Gives a reservation or what `map` returned back, or the end of it, in whole physical pages.
    ///
    /// # Safety
    /// The range is one that `reserve` or `map` returned, or its end, and nobody uses it.
    unsafe fn unreserve(&self, at: NonNull<u8>, bytes: usize);

    /// Makes a part of a reservation usable.
    ///
    /// # Safety
    /// The range must lie in a reservation made by this OS.
    ///
    /// # Errors
    /// The kernel's refusal; the range is then still reserved.
    unsafe fn commit(&self, at: NonNull<u8>, bytes: usize) -> Result<(), OsError>;

    /// Hands back what backs these committed ranges, one after the other.
    ///
    /// # Safety
    /// The ranges must be committed, and their contents wanted by nobody.
    ///
    /// # Errors
    /// How many were handed back, and the kernel's refusal of the next; it and those after it may then still be backed.
    unsafe fn release(&self, ranges: &[Range], advice: Advice) -> Result<(), (usize, OsError)>;

    /// Keeps transparent huge pages out of a committed range. Failure is of no consequence.
    ///
    /// # Safety
    /// The range must be committed.
    unsafe fn no_huge_pages(&self, at: NonNull<u8>, bytes: usize);

    /// Maps `bytes` of zeroed memory for the heap's own structures.
    ///
    /// # Errors
    /// The kernel's refusal.
    fn map(&self, bytes: usize) -> Result<NonNull<u8>, OsError>;

    /// The kernel's page size in bytes.
    fn physical_page(&self) -> usize;

    /// The size of a transparent huge page in bytes; 0 where there are none.
    fn huge_page(&self) -> usize;
}
