//! The folder in which recorded processes put their rings, and a ring found there.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::ptr::NonNull;

use goheap_ring::{BYTES, Ring};
use memmap2::{MmapOptions, MmapRaw};
use tempfile::TempDir;

use crate::Error;

/// Where a recorded program finds the folder: `main:DIR` or `all:DIR`.
pub const VARIABLE: &str = "GOHEAP_RECORD";
/// In memory, so that a ring is never written to a disk.
const MEMORY: &str = "/dev/shm";
const NAME: &str = "goheap-record-";

/// Goes when it is dropped, and with it what processes may still put there.
pub struct Folder {
    folder: TempDir,
    children: bool,
    /// Held as long as somebody reads.
    _lock: File,
}

impl Folder {
    /// A new one, for all processes or the first alone.
    pub fn new(children: bool) -> Result<Self, Error> {
        remove_abandoned();
        let doing = || "make a folder for the recording";
        let mut builder = tempfile::Builder::new();
        builder.prefix(NAME);
        let folder = builder
            .tempdir_in(MEMORY)
            .or_else(|_| builder.tempdir())
            .map_err(Error::system(doing()))?;
        // It has its name only once it is locked: who finds it unlocked before would remove the folder.
        let (unlocked, locked) = (folder.path().join("new"), folder.path().join("lock"));
        let lock = File::create_new(&unlocked).map_err(Error::system(doing()))?;
        lock.lock().map_err(Error::system(doing()))?;
        fs::rename(unlocked, locked).map_err(Error::system(doing()))?;
        Ok(Self {
            folder,
            children,
            _lock: lock,
        })
    }

    /// The variable's value.
    pub fn value(&self) -> String {
        let who = if self.children { "all" } else { "main" };
        format!("{who}:{}", self.folder.path().display())
    }

    /// The rings that have come since it was last asked, the oldest first.
    pub fn new_rings(&self) -> Result<Vec<Mapped>, Error> {
        let reading = || format!("read {}", self.folder.path().display());
        let mut rings = Vec::new();
        for entry in fs::read_dir(self.folder.path()).map_err(Error::system(reading()))? {
            let path = entry.map_err(Error::system(reading()))?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            // A ring that is complete has its process's number and a dot in its name, and no dot before.
            if name.is_some_and(|name| name.starts_with(|first: char| first.is_ascii_digit())) {
                rings.push(Mapped::new(&path).map_err(Error::system(reading()))?);
            }
        }
        rings.sort_by_key(|ring: &Mapped| ring.start());
        Ok(rings)
    }
}

/// Removes what recordings that were killed have left in memory: folders of this user whose lock
/// nobody holds. One that cannot be removed is left.
fn remove_abandoned() {
    for entry in fs::read_dir(MEMORY).into_iter().flatten().flatten() {
        let ours = entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(NAME.as_bytes());
        if ours && File::open(entry.path().join("lock")).is_ok_and(|lock| lock.try_lock().is_ok()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A process's ring. Closed when it is dropped, or a program that still runs would wait for room in it.
pub struct Mapped {
    map: MmapRaw,
    /// Tells when the process is over. None if it already was.
    process: Option<OwnedFd>,
}

impl Mapped {
    /// Maps the ring and removes its file.
    fn new(path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(path)?;
        fs::remove_file(path)?;
        if file.metadata()?.len() < BYTES as u64 {
            return Err(io::Error::other("a ring is cut off"));
        }
        let map = MmapOptions::new().len(BYTES).map_raw(&file)?;
        let mut mapped = Self { map, process: None };
        mapped.process = process(mapped.pid());
        Ok(mapped)
    }

    /// Whether the process has ended. What is in its ring then is all there will be.
    pub fn is_over(&self) -> bool {
        let Some(process) = &self.process else {
            return true;
        };
        let mut poll = libc::pollfd {
            fd: process.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one entry, which is there.
        unsafe { libc::poll(&mut poll, 1, 0) == 1 }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::ops::Deref for Mapped {
    type Target = Ring;

    fn deref(&self) -> &Ring {
        let ring = self.map.as_mut_ptr().cast::<Ring>();
        // SAFETY: mapped with a ring's size, page-aligned and as long as `self` lives; a ring is
        // atomic in all its parts, and any bytes make one.
        unsafe { NonNull::new_unchecked(ring).as_ref() }
    }
}

/// A handle on the process. None if there is no such process any more.
fn process(pid: u32) -> Option<OwnedFd> {
    // SAFETY: two numbers.
    let handle = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let handle = i32::try_from(handle).ok().filter(|&handle| handle >= 0)?;
    // SAFETY: a handle just opened, and nobody else's.
    Some(unsafe { OwnedFd::from_raw_fd(handle) })
}
