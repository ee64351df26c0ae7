//! What the runs of a heap come to: how full its spans are, how its idle memory is cut up, and how old what keeps
//! sparse spans from going is.
//!
//! A span goes back when its last object is gone, and a request is served from pages in a row. So one small object
//! may keep a span of 8 KiB, and one span in the middle of 10 MB of idle pages leaves no 10 MB for a request: the
//! figures here are what that does to a heap.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::{Age, Moment, Run, State};

/// Parts of a histogram of occupancy: below 10 %, below 20 % …, below 100 %, and full.
pub const TENTHS: usize = 11;
/// A span is sparse if at most this part of its slots holds live objects, but one does, and no
/// thread allocates from it.
pub const SPARSE: f64 = 0.25;
/// Sparse spans that are kept one by one: those whose objects are oldest.
const OLDEST: usize = 16;
const PAGE: u64 = 8192;

/// The spans of a size class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClassUse {
    /// The class; 0 for large objects, each of which fills its span.
    pub class: u8,
    /// Bytes of a slot; 0 for large objects.
    pub slot_bytes: u64,
    /// How many spans.
    pub spans: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Bytes in objects that nobody has freed.
    pub live: u64,
    /// Bytes in objects that were freed, and wait for a cycle or its sweep.
    pub dead: u64,
    /// Bytes in slots that threads have at hand.
    pub waiting: u64,
    /// Bytes in free slots.
    pub free: u64,
    /// Spans by the part of their slots that holds live objects: in tenths, and those that are full.
    pub occupancy: [u64; TENTHS],
}

/// Runs of one state, together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Total {
    /// The state.
    pub state: State,
    /// How many runs.
    pub runs: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A sparse span, and how old the objects are that keep it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Pinned {
    /// Where it begins.
    pub address: u64,
    /// Its bytes.
    pub bytes: u64,
    /// Bytes of a slot.
    pub slot_bytes: u64,
    /// Slots.
    pub slots: u16,
    /// Live objects.
    pub live: u16,
    /// Bounds of the ages of these objects.
    pub age: Age,
}

/// A heap's fragmentation. Sizes in bytes. Exact if the heap rested while it was looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fragmentation {
    /// Runs by state, every state in order.
    pub states: [Total; State::ALL.len()],
    /// The classes that have spans, in order.
    pub classes: Vec<ClassUse>,
    /// Idle memory that any thread can have: retained, released and never used.
    pub free: u64,
    /// The most of it in a row: what is larger makes the heap grow.
    pub largest_free_run: u64,
    /// All runs of it, whatever their pages' states: how many there are of each length, by length.
    #[serde(serialize_with = "as_list")]
    pub free_runs: BTreeMap<u64, u64>,
    /// Spans that are sparse: see [`SPARSE`].
    pub sparse_spans: u64,
    /// Bytes of these spans.
    pub sparse_bytes: u64,
    /// Bytes of the live objects that keep them.
    pub sparse_live: u64,
    /// Of the sparse spans, those with one live object.
    pub lone_spans: u64,
    /// The sparse spans whose objects are oldest: by the least age, then by the most.
    pub oldest: Vec<Pinned>,
}

/// Runs as they come, by address, on their way to a [`Fragmentation`].
#[derive(Clone, Debug)]
pub struct Measure {
    moment: Moment,
    all: Fragmentation,
    /// The free run that the last runs are part of: where it ends, and its bytes.
    free: (u64, u64),
}

fn as_list<S: Serializer>(runs: &BTreeMap<u64, u64>, to: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Length {
        bytes: u64,
        runs: u64,
    }
    to.collect_seq(runs.iter().map(|(&bytes, &runs)| Length { bytes, runs }))
}

impl Default for Fragmentation {
    fn default() -> Self {
        let total = |state| Total {
            state,
            runs: 0,
            bytes: 0,
        };
        Self {
            states: State::ALL.map(total),
            classes: Vec::new(),
            free: 0,
            largest_free_run: 0,
            free_runs: BTreeMap::new(),
            sparse_spans: 0,
            sparse_bytes: 0,
            sparse_live: 0,
            lone_spans: 0,
            oldest: Vec::new(),
        }
    }
}

impl Measure {
    /// Nothing yet, at that moment.
    pub fn new(moment: Moment) -> Self {
        Self {
            moment,
            all: Fragmentation::default(),
            free: (0, 0),
        }
    }

