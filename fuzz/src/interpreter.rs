//! Carries out a program on a heap and on the model, and compares.

use std::alloc::Layout;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use goheap_allocator::tiny::is_tiny;

use crate::forked;
use crate::model::{Extents, Object};
use crate::turns::Turns;
use crate::{Command, Fault, Heap, MAX_ALIGN_LOG2, MAX_SIZE, Order, Program, SLOTS, THREADS, What};

/// Bytes that a program may hold. An allocation past it is left out, so that no program
/// runs the machine out of memory.
const BUDGET: usize = 96 << 20;
/// Commands of a thread between two audits.
const AUDIT_EVERY: usize = 8;
/// Commands of a thread between two checks of the whole heap.
const CHECK_EVERY: usize = 100;

/// Runs a program on a heap that nothing else reconfigures meanwhile.
///
/// GOGC and GOMEMLIMIT are 100 and none at the start and at the end. After a fault the
/// objects of the program are left as they are: such a heap is not asked to free them.
pub fn run(heap: &impl Heap, program: &Program) -> Result<(), Fault> {
    let threads = &program.threads[..program.threads.len().min(THREADS)];
    let shared = Shared {
        heap,
        order: program.order,
        turns: Turns::of(program),
        extents: Extents::new(),
        mailboxes: threads.iter().map(|_| Mutex::default()).collect(),
        knobs: Mutex::new(Knobs {
            percent: 100,
            limit: i64::MAX,
        }),
        live_bytes: AtomicUsize::new(0),
        live_objects: AtomicUsize::new(0),
        seeds: AtomicU64::new(1),
    };
    shared.reset_knobs();

    let ends: Vec<Result<Vec<Object>, Fault>> = thread::scope(|scope| {
        let shared = &shared;
        let handles: Vec<_> = threads
            .iter()
            .enumerate()
            .map(|(index, commands)| {
                scope.spawn(move || {
                    // A thread that panics must not leave the others waiting for its turn.
                    let _stop = StopOnPanic(&shared.turns);
                    Worker::new(shared, index).run(commands)
                })
            })
            .collect();
        // Joined one by one: the scope alone waits for the closures, not for the ends of the threads.
        handles
            .into_iter()
            .map(|handle| {
                handle
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    });

    let at_end = |what| Fault { at: None, what };
    let mut left = Vec::new();
    for end in ends {
        left.extend(end?);
    }
    for mailbox in &shared.mailboxes {
        left.extend(lock(mailbox).drain(..).map(|(_, object)| object));
    }
    // Their threads are gone by now.
    for object in left {
        shared.free(object).map_err(at_end)?;
    }
    shared.reset_knobs();
    heap.collect();
    heap.collect();
    shared.audit().map_err(at_end)?;
    heap.check(true).map_err(What::Structures).map_err(at_end)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct StopOnPanic<'a>(&'a Turns);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop();
        }
    }
}

struct Knobs {
    percent: i32,
    limit: i64,
}

struct Shared<'a, H> {
    heap: &'a H,
    order: Order,
    turns: Turns,
    extents: Extents,
    /// What each thread was given and has not taken in yet, with the slot it is for.
    mailboxes: Vec<Mutex<Vec<(usize, Object)>>>,
    knobs: Mutex<Knobs>,
    live_bytes: AtomicUsize,
    live_objects: AtomicUsize,
    seeds: AtomicU64,
}

