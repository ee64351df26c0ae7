//! Making the ring: where the recording process says, in a file that it finds there.
//!
//! `GOHEAP_RECORD` is `main:DIR` or `all:DIR`. With `main`, the process that comes first has its number
//! put into a link in DIR, and only that process makes a ring, after each `exec` a new one. With `all`,
//! every process does. A ring's file is complete when it has its name, PID.N. As long as there is a
//! reader, it holds a lock on DIR/lock.
//!
//! The environment is read from /proc: libc's is not there yet when the loader first allocates. A
//! program may write over it later, so what was found is kept for its children.

use core::ffi::CStr;
use core::fmt::{self, Write};
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU8, AtomicU32};
use core::time::Duration;

use goheap_ring::{BYTES, Ring};
use libc::{
    LOCK_EX, LOCK_NB, MADV_DONTFORK, MADV_WIPEONFORK, MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE,
    MAP_SHARED, O_CLOEXEC, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, PROT_READ, PROT_WRITE, c_int,
};

const NAME: &[u8] = b"GOHEAP_RECORD=";
const LONGEST: usize = 512;

/// The variable's value, as it was at this program's start, ended by a 0. `Release` on the length
/// publishes it.
static VALUE: [AtomicU8; LONGEST] = [const { AtomicU8::new(0) }; LONGEST];
/// 0 before it was looked for, 1 if there is none, else its length and 2.
static LENGTH: AtomicU32 = AtomicU32::new(0);

/// A ring in a file of its own, if this process is to have one.
pub fn ring() -> Option<NonNull<Ring>> {
    let mut value = [0; LONGEST];
    let value = value_in(&mut value)?;
    let (who, folder) = value.split_once(':')?;
    let pid = pid();
    if who == "main" && !is_main(folder, pid)? {
        return None;
    }
    let mut hidden = Path::new();
    write!(hidden, "{folder}/.{pid}").ok()?;
    // SAFETY: a path that ends with 0; so are all below.
    unsafe { libc::unlink(hidden.text()) };
    let file = File::open(&hidden, O_RDWR | O_CREAT | O_EXCL)?;
    let ring = mapped(&file)?;
    // Exactly when, since a process's rings are told apart by it: one program may follow another within a tick.
    // SAFETY: mapped with that size, zero, and atomic in all its parts.
    unsafe { ring.as_ref() }.begin(pid, clock(libc::CLOCK_MONOTONIC));
    for number in 0..u32::MAX {
        let mut name = Path::new();
        write!(name, "{folder}/{pid}.{number}").ok()?;
        // SAFETY: as above.
        if unsafe { libc::link(hidden.text(), name.text()) } == 0 {
            break;
        }
        if errno() != libc::EEXIST {
            return None;
        }
    }
    // SAFETY: as above.
    unsafe { libc::unlink(hidden.text()) };
    Some(ring)
}

/// Whether somebody reads the rings: the lock cannot be had.
pub fn is_read() -> bool {
    let Some(file) = lock_file() else {
        return false;
    };
    // SAFETY: an open file. Closing it unlocks it.
    unsafe { libc::flock(file.0, LOCK_EX | LOCK_NB) != 0 }
}

fn lock_file() -> Option<File> {
    let mut value = [0; LONGEST];
    let (_, folder) = value_in(&mut value)?.split_once(':')?;
    let mut path = Path::new();
    write!(path, "{folder}/lock").ok()?;
    File::open(&path, O_RDONLY)
}

/// Whether this is the process that came first. None if that cannot be told.
fn is_main(folder: &str, pid: u32) -> Option<bool> {
    let (mut path, mut own) = (Path::new(), Path::new());
    write!(path, "{folder}/main").ok()?;
    write!(own, "{pid}").ok()?;
    // SAFETY: two paths.
    if unsafe { libc::symlink(own.text(), path.text()) } == 0 {
        return Some(true);
    }
    let mut first = [0_u8; 16];
    // SAFETY: a path, and room for that many bytes.
    let read = unsafe { libc::readlink(path.text(), first.as_mut_ptr().cast(), first.len()) };
    let first = first.get(..usize::try_from(read).ok()?)?;
    Some(first == own.bytes())
}

/// Room for the ring in the file. All of it is taken now: a full disk would be a fault at a write.
fn mapped(file: &File) -> Option<NonNull<Ring>> {
    // SAFETY: an open file.
    if unsafe { libc::fallocate(file.0, 0, 0, BYTES as i64) } != 0 {
        return None;
    }
    let ring = map(BYTES, MAP_SHARED, file.0)?;
    // SAFETY: the mapping just made. A forked child has no business with it.
    unsafe { libc::madvise(ring.as_ptr().cast(), BYTES, MADV_DONTFORK) };
    Some(ring.cast())
}

/// Zeroed memory that is zero again in forked children.
pub fn wiped_on_fork(bytes: usize) -> Option<NonNull<u8>> {
    let page = map(bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1)?;
    // SAFETY: the mapping just made.
    let done = unsafe { libc::madvise(page.as_ptr().cast(), bytes, MADV_WIPEONFORK) } == 0;
    done.then_some(page)
}

