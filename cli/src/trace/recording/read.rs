//! A recording read back.

use std::io::{ErrorKind, Read};

use zstd::bulk::Decompressor;

use super::{
    ALIGNED, ALIGNED_ZEROED, ALLOCATE, FREE, Head, LONG_PAUSE, MAGIC, MOST, REALLOCATE, THREAD,
    Total, VERSION, ZEROED, number,
};
use crate::trace::MAX_IDS;
use crate::trace::event::{Act, Broken, Event, Events, MAX_ALIGN, Place};

/// Reads a recording, block by block.
pub struct Reader<R> {
    from: R,
    /// Where the next byte of `from` is in the file.
    at: u64,
    head: Head,
    block: Vec<u8>,
    /// How much of the block has been read, and where it is in the file.
    read: usize,
    block_at: u64,
    micros: u64,
    thread: u32,
    id: u32,
    total: Option<Total>,
    cut: Option<u64>,
    failed: bool,
}

/// A block, or where there is none.
enum Next {
    Block(u8, Vec<u8>),
    End,
    Cut,
}

impl<R: Read> Reader<R> {
    /// Reads the beginning. The file starts with [`MAGIC`].
    pub fn new(from: R) -> Result<Self, Broken> {
        let mut reader = Self {
            from,
            at: 0,
            head: Head::default(),
            block: Vec::new(),
            read: 0,
            block_at: 0,
            micros: 0,
            thread: 0,
            id: 0,
            total: None,
            cut: None,
            failed: false,
        };
        let mut start = [0; MAGIC.len() + 4];
        let length = reader.bytes(&mut start)?;
        if length < MAGIC.len() || start[..MAGIC.len()] != MAGIC {
            return Err(broken(0, "no recording of goheap begins like this"));
        }
        let version = u32::from_le_bytes([start[8], start[9], start[10], start[11]]);
        if length == start.len() && version != VERSION {
            let reason =
                format!("the recording is of version {version}; this goheap reads {VERSION}");
            return Err(broken(MAGIC.len() as u64, reason));
        }
        match reader.next_block()? {
            Next::Block(b'H', text) => {
                reader.head = serde_json::from_slice(&text).map_err(|error| {
                    broken(reader.block_at, format!("the head is no head: {error}"))
                })?;
            }
            Next::Block(..) => return Err(broken(reader.block_at, "the head is missing")),
            Next::End | Next::Cut => reader.cut = Some(reader.at),
        }
        Ok(reader)
    }

    /// Whose recording it is.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// After the last event of a whole recording: what it has.
    pub fn total(&self) -> Option<&Total> {
        self.total.as_ref()
    }

    /// As many bytes as there are, up to the buffer's length.
    fn bytes(&mut self, buffer: &mut [u8]) -> Result<usize, Broken> {
        let mut length = 0;
        while length < buffer.len() {
            match self.from.read(&mut buffer[length..]) {
                Ok(0) => break,
                Ok(read) => length += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(broken(self.at + length as u64, error)),
            }
        }
        self.at += length as u64;
        Ok(length)
    }

    fn next_block(&mut self) -> Result<Next, Broken> {
        self.block_at = self.at;
        let mut start = [0; 9];
        match self.bytes(&mut start)? {
            0 => return Ok(Next::End),
            9 => {}
            _ => return Ok(Next::Cut),
        }
        let [kind, lengths @ ..] = start;
        let [a, b, c, d, e, f, g, h] = lengths;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let packed_length = u32::from_le_bytes([e, f, g, h]) as usize;
        if !matches!(kind, b'H' | b'E' | b'Z') || length > MOST || packed_length > 2 * MOST {
            return Err(broken(self.block_at, "no block begins like this"));
        }
        let mut packed = vec![0; packed_length];
        if self.bytes(&mut packed)? < packed_length {
            return Ok(Next::Cut);
        }
        let content = Decompressor::new().and_then(|mut unpack| unpack.decompress(&packed, length));
        let content = content
            .map_err(|error| broken(self.block_at, format!("the block is damaged: {error}")))?;
        if content.len() != length {
            let reason = format!("the block holds {} bytes, not {length}", content.len());
            return Err(broken(self.block_at, reason));
        }
        Ok(Next::Block(kind, content))
    }

