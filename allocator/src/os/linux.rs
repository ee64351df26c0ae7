//! Linux: `mmap`, `mprotect`, `madvise`, futexes and clocks.

use super::{Advice, Os, OsError, Range};
use super::{release, shared};
use core::ptr::NonNull;
use core::sync::atomic::AtomicU32;
use core::time::Duration;

/// The running kernel.
#[derive(Clone, Copy, Debug, Default)]
pub struct Linux;

pub(super) fn errno() -> i32 {
    // SAFETY: __errno_location is always valid in the calling thread.
    unsafe { *libc::__errno_location() }
}

pub(super) fn refused(operation: &'static str, address: usize, bytes: usize) -> OsError {
    OsError {
        operation,
        address,
        bytes,
        errno: errno(),
    }
}

/// The process's limit on something: the largest number where it has none. `None` where the system does not tell.
pub(super) fn limit(of: impl Into<core::ffi::c_long>) -> Option<usize> {
    let mut limit = libc::rlimit64 {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let none = core::ptr::null::<libc::rlimit64>();
    // SAFETY: writes one structure, if anything. 0 is the calling process.
    let refused = unsafe { libc::syscall(libc::SYS_prlimit64, 0, of.into(), none, &raw mut limit) };
    (refused == 0).then(|| usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX))
}

/// What the system promises at most to all processes, in bytes. Apart, for its stack: elsewhere an allocation has no such buffer.
#[cold]
#[inline(never)]
fn promised() -> Option<u64> {
    let mut text = [0; 2048];
    let text = shared::read(c"/proc/meminfo", &mut text)?;
    shared::kib_field(text, b"CommitLimit:")
}

fn unmap(at: usize, bytes: usize) {
    if bytes > 0 {
        // SAFETY: only called on mappings made here, or their edges, that nobody uses.
        unsafe { libc::munmap(at as *mut libc::c_void, bytes) };
    }
}

fn reserve_at(hint: usize, bytes: usize) -> Result<usize, OsError> {
    // Not MAP_NORESERVE: what cannot be written to is not counted anyway, and making it usable would then
    // never be refused, however much more than the machine has it is.
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a hint without MAP_FIXED never replaces an existing mapping.
    let p = unsafe {
        libc::mmap(
            hint as *mut libc::c_void,
            bytes,
            libc::PROT_NONE,
            flags,
            -1,
            0,
        )
    };
    if p == libc::MAP_FAILED {
        Err(refused("mmap(PROT_NONE)", hint, bytes))
    } else {
        Ok(p as usize)
    }
}

fn name(at: NonNull<u8>, bytes: usize, label: &'static core::ffi::CStr) {
    // SAFETY: naming a mapping changes nothing but its name; kernels without it answer EINVAL.
    unsafe {
        libc::prctl(
            libc::PR_SET_VMA,
            libc::PR_SET_VMA_ANON_NAME,
            at.as_ptr(),
            bytes,
            label.as_ptr(),
        )
    };
}

// SAFETY: mappings come from the kernel, private and anonymous: unused by anybody else and zero.
unsafe impl Os for Linux {
    fn reserve(&self, hint: usize, bytes: usize, align: usize) -> Result<NonNull<u8>, OsError> {
        let first = reserve_at(hint, bytes)?;
        let at = if first % align == 0 {
            first
        } else {
            unmap(first, bytes);
            let wide = bytes.checked_add(align).ok_or(OsError {
                operation: "reserve",
                address: hint,
                bytes,
                errno: libc::ENOMEM,
            })?;
            let start = reserve_at(0, wide)?;
            let at = start.next_multiple_of(align);
            unmap(start, at - start);
            unmap(at + bytes, start + wide - (at + bytes));
            at
        };
        // mmap never returns the zero page to a process that did not ask for it.
        NonNull::new(at as *mut u8).ok_or(OsError {
            operation: "reserve",
            address: 0,
            bytes,
            errno: libc::ENOMEM,
        })
    }

    fn address_space(&self) -> usize {
        // The tables beside the heap are as long as all of it could need, and the kernel counts them as data
        // before they are touched.
        let limits = [libc::RLIMIT_AS, libc::RLIMIT_DATA].map(|of| limit(of).unwrap_or(usize::MAX));
        limits[0].min(limits[1])
    }

    fn commit_limit(&self) -> usize {
        let mut text = [0; 2];
        let strict = shared::read(c"/proc/sys/vm/overcommit_memory", &mut text) == Some(b"2\n");
        let limit = strict.then(promised).flatten();
        limit.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX))
    }

    unsafe fn unreserve(&self, at: NonNull<u8>, bytes: usize) {
        unmap(at.as_ptr() as usize, bytes);
    }

    unsafe fn commit(&self, at: NonNull<u8>, bytes: usize) -> Result<(), OsError> {
        // SAFETY: the caller says that the range lies in a reservation of ours.
        let r = unsafe {
            libc::mprotect(
                at.as_ptr().cast(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
            )
        };
        if r != 0 {
            return Err(refused("mprotect", at.as_ptr() as usize, bytes));
        }
        name(at, bytes, c"goheap: heap");
        Ok(())
    }

    unsafe fn release(&self, ranges: &[Range], advice: Advice) -> Result<(), (usize, OsError)> {
        // SAFETY: the caller's contract.
        unsafe { release::release(ranges, advice) }
    }

    unsafe fn no_huge_pages(&self, at: NonNull<u8>, bytes: usize) {
        // SAFETY: advice on a committed range; contents are not touched.
        unsafe { libc::madvise(at.as_ptr().cast(), bytes, libc::MADV_NOHUGEPAGE) };
    }

    fn map(&self, bytes: usize) -> Result<NonNull<u8>, OsError> {
        let mut map = memmap2::MmapOptions::new()
            .len(bytes)
            .no_reserve_swap()
            .map_anon()
            .map_err(|e| OsError {
                operation: "mmap",
                address: 0,
                bytes,
                errno: e.raw_os_error().unwrap_or(libc::ENOMEM),
            })?;
        let at = NonNull::new(map.as_mut_ptr()).ok_or(OsError {
            operation: "mmap",
            address: 0,
            bytes,
            errno: libc::ENOMEM,
        })?;
        core::mem::forget(map);
        // As Go does with its metadata (`mpagealloc.go`): of a table as long as all the heap could need, a byte touched
        // would be two megabytes in memory.
        // SAFETY: just mapped.
        unsafe { self.no_huge_pages(at, bytes) };
        name(at, bytes, c"goheap: metadata");
        Ok(at)
    }

    fn physical_page(&self) -> usize {
        // SAFETY: a query without side effects.
        let n = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        usize::try_from(n).unwrap_or(4096)
    }

    fn huge_page(&self) -> usize {
        let path = c"/sys/kernel/mm/transparent_hugepage/hpage_pmd_size";
        let mut text = [0u8; 20];
        let digits = shared::read(path, &mut text).unwrap_or(&[]);
        digits
            .iter()
            .take_while(|c| c.is_ascii_digit())
            .fold(0usize, |v, c| {
                v.saturating_mul(10).saturating_add(usize::from(c - b'0'))
            })
    }
}

