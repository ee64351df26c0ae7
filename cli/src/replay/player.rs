//! A prepared trace, played: each thread of the recording is one here, and they take turns as recorded.
//!
//! Only one runs at a time, so the order is the recording's, and which thread's caches an object goes
//! through is, too. What a replay needs is in mappings of its own, so the heap has the
//! trace's objects, the snapshots and the threads' own little.

use std::alloc::Layout;
use std::io;
use std::marker::PhantomData;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, Thread, sleep};
use std::time::Duration;

use super::memory::Memory;
use super::off_heap::OffHeap;
use super::prepared::Prepared;
use super::step::Step;
use super::watch::{Sample, Snapshot, Watch};
use crate::Error;
use crate::trace::event::Act;

/// What a replay yields.
pub struct Played {
    /// The baseline, then those that the trace asks for.
    pub snapshots: Vec<Snapshot>,
    /// The baseline, then those that the trace asks for.
    pub samples: OffHeap<Sample>,
}

/// Nobody's turn: it is over.
const OVER: u32 = u32::MAX;
/// How often a thread looks for its turn before it sleeps.
const SPINS: u32 = 200;
/// A thread here does next to nothing on its stack.
const STACK: usize = 256 << 10;

/// Plays the whole trace.
pub fn play<M: Memory>(trace: &Prepared) -> Result<Played, Error> {
    let lanes = trace.about.threads;
    let table = Mutex::new(Play::<M>::new(trace)?);
    let turn = AtomicU32::new(OVER - 1);
    let threads = OnceLock::new();
    let take_turns = |me: u32| {
        while let Some(()) = await_turn(&turn, me) {
            let mut play = table.lock().unwrap_or_else(PoisonError::into_inner);
            let next = play.run_lane();
            drop(play);
            // Release: pairs with Acquire in `await_turn`.
            turn.store(next, Release);
            let threads: &Vec<Thread> = threads.wait();
            match threads.get(next as usize) {
                Some(thread) => thread.unpark(),
                None => threads.iter().for_each(Thread::unpark),
            }
        }
    };
    thread::scope(|scope| {
        let mut all = vec![thread::current()];
        for lane in 1..lanes {
            let builder = thread::Builder::new().stack_size(STACK);
            match builder.spawn_scoped(scope, move || take_turns(lane)) {
                Ok(started) => all.push(started.thread().clone()),
                Err(error) => {
                    turn.store(OVER, Release);
                    all.iter().for_each(Thread::unpark);
                    return Err(Error::system("start a thread")(error));
                }
            }
        }
        _ = threads.set(all);
        let mut play = table.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = play.begin();
        drop(play);
        // Release: pairs with Acquire in `await_turn`.
        turn.store(if begun.is_ok() { 0 } else { OVER }, Release);
        take_turns(0);
        begun.map_err(Error::system("replay"))
    })?;
    let play = table.into_inner().unwrap_or_else(PoisonError::into_inner);
    match play.failed {
        Some(error) => Err(error),
        None => Ok(play.played),
    }
}

/// None when it is over.
fn await_turn(turn: &AtomicU32, me: u32) -> Option<()> {
    let mut looked = 0;
    loop {
        // Acquire: pairs with Release where a turn ends.
        match turn.load(Acquire) {
            OVER => return None,
            now if now == me => return Some(()),
            _ if looked < SPINS => {
                looked += 1;
                std::hint::spin_loop();
            }
            _ => thread::park(),
        }
    }
}

/// An object: where it is, 0 if nowhere, and its size with the alignment's logarithm above.
#[derive(Clone, Copy)]
struct Held {
    at: usize,
    size: usize,
}

const ALIGN_SHIFT: u32 = usize::BITS - 8;

/// The replay's state, which belongs to the thread whose turn it is.
struct Play<'a, M> {
    trace: &'a Prepared,
    next: usize,
    objects: OffHeap<Held>,
    watch: Watch,
    played: Played,
    failed: Option<Error>,
    memory: PhantomData<fn() -> M>,
}

impl<'a, M: Memory> Play<'a, M> {
    fn new(trace: &'a Prepared) -> Result<Self, Error> {
        let room = || Error::system("map room for the replay");
        let about = &trace.about;
        let nothing = Held { at: 0, size: 0 };
        let mut samples = OffHeap::filled(Sample::default(), about.samples + 1).map_err(room())?;
        samples.clear();
        Ok(Self {
            trace,
            next: 0,
            objects: OffHeap::filled(nothing, about.ids as usize).map_err(room())?,
            watch: Watch::open()?,
            played: Played {
                snapshots: Vec::with_capacity(about.labels.len() + 1),
                samples,
            },
            failed: None,
            memory: PhantomData,
        })
    }

    /// Brings the heap to rest and takes the baseline.
    fn begin(&mut self) -> io::Result<()> {
        if M::GO {
            goheap::gc();
            goheap::free_os_memory();
            goheap::gc();
        }
        self.watch.start();
        self.sample()?;
        self.snapshot()
    }

