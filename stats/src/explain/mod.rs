//! Where a process's resident memory is: every byte has one [`Cause`].
//!
//! The heap says what its own resident pages hold ([`Holdings`]); the kernel says what each mapping of
//! the process has resident ([`Mappings`]). [`Explanation::of`] joins the two. What they disagree about is
//! [`Cause::Unknown`], so the causes always add up to what the kernel counts.
//!
//! | file | idea |
//! | --- | --- |
//! | `mappings.rs` | whose each mapping in `/proc/PID/smaps` is |
//! | `requested.rs` | how much of what is live was asked for |
//! | `advice.rs` | the largest causes, and what moves them, in sentences |

mod advice;
mod mappings;
#[cfg(feature = "profile")]
mod requested;
#[cfg(test)]
mod tests;

pub use advice::{Settings, sentences};
pub use mappings::Mappings;
#[cfg(feature = "profile")]
pub use requested::Samples;

use crate::audit::CLASSES;

macro_rules! causes {
    ($($(#[$doc:meta])* $cause:ident = $name:literal,)*) => {
        /// Why memory is resident, in the order in which an explanation lists them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Cause {
            $($(#[$doc])* $cause,)*
        }

        impl Cause {
            /// All of them, in order.
            pub const ALL: [Cause; [$(Cause::$cause),*].len()] = [$(Cause::$cause),*];

            /// In words, as `goheap explain` prints them.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Cause::$cause => $name,)*
                }
            }
        }
    };
}

causes! {
    /// Objects that nobody has freed, as large as they were asked for: an estimate from samples, whose error is
    /// [`Explanation::sampled`]'s. Where nothing is sampled, rounding is in it.
    Live = "live as requested",
    /// What slots of live objects have beyond what was asked for.
    Rounding = "rounding",
    /// Objects that were freed and that wait for the next cycle.
    Dead = "dead, uncollected",
    /// Free slots in spans that hold objects, too; by class in [`Explanation::free`].
    Free = "free slots",
    /// What spans have beyond their last slot.
    Tails = "span tails",
    /// Slots and pages that threads have at hand for their next objects.
    Caches = "thread caches",
    /// Idle pages that the scavenger has not released.
    Retained = "retained idle",
    /// Released by `MADV_FREE`, and not taken by the kernel yet.
    LazilyFreed = "released, lazily freed",
    /// Released or never used, and resident as part of a huge page.
    HugePages = "huge-page refill",
    /// The heap's own: spans' headers, allocation words and death bytes.
    SpanData = "metadata: spans",
    /// The heap's own: threads' caches with their logs.
    CacheData = "metadata: thread caches",
    /// The heap's own: bitmaps, summaries, the page table; the heap profile's sites and records.
    TableData = "metadata: tables",
    /// Stacks of threads, the heap's among them.
    Stacks = "thread stacks",
    /// `[heap]`, and anonymous memory of no name: what C's allocator gets, and others that call `mmap`.
    CHeap = "C heap",
    /// Files, and memory shared with other processes.
    Files = "file mappings",
    /// The program and its libraries: code, constants, variables.
    Binary = "the binary",
    /// What the heap and the kernel disagree about, and mappings of no known kind.
    Unknown = "unknown",
}

/// Words of [`Holdings`].
pub(crate) const HELD_WORDS: usize = OTHERS + CLASSES;
const OTHERS: usize = 16;
/// In the place of [`Requested::bytes`]: nothing is sampled.
const UNSAMPLED: u64 = u64::MAX;

/// How many bytes of live objects were asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requested {
    /// An estimate from samples.
    pub bytes: u64,
    /// Its standard error: the truth is within twice as much in 19 of 20 cases.
    pub error: u64,
}

impl Requested {
    /// The same share of `part` as it is of `whole`.
    fn of(self, whole: u64, part: u64) -> Self {
        let share = |bytes: u64| {
            let share = u128::from(bytes.min(whole)) * u128::from(part);
            share.checked_div(whole.into()).unwrap_or(0) as u64
        };
        Self {
            bytes: share(self.bytes),
            error: share(self.error),
        }
    }
}

/// What the heap profile's samples tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sampled {
    /// Of what is live and in memory.
    pub requested: Requested,
    /// Bytes that the heap profile shows in use (`inuse_space`), by slot size and as of the last completed cycle.
    pub in_use: u64,
}

/// What the resident memory of a heap holds, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holdings {
    /// Live objects, by slot size.
    pub live: u64,
    /// How much of that was asked for; `None` if nothing is sampled.
    pub sampled: Option<Sampled>,
    /// Dead ones that wait for a cycle.
    pub dead: u64,
    /// Beyond spans' last slots.
    pub tails: u64,
    /// In threads' caches.
    pub cached: u64,
    /// Idle, and not released.
    pub retained: u64,
    /// Idle, released or never used, and resident.
    pub released: u64,
    /// Stacks of the heap's threads.
    pub stacks: u64,
    /// Metadata for spans, resident or not.
    pub span_blocks: u64,
    /// Metadata for threads' caches, resident or not.
    pub cache_blocks: u64,
    /// Metadata for tables and the heap profile that is in use.
    pub table_blocks: u64,
    /// First address of the heap.
    pub from: u64,
    /// The address behind the last that may be touched.
    pub to: u64,
    /// Handed back to the system since the start, before this was looked at.
    pub released_ever: u64,
    /// Free slots by class.
    pub free: [u64; CLASSES],
}