/// A word that threads can sleep on.
#[derive(Debug, Default)]
pub struct Futex(pub AtomicU32);

impl Futex {
    /// How often to look before sleeping, some three microseconds: what is done under a lock takes one at the most,
    /// a sleep and a wake-up ten.
    pub const LOOKS: u32 = 100;

    /// A futex holding `value`.
    pub const fn new(value: u32) -> Self {
        Self(AtomicU32::new(value))
    }

    /// Sleeps while the word holds `value`, at the most `timeout`. May return early for no reason.
    pub fn wait(&self, value: u32, timeout: Option<Duration>) {
        futex_wait(&self.0, value, timeout, libc::FUTEX_PRIVATE_FLAG);
    }

    /// Wakes up to `count` sleepers.
    pub fn wake(&self, count: i32) {
        futex_wake(&self.0, count, libc::FUTEX_PRIVATE_FLAG);
    }
}

/// Sleeps while `word` holds `value`; `private` says whether only this process uses the word.
pub(super) fn futex_wait(word: &AtomicU32, value: u32, timeout: Option<Duration>, private: i32) {
    let t = timeout.map(|t| libc::timespec {
        tv_sec: t.as_secs() as libc::time_t,
        tv_nsec: t.subsec_nanos() as libc::c_long,
    });
    let t: *const libc::timespec = t.as_ref().map_or(core::ptr::null(), |t| t);
    let saved = errno();
    // SAFETY: the word and the time outlive the call.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT | private,
            value,
            t,
        );
        *libc::__errno_location() = saved;
    }
}

/// Wakes up to `count` who sleep on `word`.
pub(super) fn futex_wake(word: &AtomicU32, count: i32, private: i32) {
    let saved = errno();
    // SAFETY: the kernel only uses the word's address.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE | private,
            count,
        );
        *libc::__errno_location() = saved;
    }
}

fn clock(id: libc::clockid_t) -> u64 {
    let mut t = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes one timespec.
    unsafe { libc::clock_gettime(id, &mut t) };
    (t.tv_sec as u64)
        .wrapping_mul(1_000_000_000)
        .wrapping_add(t.tv_nsec as u64)
}

/// Nanoseconds of a clock that never goes back.
pub fn monotonic_ns() -> u64 {
    clock(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds of processor time that the process has used.
pub fn process_cpu_ns() -> u64 {
    clock(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// Nanoseconds of processor time that the calling thread has used.
pub fn thread_cpu_ns() -> u64 {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Nanoseconds since the epoch of 1970.
pub fn wall_clock_ns() -> u64 {
    clock(libc::CLOCK_REALTIME)
}

/// Lets another thread run.
pub fn yield_now() {
    // SAFETY: no arguments, no memory.
    unsafe { libc::sched_yield() };
}

/// Writes to standard error in one call, without allocating or locking.
pub fn stderr_line(text: &[u8]) {
    // SAFETY: the buffer is as long as said.
    unsafe { libc::syscall(libc::SYS_write, 2, text.as_ptr(), text.len()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_says_what_it_promises() {
        let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        if !info.contains("CommitLimit:") {
            println!("skipped: this system does not say it");
            return;
        }
        assert!(promised().is_some_and(|bytes| bytes > 1 << 20));
    }

    /// Where the system gives each process huge pages, a byte touched in a table is still a small page.
    #[test]
    fn metadata_is_kept_out_of_huge_pages() {
        let huge = Linux.huge_page();
        if huge == 0 {
            println!("skipped: this kernel has no transparent huge pages");
            return;
        }
        let at = Linux.map(4 * huge).expect("there is address space");
        let middle = at.as_ptr().addr() + 2 * huge;
        let smaps = std::fs::read_to_string("/proc/self/smaps").expect("/proc/self/smaps");
        let bounds = |line: &str| {
            let (from, to) = line.split(' ').next()?.split_once('-')?;
            let number = |text| usize::from_str_radix(text, 16).ok();
            Some(number(from)?..number(to)?)
        };
        let flags = smaps
            .lines()
            .skip_while(|line| !bounds(line).is_some_and(|of| of.contains(&middle)))
            .find_map(|line| line.strip_prefix("VmFlags:"))
            .expect("the mapping is listed");
        assert!(flags.split(' ').any(|flag| flag == "nh"), "{flags}");
    }
}
