//! The process around the heap: environment, processors, threads, `fork`.

use super::Line;
use super::shared::{for_some_names, read};
use core::ffi::{CStr, c_int, c_void};
use core::fmt::Write;
use core::ptr::NonNull;

/// An environment variable's value. The environment must not be changed by another thread meanwhile.
pub fn environment(name: &CStr) -> Option<&'static [u8]> {
    // SAFETY: the name is NUL-terminated; what getenv returns is, too, and stays in the environment block.
    unsafe {
        let value = libc::getenv(name.as_ptr());
        (!value.is_null()).then(|| CStr::from_ptr(value).to_bytes())
    }
}

/// Whether the process has more rights than who started it, by a setuid bit or by capabilities: what its
/// environment says is somebody else's will (`secure_getenv`(3)).
pub fn is_privileged() -> bool {
    // SAFETY: reads one number that the kernel left at the start.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// A number that nobody can guess; where the kernel has none yet, one that differs from run to run.
pub fn random() -> u64 {
    let mut number = super::monotonic_ns() ^ u64::from(process_id()) << 32;
    // SAFETY: writes so many bytes at the most.
    unsafe {
        libc::syscall(
            libc::SYS_getrandom,
            &raw mut number,
            size_of::<u64>(),
            libc::GRND_NONBLOCK,
        )
    };
    number
}

/// This process's number. The kernel's: a library may have put a function in the place of libc's, and that may allocate.
pub fn process_id() -> u32 {
    // SAFETY: takes nothing, returns a number.
    unsafe { libc::syscall(libc::SYS_getpid) as u32 }
}

/// Whether libc is set up: before, there is no environment.
pub fn has_environment() -> bool {
    unsafe extern "C" {
        static environ: *const *const core::ffi::c_char;
    }
    // SAFETY: libc's variable, read as libc's own functions read it.
    unsafe { !environ.is_null() }
}

/// The calling thread's name, which is the program's unless somebody gave it another; what is no UTF-8 is cut off.
pub fn thread_name(buffer: &mut [u8; 16]) -> &str {
    // SAFETY: writes up to 16 bytes, the last one 0.
    unsafe { libc::prctl(libc::PR_GET_NAME, buffer.as_mut_ptr()) };
    let name = buffer.split(|&byte| byte == 0).next().unwrap_or(&[]);
    match core::str::from_utf8(name) {
        Ok(name) => name,
        Err(error) => core::str::from_utf8(&name[..error.valid_up_to()]).unwrap_or(""),
    }
}

/// Processors that the calling thread may run on; of a process that has not chosen others for its threads, that it may
/// (Go: `getCPUCount`).
pub fn processors() -> u32 {
    // A bit for each of as many as any kernel is built for. One that is built for more than there are bits refuses.
    let mut set = [0u64; 8192 / 64];
    // SAFETY: as long as said, and 0 is the calling thread.
    let refused = unsafe {
        libc::syscall(
            libc::SYS_sched_getaffinity,
            0,
            size_of_val(&set),
            set.as_mut_ptr(),
        ) < 0
    };
    if refused {
        return 1;
    }
    set.iter().map(|word| word.count_ones()).sum::<u32>().max(1)
}

/// Does something, and leaves the calling thread's errno as it was.
pub fn keeping_errno<T>(what: impl FnOnce() -> T) -> T {
    let saved = super::linux::errno();
    let done = what();
    set_errno(saved);
    done
}

/// Sets the calling thread's errno.
pub fn set_errno(value: c_int) {
    // SAFETY: __errno_location is always valid in the calling thread.
    unsafe { *libc::__errno_location() = value };
}

/// Bytes of stack for a thread that does little and is given none. Thread-local storage comes out of
/// it, too: where a program has so much of that that a thread is refused for it, the next larger one is tried.
const STACKS: [usize; 3] = [256 << 10, 8 << 20, 64 << 20];

/// Whether the calling thread is the one that the process began with.
pub fn is_main_thread() -> bool {
    // SAFETY: queries without side effects.
    unsafe { libc::syscall(libc::SYS_gettid) as u32 == process_id() }
}

/// What the names of all threads of a heap begin with. A process may have more heaps than one, each of which must
/// know the others' threads.
const OWN: &[u8] = b"goheap-";

/// Whether beside the main thread, which may have ended, there are threads of heaps and no others. `false` where the system
/// does not tell.
pub fn only_own_threads() -> bool {
    let main = process_id();
    let (mut own, mut others) = (0, 0);
    for_some_names(c"/proc/self/task", &mut [0; 1024], |name| {
        match name.parse() {
            // The main thread stays there until the process ends.
            Ok(thread) if thread == main => {}
            Ok(thread) if is_own(thread) => own += 1,
            Ok(_) => others += 1,
            // The folder itself, and the one that it is in.
            Err(_) => {}
        }
    });
    own > 0 && others == 0
}

fn is_own(thread: u32) -> bool {
    let (mut path, mut name) = (Line::new(), [0; 16]);
    // Writing to a line cannot fail: it is long enough.
    let _ = write!(path, "/proc/self/task/{thread}/comm\0");
    let path = CStr::from_bytes_until_nul(path.text());
    let name = path.ok().and_then(|path| read(path, &mut name));
    name.is_some_and(|name| name.starts_with(OWN))
}

/// Ends the process as libc does when its last thread ends: `exit(0)`, in a thread with as much stack
/// as any, and no signal blocked.
pub fn exit_as_last_thread() {
    extern "C" fn last(_: *mut c_void) -> *mut c_void {
        // SAFETY: an empty set; exit handlers are the program's business.
        unsafe {
            let mut none: libc::sigset_t = core::mem::zeroed();
            libc::sigemptyset(&mut none);
            libc::pthread_sigmask(libc::SIG_SETMASK, &none, core::ptr::null_mut());
            libc::exit(0)
        }
    }
    // SAFETY: default attributes; `last` needs no argument.
    unsafe {
        let mut thread: libc::pthread_t = core::mem::zeroed();
        if libc::pthread_create(&mut thread, core::ptr::null(), last, core::ptr::null_mut()) != 0 {
            libc::exit(0);
        }
    }
}

/// Starts a detached thread that runs `body` with all signals blocked: signals are the program's. Its name begins as
/// all [own](only_own_threads) ones'. It
/// runs on `stack` (lowest address, bytes) if that is given and large enough, else on one of `least` bytes or more.
/// `false` if the system refuses.
///
/// # Safety
/// The stack is memory that nothing else uses as long as the thread runs.
pub unsafe fn start_thread(
    name: &'static CStr,
    stack: Option<(NonNull<u8>, usize)>,
    least: usize,
    body: extern "C" fn(*mut c_void) -> *mut c_void,
) -> bool {
    debug_assert!(name.to_bytes().starts_with(OWN));
    let given = stack.map(|(lowest, bytes)| (lowest.as_ptr(), bytes));
    let made = STACKS.iter().filter(|&&bytes| bytes >= least);
    let made = made.map(|&bytes| (core::ptr::null_mut(), bytes));
    // SAFETY: plain C structures that are initialised before they are used; the stack is the caller's.
    unsafe {
        let (mut all, mut before): (libc::sigset_t, libc::sigset_t) =
            (core::mem::zeroed(), core::mem::zeroed());
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        let started = given
            .into_iter()
            .chain(made)
            .map(|stack| start(stack, body))
            .find(|refusal| *refusal != Err(libc::EINVAL));
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, core::ptr::null_mut());
        match started {
            Some(Ok(thread)) => {
                libc::pthread_setname_np(thread, name.as_ptr());
                true
            }
            _ => false,
        }
    }
}

