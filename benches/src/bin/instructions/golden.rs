//! The golden file: a line for each count, after a head that says what they were counted with.

use std::path::PathBuf;
use std::process::Command;
use std::{fs, io};

/// A stage's name and its instructions for one operation.
pub type Count = (&'static str, f64);

/// How far a count may be off, as a share.
const TOLERANCE: f64 = 0.02;

/// What the golden file says.
pub struct Golden {
    counted_with: String,
    counts: Vec<(String, f64)>,
}

/// Where the file is.
pub fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("instructions.golden")
}

/// The compiler and the processor that decide what code there is.
fn counting_with() -> String {
    let rustc = Command::new("rustc").arg("--version").output();
    let version = rustc.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let version = version.unwrap_or_else(|_| "an unknown rustc".to_owned());
    format!("{version}, {}", std::env::consts::ARCH)
}

/// Writes the file anew.
pub fn write(counts: &[Count]) -> io::Result<()> {
    let mut text = format!("# {}\n", counting_with());
    text.push_str("# instructions for one operation; see src/bin/instructions/stage.rs\n");
    for (name, count) in counts {
        text.push_str(&format!("{name} {count:.2}\n"));
    }
    fs::write(path(), text)
}

impl Golden {
    /// Reads the file.
    pub fn read() -> io::Result<Self> {
        let text = fs::read_to_string(path())
            .map_err(|error| io::Error::other(format!("{}: {error}", path().display())))?;
        Self::parse(&text).map_err(|line| io::Error::other(format!("{}: {line}", path().display())))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut comments = text.lines().filter_map(|line| line.strip_prefix("# "));
        let counted_with = comments.next().unwrap_or_default().to_owned();
        let counts = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| {
                let (name, count) = line.split_once(' ').unwrap_or((line, ""));
                let count = count.parse();
                let count = count.map_err(|_| format!("{line:?} has no count behind a name"))?;
                Ok((name.to_owned(), count))
            })
            .collect::<Result<_, String>>()?;
        Ok(Self {
            counted_with,
            counts,
        })
    }

    /// What it says of a stage.
    pub fn count(&self, name: &str) -> Option<f64> {
        let found = self.counts.iter().find(|(known, _)| known == name);
        found.map(|(_, count)| *count)
    }

    /// Why counts made here cannot be held against it.
    pub fn made_elsewhere(&self) -> Option<String> {
        let here = counting_with();
        (here != self.counted_with).then(|| {
            format!(
                "the golden counts were made with {}, these with {here}",
                self.counted_with
            )
        })
    }

    /// A line for each count that is too far off, is new, or is gone.
    pub fn compare(&self, counts: &[Count]) -> Vec<String> {
        let gone = self
            .counts
            .iter()
            .filter(|(name, _)| !counts.iter().any(|(known, _)| known == name))
            .map(|(name, _)| format!("{name} is in the golden file and is no longer counted"));
        let changed = counts
            .iter()
            .filter_map(|(name, count)| match self.count(name) {
                None => Some(format!("{name} is not in the golden file")),
                Some(then) if (count - then).abs() > then * TOLERANCE => Some(format!(
                    "{name}: {then:.2} → {count:.2} instructions ({:+.1} %)",
                    (count / then - 1.0) * 100.0
                )),
                Some(_) => None,
            });
        changed.chain(gone).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden() -> Golden {
        Golden::parse("# a compiler\n# more\nalloc/64 100.0\nfree 8.0\n").expect("well formed")
    }

    #[test]
    fn two_percent_more_or_less_pass() {
        let counts = [("alloc/64", 102.0), ("free", 7.9)];
        assert!(golden().compare(&counts).is_empty());
    }

    #[test]
    fn a_change_beyond_that_is_named_whichever_way_it_goes() {
        let changed = golden().compare(&[("alloc/64", 97.0), ("free", 8.2)]);
        assert!(changed[0].contains("alloc/64: 100.00 → 97.00") && changed[0].contains("-3.0 %"));
        assert!(changed[1].contains("free: 8.00 → 8.20"), "{changed:?}");
    }

    #[test]
    fn new_and_missing_counts_are_named() {
        let changed = golden().compare(&[("alloc/64", 100.0), ("sweep/64", 3.0)]);
        assert!(changed[0].starts_with("sweep/64 is not in"), "{changed:?}");
        assert!(
            changed[1].starts_with("free is in the golden file"),
            "{changed:?}"
        );
    }

    #[test]
    fn counts_of_another_compiler_are_not_comparable() {
        assert!(
            golden()
                .made_elsewhere()
                .is_some_and(|why| why.contains("a compiler"))
        );
    }

    #[test]
    fn a_line_that_says_nothing_is_an_error() {
        assert!(Golden::parse("# a\nalloc/64\n").is_err_and(|e| e.contains("alloc/64")));
        assert!(Golden::parse("# a\nfree x\n").is_err_and(|e| e.contains("free x")));
    }
}
