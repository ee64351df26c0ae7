//! Which chunks are worth scavenging: those that have not been packed lately.
//!
//! Pages are handed out first fit, so the low chunks of a heap fill up during a
//! cycle. To release the few pages free in one of these would be to fault them in
//! again soon, and would break up a huge page for it. A chunk is *dense* with
//! 96.875 % of its pages in use, 496 of 512; it is left alone in the generation
//! in which it was dense and in the next one, unless releasing is forced.
//!
//! ```text
//! bits   0–15      16–25         26–31   32–63
//!      ┌────────┬─────────────┬───────┬────────────┐
//!      │ in use │ last in use │ flags │ generation │
//!      └────────┴─────────────┴───────┴────────────┘
//! ```
//!
//! `in use` counts pages; `last in use` is that count at the end of the generation
//! before `generation`, the last in which the word changed. The one flag says that
//! there may be pages to release, so that zero is a chunk just grown: empty, and
//! released already. Generations are counted by cycles and may wrap around.
//!
//! Invariant: both counts are at most [`CHUNK_PAGES`]; a full chunk has nothing
//! to release.
//!
//! The page heap holds one such word per chunk in an atomic, changes it under its
//! lock, and reads it without to look for a candidate.
//!
//! Go throws if more pages are allocated or freed than a chunk has. Policy does
//! not stop a program here: the count stays at its bound, and the page heap, which
//! has the bitmap to compare with, finds out.

/// Pages of a chunk. Go: `pallocChunkPages`.
pub const CHUNK_PAGES: u32 = 512;

/// Pages in use from which on a chunk is dense: 96.875 %. Go:
/// `scavChunkHiOccPages`.
const DENSE_PAGES: u32 = 496;

const LAST_SHIFT: u32 = 16;
const FLAGS_SHIFT: u32 = 26;
const GENERATION_SHIFT: u32 = 32;

const COUNT_MASK: u64 = (1 << (FLAGS_SHIFT - LAST_SHIFT)) - 1;
const HAS_FREE: u64 = 1 << FLAGS_SHIFT;

/// How full a chunk is and was, in one word. Go: `scavChunkData`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChunkDensity(u64);

impl ChunkDensity {
    /// A chunk that has just been grown: no page in use, none to release, and
    /// never touched. Also the default.
    pub const ZERO: Self = Self(0);

    /// From the word of [`pack`](Self::pack). Go: `unpackScavChunkData`.
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// As a word to be kept in an atomic. Go: `scavChunkData.pack`.
    pub const fn pack(self) -> u64 {
        self.0
    }

    /// Pages in use.
    pub const fn in_use(self) -> u32 {
        (self.0 & COUNT_MASK) as u32
    }

    /// Pages in use at the end of the generation before [`generation`](Self::generation).
    pub const fn last_in_use(self) -> u32 {
        (self.0 >> LAST_SHIFT & COUNT_MASK) as u32
    }

    /// The generation of the last change.
    pub const fn generation(self) -> u32 {
        (self.0 >> GENERATION_SHIFT) as u32
    }

    /// Whether there may be something to release. Stays set until
    /// [`set_empty`](Self::set_empty), whatever has been released.
    pub const fn has_free(self) -> bool {
        self.0 & HAS_FREE != 0
    }

    /// With `pages` more in use. Go: `scavChunkData.alloc`.
    #[must_use]
    pub const fn alloc(self, pages: u32, generation: u32) -> Self {
        self.changed(
            self.in_use().saturating_add(pages),
            self.has_free(),
            generation,
        )
    }

    /// With `pages` fewer in use, and so something to release. Go:
    /// `scavChunkData.free`.
    #[must_use]
    pub const fn free(self, pages: u32, generation: u32) -> Self {
        self.changed(self.in_use().saturating_sub(pages), true, generation)
    }

    /// Without anything left to release: the scavenger has been through it.
    /// Go: `setEmpty`.
    #[must_use]
    pub const fn set_empty(self) -> Self {
        Self(self.0 & !HAS_FREE)
    }

    /// Whether the scavenger should look into this chunk. May say yes where there
    /// is nothing to find. Go: `shouldScavenge`.
    pub const fn should_scavenge(self, generation: u32, force: bool) -> bool {
        if !self.has_free() {
            return false;
        }
        if force {
            return true;
        }
        // A chunk not touched in this generation ended the last one as it is now.
        let last = if self.generation() == generation {
            self.last_in_use()
        } else {
            0
        };
        self.in_use() < DENSE_PAGES && last < DENSE_PAGES
    }

    /// The one place where the word is put together, so that its invariant is
    /// kept here: no more pages than a chunk has, and nothing to release if all of
    /// them are in use.
    const fn changed(self, in_use: u32, has_free: bool, generation: u32) -> Self {
        let full = in_use >= CHUNK_PAGES;
        let in_use = if full { CHUNK_PAGES } else { in_use };
        let has_free = has_free && !full;
        let last = if self.generation() == generation {
            self.last_in_use()
        } else {
            self.in_use()
        };
        Self(
            in_use as u64
                | (last as u64) << LAST_SHIFT
                | if has_free { HAS_FREE } else { 0 }
                | (generation as u64) << GENERATION_SHIFT,
        )
    }
}
