//! The language of allocation traces, and its reader.
//!
//! One operation a line; empty lines and those that start with `#` say nothing.
//! The first operation is `n COUNT`, and ids are below COUNT:
//!
//! | line | meaning |
//! | --- | --- |
//! | `a ID SIZE` | allocate SIZE bytes; what ID held before is dropped |
//! | `f ID` | drop what ID holds, if anything |
//! | `g` | collect |
//! | `o` | collect, and return to the system what is free |
//! | `p PERCENT` | set GOGC; negative turns collection off |
//! | `l BYTES` | set the memory limit |
//! | `w MS` | sleep |
//! | `s LABEL` | snapshot; the label is the rest of the line |
//!
//! Reading is pure and lazy. It is stricter than it need be to replay what a
//! generator wrote, since a trace with a typing error in it would still run, and
//! its figures would be believed.

use std::fmt::{self, Display, Formatter};

/// Most ids that a trace may use. The table of 2^28 pointers takes 2 GiB; a
/// larger count is taken for a mistake.
pub const MAX_IDS: u32 = 1 << 28;

/// One thing to do. 16 bytes, so that a trace of millions stays small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `a`: allocate, and write one byte in every 4096.
    Allocate {
        /// Below the trace's count.
        id: u32,
        /// In bytes, at most `isize::MAX`; 0 allocates nothing.
        size: usize,
    },
    /// `f`: drop the only reference.
    Free {
        /// Below the trace's count.
        id: u32,
    },
    /// `g`: collect now.
    Collect,
    /// `o`: collect and return what is free to the system.
    Release,
    /// `p`: set GOGC in percent.
    Percent(i32),
    /// `l`: set the memory limit in bytes.
    Limit(i64),
    /// `w`: sleep for so many milliseconds.
    Sleep(u32),
    /// `s`: take a snapshot, the trace's so-and-so-many-th, from 0.
    Snapshot(u32),
}

/// What one line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// `n`: ids are below this.
    Ids(u32),
    /// Something to do.
    Op(Op),
    /// A snapshot to take, and what to call it.
    Snapshot(u32, &'a str),
}

/// What is wrong in a trace, and in which line, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Counted from 1, empty lines and comments too.
    pub line: usize,
    /// What is wrong.
    pub reason: Reason,
}

/// Why a line is not one of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The first operation is another than `n`, or there is none.
    NoCount,
    /// `n` stands there a second time.
    CountAgain,
    /// No operation has this name.
    Unknown(String),
    /// The line ends where this ought to stand.
    Missing(&'static str),
    /// This ought to be a decimal number.
    NotANumber(&'static str, String),
    /// This number is outside its bounds, which follow.
    OutOfRange(&'static str, String, i64, i64),
    /// The id is not below the trace's count.
    NoSuchId(i64, u32),
    /// The line goes on where it ought to end.
    Trailing(String),
    /// A label that is no UTF-8.
    Label,
    /// The heap could not give that many bytes. Found when replaying, not when reading.
    NoMemory(usize),
}

impl Display for Reason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCount => write!(f, "the first operation must be `n COUNT`"),
            Self::CountAgain => write!(f, "`n` may stand there once only"),
            Self::Unknown(name) => write!(
                f,
                "unknown operation {name:?}: none of n, a, f, g, o, p, l, w, s"
            ),
            Self::Missing(what) => write!(f, "the {what} is missing"),
            Self::NotANumber(what, text) => write!(f, "the {what} is no decimal number: {text:?}"),
            Self::OutOfRange(what, text, least, most) => {
                write!(f, "the {what} must be from {least} to {most}, not {text}")
            }
            Self::NoSuchId(id, count) => write!(f, "id {id} is not from 0 to below {count}"),
            Self::Trailing(text) => write!(f, "the line should have ended before {text:?}"),
            Self::Label => write!(f, "the label is not UTF-8"),
            Self::NoMemory(size) => write!(f, "the heap cannot give {size} bytes"),
        }
    }
}

/// Reads a trace line by line. Ends after the first fault.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
    line: usize,
    ids: Option<u32>,
    snapshots: u32,
    ended: bool,
}