impl Holdings {
    pub(crate) fn words(&self) -> [u64; HELD_WORDS] {
        let mut words = [0; HELD_WORDS];
        let Sampled { requested, in_use } = self.sampled.unwrap_or(Sampled {
            requested: Requested {
                bytes: UNSAMPLED,
                error: 0,
            },
            in_use: 0,
        });
        words[..OTHERS].copy_from_slice(&[
            self.live,
            self.dead,
            self.tails,
            self.cached,
            self.retained,
            self.released,
            self.stacks,
            self.span_blocks,
            self.cache_blocks,
            self.table_blocks,
            self.from,
            self.to,
            self.released_ever,
            requested.bytes,
            requested.error,
            in_use,
        ]);
        words[OTHERS..].copy_from_slice(&self.free);
        words
    }

    pub(crate) fn from_words(words: &[u64; HELD_WORDS]) -> Self {
        let sampled = Sampled {
            requested: Requested {
                bytes: words[13],
                error: words[14],
            },
            in_use: words[15],
        };
        Self {
            live: words[0],
            sampled: (words[13] != UNSAMPLED).then_some(sampled),
            dead: words[1],
            tails: words[2],
            cached: words[3],
            retained: words[4],
            released: words[5],
            stacks: words[6],
            span_blocks: words[7],
            cache_blocks: words[8],
            table_blocks: words[9],
            from: words[10],
            to: words[11],
            released_ever: words[12],
            free: core::array::from_fn(|class| words[OTHERS + class]),
        }
    }
}

/// A process's resident memory by cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Bytes resident, as the kernel counts them in the page tables (`Rss` in smaps). ps's figure is
    /// counted lazily, and may be behind by some dozens of pages.
    pub rss: u64,
    /// Bytes of each cause, all of them in order; together they are `rss`.
    pub causes: [(Cause, u64); Cause::ALL.len()],
    /// Resident bytes in free slots, by size class; class 0, of large objects, has none.
    pub free: [u64; CLASSES],
    /// What samples tell; `None` if nothing is sampled.
    pub sampled: Option<Sampled>,
}

impl Explanation {
    /// Joins what the heap says and what the kernel says, at about the same moment; after both, the heap had handed
    /// `released_ever` back since the start. Where the kernel counts less than the heap, retained pages are
    /// shown with as much less as went back meanwhile; then (pages that were only read have no memory of their own)
    /// objects are, then the causes after them. Where the kernel keeps no names of mappings, metadata is
    /// what the heap has in use of it, an estimate, and taken off the C heap.
    pub fn of(held: &Holdings, maps: &Mappings, released_ever: u64) -> Self {
        let lazily = held.released.min(maps.lazily_freed);
        // A kernel that keeps no names shows metadata among memory that has none.
        let blocks = held.span_blocks + held.cache_blocks + held.table_blocks;
        let unnamed = match maps.metadata {
            0 => blocks.min(maps.c_heap),
            _ => 0,
        };
        let meta = maps.metadata + unnamed;
        let spans = held.span_blocks.min(meta);
        let caches = held.cache_blocks.min(meta - spans);
        let free: u64 = held.free.iter().sum();
        let all = [
            held.live,
            held.dead,
            free,
            held.tails,
            held.cached,
            held.retained,
            held.released,
            held.stacks,
        ];
        let missing = all
            .iter()
            .fold(0_u64, |sum, &bytes| sum.saturating_add(bytes));
        let missing = missing.saturating_sub(maps.heap);
        let gone = released_ever
            .saturating_sub(held.released_ever)
            .min(missing);
        let mut left = maps.heap;
        let heap = [
            (Cause::Live, held.live),
            (Cause::Dead, held.dead),
            (Cause::Free, free),
            (Cause::Tails, held.tails),
            (Cause::Caches, held.cached),
            (Cause::Retained, held.retained.saturating_sub(gone)),
            (Cause::LazilyFreed, lazily),
            (Cause::HugePages, held.released - lazily),
            (Cause::Stacks, held.stacks),
        ];
        let mut causes = Cause::ALL.map(|cause| (cause, 0));
        for (cause, bytes) in heap.into_iter().rev() {
            let bytes = bytes.min(left);
            left -= bytes;
            causes[cause as usize].1 += bytes;
        }
        let live = causes[Cause::Live as usize].1;
        let sampled = held.sampled.map(|sampled| Sampled {
            requested: sampled.requested.of(held.live, live),
            ..sampled
        });
        if let Some(Sampled { requested, .. }) = sampled {
            causes[Cause::Live as usize].1 = requested.bytes;
            causes[Cause::Rounding as usize].1 = live - requested.bytes;
        }
        for (cause, bytes) in [
            (Cause::SpanData, spans),
            (Cause::CacheData, caches),
            (Cause::TableData, meta - spans - caches),
            (Cause::Stacks, maps.stacks),
            (Cause::CHeap, maps.c_heap - unnamed),
            (Cause::Files, maps.files),
            (Cause::Binary, maps.binary),
            (Cause::Unknown, maps.others + left),
        ] {
            causes[cause as usize].1 += bytes;
        }
        Self {
            rss: maps.total(),
            causes,
            free: held.free,
            sampled,
        }
    }

    /// Bytes of live objects by slot size: as requested, and rounding. No estimate.
    pub fn live(&self) -> u64 {
        self.bytes(Cause::Live) + self.bytes(Cause::Rounding)
    }

    /// A cause in words: its name, unless nothing is sampled, and live has rounding in it.
    pub fn name(&self, cause: Cause) -> &'static str {
        match cause {
            Cause::Live if self.sampled.is_none() => "live, with rounding",
            _ => cause.name(),
        }
    }

    /// Bytes of one cause.
    pub fn bytes(&self, cause: Cause) -> u64 {
        self.causes[cause as usize].1
    }
}
