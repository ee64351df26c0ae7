//! The recordings of heaptrack, as it writes them while a program runs (`heaptrack --raw`) and after
//! its own interpreter has gone over them (`heaptrack`). Both are text, a record a line, numbers in hexadecimal:
//!
//! | record | meaning |
//! | --- | --- |
//! | `v PROGRAM FORMAT` | versions; the first line |
//! | `a SIZE TRACE` | the next number stands for allocations of this size from this call stack |
//! | `+ NUMBER`, `- NUMBER` | one of these is made, or goes |
//! | `+ SIZE TRACE ADDRESS`, `- ADDRESS` | the same, raw |
//! | `c MS` | so much time has passed |
//!
//! All other records say where in the program something was, which is not asked for here. There are
//! no threads and no alignments in them, and a `realloc` is a free and an allocation. An interpreted
//! recording does not say which of the objects of one size and call stack went: the newest is taken.

use std::io::{BufRead, ErrorKind};

use super::event::{Act, Broken, Event, Events, Place};
use super::resolve::{Ids, Objects};

/// The first format in which numbers stand for sizes and call stacks.
const OLDEST: u64 = 1;
/// The latest that was known when this was written.
const LATEST: u64 = 3;

/// Reads a recording of either kind.
pub struct Reader<R> {
    from: R,
    line: Vec<u8>,
    number: u64,
    micros: u64,
    /// The sizes that an interpreted recording's numbers stand for, and the objects that are of each.
    kinds: Vec<(u64, Vec<u32>)>,
    ids: Ids,
    objects: Objects,
    /// Acts of the line at hand that are still to be told, the last one first.
    acts: Vec<Act>,
    cut: bool,
    ended: bool,
}

impl<R: BufRead> Reader<R> {
    /// A reader of what is unpacked already.
    pub fn new(from: R) -> Self {
        Self {
            from,
            line: Vec::new(),
            number: 0,
            micros: 0,
            kinds: Vec::new(),
            ids: Ids::default(),
            objects: Objects::default(),
            acts: Vec::new(),
            cut: false,
            ended: false,
        }
    }

    /// Reads a line. False if there is none that is whole.
    fn next_line(&mut self) -> Result<bool, Broken> {
        self.line.clear();
        let read = match self.from.read_until(b'\n', &mut self.line) {
            Ok(0) => return Ok(false),
            // What is packed and stops before its end: heaptrack, or its program, was killed.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(()),
            Err(error) => {
                self.number += 1;
                return Err(self.broken(format!("cannot unpack it: {error}")));
            }
            Ok(_) if !self.line.ends_with(b"\n") => Err(()),
            Ok(_) => Ok(()),
        };
        self.number += 1;
        self.cut = read.is_err();
        Ok(read.is_ok())
    }

    fn take_in(&mut self) -> Result<(), Broken> {
        let line = std::mem::take(&mut self.line);
        let text = str::from_utf8(line.trim_ascii_end()).unwrap_or_default();
        let mut words = text.split(' ');
        let record = words.next().unwrap_or_default();
        if self.number == 1 && record != "v" {
            return Err(self.broken("the first record is not a version".into()));
        }
        match record {
            "v" => self.version(words.nth(1))?,
            "c" => {
                self.micros = self
                    .micros
                    .max(self.hex(words.next())?.saturating_mul(1000))
            }
            "a" => {
                let size = self.hex(words.next())?;
                self.kinds.push((size, Vec::new()));
            }
            "+" => match (words.next(), words.nth(1)) {
                (number, None) => {
                    let id = self.ids.take();
                    let kind = self.kind(number)?;
                    kind.1.push(id);
                    let size = kind.0;
                    self.acts.push(allocation(id, size));
                }
                (size, address) => {
                    let place = (self.hex(address)?, self.hex(size)?);
                    let acts = &mut self.acts;
                    self.objects
                        .allocate(place, 0, false, |act| acts.insert(0, act));
                }
            },
            "-" => {
                let number = words.next();
                if self.kinds.is_empty() {
                    let address = self.hex(number)?;
                    let acts = &mut self.acts;
                    self.objects.free(address, |act| acts.push(act));
                } else if let Some(id) = self.kind(number)?.1.pop() {
                    self.ids.give_back(id);
                    self.acts.push(Act::Free { id });
                }
            }
            _ => {}
        }
        self.line = line;
        Ok(())
    }

    fn version(&self, format: Option<&str>) -> Result<(), Broken> {
        // The one number that is written in decimal; the same in both for a while yet.
        let format = self.hex(format)?;
        if (OLDEST..=LATEST).contains(&format) {
            return Ok(());
        }
        Err(self.broken(format!(
            "heaptrack's format is {format}; this goheap reads {OLDEST} to {LATEST}"
        )))
    }

    fn kind(&mut self, number: Option<&str>) -> Result<&mut (u64, Vec<u32>), Broken> {
        let number = self.hex(number)?;
        let known = self.kinds.len();
        let Some(index) = usize::try_from(number).ok().filter(|&at| at < known) else {
            return Err(self.broken(format!("no allocation has the number {number:x}")));
        };
        Ok(&mut self.kinds[index])
    }

    fn hex(&self, word: Option<&str>) -> Result<u64, Broken> {
        let word = word.ok_or_else(|| self.broken("the record ends too early".into()))?;
        u64::from_str_radix(word, 16)
            .map_err(|_| self.broken(format!("no hexadecimal number: {word:?}")))
    }

    fn broken(&self, reason: String) -> Broken {
        Broken {
            at: Place::Line(self.number),
            reason,
        }
    }

    fn event(&mut self) -> Result<Option<Event>, Broken> {
        loop {
            if let Some(act) = self.acts.pop() {
                return Ok(Some(Event {
                    micros: self.micros,
                    thread: 0,
                    act,
                }));
            }
            if !self.next_line()? {
                return Ok(None);
            }
            self.take_in()?;
        }
    }
}

/// Sizes beyond what a process can have are no sizes: heaptrack notes what was asked for only if it was given.
fn allocation(id: u32, size: u64) -> Act {
    Act::Allocate {
        id,
        size: size as usize,
        align: 0,
        zeroed: false,
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Event, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let event = self.event().transpose();
        self.ended = !matches!(event, Some(Ok(_)));
        event
    }
}

impl<R: BufRead> Events for Reader<R> {
    fn cut(&self) -> Option<Place> {
        self.cut.then_some(Place::Line(self.number))
    }
}
