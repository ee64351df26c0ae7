//! Programs that run on goheap, found by the pages that they show themselves in
//! ([`goheap_stats::shared_page`]).
//!
//! A page outlives its program if that was killed, or became another program by `exec`. Whoever
//! lists the pages takes away what is left; a page is never taken for that of another
//! process which got the same PID.

mod page;
mod process;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use goheap_stats::shared_page::{FOLDER, Identity, Life};

pub use page::Page;
pub use process::{Facts, environment, facts, namespace, proc_folder};

use crate::Error;

/// A running program whose page is open.
pub struct Program {
    /// What `/proc` says of it.
    pub facts: Facts,
    /// Its page.
    pub page: Page,
}

/// The program of that process.
///
/// # Errors
/// It is gone, another user's, not on goheap, or of another version.
pub fn open(pid: u32) -> Result<Program, Error> {
    let refuse = |reason: String| Error::Process { pid, reason };
    let facts = facts(pid).ok_or_else(|| refuse("does not run".into()))?;
    process::allowed(&facts).map_err(refuse)?;
    let identity = identity(&facts);
    let (path, _) = pages()
        .find(|(_, found)| *found == identity)
        .ok_or_else(|| refuse(not_on_goheap(&facts)))?;
    let page = Page::open(&path, identity).map_err(refuse)?;
    if left_behind(&facts, &page, &path) {
        return Err(refuse(not_on_goheap(&facts)));
    }
    Ok(Program { facts, page })
}

/// The page that was prepared for a child of this process, which may have ended already.
pub fn of_child(pid: u32) -> Option<Page> {
    let facts = process::facts_of_child(pid)?;
    Page::open(&path(&facts), identity(&facts)).ok()
}

/// All programs that this user may look at, by PID. Removes the pages of those that are gone.
pub fn list() -> Vec<Program> {
    let mut programs = Vec::new();
    let namespace = process::namespace();
    for (path, identity) in pages() {
        // Of other namespaces nothing is known.
        if namespace != Some(identity.namespace) {
            continue;
        }
        let alive = facts(identity.pid).filter(|facts| facts.started == identity.started);
        match alive {
            None => remove(&path),
            Some(facts) if process::allowed(&facts).is_ok() => {
                if let Ok(page) = Page::open(&path, identity) {
                    match left_behind(&facts, &page, &path) {
                        false => programs.push(Program { facts, page }),
                        // Kept for who started the program, it may be taken over yet.
                        true if page.is_kept() => {}
                        true => remove(&path),
                    }
                }
            }
            Some(_) => {}
        }
    }
    programs.sort_by_key(|program| program.facts.pid);
    programs
}

fn identity(facts: &Facts) -> Identity {
    Identity {
        namespace: process::namespace().unwrap_or_default(),
        pid: facts.pid,
        started: facts.started,
    }
}

fn folder() -> &'static Path {
    Path::new(OsStr::from_bytes(FOLDER.to_bytes()))
}

/// Where the page of that process is, if it has one.
fn path(facts: &Facts) -> PathBuf {
    let mut name = String::new();
    // Writing to a string cannot fail.
    let _ = identity(facts).write_name(&mut name);
    folder().join(name)
}

/// The pages there are.
fn pages() -> impl Iterator<Item = (PathBuf, Identity)> {
    let entries = fs::read_dir(folder()).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let identity = Identity::from_name(entry.file_name().to_str()?)?;
        Some((entry.path(), identity))
    })
}

/// Whether the process has become another program since it made the page.
fn left_behind(facts: &Facts, page: &Page, path: &Path) -> bool {
    page.life() != Life::Prepared && process::maps(facts.pid, path) == Some(false)
}

/// Another user's page is not this one's to remove, which the system sees to.
fn remove(path: &Path) {
    let _ = fs::remove_file(path);
}

fn not_on_goheap(facts: &Facts) -> String {
    format!(
        "({}) does not run on goheap, or shows nothing of itself (GOHEAP_PUBLISH=0)",
        facts.name
    )
}
