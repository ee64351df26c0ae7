//! The roll of a run: lines in which processes tell whoever started the first of them that they are there, and that they end,
//! however short they live.
//!
//! The lines go into a pipe that [`VARIABLE`] names, which children inherit. The system writes a line of this length whole,
//! or not at all: where the pipe is full or nobody holds it any more, the process is not told of.

use core::fmt;

use crate::shared_page::Identity;

/// The environment variable that names the pipe.
pub const VARIABLE: &core::ffi::CStr = c"GOHEAP_ROLL";
/// A line is no longer than this, in bytes, and no longer than what the system writes whole.
pub const LONGEST: usize = 256;

/// What a process tells of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// It has begun to run a program of this name.
    Began(&'a str),
    /// It is the copy of another that `fork` has made, of a program of this name, and has allocated since.
    Forked(&'a str),
    /// It ends, its resident set having been this large, in bytes, since it began to run its program.
    Ended(u64),
}

/// A line of the roll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Whose it is.
    pub process: Identity,
    /// When, in nanoseconds of the monotonic clock.
    pub nanos: u64,
    /// What happened.
    pub event: Event<'a>,
}

impl<'a> Entry<'a> {
    /// Writes the line, with its end.
    ///
    /// # Errors
    /// What `to` refuses.
    pub fn write(&self, to: &mut impl fmt::Write) -> fmt::Result {
        let Identity {
            namespace,
            pid,
            started,
        } = self.process;
        write!(to, "{namespace} {pid} {started} {} ", self.nanos)?;
        let name = match self.event {
            Event::Began(name) => {
                to.write_str("began ")?;
                name
            }
            Event::Forked(name) => {
                to.write_str("forked ")?;
                name
            }
            Event::Ended(peak_rss) => return writeln!(to, "ended {peak_rss}"),
        };
        // A program names itself as it likes.
        for letter in name.chars() {
            to.write_char(if letter.is_control() { '?' } else { letter })?;
        }
        to.write_char('\n')
    }

    /// Reads a line, without its end. `None` if it is no such line.
    pub fn read(line: &'a str) -> Option<Self> {
        let mut words = line.splitn(6, ' ');
        let mut number = || words.next()?.parse::<u64>().ok();
        let process = Identity {
            namespace: number()?,
            pid: u32::try_from(number()?).ok()?,
            started: number()?,
        };
        let nanos = number()?;
        let (kind, rest) = (words.next()?, words.next()?);
        let event = match kind {
            "began" => Event::Began(rest),
            "forked" => Event::Forked(rest),
            "ended" => Event::Ended(rest.parse().ok()?),
            _ => return None,
        };
        Some(Self {
            process,
            nanos,
            event,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(event: Event<'_>) -> Entry<'_> {
        Entry {
            process: Identity {
                namespace: u64::MAX,
                pid: u32::MAX,
                started: u64::MAX,
            },
            nanos: u64::MAX,
            event,
        }
    }

    fn written(event: Event<'_>) -> String {
        let mut line = String::new();
        entry(event).write(&mut line).unwrap();
        line
    }

    #[test]
    fn what_is_written_is_read_and_fits() {
        let longest = "é".repeat(15);
        for event in [
            Event::Began("sh"),
            Event::Began("a name (with) 3 blanks"),
            Event::Began(""),
            Event::Forked(&longest),
            Event::Ended(u64::MAX),
        ] {
            let line = written(event);
            assert!(line.len() <= LONGEST, "{line}");
            let line = line.strip_suffix('\n').expect("it ends");
            assert_eq!(Entry::read(line), Some(entry(event)));
        }
    }

    #[test]
    fn a_name_with_a_line_end_in_it_makes_no_second_line() {
        let line = written(Event::Began("a\nb"));
        assert_eq!(line.matches('\n').count(), 1);
        assert_eq!(
            Entry::read(line.trim_end()),
            Some(entry(Event::Began("a?b")))
        );
    }

    #[test]
    fn what_is_no_line_is_none() {
        for line in [
            "",
            "1 2 3 4",
            "1 2 3 4 began",
            "1 2 3 4 left x",
            "1 x 3 4 began x",
            "1 2 3 4 ended x",
        ] {
            assert_eq!(Entry::read(line), None, "{line}");
        }
    }
}
