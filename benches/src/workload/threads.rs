//! Several threads at once: each on its own, handing objects on, or coming and going.

use std::alloc::GlobalAlloc;
use std::sync::Barrier;
use std::thread;

use crossbeam::channel::{Receiver, Sender, bounded};

use super::Sizes;
use super::object::Object;
use crate::contestant::Measure;
use crate::cost::Cost;
use crate::numbers::Numbers;

/// What each of several threads does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Replaces random objects of its own, 1,000 of them.
    Alone(Sizes),
    /// Allocates 1,000 objects of 64 bytes and frees them: all threads want spans of one class.
    OneClass,
    /// Every other thread allocates, and its neighbour frees.
    PassOn(Sizes),
    /// Each allocates for the next one in a ring, which frees.
    Ring(Sizes),
    /// Lives for 1,000 replacements among 100, and leaves its objects to a thread that begins then.
    Heirs,
}

/// So many threads.
#[derive(Clone, Copy, Debug)]
pub struct Threads {
    /// How many.
    pub count: usize,
    /// Of what kind.
    pub role: Role,
}

/// What is handed on at once: so many that the channel costs little beside them.
const HAND: usize = 64;
type Hand = [Object; HAND];

impl Measure for Threads {
    type Figure = Cost;

    fn measure<A: GlobalAlloc + Sync>(&self, heap: &'static A, operations: u64) -> Cost {
        let each = operations / self.count as u64;
        let (count, role) = (self.count, self.role);
        super::warmed(each, |each| match role {
            Role::Alone(sizes) => on_each(count, |seed| alone(heap, sizes, seed, each)),
            Role::OneClass => on_each(count, |_| one_class(heap, each)),
            Role::Heirs => on_each(count, |seed| heirs(heap, seed, each)),
            Role::Ring(sizes) => ring(heap, count, sizes, each / HAND as u64),
            Role::PassOn(sizes) => pairs(heap, count / 2, sizes, 2 * each / HAND as u64),
        })
    }
}

fn on_each(count: usize, work: impl Fn(u64) + Sync) {
    let start = Barrier::new(count);
    thread::scope(|scope| {
        for number in 0..count as u64 {
            let (work, start) = (&work, &start);
            scope.spawn(move || {
                start.wait();
                work(number + 1);
            });
        }
    });
}

#[inline(never)]
fn alone<A: GlobalAlloc>(heap: &A, sizes: Sizes, seed: u64, operations: u64) {
    let mut objects = vec![Object::NONE; 1000];
    replace(heap, &mut objects, sizes, seed, operations);
    objects.into_iter().for_each(|object| object.free(heap));
}

#[inline(never)]
fn replace<A: GlobalAlloc>(
    heap: &A,
    objects: &mut [Object],
    sizes: Sizes,
    seed: u64,
    operations: u64,
) {
    let mut numbers = Numbers::new(seed);
    for _ in 0..operations {
        let object = &mut objects[numbers.below(objects.len() as u32) as usize];
        object.free(heap);
        *object = Object::new(heap, sizes.draw(&mut numbers));
    }
}

#[inline(never)]
fn one_class<A: GlobalAlloc>(heap: &A, operations: u64) {
    let mut objects = vec![Object::NONE; 1000];
    for _ in 0..operations.div_ceil(1000) {
        objects.fill_with(|| Object::new(heap, 64));
        objects.iter().for_each(|object| object.free(heap));
    }
}

fn heirs<A: GlobalAlloc + Sync>(heap: &'static A, seed: u64, operations: u64) {
    let mut objects = vec![Object::NONE; 100];
    for life in 0..operations.div_ceil(1000) {
        thread::scope(|scope| {
            scope.spawn(|| replace(heap, &mut objects, Sizes::Uniform, seed + life, 1000));
        });
    }
    objects.into_iter().for_each(|object| object.free(heap));
}

fn ring<A: GlobalAlloc + Sync>(heap: &'static A, threads: usize, sizes: Sizes, hands: u64) {
    let (senders, mut receivers): (Vec<_>, Vec<_>) =
        (0..threads).map(|_| bounded::<Hand>(16)).unzip();
    // Each sends to the next.
    receivers.rotate_right(1);
    thread::scope(|scope| {
        for (sender, receiver) in senders.into_iter().zip(receivers) {
            scope.spawn(move || {
                let mut numbers = Numbers::new(1);
                for _ in 0..hands {
                    // Each sends as many as it receives, so neither end goes before the other.
                    if !give(heap, sizes, &mut numbers, &sender) || !receive(heap, &receiver) {
                        return;
                    }
                }
            });
        }
    });
}

fn pairs<A: GlobalAlloc + Sync>(heap: &'static A, pairs: usize, sizes: Sizes, hands: u64) {
    thread::scope(|scope| {
        for pair in 0..pairs as u64 {
            let (sender, receiver) = bounded::<Hand>(16);
            scope.spawn(move || {
                let mut numbers = Numbers::new(pair + 1);
                (0..hands).for_each(|_| {
                    give(heap, sizes, &mut numbers, &sender);
                });
            });
            scope.spawn(move || while receive(heap, &receiver) {});
        }
    });
}

#[inline(never)]
fn give<A: GlobalAlloc>(
    heap: &A,
    sizes: Sizes,
    numbers: &mut Numbers,
    sender: &Sender<Hand>,
) -> bool {
    let hand = std::array::from_fn(|_| Object::new(heap, sizes.draw(numbers)));
    sender.send(hand).is_ok()
}

#[inline(never)]
fn receive<A: GlobalAlloc>(heap: &A, receiver: &Receiver<Hand>) -> bool {
    let hand = receiver.recv();
    let received = hand.is_ok();
    hand.into_iter()
        .flatten()
        .for_each(|object| object.free(heap));
    received
}
