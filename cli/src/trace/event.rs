//! What a recorded program did with its heap, one event at a time.

/// Alignments are 2 to at most this: the largest that a page table of today can map in one.
pub const MAX_ALIGN: u8 = 30;

/// One thing a program did, and who and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Microseconds since the recording began. Never less than the event's before.
    pub micros: u64,
    /// The thread's number, from 0 in the order of their first events.
    pub thread: u32,
    /// What.
    pub act: Act,
}

/// What a program did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Was given an object, of which it had none by that id.
    Allocate {
        /// The object's number; free ones are taken again.
        id: u32,
        /// In bytes, as asked for.
        size: usize,
        /// The alignment asked for is 2 to this; 0 where the program left it to malloc.
        align: u8,
        /// Whether it was asked for as zeroes.
        zeroed: bool,
    },
    /// Had an object resized, or moved with what is in it.
    Reallocate {
        /// The object's number, before and after.
        id: u32,
        /// In bytes, from now on.
        size: usize,
    },
    /// Gave an object back.
    Free {
        /// The object's number.
        id: u32,
    },
}

impl Act {
    /// Which object it is about.
    pub fn id(self) -> u32 {
        let (Self::Allocate { id, .. } | Self::Reallocate { id, .. } | Self::Free { id }) = self;
        id
    }
}

/// Where in a recording something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a binary file, from 0.
    Byte(u64),
    /// In a text, from 1.
    Line(u64),
}

/// Why a recording cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Where.
    pub at: Place,
    /// What is wrong.
    pub reason: String,
}

/// A recording's events in order, ending at the first that cannot be read. A file that
/// merely stops is no fault: see [`Events::cut`].
pub trait Events: Iterator<Item = Result<Event, Broken>> {
    /// After the last event: where the file stops, if it does so before its end.
    fn cut(&self) -> Option<Place>;
}
