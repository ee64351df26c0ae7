//! The heap as a map: what each stretch of its address space is, at about one moment.
//!
//! The heap hands over a [`Run`] for each span and each stretch of idle pages, by address; a [`Moment`] says when,
//! and turns cycles into time. [`Fragmentation`] is what the runs come to in numbers.
//!
//! | file | idea |
//! | --- | --- |
//! | `age.rs` | between which bounds an object's age lies |
//! | `fragmentation.rs` | what the runs come to |
//! | `words.rs` | runs as words, for who looks from outside |

mod age;
mod fragmentation;
#[cfg(test)]
mod tests;
mod words;

pub use age::{Age, KNOWN_CYCLES, Moment};
pub use fragmentation::{ClassUse, Fragmentation, Measure, Pinned, SPARSE, TENTHS, Total};
pub use words::Sheet;

macro_rules! states {
    ($($(#[$doc:meta])* $state:ident = $name:literal,)*) => {
        /// What a run of pages is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
        pub enum State {
            $($(#[$doc])* #[serde(rename = $name)] $state,)*
        }

        impl State {
            /// All of them, in order.
            pub const ALL: [State; [$(State::$state),*].len()] = [$(State::$state),*];

            /// In words, as `goheap map` prints them.
            pub const fn name(self) -> &'static str {
                match self {
                    $(State::$state => $name,)*
                }
            }
        }
    };
}

states! {
    /// A span with objects, which the last sweep has seen.
    InUse = "in use",
    /// A span that a thread allocates from.
    Cached = "in a cache",
    /// A span that the sweep under way has yet to see.
    Unswept = "unswept",
    /// Pages that a thread has set aside for its next spans; backed by memory. Counts as HeapIdle.
    SetAside = "set aside",
    /// The same, not backed. Counts as HeapIdle and HeapReleased.
    SetAsideReleased = "set aside, released",
    /// Idle, and backed by memory.
    Retained = "idle, retained",
    /// Idle, and handed back to the system.
    Released = "idle, released",
    /// Idle, and never used since the heap grew by it. Counts as HeapReleased.
    Untouched = "never used",
    /// The heap's first 2 MiB, which stay unused. Counts as HeapIdle and HeapReleased.
    Padding = "left out",
    /// Stacks of the heap's own threads. Counts as StackSys, beside the heap.
    Stacks = "stacks",
}

impl State {
    /// A span, which counts as HeapInuse.
    pub const fn is_span(self) -> bool {
        matches!(self, Self::InUse | Self::Cached | Self::Unswept)
    }

    /// Pages that any thread can have: a span or a large object fits where enough of them are in a row.
    pub const fn is_free(self) -> bool {
        matches!(self, Self::Retained | Self::Released | Self::Untouched)
    }

    /// Counts as HeapIdle.
    pub const fn is_idle(self) -> bool {
        !self.is_span() && !matches!(self, Self::Stacks)
    }

    /// Counts as HeapReleased.
    pub const fn is_released(self) -> bool {
        matches!(
            self,
            Self::SetAsideReleased | Self::Released | Self::Untouched | Self::Padding
        )
    }
}

/// Some pages in a row that are one thing: a span, or as many idle pages of a state as there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The first byte.
    pub address: u64,
    /// How many; a multiple of 8192.
    pub bytes: u64,
    /// What they are. The rest is 0 but for spans.
    pub state: State,
    /// The size class; 0 for a large object.
    pub class: u8,
    /// Bytes of a slot.
    pub slot_bytes: u64,
    /// Slots in all. Those that are nothing of what follows are free.
    pub slots: u16,
    /// Objects that nobody has freed.
    pub live: u16,
    /// Objects that were freed, and that no sweep has reclaimed.
    pub dead: u16,
    /// Slots that a thread has at hand.
    pub waiting: u16,
    /// The cycle after which the span was opened: no object in it is older.
    pub opened: u32,
    /// The cycle after which it was allocated from last, at the latest: no object in it is younger. `None` if a
    /// thread still does.
    pub left: Option<u32>,
}

impl Run {
    /// Pages that are no span.
    pub const fn idle(address: u64, bytes: u64, state: State) -> Self {
        Self {
            address,
            bytes,
            state,
            class: 0,
            slot_bytes: 0,
            slots: 0,
            live: 0,
            dead: 0,
            waiting: 0,
            opened: 0,
            left: None,
        }
    }

    /// Bytes of objects that nobody has freed.
    pub const fn live_bytes(&self) -> u64 {
        self.live as u64 * self.slot_bytes
    }

    /// Bytes of objects that were freed and wait for a cycle, or for its sweep.
    pub const fn dead_bytes(&self) -> u64 {
        self.dead as u64 * self.slot_bytes
    }

    /// Free slots, at hand or not.
    pub const fn free(&self) -> u16 {
        self.slots
            .saturating_sub(self.live)
            .saturating_sub(self.dead)
    }

    /// Whether it is a sparse span; see [`SPARSE`].
    pub fn is_sparse(&self) -> bool {
        matches!(self.state, State::InUse | State::Unswept)
            && self.live > 0
            && self.occupancy() <= SPARSE
    }

    /// Live objects among the slots, from 0 to 1; 0 where there are none.
    pub fn occupancy(&self) -> f64 {
        f64::from(self.live) / f64::from(self.slots.max(1))
    }
}