    /// Adds a run, which lies above those before.
    pub fn add(&mut self, run: &Run) {
        let total = &mut self.all.states[run.state as usize];
        total.runs += 1;
        total.bytes += run.bytes;
        if run.state.is_free() {
            self.add_free(run);
        } else if run.state.is_span() {
            self.add_span(run);
        }
    }

    fn add_free(&mut self, run: &Run) {
        self.all.free += run.bytes;
        if self.free.0 != run.address {
            self.end_free();
        }
        self.free.0 = run.address.saturating_add(run.bytes);
        self.free.1 += run.bytes;
    }

    fn end_free(&mut self) {
        let bytes = core::mem::take(&mut self.free.1);
        if bytes > 0 {
            *self.all.free_runs.entry(bytes).or_default() += 1;
            self.all.largest_free_run = self.all.largest_free_run.max(bytes);
        }
    }

    fn add_span(&mut self, run: &Run) {
        let classes = &mut self.all.classes;
        let at = classes.binary_search_by_key(&run.class, |of| of.class);
        let at = at.unwrap_or_else(|at| {
            let new = ClassUse {
                class: run.class,
                slot_bytes: if run.class == 0 { 0 } else { run.slot_bytes },
                ..ClassUse::default()
            };
            classes.insert(at, new);
            at
        });
        let class = &mut classes[at];
        let waiting = u64::from(run.waiting) * run.slot_bytes;
        class.spans += 1;
        class.bytes += run.bytes;
        class.live += run.live_bytes();
        class.dead += run.dead_bytes();
        class.waiting += waiting;
        class.free += (u64::from(run.free()) * run.slot_bytes).saturating_sub(waiting);
        let tenth = usize::from(run.live) * (TENTHS - 1) / usize::from(run.slots.max(1));
        class.occupancy[tenth.min(TENTHS - 1)] += 1;
        if run.is_sparse() {
            self.add_sparse(run);
        }
    }

    fn add_sparse(&mut self, run: &Run) {
        let all = &mut self.all;
        all.sparse_spans += 1;
        all.sparse_bytes += run.bytes;
        all.sparse_live += run.live_bytes();
        all.lone_spans += u64::from(run.live == 1);
        let age = self.moment.age(run);
        let key = |age: Age| (age.least_cycles, age.most_cycles);
        // By address among equals, as they come.
        let at = all.oldest.partition_point(|of| key(of.age) >= key(age));
        if at < OLDEST {
            all.oldest.truncate(OLDEST - 1);
            let pinned = Pinned {
                address: run.address,
                bytes: run.bytes,
                slot_bytes: run.slot_bytes,
                slots: run.slots,
                live: run.live,
                age,
            };
            all.oldest.insert(at, pinned);
        }
    }

    /// What they come to.
    pub fn finish(mut self) -> Fragmentation {
        self.end_free();
        self.all
    }
}

impl Fragmentation {
    /// Of these runs, which follow each other by address, at that moment.
    pub fn of(moment: &Moment, runs: &[Run]) -> Self {
        let mut measure = Measure::new(moment.clone());
        runs.iter().for_each(|run| measure.add(run));
        measure.finish()
    }

    /// Bytes of the state.
    pub fn bytes(&self, state: State) -> u64 {
        self.states[state as usize].bytes
    }

    /// Bytes in spans: HeapInuse.
    pub fn in_use(&self) -> u64 {
        self.sum(State::is_span)
    }

    /// Bytes in no span: HeapIdle.
    pub fn idle(&self) -> u64 {
        self.sum(State::is_idle)
    }

    /// Bytes in no span that are not backed by memory: HeapReleased.
    pub fn released(&self) -> u64 {
        self.sum(State::is_released)
    }

    fn sum(&self, counts: impl Fn(State) -> bool) -> u64 {
        let of = self.states.iter().filter(|total| counts(total.state));
        of.map(|total| total.bytes).sum()
    }

    /// Bytes of the free runs in which a request of so many bytes fits: the rest of `free` is of no use for it.
    pub fn usable_for(&self, request: u64) -> u64 {
        let pages = request.max(1).div_ceil(PAGE).saturating_mul(PAGE);
        let long = self.free_runs.range(pages..);
        long.map(|(bytes, count)| bytes * count).sum()
    }
}