    /// Does what is to be done until it is another thread's turn, and says whose.
    fn run_lane(&mut self) -> u32 {
        while let Some(step) = self.trace.step(self.next) {
            self.next += 1;
            self.trace.passed(self.next);
            let done = match step {
                Step::Thread(lane) => return lane.min(self.trace.about.threads - 1),
                step => self.step(step),
            };
            if let Err(error) = done {
                self.failed = Some(error);
                return OVER;
            }
        }
        OVER
    }

    fn step(&mut self, step: Step) -> Result<(), Error> {
        match step {
            Step::Act(act) => self.act(act),
            Step::Sample => self.sample().map_err(Error::system("replay")),
            Step::Snapshot => self.snapshot().map_err(Error::system("replay")),
            Step::Sleep(ms) => {
                sleep(Duration::from_millis(ms.into()));
                Ok(())
            }
            // Only Go's heap has these, and no other does anything instead.
            _ if !M::GO => Ok(()),
            Step::Collect => {
                goheap::gc();
                Ok(())
            }
            Step::Release => {
                goheap::free_os_memory();
                Ok(())
            }
            Step::Percent(percent) => {
                goheap::set_gc_percent(percent);
                Ok(())
            }
            Step::Limit(bytes) => {
                goheap::set_memory_limit(bytes);
                Ok(())
            }
            Step::Thread(_) => Ok(()),
        }
    }

    fn act(&mut self, act: Act) -> Result<(), Error> {
        match act {
            Act::Allocate {
                id,
                size,
                align,
                zeroed,
            } => self.allocate(id as usize, size, align, zeroed),
            Act::Reallocate { id, size } => self.reallocate(id as usize, size),
            Act::Free { id } => {
                self.free(id as usize);
                Ok(())
            }
        }
    }

    fn allocate(&mut self, id: usize, size: usize, align: u8, zeroed: bool) -> Result<(), Error> {
        let layout = 1_usize
            .checked_shl(align.into())
            .and_then(|align| Layout::from_size_align(size, align).ok())
            .ok_or_else(|| self.no_memory(size))?;
        let at = M::allocate(layout, zeroed);
        if at.is_null() {
            return Err(self.no_memory(size));
        }
        touch(at, 0, size);
        self.free(id);
        self.objects[id] = Held {
            at: at.expose_provenance(),
            size: size | usize::from(align) << ALIGN_SHIFT,
        };
        Ok(())
    }

    /// What is there already, if it is to have no size: glibc's realloc would free it.
    fn reallocate(&mut self, id: usize, size: usize) -> Result<(), Error> {
        let held = self.objects[id];
        let Some((before, layout)) = held.object() else {
            return self.allocate(id, size.max(1), 4, false);
        };
        let size = size.max(1);
        // SAFETY: allocated by `M` with this layout; its place in the table is written below.
        let at = unsafe { M::reallocate(before, layout, size) };
        if at.is_null() {
            return Err(self.no_memory(size));
        }
        touch(at, layout.size().next_multiple_of(PAGE), size);
        self.objects[id] = Held {
            at: at.expose_provenance(),
            size: size | held.size >> ALIGN_SHIFT << ALIGN_SHIFT,
        };
        Ok(())
    }

    fn free(&mut self, id: usize) {
        if let Some((at, layout)) = self.objects[id].object() {
            self.objects[id].at = 0;
            // SAFETY: allocated by `M` with this layout, and no longer in the table.
            unsafe { M::free(at, layout) };
        }
    }

    fn sample(&mut self) -> io::Result<()> {
        self.played.samples.push(self.watch.sample()?);
        Ok(())
    }

    fn snapshot(&mut self) -> io::Result<()> {
        if !M::GO {
            return Ok(());
        }
        self.played.snapshots.push(self.watch.snapshot()?);
        Ok(())
    }

    /// Says which of the trace's operations could not be done; marks and threads' turns are none.
    fn no_memory(&self, size: usize) -> Error {
        let is_operation = |&at: &usize| {
            let step = self.trace.step(at);
            !matches!(step, Some(Step::Sample | Step::Snapshot | Step::Thread(_)))
        };
        let number = (0..self.next).filter(is_operation).count();
        let origin = &self.trace.about.origin;
        Error::System {
            doing: format!("allocate {size} bytes, as operation {number} of {origin} does"),
            source: io::ErrorKind::OutOfMemory.into(),
        }
    }
}

impl Held {
    fn object(self) -> Option<(*mut u8, Layout)> {
        let size = self.size & ((1 << ALIGN_SHIFT) - 1);
        let align = 1 << (self.size >> ALIGN_SHIFT);
        let layout = Layout::from_size_align(size, align).ok()?;
        let at = std::ptr::with_exposed_provenance_mut(self.at);
        (self.at != 0).then_some((at, layout))
    }
}

const PAGE: usize = 4096;

/// Writes to each page of an object from there on, as the program that it was of will have done.
fn touch(object: *mut u8, from: usize, size: usize) {
    for at in (from..size).step_by(PAGE) {
        // SAFETY: within the object. Volatile, or the allocation might be elided.
        unsafe { object.add(at).write_volatile(1) };
    }
}