/// Starts a thread on the stack that begins at `lowest`, or on one that the system makes if that is null.
///
/// # Safety
/// A stack that is given is the thread's to use. `body` needs no argument.
unsafe fn start(
    (lowest, bytes): (*mut u8, usize),
    body: extern "C" fn(*mut c_void) -> *mut c_void,
) -> Result<libc::pthread_t, c_int> {
    // SAFETY: a plain C structure, initialised before it is used; a thread's number is plain data;
    // the caller's contract.
    unsafe {
        let mut attributes: libc::pthread_attr_t = core::mem::zeroed();
        match libc::pthread_attr_init(&mut attributes) {
            0 => {}
            refusal => return Err(refusal),
        }
        libc::pthread_attr_setdetachstate(&mut attributes, libc::PTHREAD_CREATE_DETACHED);
        if lowest.is_null() {
            libc::pthread_attr_setstacksize(&mut attributes, bytes);
        } else {
            libc::pthread_attr_setstack(&mut attributes, lowest.cast(), bytes);
        }
        let mut thread: libc::pthread_t = core::mem::zeroed();
        let refusal = libc::pthread_create(&mut thread, &attributes, body, core::ptr::null_mut());
        libc::pthread_attr_destroy(&mut attributes);
        match refusal {
            0 => Ok(thread),
            refusal => Err(refusal),
        }
    }
}

/// A slot that each thread has, and that is handed to a function when the thread ends.
#[derive(Clone, Copy, Debug)]
pub struct ThreadKey(libc::pthread_key_t);

