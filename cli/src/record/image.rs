//! One program in one process: its ring read into its file.

use std::ffi::OsString;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use goheap_ring::{Kind, SLOTS};

use super::rings::Mapped;
use super::writing;
use crate::Error;
use crate::trace::event::{Act, Event, MAX_ALIGN};
use crate::trace::recording::{Head, Total, Writer};
use crate::trace::resolve::Objects;

/// The file is this far behind at most.
const FLUSH: Duration = Duration::from_secs(1);
/// An event that was begun this long ago and not written, while others were, never will be: its thread
/// is gone.
const PATIENCE: Duration = Duration::from_secs(10);
/// Slots are given back so many at once.
const BATCH: u64 = SLOTS / 16;

/// The program's recording under way.
pub struct Image {
    ring: Mapped,
    path: PathBuf,
    out: Writer<BufWriter<File>>,
    objects: Objects,
    next: u64,
    micros: u64,
    lost: u64,
    /// Since when the next event has been waited for.
    waiting: Option<Instant>,
    flushed: Instant,
}

impl Image {
    /// Begins the file.
    pub fn new(ring: Mapped, path: PathBuf, program: &[OsString]) -> Result<Self, Error> {
        let head = Head {
            program: program
                .iter()
                .map(|word| word.to_string_lossy().into_owned())
                .collect(),
            pid: ring.pid(),
            started: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        };
        let out = File::create(&path).and_then(|file| Writer::new(BufWriter::new(file), &head));
        Ok(Self {
            out: out.map_err(writing(&path))?,
            ring,
            path,
            objects: Objects::default(),
            next: 0,
            micros: 0,
            lost: 0,
            waiting: None,
            flushed: Instant::now(),
        })
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.ring.pid()
    }

    /// Whether its process has ended.
    pub fn is_over(&self) -> bool {
        self.ring.is_over()
    }

    /// Takes in what is in the ring; if the program is over, also what comes after events that
    /// it never wrote. Whether there was anything.
    pub fn drain(&mut self, over: bool) -> Result<bool, Error> {
        let first = self.next;
        loop {
            if let Some(event) = self.ring.read(self.next) {
                self.take_in(event)?;
                self.waiting = None;
            } else if self.next < self.ring.drawn() && (over || self.has_waited()) {
                self.lost += 1;
            } else {
                break;
            }
            self.next += 1;
            if self.next.is_multiple_of(BATCH) {
                self.ring.release(self.next);
            }
        }
        self.ring.release(self.next);
        if self.flushed.elapsed() > FLUSH {
            self.out.flush().map_err(writing(&self.path))?;
            self.flushed = Instant::now();
        }
        Ok(self.next > first)
    }

    fn has_waited(&mut self) -> bool {
        let over = self.waiting.get_or_insert_with(Instant::now).elapsed() > PATIENCE;
        if over {
            self.waiting = None;
        }
        over
    }

    fn take_in(&mut self, event: goheap_ring::Event) -> Result<(), Error> {
        self.micros = event.nanos.saturating_sub(self.ring.start()) / 1000;
        let (micros, thread) = (self.micros, event.thread);
        let mut done = Ok(());
        let out = &mut self.out;
        let act = |act: Act| {
            if done.is_ok() {
                done = out.push(Event {
                    micros,
                    thread,
                    act,
                });
            }
        };
        let place = (event.address, event.size);
        let align = event.align.min(MAX_ALIGN);
        let objects = &mut self.objects;
        match event.kind {
            Kind::Allocate => objects.allocate(place, align, false, act),
            Kind::Zeroed => objects.allocate(place, align, true, act),
            Kind::Free => objects.free(event.address, act),
            Kind::Resize => objects.resize(thread, event.address),
            Kind::Resized => objects.resized(thread, place, act),
        }
        done.map_err(writing(&self.path))
    }

    /// Ends the file, and says what is in it. A program that still runs is not read any more.
    pub fn finish(self) -> Result<(PathBuf, Total), Error> {
        let total = self
            .out
            .finish(self.micros, self.objects.unknown, self.lost);
        Ok((self.path.clone(), total.map_err(writing(&self.path))?))
    }
}
