//! A file in memory that two processes see, and words in it to sleep on.
//!
//! Called inside somebody's allocation: by bare system calls, since libc's functions for files are
//! points at which a thread may be cancelled, and the program or another preloaded library may have put its own in their
//! place; and without leaving a descriptor open.

use super::linux::{errno, futex_wait, futex_wake, limit};
use super::process::process_id;
use core::ffi::{CStr, c_int, c_long};
use core::ops::ControlFlow;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::AtomicU32;
use core::time::Duration;

/// The calling process, as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessId {
    /// The inode of its PID namespace.
    pub namespace: u64,
    /// Its number there.
    pub pid: u32,
    /// When it started, in ticks since the kernel did.
    pub started: u64,
}

impl ProcessId {
    /// Asks the kernel. `None` where there is no `/proc`.
    // What it reads lies on the stack no longer than it must: see `publish.rs`.
    #[inline(never)]
    pub fn own() -> Option<Self> {
        let namespace = status(libc::AT_FDCWD.into(), c"/proc/self/ns/pid")?.st_ino;
        let mut text = [0; 1024];
        let text = read(c"/proc/self/stat", &mut text)?;
        // The second field, the name, may hold spaces and parentheses; the 22nd is sought.
        let name_ends = text.iter().rposition(|&c| c == b')')?;
        let started = text[name_ends..].split(|&c| c == b' ').nth(20)?;
        Some(Self {
            namespace,
            pid: process_id(),
            started: number(started)?,
        })
    }
}

/// What of the calling process is in memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resident {
    /// Now. The kernel counts lazily per processor, so it may be behind by some dozens of pages.
    pub now: u64,
    /// At most, since the process runs this program.
    pub peak: u64,
}

impl Resident {
    /// Asks the kernel. Zero where there is no `/proc`.
    pub fn own() -> Self {
        let mut text = [0; 4096];
        let text = read(c"/proc/self/status", &mut text).unwrap_or(&[]);
        Self {
            now: kib_field(text, b"VmRSS:").unwrap_or(0),
            peak: kib_field(text, b"VmHWM:").unwrap_or(0),
        }
    }
}

/// The bytes that a file of the kernel's states in KiB behind `name`.
pub(super) fn kib_field(text: &[u8], name: &[u8]) -> Option<u64> {
    let line = text
        .split(|&c| c == b'\n')
        .find_map(|l| l.strip_prefix(name))?;
    let kib = line
        .split(|c| !c.is_ascii_digit())
        .find(|n| !n.is_empty())?;
    number(kib)?.checked_mul(1024)
}

pub(super) fn number(text: &[u8]) -> Option<u64> {
    core::str::from_utf8(text).ok()?.parse().ok()
}

/// What a short file holds, as far as it fits.
pub(super) fn read<'a>(path: &CStr, into: &'a mut [u8]) -> Option<&'a [u8]> {
    let file = open(path, libc::O_RDONLY)?;
    // SAFETY: the buffer is as long as said; the descriptor is this function's.
    let n = unsafe {
        let n = libc::syscall(libc::SYS_read, file, into.as_mut_ptr(), into.len());
        libc::syscall(libc::SYS_close, file);
        n
    };
    into.get(..usize::try_from(n).ok()?)
}

/// Calls `with` for each byte of a file, one after the other; for none if it cannot be opened.
pub(super) fn for_each_byte(path: &CStr, mut with: impl FnMut(u8)) {
    for_each_piece(path, |piece| {
        piece.iter().copied().for_each(&mut with);
        ControlFlow::Continue(())
    });
}

/// Calls `with` for one piece of a file after the other, cut anywhere, until it breaks; for none if it cannot be opened.
pub(super) fn for_each_piece(path: &CStr, mut with: impl FnMut(&[u8]) -> ControlFlow<()>) {
    let Some(file) = open(path, libc::O_RDONLY) else {
        return;
    };
    let mut some = [0u8; 1024];
    loop {
        // SAFETY: the buffer is as long as said; the descriptor is this function's.
        let n = unsafe { libc::syscall(libc::SYS_read, file, some.as_mut_ptr(), some.len()) };
        let Ok(n @ 1..) = usize::try_from(n) else {
            break;
        };
        if with(&some[..n]).is_break() {
            break;
        }
    }
    // SAFETY: the descriptor is this function's.
    unsafe { libc::syscall(libc::SYS_close, file) };
}

