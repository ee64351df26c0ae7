//! What a program shows of itself in its [`SharedPage`](crate::SharedPage): the counters of
//! `MemStats` but for the rings of pauses, every size class, and what the pacer and the scavenger
//! aim at.
//!
//! The list of figures below is the layout: each is one 64-bit word, in this order.

use crate::audit::{CLASSES, ClassCounts};
use crate::mem_stats::{BY_SIZE, BySize, MemStats};

/// What fits a word of the page.
trait Word: Copy {
    fn to_word(self) -> u64;
    fn from_word(word: u64) -> Self;
}

impl Word for u64 {
    fn to_word(self) -> u64 {
        self
    }
    fn from_word(word: u64) -> Self {
        word
    }
}

impl Word for i64 {
    fn to_word(self) -> u64 {
        self.cast_unsigned()
    }
    fn from_word(word: u64) -> Self {
        word.cast_signed()
    }
}

impl Word for u32 {
    fn to_word(self) -> u64 {
        self.into()
    }
    fn from_word(word: u64) -> Self {
        word as u32
    }
}

impl Word for f64 {
    fn to_word(self) -> u64 {
        self.to_bits()
    }
    fn from_word(word: u64) -> Self {
        Self::from_bits(word)
    }
}

macro_rules! figures {
    ($($(#[doc = $doc:literal])* $name:ident: $type:ty,)* @of MemStats $($copied:ident: $copied_type:ty,)*) => {
        /// The figures of one moment. Sizes in bytes, times in nanoseconds.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Snapshot {
            $($(#[doc = $doc])* pub $name: $type,)*
            $(#[doc = concat!("As [`MemStats::", stringify!($copied), "`].")] pub $copied: $copied_type,)*
            /// Every size class, class 0 for the large objects first.
            pub classes: [ClassCounts; CLASSES],
        }

        const FIGURES: usize = [$(stringify!($name),)* $(stringify!($copied)),*].len();

        impl Snapshot {
            /// A snapshot in which every figure is 0.
            pub fn zeroed() -> Self {
                Self::from_words(&[0; WORDS], |_| 0)
            }

            /// The snapshot with what `stats` and `classes` say in it.
            pub fn with(self, stats: &MemStats, classes: [ClassCounts; CLASSES]) -> Self {
                Self {
                    $($copied: stats.$copied,)*
                    classes,
                    ..self
                }
            }

            /// The same as Go would say it; the rings of pauses are empty.
            pub fn mem_stats(&self) -> MemStats {
                let mut by_size = [BySize::default(); BY_SIZE];
                for (shown, class) in by_size.iter_mut().zip(&self.classes).skip(1) {
                    *shown = BySize { size: class.size, mallocs: class.mallocs, frees: class.frees };
                }
                MemStats {
                    alloc: self.heap_alloc,
                    $($copied: self.$copied,)*
                    enable_gc: true,
                    by_size,
                    ..MemStats::zeroed()
                }
            }

            /// As they stand in the page.
            pub(crate) fn words(&self) -> [u64; WORDS] {
                let mut words = [0; WORDS];
                let (figures, counts) = words.split_at_mut(FIGURES);
                figures.copy_from_slice(&[$(self.$name.to_word(),)* $(self.$copied.to_word()),*]);
                for (words, class) in counts.chunks_exact_mut(2).zip(&self.classes) {
                    words.copy_from_slice(&[class.mallocs, class.frees]);
                }
                words
            }

            /// The reverse; the sizes of the classes stand elsewhere.
            pub(crate) fn from_words(words: &[u64; WORDS], size: impl Fn(usize) -> u32) -> Self {
                let (figures, counts) = words.split_at(FIGURES);
                let mut figures = figures.iter().copied();
                let mut next = || figures.next().unwrap_or(0);
                Self {
                    $($name: Word::from_word(next()),)*
                    $($copied: Word::from_word(next()),)*
                    classes: core::array::from_fn(|class| ClassCounts {
                        size: size(class),
                        mallocs: counts[2 * class],
                        frees: counts[2 * class + 1],
                    }),
                }
            }
        }
    };
}

figures! {
    /// When it was taken, on the machine's monotonic clock.
    taken_ns: u64,
    /// When the heap started, on the same clock. Another value than before: the process runs another program.
    started_ns: u64,
    /// The process's resident set. The program itself fills it in as it ends; else who looks does.
    rss: u64,
    /// The largest resident set since the process runs this program, likewise.
    peak_rss: u64,
    /// What Go's pacer takes for the heap's size: with the free slots that threads have at hand.
    heap_live: u64,
    /// What was live when the last cycle ended.
    heap_marked: u64,
    /// The heap size at which the next cycle begins.
    trigger: u64,
    /// GOGC in percent; negative: off.
    gc_percent: i64,
    /// GOMEMLIMIT; [`i64::MAX`]: none.
    memory_limit: i64,
    /// What counts against that limit.
    mapped_ready: u64,
    /// 1 while a cycle's mark is under way.
    marking: u32,
    /// The idle and used memory that the background scavenger aims to keep; [`u64::MAX`]: all.
    scavenge_goal: u64,
    /// Handed back to the system since the start, however often.
    released_ever: u64,
    @of MemStats
    total_alloc: u64,
    sys: u64,
    mallocs: u64,
    frees: u64,
    heap_alloc: u64,
    heap_sys: u64,
    heap_idle: u64,
    heap_inuse: u64,
    heap_released: u64,
    heap_objects: u64,
    stack_inuse: u64,
    stack_sys: u64,
    mspan_inuse: u64,
    mspan_sys: u64,
    mcache_inuse: u64,
    mcache_sys: u64,
    buck_hash_sys: u64,
    gc_sys: u64,
    other_sys: u64,
    next_gc: u64,
    last_gc: u64,
    pause_total_ns: u64,
    num_gc: u32,
    num_forced_gc: u32,
    gc_cpu_fraction: f64,
}

/// 64-bit words of a snapshot in the page.
pub(crate) const WORDS: usize = FIGURES + 2 * CLASSES;
