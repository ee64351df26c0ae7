//! What is written into the ring comes out of it: once, whole, and in the order of the tickets.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::Deref;
use std::thread;

use goheap_ring::{Event, Kind, Ring, SLOTS, THREADS};

/// A ring as a mapping of a new file has it: zeroed memory.
struct Zeroed(*mut Ring);

// SAFETY: all of a ring is atomic.
unsafe impl Sync for Zeroed {}

impl Zeroed {
    fn new() -> Self {
        let layout = Layout::new::<Ring>();
        // SAFETY: a ring has a size.
        let at = unsafe { alloc_zeroed(layout) };
        if at.is_null() {
            handle_alloc_error(layout);
        }
        Self(at.cast())
    }
}

impl Deref for Zeroed {
    type Target = Ring;

    fn deref(&self) -> &Ring {
        // SAFETY: allocated for a ring, which is valid when zero, and not freed before `self` goes.
        unsafe { &*self.0 }
    }
}

impl Drop for Zeroed {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.0.cast(), Layout::new::<Ring>()) }
    }
}

fn event(kind: Kind, thread: u32, n: u64) -> Event {
    Event {
        kind,
        thread,
        align: (n % 64) as u8,
        address: n,
        size: !n,
        nanos: n * 3,
    }
}

#[test]
fn every_kind_comes_out_as_it_went_in() {
    let ring = Zeroed::new();
    let kinds = [
        Kind::Allocate,
        Kind::Zeroed,
        Kind::Free,
        Kind::Resize,
        Kind::Resized,
    ];
    for (n, kind) in kinds.into_iter().enumerate() {
        let written = event(kind, THREADS - 1 - n as u32, 63 + n as u64);
        let ticket = ring.draw();
        assert_eq!(ring.read(ticket), None, "drawn, not written");
        ring.publish(ticket, written);
        assert_eq!(ring.read(ticket), Some(written));
    }
    assert_eq!(ring.drawn(), 5);
}

#[test]
fn a_full_ring_has_room_again_when_it_was_read() {
    let ring = Zeroed::new();
    for n in 0..SLOTS {
        let ticket = ring.draw();
        assert!(ring.has_room(ticket));
        ring.publish(ticket, event(Kind::Free, 0, n));
    }
    let next = ring.draw();
    assert!(!ring.has_room(next));
    ring.release(1);
    assert!(ring.has_room(next));
    assert_eq!(
        ring.read(next),
        None,
        "what lies there is of the turn before"
    );
    ring.publish(next, event(Kind::Free, 0, 7));
    assert_eq!(ring.read(next).map(|event| event.address), Some(7));
}

#[test]
fn what_threads_write_at_once_is_read_once_and_in_each_ones_order() {
    const EACH: u64 = 3 * SLOTS / 2;
    let ring = &Zeroed::new();
    let mut seen = [0; 3];
    thread::scope(|scope| {
        for thread in 0..seen.len() as u32 {
            scope.spawn(move || {
                for n in 0..EACH {
                    let ticket = ring.draw();
                    while !ring.has_room(ticket) {
                        thread::yield_now();
                    }
                    ring.publish(ticket, event(Kind::Allocate, thread, n));
                }
            });
        }
        for ticket in 0..EACH * seen.len() as u64 {
            let event = loop {
                match ring.read(ticket) {
                    Some(event) => break event,
                    None => thread::yield_now(),
                }
            };
            ring.release(ticket + 1);
            let next = &mut seen[event.thread as usize];
            assert_eq!((event.address, event.size), (*next, !*next));
            *next += 1;
        }
    });
    assert_eq!(seen, [EACH; 3]);
}
