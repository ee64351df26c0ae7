//! What takes a while, done as often as a small share of the time allows.

use std::time::{Duration, Instant};

/// For each time that it takes, so many times as long it is not done.
const REST: u32 = 20;

/// When it is to be done next.
#[derive(Default)]
pub struct Seldom(Option<Instant>);

impl Seldom {
    /// Does it, if it is time.
    pub fn run(&mut self, work: impl FnOnce()) {
        let begun = Instant::now();
        if self.0.is_some_and(|next| begun < next) {
            return;
        }
        work();
        let took = begun.elapsed().max(Duration::from_millis(1));
        self.0 = Some(begun + took * (REST + 1));
    }
}
