//! Runs as 64-bit words in memory that two processes share.
//!
//! The program that is looked at writes, who looks reads when it is told that the other is done; so no order between
//! the words matters. Runs that do not fit are counted: who looks then comes again with more memory.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use super::{KNOWN_CYCLES, Moment, Run, State};

/// Runs that there were, then the moment.
const HEAD: usize = 4 + KNOWN_CYCLES;
/// Words of a run: address; bytes, state, class and bytes of a slot; the slots; the cycles.
const RUN: usize = 4;
/// A run that has not been left.
const NEVER: u32 = u32::MAX;
/// Pages and slots are multiples of so many bytes, which leaves room in their word.
const PAGE_SHIFT: u32 = 13;
const SLOT_SHIFT: u32 = 3;

/// Memory for a moment and its runs.
#[derive(Clone, Copy, Debug)]
pub struct Sheet<'a> {
    words: &'a [AtomicU64],
    count: usize,
}

impl<'a> Sheet<'a> {
    /// Bytes that so many runs take.
    pub const fn bytes(runs: usize) -> usize {
        (HEAD + runs * RUN) * size_of::<AtomicU64>()
    }

    /// A sheet in these words.
    pub fn new(words: &'a [AtomicU64]) -> Self {
        Self { words, count: 0 }
    }

    /// Adds a run, or counts it if there is no room.
    pub fn add(&mut self, run: &Run) {
        let at = HEAD + self.count * RUN;
        self.count += 1;
        if let Some(words) = self.words.get(at..at + RUN) {
            for (word, value) in words.iter().zip(to_words(run)) {
                word.store(value, Relaxed);
            }
        }
    }

    /// Ends it: that was the moment.
    pub fn finish(self, moment: &Moment) {
        let head = [
            self.count as u64,
            moment.taken_ns,
            moment.started_ns,
            moment.cycle.into(),
        ];
        let head = head.into_iter().chain(moment.ends_ns);
        for (word, value) in self.words.iter().zip(head) {
            word.store(value, Relaxed);
        }
    }

    /// The moment, and the runs.
    ///
    /// # Errors
    /// They did not fit: there were so many.
    pub fn read(&self) -> Result<(Moment, Vec<Run>), usize> {
        let word = |at: usize| self.words.get(at).map_or(0, |word| word.load(Relaxed));
        let count = usize::try_from(word(0)).unwrap_or(usize::MAX);
        let end = count.checked_mul(RUN).and_then(|n| n.checked_add(HEAD));
        if end.is_none_or(|end| end > self.words.len()) {
            return Err(count);
        }
        let moment = Moment {
            taken_ns: word(1),
            started_ns: word(2),
            cycle: word(3) as u32,
            ends_ns: core::array::from_fn(|i| word(4 + i)),
        };
        let run = |at: usize| from_words(core::array::from_fn(|i| word(HEAD + at * RUN + i)));
        Ok((moment, (0..count).map(run).collect()))
    }
}

fn to_words(run: &Run) -> [u64; RUN] {
    // A large object's do not fit, and are not read: its run is as long.
    let slot = run.slot_bytes >> SLOT_SHIFT;
    [
        run.address,
        run.bytes >> PAGE_SHIFT
            | (run.state as u64) << 32
            | u64::from(run.class) << 40
            | slot << 48,
        u64::from(run.slots)
            | u64::from(run.live) << 16
            | u64::from(run.dead) << 32
            | u64::from(run.waiting) << 48,
        u64::from(run.opened) | u64::from(run.left.unwrap_or(NEVER)) << 32,
    ]
}

fn from_words([address, what, slots, cycles]: [u64; RUN]) -> Run {
    let bytes = (what & 0xffff_ffff) << PAGE_SHIFT;
    let class = (what >> 40) as u8;
    let state = State::ALL.get((what >> 32) as usize & 0xff);
    let state = *state.unwrap_or(&State::SetAside);
    let left = (cycles >> 32) as u32;
    Run {
        address,
        bytes,
        state,
        class,
        slot_bytes: match class {
            0 if state.is_span() => bytes,
            _ => what >> 48 << SLOT_SHIFT,
        },
        slots: slots as u16,
        live: (slots >> 16) as u16,
        dead: (slots >> 32) as u16,
        waiting: (slots >> 48) as u16,
        opened: cycles as u32,
        left: (left != NEVER).then_some(left),
    }
}