impl<H: Heap> Shared<'_, H> {
    fn reset_knobs(&self) {
        self.heap.set_gc_percent(100);
        self.heap.set_memory_limit(i64::MAX);
    }

    fn allocate(&self, layout: Layout, zeroed: bool) -> Result<Option<Object>, What> {
        let budgeted = self.live_bytes.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        if budgeted > BUDGET {
            self.live_bytes.fetch_sub(layout.size(), Ordering::Relaxed);
            return Ok(None);
        }
        // SAFETY: the layout's size is not zero.
        let pointer = unsafe {
            match zeroed {
                false => self.heap.alloc(layout),
                true => self.heap.alloc_zeroed(layout),
            }
        };
        if pointer.is_null() && self.heap.was_refused() {
            self.live_bytes.fetch_sub(layout.size(), Ordering::Relaxed);
            return Ok(None);
        }
        let object = self.take_over(pointer, layout)?;
        self.live_objects
            .fetch_add(objects_for(layout), Ordering::Relaxed);
        if zeroed {
            object.check_zeroed()?;
        }
        object.fill();
        Ok(Some(object))
    }

    /// Checks where a new object lies. Its bytes are not written yet.
    fn take_over(&self, pointer: *mut u8, layout: Layout) -> Result<Object, What> {
        if pointer.is_null() {
            return Err(What::Null);
        }
        if !pointer.addr().is_multiple_of(layout.align()) {
            return Err(What::Misaligned {
                address: pointer.addr(),
                align: layout.align(),
            });
        }
        let object = Object {
            pointer,
            layout,
            seed: self.seeds.fetch_add(1, Ordering::Relaxed),
        };
        self.extents.insert(object.range())?;
        Ok(object)
    }

    fn free(&self, object: Object) -> Result<(), What> {
        object.check(object.layout.size())?;
        self.extents.remove(object.range());
        self.live_bytes
            .fetch_sub(object.layout.size(), Ordering::Relaxed);
        self.live_objects
            .fetch_sub(objects_for(object.layout), Ordering::Relaxed);
        // SAFETY: allocated by this heap with this layout, and given up here.
        unsafe { self.heap.dealloc(object.pointer, object.layout) };
        Ok(())
    }

    fn resize(&self, object: Object, size: usize) -> Result<Object, What> {
        let (old, layout) = (object.layout, object.layout);
        object.check(old.size())?;
        let grown = size.saturating_sub(old.size());
        if self.live_bytes.fetch_add(grown, Ordering::Relaxed) + grown > BUDGET {
            self.live_bytes.fetch_sub(grown, Ordering::Relaxed);
            return Ok(object);
        }
        self.extents.remove(object.range());
        // SAFETY: allocated by this heap with this layout; the new size is neither zero nor
        // anywhere near isize::MAX.
        let pointer = unsafe { self.heap.realloc(object.pointer, layout, size) };
        if pointer.is_null() && self.heap.was_refused() {
            self.live_bytes.fetch_sub(grown, Ordering::Relaxed);
            self.extents.insert(object.range())?;
            return Ok(object);
        }
        let resized = Layout::from_size_align(size, layout.align()).map_err(|_| What::Null)?;
        let moved = self.take_over(pointer, resized)?;
        // The old bytes, at the new address.
        let kept = Object { pointer, ..object };
        kept.check(size.min(old.size()))?;
        moved.fill();
        self.live_objects
            .fetch_add(objects_for(resized), Ordering::Relaxed);
        self.live_objects
            .fetch_sub(objects_for(layout), Ordering::Relaxed);
        self.live_bytes
            .fetch_sub(old.size().saturating_sub(size), Ordering::Relaxed);
        Ok(moved)
    }

    fn audit(&self) -> Result<(), What> {
        let Some(figures) = self.heap.audit().map_err(What::Counters)? else {
            return Ok(());
        };
        // While others run, neither side stands still.
        if self.order == Order::Concurrent {
            return Ok(());
        }
        let bytes = self.live_bytes.load(Ordering::Relaxed) as u64;
        let objects = self.live_objects.load(Ordering::Relaxed) as u64;
        if figures.heap_alloc < bytes || figures.heap_objects < objects {
            return Err(What::Counters(format!(
                "HeapAlloc {} and HeapObjects {} with {bytes} bytes live in {objects} objects",
                figures.heap_alloc, figures.heap_objects
            )));
        }
        Ok(())
    }
}

/// How many of a heap's objects one of this layout is at least: tiny ones share theirs.
fn objects_for(layout: Layout) -> usize {
    usize::from(!is_tiny(layout.size(), layout.align()))
}

struct Worker<'a, H> {
    shared: &'a Shared<'a, H>,
    index: usize,
    slots: Vec<Option<Object>>,
}

impl<'a, H: Heap> Worker<'a, H> {
    fn new(shared: &'a Shared<'a, H>, index: usize) -> Self {
        Self {
            shared,
            index,
            slots: (0..SLOTS).map(|_| None).collect(),
        }
    }

    /// Returns what is left in the slots: it outlives the thread.
    fn run(mut self, commands: &[Command]) -> Result<Vec<Object>, Fault> {
        let turns = &self.shared.turns;
        for (step, &command) in commands.iter().enumerate() {
            match turns.take(self.index, || self.step(step, command)) {
                Some(Ok(())) => {}
                Some(Err(what)) => {
                    turns.stop();
                    return Err(Fault {
                        at: Some((self.index, step, command)),
                        what,
                    });
                }
                None => return Ok(Vec::new()),
            }
        }
        turns.wait_for_all();
        Ok(self.slots.into_iter().flatten().collect())
    }

