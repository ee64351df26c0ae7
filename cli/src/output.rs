//! What this program prints and leaves, as far as its subcommands have it in common.

use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use crate::Error;

/// Prints something and a line's end on stdout.
pub fn print(text: impl Display) -> Result<(), Error> {
    writeln!(io::stdout().lock(), "{text}").map_err(Error::unwritten)
}

/// Makes a folder for what is written, and those above it, unless it is there.
pub fn make_folder(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(Error::system(format!("make the folder {}", path.display())))
}

/// JSON as people read it.
pub fn json(value: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string_pretty(value)
        .map_err(io::Error::from)
        .map_err(Error::system("write JSON"))
}

/// Says something in a line on standard error. If nobody can be told, what was said is lost and no more:
/// `eprintln!` would panic, and its exit code take the place of the one that is due.
pub fn say(line: impl Display) {
    // One write, as far as the system makes it one: a program that runs meanwhile writes there, too.
    let _ = io::stderr()
        .lock()
        .write_all(format!("{line}\n").as_bytes());
}