fn map(bytes: usize, flags: c_int, file: c_int) -> Option<NonNull<u8>> {
    let access = PROT_READ | PROT_WRITE;
    // SAFETY: asks for new memory, nowhere in particular.
    let at = unsafe { libc::mmap(null_mut(), bytes, access, flags, file, 0) };
    NonNull::new(at.cast()).filter(|_| at != MAP_FAILED)
}

/// The variable's value, copied there.
fn value_in(buffer: &mut [u8; LONGEST]) -> Option<&str> {
    if LENGTH.load(Relaxed) == 0 {
        let length = look_for_value().map_or(1, |length| length as u32 + 2);
        LENGTH.store(length, Release);
    }
    // Acquire: pairs with Release above.
    let length = LENGTH.load(Acquire).checked_sub(2)? as usize;
    for (to, from) in buffer.iter_mut().zip(&VALUE) {
        *to = from.load(Relaxed);
    }
    str::from_utf8(buffer.get(..length)?).ok()
}

/// Finds the value in the environment, and its length.
fn look_for_value() -> Option<usize> {
    let file = File::open(&Path::from(c"/proc/self/environ"), O_RDONLY)?;
    let mut chunk = [0_u8; 4096];
    // How much of the entry at hand has been seen; all of it was as wanted while `matches`.
    let (mut seen, mut matches) = (0, true);
    loop {
        // SAFETY: an open file, and room for that many bytes.
        let read = unsafe { libc::read(file.0, chunk.as_mut_ptr().cast(), chunk.len()) };
        let read = chunk.get(..usize::try_from(read).ok()?)?;
        if read.is_empty() {
            return None;
        }
        for &byte in read {
            if byte == 0 {
                if matches && seen > NAME.len() {
                    return Some(seen - NAME.len());
                }
                (seen, matches) = (0, true);
                continue;
            }
            matches &= match NAME.get(seen) {
                Some(&wanted) => byte == wanted,
                None => seen < NAME.len() + LONGEST,
            };
            if matches && seen >= NAME.len() {
                VALUE[seen - NAME.len()].store(byte, Relaxed);
            }
            seen += 1;
        }
    }
}

/// The process's number.
pub fn pid() -> u32 {
    // SAFETY: takes nothing, returns a number.
    unsafe { libc::getpid() }.unsigned_abs()
}

/// The monotonic clock as of the kernel's last tick, in nanoseconds: up to 10 ms behind. No system call where the
/// kernel's own library has it; the exact time costs several times as much, which was most of what noting an event took.
#[inline]
pub fn nanos() -> u64 {
    clock(libc::CLOCK_MONOTONIC_COARSE)
}

#[inline]
fn clock(which: libc::clockid_t) -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: room for a time.
    unsafe { libc::clock_gettime(which, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Sleeps about that long.
pub fn nap(time: Duration) {
    let time = libc::timespec {
        tv_sec: 0,
        tv_nsec: time.subsec_nanos().into(),
    };
    // SAFETY: a time, and no wish to know what is left of it.
    unsafe { libc::nanosleep(&time, null_mut()) };
}

fn errno() -> c_int {
    // SAFETY: the thread's own word.
    unsafe { *libc::__errno_location() }
}

/// Puts errno back as it was.
pub struct Errno(c_int);

impl Errno {
    /// As it is now.
    pub fn kept() -> Self {
        Self(errno())
    }
}

impl Drop for Errno {
    fn drop(&mut self) {
        // SAFETY: the thread's own word.
        unsafe { *libc::__errno_location() = self.0 };
    }
}

/// An open file, until it is dropped.
struct File(c_int);

impl File {
    fn open(path: &Path, flags: c_int) -> Option<Self> {
        // SAFETY: a path.
        let file = unsafe { libc::open(path.text(), flags | O_CLOEXEC, 0o600) };
        (file >= 0).then_some(Self(file))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: opened by `open`, and nobody else's.
        unsafe { libc::close(self.0) };
    }
}

/// A path that is put together without allocating. The last byte stays 0.
struct Path {
    text: [u8; LONGEST + 32],
    len: usize,
}

impl Path {
    fn new() -> Self {
        Self {
            text: [0; LONGEST + 32],
            len: 0,
        }
    }

    fn text(&self) -> *const libc::c_char {
        self.text.as_ptr().cast()
    }

    fn bytes(&self) -> &[u8] {
        &self.text[..self.len]
    }
}

impl From<&CStr> for Path {
    fn from(text: &CStr) -> Self {
        let mut path = Self::new();
        let bytes = text.to_bytes();
        path.text[..bytes.len()].copy_from_slice(bytes);
        path.len = bytes.len();
        path
    }
}

impl Write for Path {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        if end >= self.text.len() {
            return Err(fmt::Error);
        }
        self.text[self.len..end].copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}