/// What the kernel says of the file at `path`, or of the open one if that is empty. Not by `statx`, which older kernels and some
/// containers refuse; on 64-bit systems libc's structure is the kernel's.
#[inline(never)]
fn status(file: c_long, path: &CStr) -> Option<libc::stat> {
    // SAFETY: the path ends in NUL; plain bits, written by the kernel.
    unsafe {
        let mut status: libc::stat = core::mem::zeroed();
        let refused = libc::syscall(
            libc::SYS_newfstatat,
            file,
            path.as_ptr(),
            &raw mut status,
            libc::AT_EMPTY_PATH,
        );
        (refused == 0).then_some(status)
    }
}

fn is_of_type(status: &libc::stat, kind: libc::mode_t) -> bool {
    status.st_mode & libc::S_IFMT == kind
}

fn open(path: &CStr, flags: c_int) -> Option<c_long> {
    // SAFETY: the path ends in NUL.
    let file = unsafe {
        libc::syscall(
            libc::SYS_openat,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags | libc::O_CLOEXEC,
            0o600,
        )
    };
    (file >= 0).then_some(file)
}

/// Maps the file at `path`, which both processes write to: a new one of zeroes, readable by its owner
/// alone, or one that is there already if it is so long and of this user, and nobody else may
/// open it. `None` if the system refuses, or limits files to less.
pub fn share(path: &CStr, bytes: usize) -> Option<NonNull<u8>> {
    // Beyond its limit on a file's length a process gets a signal, which would end it.
    if limit(libc::RLIMIT_FSIZE)? < bytes {
        return None;
    }
    let flags = libc::O_RDWR | libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let new = open(path, flags | libc::O_CREAT | libc::O_EXCL);
    let file = new.or_else(|| open(path, flags))?;
    // SAFETY: the descriptor is this function's, and a file's.
    let usable = unsafe {
        match new {
            Some(_) => fill(file, bytes),
            None => is_own(file, bytes),
        }
    };
    // SAFETY: a fresh mapping, which replaces none.
    let at = unsafe {
        let at = if usable {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(
                null_mut(),
                bytes,
                access,
                libc::MAP_SHARED,
                file as c_int,
                0,
            )
        } else {
            libc::MAP_FAILED
        };
        libc::syscall(libc::SYS_close, file);
        at
    };
    if at == libc::MAP_FAILED {
        if new.is_some() {
            unlink(path);
        }
        return None;
    }
    NonNull::new(at.cast())
}

/// Writes all of a new file, so that the memory behind it is there: who touches a page that the
/// system cannot give gets a signal.
///
/// # Safety
/// `file` is an open descriptor of the caller's.
unsafe fn fill(file: c_long, bytes: usize) -> bool {
    let zeroes = [0u8; 512];
    let mut written = 0;
    // SAFETY: the caller's contract; the buffer is as long as said.
    unsafe {
        // The program's mask may have taken bits away.
        if libc::syscall(libc::SYS_fchmod, file, 0o600) != 0 {
            return false;
        }
        while written < bytes {
            let n = zeroes.len().min(bytes - written);
            let done = libc::syscall(libc::SYS_write, file, zeroes.as_ptr(), n);
            let Ok(done @ 1..) = usize::try_from(done) else {
                return false;
            };
            written += done;
        }
    }
    true
}

/// Whether a file that somebody has made is as this process would have made it.
fn is_own(file: c_long, bytes: usize) -> bool {
    // SAFETY: takes nothing, returns a number.
    let user = unsafe { libc::syscall(libc::SYS_geteuid) };
    status(file, c"").is_some_and(|status| {
        is_of_type(&status, libc::S_IFREG)
            && status.st_mode & 0o077 == 0
            && c_long::from(status.st_uid) == user
            && usize::try_from(status.st_size).is_ok_and(|size| size >= bytes)
    })
}

/// Maps the first `bytes` of the file at `at` once more, which may be longer than it was when it was mapped there:
/// without opening it. `None` if the system refuses.
///
/// # Safety
/// `at` is what [`share`] returned. Who uses what lies beyond the file's end gets a signal.
pub unsafe fn share_again(at: NonNull<u8>, bytes: usize) -> Option<NonNull<u8>> {
    // SAFETY: of a shared mapping, 0 bytes are moved by mapping what they show at a second place.
    let again = unsafe { libc::mremap(at.as_ptr().cast(), 0, bytes, libc::MREMAP_MAYMOVE) };
    if again == libc::MAP_FAILED {
        return None;
    }
    NonNull::new(again.cast())
}

