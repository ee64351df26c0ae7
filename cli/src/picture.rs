//! A picture's file: opened before the work begins, written when it is done.

use std::error::Error as StdError;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use crate::Error;

/// What drawing yields.
pub type Drawn = Result<(), Box<dyn StdError + Send + Sync>>;

/// The file that a picture goes to. Opened first, so that a path
/// that cannot be written is found out at once.
pub struct File<'a> {
    file: fs::File,
    path: &'a Path,
}

impl<'a> File<'a> {
    /// Opens or makes the file. What is in it stays until [`File::write`].
    pub fn create(path: &'a Path) -> Result<Self, Error> {
        let file = fs::File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(Error::system(format!("write {}", path.display())))?;
        Ok(Self { file, path })
    }

    /// Draws the picture into the file, as SVG.
    pub fn write(mut self, draw: impl FnOnce(&mut String) -> Drawn) -> Result<(), Error> {
        let mut svg = String::new();
        draw(&mut svg).map_err(|error| Error::System {
            doing: "draw the chart".into(),
            source: io::Error::other(error),
        })?;
        // Special files, such as /dev/stdout, cannot be cut, and need not be.
        _ = self.file.set_len(0);
        self.file
            .write_all(svg.as_bytes())
            .map_err(Error::system(format!("write {}", self.path.display())))
    }
}
