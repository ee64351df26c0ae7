//! What this program prints, in one place.

use std::fmt::Display;
use std::io::{self, Write};

use serde::Serialize;

use crate::Error;

/// Prints something and a line's end on stdout.
pub fn print(text: impl Display) -> Result<(), Error> {
    writeln!(io::stdout().lock(), "{text}").map_err(Error::unwritten)
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
