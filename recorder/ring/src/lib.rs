//! A ring of allocation events in memory that a recorded program shares with the one that records it.
//!
//! Every thread of the program writes, one process reads. A writer draws a *ticket* from one
//! counter; tickets are the recording's order, and a ticket's slot is its number modulo [`SLOTS`].
//! So an order that the program itself makes is kept: who draws a ticket before it frees an
//! address, and after it was given one, has it below that of whoever is given the address next.
//!
//! A slot is published by the last of its words, which holds the number of the turn, from 1, that
//! the ring was in: the reader knows without a lock what is there, and what was drawn but not
//! written yet. All of it lies in the mapping, so what a program wrote before it crashed is there.
//!
//! All fields are atomic and valid when zero: a mapping of a new file is an empty ring, and a program that
//! writes nonsense into it makes a wrong recording, nothing worse.

#![no_std]

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU32, AtomicU64};

/// How many events are under way at most. 2 MiB of them are read in a few milliseconds.
pub const SLOTS: u64 = 1 << 16;
/// Bytes of the mapping.
pub const BYTES: usize = size_of::<Ring>();
/// Threads have numbers below this; further ones share the last.
pub const THREADS: u32 = 1 << 22;
const TURN: u32 = 32;

/// What a program did with its heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Was given `size` bytes at `address`.
    Allocate = 0,
    /// Was given them, zeroed.
    Zeroed = 1,
    /// Is about to give `address` back.
    Free = 2,
    /// Is about to have `address` moved or resized.
    Resize = 3,
    /// The same thread's `Resize` made it `size` bytes at `address`; 0 if it failed.
    Resized = 4,
}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub kind: Kind,
    /// The thread's number, from 0 in the order of their first events. Below [`THREADS`].
    pub thread: u32,
    /// The alignment asked for is 2 to this; 0 where none was. Below 64.
    pub align: u8,
    /// Where.
    pub address: u64,
    /// Bytes asked for.
    pub size: u64,
    /// When, in nanoseconds of the monotonic clock, which may be up to 10 ms behind.
    pub nanos: u64,
}

/// The memory shared.
#[repr(C)]
pub struct Ring {
    head: Line,
    tail: Line,
    about: About,
    slots: [Slot; SLOTS as usize],
}

/// A counter that has a cache line for itself.
#[repr(C, align(128))]
struct Line(AtomicU64);

#[repr(C, align(128))]
struct About {
    pid: AtomicU32,
    threads: AtomicU32,
    closed: AtomicU32,
    start: AtomicU64,
}

#[repr(C, align(32))]
struct Slot {
    address: AtomicU64,
    size: AtomicU64,
    nanos: AtomicU64,
    /// Kind in bits 0 to 3, alignment in 4 to 9, thread in 10 to 31, turn above.
    tag: AtomicU64,
}

impl Ring {
    /// Says whose events these are, and when they began. Before anybody else sees the ring.
    pub fn begin(&self, pid: u32, nanos: u64) {
        self.about.pid.store(pid, Relaxed);
        self.about.start.store(nanos, Relaxed);
    }

    /// The process that writes, as it sees itself.
    pub fn pid(&self) -> u32 {
        self.about.pid.load(Relaxed)
    }

    /// When it began to, in nanoseconds of the monotonic clock.
    pub fn start(&self) -> u64 {
        self.about.start.load(Relaxed)
    }

    /// A number for a thread that has none.
    pub fn new_thread(&self) -> u32 {
        self.about.threads.fetch_add(1, Relaxed).min(THREADS - 1)
    }

    /// The next ticket. Relaxed: the program's own order of giving back and being given is carried
    /// by the allocator's locks, and one counter's changes follow it.
    pub fn draw(&self) -> u64 {
        self.head.0.fetch_add(1, Relaxed)
    }

    /// Whether the ticket's slot has been read in the turn before.
    pub fn has_room(&self, ticket: u64) -> bool {
        // Acquire: pairs with Release in `release`, so the slot is read before it is written.
        ticket.wrapping_sub(self.tail.0.load(Acquire)) < SLOTS
    }

    /// Writes the ticket's event, once there is room.
    pub fn publish(&self, ticket: u64, event: Event) {
        let slot = self.slot(ticket);
        slot.address.store(event.address, Relaxed);
        slot.size.store(event.size, Relaxed);
        slot.nanos.store(event.nanos, Relaxed);
        let what = event.kind as u64
            | u64::from(event.align & 63) << 4
            | u64::from(event.thread.min(THREADS - 1)) << 10;
        // Release: pairs with Acquire in `read`.
        slot.tag.store(turn(ticket) << TURN | what, Release);
    }

    /// How many tickets have been drawn.
    pub fn drawn(&self) -> u64 {
        self.head.0.load(Relaxed)
    }

    /// The ticket's event, if it has been published.
    pub fn read(&self, ticket: u64) -> Option<Event> {
        let slot = self.slot(ticket);
        // Acquire: pairs with Release in `publish`.
        let tag = slot.tag.load(Acquire);
        if tag >> TURN != turn(ticket) {
            return None;
        }
        let kind = match tag & 15 {
            0 => Kind::Allocate,
            1 => Kind::Zeroed,
            2 => Kind::Free,
            3 => Kind::Resize,
            _ => Kind::Resized,
        };
        Some(Event {
            kind,
            thread: (tag >> 10) as u32 & (THREADS - 1),
            align: (tag >> 4) as u8 & 63,
            address: slot.address.load(Relaxed),
            size: slot.size.load(Relaxed),
            nanos: slot.nanos.load(Relaxed),
        })
    }

    /// Gives the slots of all tickets below this one back to the writers.
    pub fn release(&self, ticket: u64) {
        // Release: pairs with Acquire in `has_room`.
        self.tail.0.store(ticket, Release);
    }

    /// Says that nobody reads any more.
    pub fn close(&self) {
        self.about.closed.store(1, Relaxed);
    }

    /// Whether nobody reads any more.
    pub fn is_closed(&self) -> bool {
        self.about.closed.load(Relaxed) != 0
    }

    fn slot(&self, ticket: u64) -> &Slot {
        &self.slots[(ticket % SLOTS) as usize]
    }
}

/// The ring's turn that a ticket belongs to, as a tag holds it: never 0 in a ring's first four billion.
fn turn(ticket: u64) -> u64 {
    (ticket / SLOTS + 1) & u64::from(u32::MAX)
}
