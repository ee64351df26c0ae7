//! Who was there: what the programs of a run tell of themselves through a pipe as they begin and end
//! ([`goheap_stats::roll`]), however short they live.

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use goheap_stats::roll::{Entry, Event};
use goheap_stats::shared_page::Identity;

/// The pipe's name in the run's folder.
const NAME: &str = ".roll";
/// What is written into the pipe, by nobody else, to end the reading.
const END: &str = "end\n";
/// Between two readings, so that who tells something does not wake the reader each time. Beyond what the pipe
/// holds meanwhile, some thousand lines, programs are not told of.
const REST: Duration = Duration::from_millis(10);

/// A program that was told of.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Its process.
    pub process: Identity,
    /// Its name.
    pub program: String,
    /// Whether it is a copy by `fork`.
    pub forked: bool,
    /// When it began, in nanoseconds of the monotonic clock.
    pub from: u64,
    /// When it ended, and its largest resident set. None if it was killed, became another program by `exec`, or still runs.
    pub ended: Option<(u64, u64)>,
}

/// The pipe, and who reads it.
pub struct Roll {
    path: PathBuf,
    pipe: File,
    reader: JoinHandle<Vec<Told>>,
}

impl Roll {
    /// Makes the pipe in that folder.
    ///
    /// # Errors
    /// The folder bears no pipes, or there is no thread for it.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.canonicalize()?.join(NAME);
        let name = CString::new(path.as_os_str().as_bytes())?;
        // One that a run left there that was killed. If it is none, there will be an error.
        let _ = std::fs::remove_file(&path);
        // SAFETY: a path that ends in NUL.
        if unsafe { libc::mkfifo(name.as_ptr(), 0o600) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // Open for both, it never ends, nor waits for the other side to be opened.
        let pipe = File::options().read(true).write(true).open(&path)?;
        let lines = BufReader::with_capacity(1 << 16, pipe.try_clone()?);
        let reader = thread::Builder::new().spawn(move || read(lines))?;
        Ok(Self { path, pipe, reader })
    }

    /// What programs find it by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All that was told so far, in that order.
    pub fn close(mut self) -> Vec<Told> {
        let _ = std::fs::remove_file(&self.path);
        match self.pipe.write_all(END.as_bytes()) {
            Ok(()) => self.reader.join().unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }
}

fn read(mut lines: BufReader<File>) -> Vec<Told> {
    let mut told = Vec::new();
    // The last program of each process, in `told`.
    let mut at = HashMap::new();
    let mut line = Vec::new();
    loop {
        if lines.buffer().is_empty() {
            thread::sleep(REST);
        }
        line.clear();
        match lines.read_until(b'\n', &mut line) {
            Ok(bytes) if bytes > 0 && line != END.as_bytes() => {}
            _ => return told,
        }
        let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(&line));
        if let Some(entry) = Entry::read(&text) {
            take_in(&mut told, &mut at, &entry);
        }
    }
}

fn take_in(told: &mut Vec<Told>, at: &mut HashMap<Identity, usize>, entry: &Entry<'_>) {
    let process = entry.process;
    let before = at.get(&process).and_then(|&at| told.get_mut(at));
    let (program, forked) = match entry.event {
        Event::Began(program) => (program, false),
        Event::Forked(program) => (program, true),
        Event::Ended(peak_rss) => {
            if let Some(before) = before {
                before.ended = Some((entry.nanos, peak_rss));
            }
            return;
        }
    };
    let new = Told {
        process,
        program: program.into(),
        forked,
        from: entry.nanos,
        ended: None,
    };
    match before {
        // A shell's copy, on its way to become a program.
        Some(before) if before.forked => *before = new,
        _ => {
            at.insert(process, told.len());
            told.push(new);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: u32) -> Identity {
        Identity {
            namespace: 1,
            pid,
            started: 10,
        }
    }

    /// Process, program, beginning, end.
    type Brief = (u32, String, u64, Option<(u64, u64)>);

    fn taken_in(entries: &[(u32, u64, Event<'_>)]) -> Vec<Brief> {
        let (mut told, mut at) = (Vec::new(), HashMap::new());
        for &(pid, nanos, event) in entries {
            let process = process(pid);
            take_in(
                &mut told,
                &mut at,
                &Entry {
                    process,
                    nanos,
                    event,
                },
            );
        }
        told.into_iter()
            .map(|told| (told.process.pid, told.program, told.from, told.ended))
            .collect()
    }

    #[test]
    fn a_process_is_a_program_for_each_that_it_has_run() {
        let told = taken_in(&[
            (1, 5, Event::Began("sh")),
            (2, 6, Event::Began("ls")),
            (1, 7, Event::Began("cc")),
            (2, 8, Event::Ended(4096)),
            (1, 9, Event::Ended(8192)),
        ]);
        assert_eq!(
            told,
            [
                (1, "sh".into(), 5, None),
                (2, "ls".into(), 6, Some((8, 4096))),
                (1, "cc".into(), 7, Some((9, 8192))),
            ]
        );
    }

    #[test]
    fn a_copy_that_becomes_a_program_is_that_one_alone() {
        let told = taken_in(&[
            (1, 5, Event::Forked("sh")),
            (1, 6, Event::Began("ls")),
            (2, 7, Event::Forked("sh")),
            (2, 8, Event::Ended(1)),
        ]);
        assert_eq!(
            told,
            [(1, "ls".into(), 6, None), (2, "sh".into(), 7, Some((8, 1)))]
        );
    }

    #[test]
    fn an_end_without_a_beginning_is_nothing() {
        assert_eq!(taken_in(&[(1, 5, Event::Ended(1))]), []);
    }
}
