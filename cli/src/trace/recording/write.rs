//! Events into a recording.

use std::io::{self, Write};

use serde::Serialize;
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use super::{
    ALIGNED, ALIGNED_ZEROED, ALLOCATE, FREE, Head, LONG_PAUSE, MAGIC, REALLOCATE, THREAD, Total,
    VERSION, ZEROED, number,
};
use crate::trace::event::{Act, Event};

/// A block is written when it holds this much.
const FULL: usize = 256 << 10;
/// zstd's level: more would keep the recorded program waiting.
const LEVEL: i32 = 3;

/// Writes a recording.
pub struct Writer<W> {
    out: W,
    block: Vec<u8>,
    packer: Compressor<'static>,
    micros: u64,
    thread: u32,
    id: u32,
    total: Total,
}

impl<W: Write> Writer<W> {
    /// Begins the recording.
    pub fn new(mut out: W, head: &Head) -> io::Result<Self> {
        out.write_all(&MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        let mut packer = Compressor::new(LEVEL)?;
        packer.set_parameter(CParameter::ChecksumFlag(true))?;
        let mut writer = Self {
            out,
            block: Vec::with_capacity(FULL + 64),
            packer,
            micros: 0,
            thread: 0,
            id: 0,
            total: Total::default(),
        };
        writer.json(b'H', head)?;
        Ok(writer)
    }

    /// Appends an event. Its time is at least the last one's.
    pub fn push(&mut self, event: Event) -> io::Result<()> {
        if self.block.is_empty() {
            number::write(&mut self.block, self.micros);
            number::write(&mut self.block, self.thread.into());
            self.id = 0;
        }
        let pause = event.micros.saturating_sub(self.micros);
        self.micros += pause;
        if event.thread != self.thread {
            self.block.push(THREAD);
            number::write(&mut self.block, event.thread.into());
            self.thread = event.thread;
        }
        let (kind, id) = match event.act {
            Act::Allocate {
                id, align, zeroed, ..
            } => match (align, zeroed) {
                (0, false) => (ALLOCATE, id),
                (0, true) => (ZEROED, id),
                (_, false) => (ALIGNED, id),
                (_, true) => (ALIGNED_ZEROED, id),
            },
            Act::Reallocate { id, .. } => (REALLOCATE, id),
            Act::Free { id } => (FREE, id),
        };
        self.block.push(kind | (pause.min(LONG_PAUSE) as u8) << 3);
        if pause >= LONG_PAUSE {
            number::write(&mut self.block, pause);
        }
        let difference = i64::from(id) - i64::from(self.id);
        number::write(&mut self.block, number::folded(difference));
        self.id = id;
        if let Act::Allocate { size, .. } | Act::Reallocate { size, .. } = event.act {
            number::write(&mut self.block, size as u64);
        }
        if let Act::Allocate { align, .. } = event.act
            && align > 0
        {
            self.block.push(align);
        }
        self.total.events += 1;
        self.total.ids = self.total.ids.max(id + 1);
        self.total.threads = self.total.threads.max(event.thread + 1);
        if self.block.len() >= FULL {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what is there, so that it can be read whatever happens next.
    pub fn flush(&mut self) -> io::Result<()> {
        if !self.block.is_empty() {
            let block = std::mem::take(&mut self.block);
            self.put(b'E', &block)?;
            self.block = block;
            self.block.clear();
        }
        self.out.flush()
    }

    /// Ends the recording: the program ended at `micros`; see [`Total`] for the rest.
    pub fn finish(mut self, micros: u64, unknown: u64, lost: u64) -> io::Result<Total> {
        self.flush()?;
        self.total.micros = micros.max(self.micros);
        self.total.unknown = unknown;
        self.total.lost = lost;
        let total = self.total.clone();
        self.json(b'Z', &total)?;
        self.out.flush()?;
        Ok(total)
    }

    fn json(&mut self, kind: u8, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_vec(value)?;
        self.put(kind, &text)
    }

    fn put(&mut self, kind: u8, content: &[u8]) -> io::Result<()> {
        let packed = self.packer.compress(content)?;
        self.out.write_all(&[kind])?;
        self.out.write_all(&(content.len() as u32).to_le_bytes())?;
        self.out.write_all(&(packed.len() as u32).to_le_bytes())?;
        self.out.write_all(&packed)
    }
}
