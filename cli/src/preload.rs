//! Where `libgoheap.so` and `libgoheap_record.so` are, and how a program is started on one of them.
//!
//! Cargo builds both whenever it builds this program, and leaves them in the `deps` folder
//! beside it; nothing is linked. An installed program has them in `../lib`.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;

/// Names the library's file. What it names goes before all usual places.
pub const VARIABLE: &str = "GOHEAP_LIBRARY";
const FILE: &str = "libgoheap.so";
const RECORDER: &str = "libgoheap_record.so";
/// Where it may be, seen from the folder of the running program.
const PLACES: [&str; 4] = ["deps", ".", "../lib", "../lib/goheap"];

/// The library: the file that `GOHEAP_LIBRARY` names, else that of the build or installation that this
/// program is of.
///
/// # Errors
/// There is none, and then the error says where it was looked for; or the loader cannot take its path.
pub fn library() -> Result<PathBuf, Error> {
    find(FILE, VARIABLE)
}

/// The library that records, in the same places. `GOHEAP_RECORD_LIBRARY` may name it.
///
/// # Errors
/// As [`library`].
pub fn recorder() -> Result<PathBuf, Error> {
    find(RECORDER, "GOHEAP_RECORD_LIBRARY")
}

/// Whether a library of this name is one of these two.
pub(crate) fn is_ours(file: &OsStr) -> bool {
    file == FILE || file == RECORDER
}

/// Where distributions have their libraries; the first also with this machine's name in it.
const FOLDERS: [&str; 5] = [
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/local/lib64",
    "/lib",
];

/// A library that a distribution has, by the file's name.
pub(crate) fn of_the_system(file: impl AsRef<Path>) -> Option<PathBuf> {
    let machine = format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH);
    let folders = std::iter::once(machine.as_str()).chain(FOLDERS);
    folders
        .map(|folder| Path::new(folder).join(&file))
        .find(|path| path.is_file())
}

fn find(file: &'static str, variable: &'static str) -> Result<PathBuf, Error> {
    let missing = |places| Error::NoLibrary {
        file,
        variable,
        places,
    };
    let nameable = |path: PathBuf| {
        let bytes = path.as_os_str().as_encoded_bytes();
        match bytes.iter().any(|byte| b" :".contains(byte)) {
            true => Err(Error::LibraryName { path, variable }),
            false => Ok(path),
        }
    };
    if let Some(named) = std::env::var_os(variable).filter(|named| !named.is_empty()) {
        let named = PathBuf::from(named);
        return absolute(&named)
            .ok_or(missing(vec![named]))
            .and_then(nameable);
    }
    let program =
        std::env::current_exe().map_err(Error::system("find out where this program is"))?;
    let folder = program.parent().unwrap_or(Path::new("."));
    let places = PLACES.map(|place| folder.join(place).join(file));
    let found = places.iter().find_map(|place| absolute(place));
    found
        .ok_or_else(|| missing(places.to_vec()))
        .and_then(nameable)
}

/// The loader takes what has no slash for a library's name, and relative paths from where it is then.
fn absolute(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok().filter(|path| path.is_file())
}

/// A command that runs `program` on the library. What `LD_PRELOAD` holds already stays, behind it.
///
/// # Errors
/// As [`library`].
pub fn command<S: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = S>,
) -> Result<Command, Error> {
    Ok(command_on(&library()?, program, arguments))
}

/// The same on any library.
pub fn command_on<S: AsRef<OsStr>>(
    library: &Path,
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = S>,
) -> Command {
    let mut preload = OsString::from(library);
    if let Some(others) = std::env::var_os("LD_PRELOAD").filter(|others| !others.is_empty()) {
        preload.push(":");
        preload.push(others);
    }
    let mut command = Command::new(program);
    command.args(arguments).env("LD_PRELOAD", preload);
    command
}