    /// Goes on to a block that has events. False if there is none.
    fn enter_block(&mut self) -> Result<bool, Broken> {
        while self.read == self.block.len() {
            if self.total.is_some() || self.cut.is_some() {
                return Ok(false);
            }
            match self.next_block()? {
                Next::Block(b'E', content) => {
                    (self.block, self.read, self.id) = (content, 0, 0);
                    let micros = self.number("time")?;
                    if micros < self.micros {
                        return Err(self.damaged("its time is before the last block's"));
                    }
                    self.micros = micros;
                    self.thread = self.thread_number()?;
                }
                Next::Block(b'Z', text) => {
                    let total = serde_json::from_slice(&text).map_err(|error| {
                        broken(self.block_at, format!("the end is no end: {error}"))
                    })?;
                    self.total = Some(total);
                }
                Next::Block(..) => return Err(broken(self.block_at, "a second head")),
                Next::End | Next::Cut => self.cut = Some(self.block_at),
            }
        }
        Ok(true)
    }

    fn event(&mut self) -> Result<Option<Event>, Broken> {
        loop {
            if !self.enter_block()? {
                return Ok(None);
            }
            let first = self.byte("event")?;
            let (kind, pause) = (first & 7, u64::from(first >> 3));
            if kind == THREAD {
                self.thread = self.thread_number()?;
                continue;
            }
            let pause = match pause {
                LONG_PAUSE => self.number("pause")?,
                short => short,
            };
            self.micros = self.micros.saturating_add(pause);
            let difference = number::unfolded(self.number("id")?);
            let id = i64::from(self.id).checked_add(difference);
            let id = id.and_then(|id| u32::try_from(id).ok());
            let Some(id) = id.filter(|&id| id < MAX_IDS) else {
                return Err(self.damaged("an id is out of range"));
            };
            self.id = id;
            let act = match kind {
                FREE => Act::Free { id },
                REALLOCATE => Act::Reallocate {
                    id,
                    size: self.size()?,
                },
                ALLOCATE | ZEROED | ALIGNED | ALIGNED_ZEROED => Act::Allocate {
                    id,
                    size: self.size()?,
                    align: match kind {
                        ALIGNED | ALIGNED_ZEROED => self.align()?,
                        _ => 0,
                    },
                    zeroed: matches!(kind, ZEROED | ALIGNED_ZEROED),
                },
                _ => return Err(self.damaged("an event of no kind")),
            };
            return Ok(Some(Event {
                micros: self.micros,
                thread: self.thread,
                act,
            }));
        }
    }

    fn byte(&mut self, what: &str) -> Result<u8, Broken> {
        let byte = self.block.get(self.read).copied();
        self.read += 1;
        byte.ok_or_else(|| self.damaged(&format!("it ends within an event: {what}")))
    }

    fn number(&mut self, what: &str) -> Result<u64, Broken> {
        let mut rest = self.block.get(self.read..).unwrap_or_default();
        let number = number::read(&mut rest);
        self.read = self.block.len() - rest.len();
        number.ok_or_else(|| self.damaged(&format!("no number where there should be one: {what}")))
    }

    fn size(&mut self) -> Result<usize, Broken> {
        let size = self.number("size")?;
        let fits = isize::try_from(size).is_ok();
        fits.then_some(size as usize)
            .ok_or_else(|| self.damaged("a size is out of range"))
    }

    fn align(&mut self) -> Result<u8, Broken> {
        let align = self.byte("alignment")?;
        match align {
            1..=MAX_ALIGN => Ok(align),
            _ => Err(self.damaged("an alignment is out of range")),
        }
    }

    fn thread_number(&mut self) -> Result<u32, Broken> {
        let thread = self.number("thread")?;
        let thread = u32::try_from(thread).ok();
        thread
            .filter(|&thread| thread < goheap_ring::THREADS)
            .ok_or_else(|| self.damaged("a thread's number is out of range"))
    }

    fn damaged(&self, reason: &str) -> Broken {
        broken(self.block_at, format!("the block is damaged: {reason}"))
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Event, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let event = self.event();
        self.failed = event.is_err();
        event.transpose()
    }
}

impl<R: Read> Events for Reader<R> {
    fn cut(&self) -> Option<Place> {
        self.cut.map(Place::Byte)
    }
}

fn broken(at: u64, reason: impl ToString) -> Broken {
    Broken {
        at: Place::Byte(at),
        reason: reason.to_string(),
    }
}
