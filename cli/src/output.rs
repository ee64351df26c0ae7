//! What this program prints, in one place.

use std::fmt::Display;
use std::io::{self, Write};

/// Says something in a line on standard error. If nobody can be told, what was said is lost and no more:
/// `eprintln!` would panic, and its exit code take the place of the one that is due.
pub fn say(line: impl Display) {
    // One write, as far as the system makes it one: a program that runs meanwhile writes there, too.
    let _ = io::stderr()
        .lock()
        .write_all(format!("{line}\n").as_bytes());
}
