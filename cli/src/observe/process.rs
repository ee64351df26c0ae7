//! What `/proc` says of a process.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use procfs::FromRead;
use procfs::process::{MMapPath, Process, Status};

/// A process at one moment.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its number.
    pub pid: u32,
    /// The program's name, cut to 15 bytes by the kernel.
    pub name: String,
    /// The number of the process that started it, or of the one that took it over when that ended.
    pub parent: u32,
    /// When it started, in ticks since the machine did.
    pub started: u64,
    /// Whose it is.
    pub user: u32,
    /// Its resident set in bytes.
    pub rss: u64,
    /// The largest one since the process runs this program, in bytes.
    pub peak_rss: u64,
    /// The kernel's letter for its state: `T` is stopped, `Z` has ended.
    pub state: char,
}

/// Where `/proc` tells of a process and its memory: of its first thread or, where that has ended, of one that goes on.
pub fn proc_folder(pid: u32) -> PathBuf {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let lives = |task: &Process| task.stat().is_ok_and(|stat| stat.state != 'Z');
    if Process::new_with_root(process.clone()).is_ok_and(|first| lives(&first)) {
        return process;
    }
    let threads = fs::read_dir(process.join("task")).into_iter().flatten();
    let paths = threads.flatten().map(|thread| thread.path());
    let mut living =
        paths.filter(|path| Process::new_with_root(path.clone()).is_ok_and(|task| lives(&task)));
    living.next().unwrap_or(process)
}

/// What is known of a process; `None` if none of this number runs.
pub fn facts(pid: u32) -> Option<Facts> {
    facts_of_child(pid).filter(|facts| facts.state != 'Z')
}

/// The same of a child of this process, which has its number until it is waited for, also if it has ended.
pub fn facts_of_child(pid: u32) -> Option<Facts> {
    let first = Process::new(i32::try_from(pid).ok()?).ok()?.stat().ok()?;
    let folder = proc_folder(pid);
    let stat = Process::new_with_root(folder.clone()).ok()?.stat().ok()?;
    // The name stands in it as it is, and procfs takes nothing but UTF-8.
    let status = fs::read(folder.join("status")).ok()?;
    let status = Status::from_read(String::from_utf8_lossy(&status).as_bytes()).ok()?;
    Some(Facts {
        pid,
        // It may have been chosen so that it does something to the terminal of who looks.
        name: first.comm.replace(char::is_control, "?"),
        parent: u32::try_from(first.ppid).unwrap_or(0),
        started: first.starttime,
        user: status.euid,
        rss: stat.rss.saturating_mul(procfs::page_size()),
        peak_rss: status.vmhwm.unwrap_or(0).saturating_mul(1024),
        state: stat.state,
    })
}

/// The inode of the PID namespace that this program is in.
pub fn namespace() -> Option<u64> {
    Some(fs::metadata("/proc/self/ns/pid").ok()?.ino())
}

/// Whether this program's user may look at that process: it is the same user, or root.
pub fn allowed(facts: &Facts) -> Result<(), String> {
    // SAFETY: no arguments, no memory.
    let own = unsafe { libc::geteuid() };
    if own == 0 || own == facts.user {
        return Ok(());
    }
    Err(format!(
        "({}) belongs to another user (uid {}): only that user and root may look at it",
        facts.name, facts.user
    ))
}

/// Whether the process has that file mapped; `None` if the system does not say.
pub fn maps(pid: u32, file: &Path) -> Option<bool> {
    let maps = Process::new_with_root(proc_folder(pid)).ok()?.maps().ok()?;
    let mut paths = maps.iter().map(|map| &map.pathname);
    Some(paths.any(|mapped| matches!(mapped, MMapPath::Path(path) if path == file)))
}

/// The environment that the process was started with.
pub fn environment(pid: u32) -> Option<Vec<u8>> {
    fs::read(proc_folder(pid).join("environ")).ok()
}
