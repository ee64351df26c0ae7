//! What Go's runtime keeps beside a heap of the trace's objects, and goheap has no use for: sets of spans, and mark
//! bits. The replayer holds as much memory outside the heap in its stead, as it does for
//! [what Go has on the heap](super::run), and a snapshot counts it where Go would, in `GCSys` and `Sys`.
//!
//! ```text
//! sets  = classes used × 3 sets × (spine + blocks of 512 spans)
//! marks = 3 cycles × 8 bytes for each 64 slots of a span, in arenas
//! ```
//! Both only grow, as in Go, and only what is new since the baseline counts: what a program has before it
//! allocates is in its baseline. How many spans a class has is taken from its objects, as if they lay close together;
//! that is at most what Go has.

use std::io;

use goheap_stats::{CLASSES, ClassCounts};

use super::off_heap::OffHeap;

/// Sets of spans that a class fills: full ones of this cycle and the last, and partly filled ones (Go:
/// `mcentral`; the fourth stays empty where nothing dies, and is small where something does).
const SETS: u64 = 3;
/// A set's table of blocks, in bytes (Go: `spanSetInitSpineCap`).
const SPINE: u64 = 256 * 8;
/// Spans in a block of a set (Go: `spanSetBlockEntries`).
const BLOCK_SPANS: u64 = 512;
/// A block, in bytes: a pointer for each span and a header, in whole cache lines (Go: `spanSetBlock`).
const BLOCK: u64 = BLOCK_SPANS * 8 + 64;
/// Mark bits come in arenas of so many bytes (Go: `gcBitsChunkBytes`).
const ARENA: u64 = 64 << 10;
/// Those of the next cycle, this one's, and the last one's (Go: `gcBitsArenas`).
const EPOCHS: u64 = 3;
/// A span of small objects, in bytes. Larger ones exist, for fewer and larger objects.
const SPAN: u64 = 8 << 10;

/// What is left at the baseline of the chunk that sets come from, in bytes: about, and mapped already (Go:
/// `persistentChunkSize`).
const SPARE: u64 = 32 << 10;

/// All that is held at most, in bytes; reserved, not taken. Where address space is short, less.
const ROOM: usize = 256 << 20;
/// So much there must be.
const LEAST_ROOM: usize = 1 << 20;

/// A page of the system's.
type Page = [u64; 512];

/// The memory held.
pub struct GoRuntime {
    held: OffHeap<Page>,
    /// Objects of each class that were allocated before the baseline.
    objects_before: [u64; CLASSES],
    /// Cycles before the baseline.
    cycles_before: u32,
    /// Bytes of sets, at their most.
    sets: u64,
    /// Arenas that one cycle's mark bits take, at their most. Go has mapped one each by the baseline.
    arenas: u64,
}

impl GoRuntime {
    /// Nothing held yet. The baseline is now.
    pub fn at_baseline() -> io::Result<Self> {
        let (stats, classes) = goheap::read_counts();
        Ok(Self {
            held: room()?,
            objects_before: classes.map(|class| class.mallocs),
            cycles_before: stats.num_gc,
            sets: 0,
            arenas: 1,
        })
    }

    /// Holds what Go's runtime would by now.
    pub fn grow(&mut self) {
        let (stats, classes) = goheap::read_counts();
        let (mut sets, mut marks) = (0, 0);
        for (class, before) in classes.iter().zip(self.objects_before) {
            if class.mallocs > before {
                let (spans, bits) = spans_and_bits(class);
                sets += SETS * (SPINE + BLOCK * spans.div_ceil(BLOCK_SPANS).max(1));
                marks += bits;
            }
        }
        self.sets = self.sets.max(sets);
        self.arenas = self.arenas.max(marks.div_ceil(ARENA));
        // An arena is cleared, and so in memory as a whole, when a cycle takes it again.
        let cleared = u64::from(stats.num_gc > self.cycles_before);
        let bytes = self.sets + (self.arenas - 1 + cleared) * EPOCHS * ARENA;
        let pages = (bytes as usize / size_of::<Page>()).min(self.held.capacity());
        for _ in self.held.len()..pages {
            self.held.push([1; 512]);
        }
    }

    /// Bytes that Go has mapped for this since the baseline.
    pub fn mapped(&self) -> u64 {
        self.sets.saturating_sub(SPARE) + (self.arenas - 1) * EPOCHS * ARENA
    }
}

fn room() -> io::Result<OffHeap<Page>> {
    let mut bytes = ROOM;
    loop {
        match OffHeap::with_capacity(bytes / size_of::<Page>()) {
            Err(_) if bytes > LEAST_ROOM => bytes /= 2,
            done => return done,
        }
    }
}

/// Spans of a class at least, and bytes of mark bits for them.
fn spans_and_bits(class: &ClassCounts) -> (u64, u64) {
    let objects = class.mallocs.saturating_sub(class.frees);
    let slots = match u64::from(class.size) {
        0 => 1,
        size => (SPAN / size).max(1),
    };
    let spans = objects.div_ceil(slots);
    (spans, spans * slots.div_ceil(64) * 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_has_a_span_for_as_many_objects_as_fit_and_a_word_of_marks_for_64() {
        let class = |size, mallocs, frees| ClassCounts {
            size,
            mallocs,
            frees,
        };
        assert_eq!(spans_and_bits(&class(64, 1000, 744)), (2, 32));
        assert_eq!(spans_and_bits(&class(16, 513, 0)), (2, 128));
        assert_eq!(spans_and_bits(&class(9472, 3, 0)), (3, 24));
        assert_eq!(spans_and_bits(&class(0, 7, 2)), (5, 40));
    }
}
