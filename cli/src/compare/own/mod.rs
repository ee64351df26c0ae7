//! Traces of the project's own, made anew each time: what programs do, beside the 18 that the
//! models were first fitted to.
//!
//! A third is kept aside: no constant is chosen, and no model changed, by what it shows. What
//! holds for these is what may be expected of a trace that nobody here has seen. One that a
//! change was made for is kept aside no longer, and another is written in its place.

mod patterns;
mod programs;
mod script;

use std::fs;
use std::path::Path;

use crate::{Error, output};
use script::Script;

/// Those kept aside, by name.
const KEPT_ASIDE: [&str; 9] = [
    "batches",
    "boundaries",
    "database",
    "editor",
    "index",
    "one-a-span",
    "requests",
    "schedule",
    "trees",
];

/// A trace's name, and what writes it.
type Named = (&'static str, fn(&mut Script));

/// A trace that can be made.
pub struct Own {
    /// Its name.
    pub name: &'static str,
    /// Whether it is kept aside.
    pub kept_aside: bool,
    write: fn(&mut Script),
}

impl Own {
    /// The trace, as `goheap replay` reads it. The same each time.
    pub fn text(&self) -> String {
        let seed = self.name.bytes().fold(1, |seed: u64, byte| {
            seed.wrapping_mul(0x100_0000_01b3) ^ u64::from(byte)
        });
        let mut script = Script::new(seed);
        (self.write)(&mut script);
        script.finish()
    }
}

/// All of them by name.
pub fn all() -> Vec<Own> {
    let mut all = [patterns::ALL, programs::ALL].concat();
    all.sort_by_key(|(name, _)| *name);
    let own = |(name, write): Named| Own {
        name,
        kept_aside: KEPT_ASIDE.contains(&name),
        write,
    };
    all.into_iter().map(own).collect()
}

/// Writes them all into a folder.
pub fn write(folder: &Path) -> Result<(), Error> {
    let writing = |path: &Path| Error::system(format!("write {}", path.display()));
    output::make_folder(folder)?;
    for own in all() {
        let path = folder.join(format!("{}.trace", own.name));
        fs::write(&path, own.text()).map_err(writing(&path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{Item, Reader};

    #[test]
    fn a_folder_that_cannot_be_made_is_said_to_be_one() {
        let said = write(Path::new("/dev/null")).map_err(|error| error.to_string());
        assert!(said.is_err_and(|said| said.contains("cannot make the folder /dev/null: ")));
    }

    #[test]
    fn each_reads_has_snapshots_and_is_the_same_each_time() {
        for own in all() {
            let text = own.text();
            assert_eq!(text, own.text());
            let items = Reader::new(text.as_bytes()).map(|item| item.expect(own.name));
            let snapshots = items.filter(|item| matches!(item, Item::Snapshot(..)));
            assert!(snapshots.count() > 3, "{}", own.name);
        }
    }

    #[test]
    fn a_third_is_kept_aside() {
        let aside = all().iter().filter(|own| own.kept_aside).count();
        assert_eq!(aside, all().len() / 3);
    }
}