/// Unmaps what [`share`] or [`share_again`] returned.
///
/// # Safety
/// It is such a mapping, and nobody uses it.
pub unsafe fn unshare(at: NonNull<u8>, bytes: usize) {
    // SAFETY: the caller's contract.
    unsafe { libc::munmap(at.as_ptr().cast(), bytes) };
}

/// Removes a file.
pub fn unlink(path: &CStr) {
    // SAFETY: the path ends in NUL.
    unsafe { libc::syscall(libc::SYS_unlinkat, libc::AT_FDCWD, path.as_ptr(), 0) };
}

/// Writes into the pipe at `path`, all at once and without waiting; up to 4 KiB. Nothing happens if there is no such
/// pipe, or no room in it.
pub fn tell(path: &CStr, what: &[u8]) {
    // Open for reading, too: writing into a pipe that nobody reads would end the process.
    let flags = libc::O_RDWR | libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let Some(file) = open(path, flags) else {
        return;
    };
    let is_pipe = status(file, c"").is_some_and(|status| is_of_type(&status, libc::S_IFIFO));
    // SAFETY: the text is as long as said; the descriptor is this function's.
    unsafe {
        if is_pipe {
            libc::syscall(libc::SYS_write, file, what.as_ptr(), what.len());
        }
        libc::syscall(libc::SYS_close, file);
    }
}

/// Calls `with` for names in a folder, the first ones that the system gives, as many as `entries` has room for: a dozen
/// for each KiB at the least, of short names.
pub fn for_some_names(folder: &CStr, entries: &mut [u64], mut with: impl FnMut(&str)) {
    let Some(file) = open(folder, libc::O_RDONLY | libc::O_DIRECTORY) else {
        return;
    };
    // As the kernel writes them: entries of `struct linux_dirent64`.
    // SAFETY: the buffer is as long as said; the descriptor is this function's.
    let bytes = unsafe {
        let n = libc::syscall(
            libc::SYS_getdents64,
            file,
            entries.as_mut_ptr(),
            size_of_val(entries),
        );
        libc::syscall(libc::SYS_close, file);
        let n = usize::try_from(n).unwrap_or(0).min(size_of_val(entries));
        core::slice::from_raw_parts(entries.as_ptr().cast::<u8>(), n)
    };
    let mut rest = bytes;
    // The length of the entry stands at byte 16, the name from 19 to a NUL.
    while let [
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        low,
        high,
        ..,
    ] = *rest
    {
        let length = usize::from(u16::from_le_bytes([low, high]));
        let Some(entry) = rest.get(19..length) else {
            return;
        };
        if let Ok(Ok(name)) = CStr::from_bytes_until_nul(entry).map(CStr::to_str) {
            with(name);
        }
        rest = &rest[length..];
    }
}

/// Whether there is a process of that number in the caller's namespace, whosever it is.
pub fn process_exists(pid: u32) -> bool {
    let Ok(pid @ 1..) = libc::pid_t::try_from(pid) else {
        return false;
    };
    // SAFETY: signal 0 asks, and does nothing.
    unsafe { libc::syscall(libc::SYS_kill, pid, 0) == 0 || errno() != libc::ESRCH }
}

/// Sleeps while a word of a shared mapping holds `value`, at the most `timeout`.
pub fn wait_shared(word: &AtomicU32, value: u32, timeout: Option<Duration>) {
    futex_wait(word, value, timeout, 0);
}

/// Wakes all that sleep on a word of a shared mapping, in any process.
pub fn wake_shared(word: &AtomicU32) {
    futex_wake(word, i32::MAX, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_itself() {
        let own = ProcessId::own().unwrap();
        assert_eq!(own.pid, std::process::id());
        assert!(own.namespace > 0 && own.started > 0);
        assert_eq!(ProcessId::own(), Some(own));
        let resident = Resident::own();
        assert!(
            (4096..1 << 40).contains(&resident.now) && resident.now <= resident.peak + (8 << 20)
        );
        assert!(process_exists(own.pid) && !process_exists(0) && !process_exists(u32::MAX));
    }

    #[test]
    fn the_names_in_a_folder_are_told() {
        let mut names = std::vec::Vec::new();
        for_some_names(c"/proc/self/ns", &mut [0; 128], |name| {
            names.push(name.to_owned())
        });
        assert!(names.iter().any(|name| name == "pid"), "{names:?}");
        for_some_names(c"/nowhere", &mut [0; 128], |name| panic!("{name}"));
    }
}
