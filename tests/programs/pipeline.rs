//! Messages through channels: one thread allocates, the next frees and allocates, the last frees.

use std::thread;

use crossbeam::channel::bounded;

use crate::{Numbers, digest};

const MESSAGES: u64 = 150_000;

pub fn run() -> u64 {
    let (raw, to_refine) = bounded::<Vec<u8>>(512);
    let (refined, to_sum) = bounded::<Box<(u64, String)>>(512);
    let producer = thread::spawn(move || {
        let mut numbers = Numbers(3);
        for number in 0..MESSAGES {
            // Mostly small, now and then a large object.
            let length = match number % 5_000 {
                0 => 100_000,
                _ => 1 + numbers.below(400) as usize,
            };
            let message = vec![numbers.next() as u8; length];
            raw.send(message).expect("the next stage outlives this one");
        }
    });
    let refiner = thread::spawn(move || {
        for message in to_refine {
            let text = format!("{:x}", digest(&message));
            let refined_message = Box::new((message.len() as u64, text));
            refined
                .send(refined_message)
                .expect("the next stage outlives this one");
        }
    });
    let mut sum = (0_u64, 0_u64);
    for message in to_sum {
        sum = (sum.0 + message.0, sum.1.rotate_left(1) ^ digest(&message.1));
    }
    for stage in [producer, refiner] {
        stage.join().expect("a stage ends in order");
    }
    digest(&sum)
}