impl<'a> Reader<'a> {
    /// A reader of that text.
    pub fn new(text: &'a [u8]) -> Self {
        Self {
            rest: text,
            line: 0,
            ids: None,
            snapshots: 0,
            ended: false,
        }
    }

    /// The number of the line that the last item stood in, from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    fn next_line(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let end = self.rest.iter().position(|&byte| byte == b'\n');
        let (line, rest) = match end {
            Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
            None => (self.rest, &[][..]),
        };
        self.rest = rest;
        self.line += 1;
        Some(line.trim_ascii())
    }

    fn item(&mut self, line: &'a [u8]) -> Result<Item<'a>, Reason> {
        let mut words = Words(line);
        let name = words.next().unwrap_or_default();
        if name == b"n" {
            if self.ids.is_some() {
                return Err(Reason::CountAgain);
            }
            let count = words.number("count", 0, MAX_IDS.into())? as u32;
            self.ids = Some(count);
            return words.end(Item::Ids(count));
        }
        let known = matches!(name, b"a" | b"f" | b"g" | b"o" | b"p" | b"l" | b"w" | b"s");
        if !known {
            return Err(Reason::Unknown(shown(name)));
        }
        let ids = self.ids.ok_or(Reason::NoCount)?;
        let op = match name {
            b"a" => Op::Allocate {
                id: words.id(ids)?,
                size: words.number("size", 0, isize::MAX as i64)? as usize,
            },
            b"f" => Op::Free { id: words.id(ids)? },
            b"g" => Op::Collect,
            b"o" => Op::Release,
            b"p" => {
                Op::Percent(words.number("percentage", i32::MIN.into(), i32::MAX.into())? as i32)
            }
            b"l" => Op::Limit(words.number("limit", i64::MIN, i64::MAX)?),
            b"w" => Op::Sleep(words.number("time", 0, u32::MAX.into())? as u32),
            _ => {
                let label = str::from_utf8(words.0.trim_ascii()).map_err(|_| Reason::Label)?;
                let snapshot = self.snapshots;
                self.snapshots += 1;
                return Ok(Item::Snapshot(snapshot, label));
            }
        };
        words.end(Item::Op(op))
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Result<Item<'a>, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = loop {
            match self.next_line() {
                None => {
                    self.ended = true;
                    match self.ids {
                        Some(_) => return None,
                        None => break Err(Reason::NoCount),
                    }
                }
                Some([] | [b'#', ..]) => {}
                Some(line) => break self.item(line),
            }
        };
        Some(item.map_err(|reason| {
            self.ended = true;
            Fault {
                line: self.line.max(1),
                reason,
            }
        }))
    }
}

/// The words of a line, parted by blanks.
struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let line = self.0.trim_ascii_start();
        let end = line.iter().position(u8::is_ascii_whitespace);
        let (word, rest) = line.split_at(end.unwrap_or(line.len()));
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }

    fn number(&mut self, what: &'static str, least: i64, most: i64) -> Result<i64, Reason> {
        let word = self.next().ok_or(Reason::Missing(what))?;
        let digits = word.strip_prefix(b"-").unwrap_or(word);
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(Reason::NotANumber(what, shown(word)));
        }
        // Only ASCII is left, and only too many digits can make it fail.
        let number = str::from_utf8(word).ok().and_then(|word| word.parse().ok());
        number
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| Reason::OutOfRange(what, shown(word), least, most))
    }

    fn id(&mut self, ids: u32) -> Result<u32, Reason> {
        let id = self.number("id", i64::MIN, i64::MAX)?;
        u32::try_from(id)
            .ok()
            .filter(|&id| id < ids)
            .ok_or(Reason::NoSuchId(id, ids))
    }

    /// Passes the item on if the line ends here or goes on with a comment.
    fn end(mut self, item: Item<'a>) -> Result<Item<'a>, Reason> {
        match self.next() {
            None | Some([b'#', ..]) => Ok(item),
            Some(word) => Err(Reason::Trailing(shown(word))),
        }
    }
}

/// A word as an error message quotes it: readable, and not endless.
fn shown(word: &[u8]) -> String {
    const MOST: usize = 40;
    let mut text = String::from_utf8_lossy(&word[..word.len().min(MOST)]).into_owned();
    if word.len() > MOST {
        text.push('…');
    }
    text
}
