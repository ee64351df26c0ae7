//! Pages that nobody may touch, and who is told when somebody does.

use super::linux::errno;
use core::cell::UnsafeCell;
use core::ffi::{CStr, c_int, c_void};
use core::mem::MaybeUninit;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

/// Address space of so many bytes, which nobody may touch; `None` if the system refuses.
pub fn reserve_guarded(bytes: usize) -> Option<usize> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping, placed by the kernel; naming it changes nothing but its name.
    unsafe {
        let at = libc::mmap(core::ptr::null_mut(), bytes, libc::PROT_NONE, flags, -1, 0);
        if at == libc::MAP_FAILED {
            return None;
        }
        libc::prctl(
            libc::PR_SET_VMA,
            libc::PR_SET_VMA_ANON_NAME,
            at,
            bytes,
            c"goheap: guarded".as_ptr(),
        );
        Some(at.expose_provenance())
    }
}

/// Lets pages be used, which read as zero; `false` if the system refuses.
///
/// # Safety
/// They lie in what [`reserve_guarded`] returned.
pub unsafe fn open_guarded(at: usize, bytes: usize) -> bool {
    let both = libc::PROT_READ | libc::PROT_WRITE;
    let at = core::ptr::with_exposed_provenance_mut(at);
    // SAFETY: the caller's contract.
    unsafe { libc::mprotect(at, bytes, both) == 0 }
}

/// Lets nobody touch pages any more, and hands back what backs them.
///
/// # Safety
/// As for [`open_guarded`], and nobody wants their contents.
pub unsafe fn close_guarded(at: usize, bytes: usize) {
    let at = core::ptr::with_exposed_provenance_mut(at);
    // SAFETY: the caller's contract.
    unsafe {
        libc::mprotect(at, bytes, libc::PROT_NONE);
        libc::madvise(at, bytes, libc::MADV_DONTNEED);
    }
}

/// Who is told.
static TOLD: AtomicUsize = AtomicUsize::new(0);
/// What the program had in that place; written once, before it can be read.
static BEFORE: Before = Before(UnsafeCell::new(MaybeUninit::uninit()));

struct Before(UnsafeCell<MaybeUninit<libc::sigaction>>);

// SAFETY: written before the handler that reads it is in place.
unsafe impl Sync for Before {}

extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    let saved = errno();
    let told = TOLD.load(Relaxed);
    // SAFETY: the kernel's own structure; what `tell_of_faults` has stored, before this could be called. Once
    // what was before is back in place, the fault happens again, and takes its way.
    unsafe {
        let told: fn(usize) = core::mem::transmute(told);
        told((*info).si_addr().addr());
        libc::sigaction(signal, BEFORE.0.get().cast(), core::ptr::null_mut());
        *libc::__errno_location() = saved;
    }
}

/// From now on `told` is called, in the thread and in the moment, with the address of a fault. Afterwards what the
/// program had for that is back in place, and sees the same fault.
///
/// # Safety
/// It is called once in a process.
pub unsafe fn tell_of_faults(told: fn(usize)) {
    TOLD.store(told as usize, Relaxed);
    // SAFETY: plain C structures; nobody reads what was before yet; the handler is async-signal-safe.
    unsafe {
        libc::sigaction(libc::SIGSEGV, core::ptr::null(), BEFORE.0.get().cast());
        let mut action: libc::sigaction = core::mem::zeroed();
        let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = on_fault;
        action.sa_sigaction = handler as libc::sighandler_t;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigaction(libc::SIGSEGV, &action, core::ptr::null_mut());
    }
}

/// The calling thread's number.
pub fn thread_id() -> u32 {
    // SAFETY: a query without side effects.
    unsafe { libc::syscall(libc::SYS_gettid) as u32 }
}

/// The file that code at `address` is from, and the address there.
pub fn module_of(address: usize) -> Option<(&'static CStr, usize)> {
    // SAFETY: writes one structure; a loaded file's name lives as long as the file is loaded.
    unsafe {
        let mut info: libc::Dl_info = core::mem::zeroed();
        let at = core::ptr::without_provenance(address);
        if libc::dladdr(at, &mut info) == 0 || info.dli_fname.is_null() {
            return None;
        }
        let name = CStr::from_ptr(info.dli_fname);
        Some((name, address - info.dli_fbase.addr()))
    }
}
