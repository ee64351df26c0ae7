//! Where a process's resident memory is: every byte has one [`Cause`].
//!
//! The heap says what its own resident pages hold ([`Holdings`]); the kernel says what each mapping of
//! the process has resident ([`Mappings`]). [`Explanation::of`] joins the two. What they disagree about is
//! [`Cause::Unknown`], so the causes always add up to what the kernel counts.
//!
//! | file | idea |
//! | --- | --- |
//! | `mappings.rs` | whose each mapping in `/proc/PID/smaps` is |
//! | `advice.rs` | the largest causes, and what moves them, in sentences |

mod advice;
mod mappings;
#[cfg(test)]
mod tests;

pub use advice::{Settings, sentences};
pub use mappings::Mappings;

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
    /// Slots of objects that nobody has freed. What the size class rounds up is in it: what the program
    /// asked for is not written down anywhere.
    Live = "live",
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
    /// The heap's own: bitmaps, summaries, the page table.
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
const OTHERS: usize = 13;

/// What the resident memory of a heap holds, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holdings {
    /// Live objects.
    pub live: u64,
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
    /// Metadata for tables that is in use.
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
        ]);
        words[OTHERS..].copy_from_slice(&self.free);
        words
    }

    pub(crate) fn from_words(words: &[u64; HELD_WORDS]) -> Self {
        Self {
            live: words[0],
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
        }
    }

    /// Bytes of one cause.
    pub fn bytes(&self, cause: Cause) -> u64 {
        self.causes[cause as usize].1
    }
}
