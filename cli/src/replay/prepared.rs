//! A trace prepared for replay: a temporary file of steps, whatever it was made from.
//!
//! Reading a recording takes memory and time that are no part of what it records. So one process
//! prepares it and another one runs it, step by step off a mapped file whose pages it drops behind
//! it: neither its heap nor its resident set has the trace in it.
//!
//! [`MAGIC`], the length of an [`About`] in JSON as eight bytes, that, zeroes to a multiple of
//! [`STEP`], then the steps. Never kept, so it has no version.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use memmap2::{Advice, Mmap, UncheckedAdvice};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::step::{Step, Words};
use crate::Error;

const MAGIC: [u8; 8] = *b"\x89prepare";
const STEP: usize = size_of::<Words>();
/// Steps whose pages are dropped together.
const WINDOW: usize = 1 << 12;
/// The header has room for this, and is written when all is known.
const HEADER: usize = 1 << 16;

/// What is known of the whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The trace that it was made from, for error messages.
    pub origin: String,
    /// Ids are below this.
    pub ids: u32,
    /// Threads that take part.
    pub threads: u32,
    /// The snapshots' names.
    pub labels: Vec<String>,
    /// How often the resident set is noted.
    pub samples: usize,
}

/// Writes one.
pub struct Preparation {
    file: BufWriter<NamedTempFile>,
}

impl Preparation {
    /// A new file, which goes when it, or what comes of it, is dropped.
    pub fn new() -> io::Result<Self> {
        let mut file = tempfile::Builder::new().prefix("goheap-").tempfile()?;
        file.seek(SeekFrom::Start(HEADER as u64))?;
        Ok(Self {
            file: BufWriter::with_capacity(1 << 16, file),
        })
    }

    /// Appends a step.
    pub fn push(&mut self, step: Step) -> io::Result<()> {
        let [what, much] = Words::from(step).map(u64::to_ne_bytes);
        self.file.write_all(&what)?;
        self.file.write_all(&much)
    }

    /// Ends it.
    pub fn finish(mut self, about: &About) -> io::Result<NamedTempFile> {
        let text = serde_json::to_vec(about)?;
        if text.len() > HEADER - 16 {
            return Err(io::Error::other("the snapshots' names take too much room"));
        }
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&MAGIC)?;
        self.file.write_all(&(text.len() as u64).to_ne_bytes())?;
        self.file.write_all(&text)?;
        // Where there is no step, the header is all of the file, and is to be whole.
        self.file.write_all(&vec![0; HEADER - 16 - text.len()])?;
        self.file.into_inner().map_err(|error| error.into_error())
    }
}

/// One that was opened for its replay.
pub struct Prepared {
    map: Mmap,
    /// What is known of it.
    pub about: About,
}

impl Prepared {
    /// Opens the file if it is a prepared trace, and checks all of it.
    pub fn open_if(path: &Path) -> Result<Option<Self>, Error> {
        let reading = || format!("read {}", path.display());
        let mut file = File::open(path).map_err(Error::system(reading()))?;
        let regular = file.metadata().is_ok_and(|metadata| metadata.is_file());
        let mut start = [0; 16];
        if !regular || file.read_exact(&mut start).is_err() || start[..8] != MAGIC {
            return Ok(None);
        }
        let broken = |reason: &str| Error::System {
            doing: reading(),
            source: io::Error::new(io::ErrorKind::InvalidData, reason.to_owned()),
        };
        // SAFETY: mapped privately and read as bytes; whoever shortens the file meanwhile gets a
        // bus error, as with any mapped file.
        let map = unsafe { Mmap::map(&file) }.map_err(Error::system(reading()))?;
        let length = usize::from_ne_bytes([
            start[8], start[9], start[10], start[11], start[12], start[13], start[14], start[15],
        ]);
        let text = map.get(16..HEADER).and_then(|rest| rest.get(..length));
        let about: About = text
            .and_then(|text| serde_json::from_slice(text).ok())
            .ok_or_else(|| broken("its header is broken"))?;
        if !(map.len() - HEADER).is_multiple_of(STEP) {
            return Err(broken("it ends within a step"));
        }
        let prepared = Self { map, about };
        let (mut snapshots, mut samples) = (0, 0);
        for at in 0..prepared.len() {
            let sound = prepared.step(at).is_some_and(|step| match step {
                Step::Act(act) => act.id() < prepared.about.ids,
                Step::Snapshot => {
                    snapshots += 1;
                    true
                }
                Step::Sample => {
                    samples += 1;
                    true
                }
                _ => true,
            });
            if !sound {
                return Err(broken(&format!("step {at} is broken")));
            }
        }
        if snapshots != prepared.about.labels.len() || samples != prepared.about.samples {
            return Err(broken("its marks are not those that its header has"));
        }
        prepared.forget(0..prepared.len());
        _ = prepared.map.advise(Advice::Sequential);
        Ok(Some(prepared))
    }

    /// How many steps there are.
    pub fn len(&self) -> usize {
        (self.map.len() - HEADER) / STEP
    }

    /// A step.
    #[inline]
    pub fn step(&self, at: usize) -> Option<Step> {
        let bytes = self.map.get(HEADER + at * STEP..)?.get(..STEP)?;
        let word = |from: usize| {
            let bytes = bytes.get(from..from + 8)?.try_into().ok()?;
            Some(u64::from_ne_bytes(bytes))
        };
        Step::read([word(0)?, word(8)?])
    }

    /// Drops the pages behind this step now and then.
    #[inline]
    pub fn passed(&self, at: usize) {
        if at.is_multiple_of(WINDOW) && at > 0 {
            self.forget(at - WINDOW..at);
        }
    }

    fn forget(&self, steps: std::ops::Range<usize>) {
        let (from, length) = (HEADER + steps.start * STEP, steps.len() * STEP);
        // SAFETY: the mapping is of a file and nothing writes to it: what is dropped is read again
        // where it is wanted. Whether it works changes nothing but the resident set.
        _ = unsafe {
            self.map
                .unchecked_advise_range(UncheckedAdvice::DontNeed, from, length)
        };
    }
}