impl ThreadKey {
    /// A new key; `at_exit` gets a thread's value if it is not null. `None` if there are no keys left.
    pub fn new(at_exit: unsafe extern "C" fn(*mut c_void)) -> Option<Self> {
        let mut key = 0;
        // SAFETY: writes one key.
        let r = unsafe { libc::pthread_key_create(&mut key, Some(at_exit)) };
        (r == 0).then_some(Self(key))
    }

    /// Sets the calling thread's value.
    ///
    /// # Safety
    /// The key's function may be called with `value` when the thread ends.
    pub unsafe fn set(self, value: *mut c_void) {
        // SAFETY: the key was created and is never deleted; the caller answers for the value.
        unsafe { libc::pthread_setspecific(self.0, value) };
    }

    /// The key as a number, to be kept in an atomic.
    pub fn to_raw(self) -> u32 {
        self.0
    }

    /// The key from its number.
    ///
    /// # Safety
    /// `raw` came from [`ThreadKey::to_raw`].
    pub unsafe fn from_raw(raw: u32) -> Self {
        Self(raw)
    }
}

/// Gives the calling thread file descriptors of its own: what it opens, no other thread sees, no `fork` of one copies,
/// and no other's number depends on. It keeps standard error, and has none of the process's others. `false` if the
/// system does not do it: a container's filter may refuse it, and before Linux 5.9 it takes `/proc`.
pub fn own_descriptors() -> bool {
    // SAFETY: the descriptors that are closed and replaced are copies, which only this thread has; the path is
    // NUL-terminated.
    unsafe {
        let unshare = libc::CLOSE_RANGE_UNSHARE;
        let refused = libc::syscall(libc::SYS_close_range, FIRST, c_int::MAX, unshare) != 0;
        if refused && !copy_and_close_by_name() {
            return false;
        }
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        if null < 0 {
            return false;
        }
        for standard in 0..FIRST {
            // Where the process has none, what is opened next would be taken for it.
            if standard != libc::STDERR_FILENO || libc::fcntl(standard, libc::F_GETFD) < 0 {
                libc::dup2(null, standard);
            }
        }
        if null >= FIRST {
            libc::close(null);
        }
        true
    }
}

/// The first file descriptor that has no meaning of its own.
const FIRST: c_int = 3;

/// Copies the calling thread's file descriptors, as kernels before 5.9 can, and closes those from the first on by their names in
/// `/proc`; whether it could.
fn copy_and_close_by_name() -> bool {
    // SAFETY: what is closed are copies, which only this thread has.
    unsafe {
        if libc::syscall(libc::SYS_unshare, libc::CLONE_FILES) != 0 {
            return false;
        }
        let (mut seen, mut closed) = (false, true);
        while closed {
            closed = false;
            for_some_names(c"/proc/thread-self/fd", &mut [0; 128], |name| {
                seen = true;
                // The folder's own is listed, and closed already.
                closed |= name
                    .parse()
                    .is_ok_and(|n: c_int| n >= FIRST && libc::syscall(libc::SYS_close, n) == 0);
            });
        }
        seen
    }
}

/// Has these called around each `fork`: before it, and after it in both processes.
pub fn at_fork(
    before: unsafe extern "C" fn(),
    parent: unsafe extern "C" fn(),
    child: unsafe extern "C" fn(),
) {
    unsafe extern "C" {
        fn pthread_atfork(
            before: unsafe extern "C" fn(),
            parent: unsafe extern "C" fn(),
            child: unsafe extern "C" fn(),
        ) -> c_int;
    }
    // SAFETY: the functions live as long as the program.
    unsafe { pthread_atfork(before, parent, child) };
}

/// Has this called when the process ends in order. May allocate.
pub fn at_exit(what: extern "C" fn()) {
    // SAFETY: the function lives as long as the program.
    unsafe { libc::atexit(what) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::{AsRawFd, RawFd};

    fn is_open(descriptor: RawFd) -> bool {
        // SAFETY: a question.
        unsafe { libc::fcntl(descriptor, libc::F_GETFD) >= 0 }
    }

    #[test]
    fn an_older_kernel_s_thread_closes_what_only_it_has() {
        let files: Vec<_> = (0..200).map(|_| File::open("/dev/null").unwrap()).collect();
        let numbers: Vec<_> = files.iter().map(AsRawFd::as_raw_fd).collect();
        let of_thread = numbers.clone();
        std::thread::spawn(move || {
            assert!(copy_and_close_by_name());
            assert!(!of_thread.into_iter().any(is_open));
            assert!(is_open(libc::STDERR_FILENO));
        })
        .join()
        .unwrap();
        assert!(numbers.into_iter().all(is_open));
    }
}