    fn step(&mut self, step: usize, command: Command) -> Result<(), What> {
        let received = std::mem::take(&mut *lock(&self.shared.mailboxes[self.index]));
        for (slot, object) in received {
            self.put(slot, Some(object))?;
        }
        self.perform(command)?;
        if step % AUDIT_EVERY == AUDIT_EVERY - 1 {
            self.shared.audit()?;
        }
        if step % CHECK_EVERY == CHECK_EVERY - 1 {
            let alone = self.shared.order == Order::Lockstep;
            self.shared.heap.check(alone).map_err(What::Structures)?;
        }
        Ok(())
    }

    fn perform(&mut self, command: Command) -> Result<(), What> {
        let slot_of = |slot: u8| usize::from(slot % SLOTS);
        match command {
            Command::Alloc {
                slot,
                size,
                align_log2,
                zeroed,
            } => {
                self.put(slot_of(slot), None)?;
                let align = 1 << align_log2.min(MAX_ALIGN_LOG2);
                let layout = Layout::from_size_align(size.clamp(1, MAX_SIZE), align)
                    .map_err(|_| What::Null)?;
                let object = self.shared.allocate(layout, zeroed)?;
                self.put(slot_of(slot), object)
            }
            Command::Free { slot } => self.put(slot_of(slot), None),
            Command::Realloc { slot, size } => {
                if let Some(object) = self.slots[slot_of(slot)].take() {
                    let object = self.shared.resize(object, size.clamp(1, MAX_SIZE))?;
                    self.slots[slot_of(slot)] = Some(object);
                }
                Ok(())
            }
            Command::HandOver { slot, to } => {
                if let Some(object) = self.slots[slot_of(slot)].take() {
                    let to = usize::from(to) % self.shared.mailboxes.len();
                    lock(&self.shared.mailboxes[to]).push((slot_of(slot), object));
                }
                Ok(())
            }
            Command::Collect => self.between_looks(H::collect),
            Command::FreeOsMemory => self.between_looks(H::free_os_memory),
            Command::SetGcPercent(percent) => {
                let mut knobs = lock(&self.shared.knobs);
                let found = self.shared.heap.set_gc_percent(percent);
                let set = i64::from(std::mem::replace(&mut knobs.percent, percent.max(-1)));
                expect_knob("GOGC", set, found.map(i64::from))
            }
            Command::SetMemoryLimit(bytes) => {
                let mut knobs = lock(&self.shared.knobs);
                let found = self.shared.heap.set_memory_limit(bytes);
                let set = knobs.limit;
                if bytes >= 0 {
                    knobs.limit = bytes;
                }
                expect_knob("GOMEMLIMIT", set, found)
            }
            Command::AdvanceClock(ms) => {
                self.shared.heap.advance_clock(ms);
                Ok(())
            }
            Command::FailNext(calls) => {
                self.shared.heap.fail_next(usize::from(calls));
                Ok(())
            }
            Command::Fork => self.fork(),
        }
    }

    /// Frees what a slot holds and puts another object there, or nothing.
    fn put(&mut self, slot: usize, object: Option<Object>) -> Result<(), What> {
        match std::mem::replace(&mut self.slots[slot], object) {
            Some(previous) => self.shared.free(previous),
            None => Ok(()),
        }
    }

    /// Forks; what the child finds amiss, it ends with.
    fn fork(&self) -> Result<(), What> {
        forked::judge(|| {
            let look = || {
                let mut objects = self.slots.iter().flatten();
                objects.all(|object| object.check(object.layout.size()).is_ok())
            };
            let heap = self.shared.heap;
            let sound = look();
            let layout = Layout::new::<[u64; 9]>();
            // SAFETY: the layout has a size, and what is given is given back.
            let granted = unsafe {
                let at = heap.alloc(layout);
                if !at.is_null() {
                    at.write_bytes(1, layout.size());
                    heap.dealloc(at, layout);
                }
                !at.is_null() || heap.was_refused()
            };
            heap.collect();
            sound && granted && look() && heap.check(false).is_ok()
        })
    }

    fn between_looks(&self, act: impl FnOnce(&H)) -> Result<(), What> {
        let look = || {
            let mut objects = self.slots.iter().flatten();
            objects.try_for_each(|object| object.check(object.layout.size()))
        };
        look()?;
        act(self.shared.heap);
        look()
    }
}

/// A heap without the knob has nothing to say of it.
fn expect_knob(name: &'static str, set: i64, found: Option<i64>) -> Result<(), What> {
    match found {
        Some(found) if found != set => Err(What::Knob { name, set, found }),
        _ => Ok(()),
    }
}
