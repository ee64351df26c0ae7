//! A trace while it is being written.

use std::fmt::{Arguments, Write};

/// An object of the trace that is being written.
#[derive(Clone, Copy)]
pub struct Object(u32);

/// Operations, in the text that `goheap replay` reads.
pub struct Script {
    text: String,
    ids: u32,
    spare: Vec<u32>,
    random: u64,
}

impl Script {
    /// Nothing yet; the seed is where random numbers begin.
    pub fn new(seed: u64) -> Self {
        Self {
            text: String::new(),
            ids: 0,
            spare: Vec::new(),
            random: seed,
        }
    }

    fn push(&mut self, line: Arguments<'_>) {
        writeln!(self.text, "{line}").expect("a String takes all that is written");
    }

    /// Allocates.
    pub fn new_object(&mut self, bytes: u64) -> Object {
        let id = self.spare.pop().unwrap_or_else(|| {
            self.ids += 1;
            self.ids - 1
        });
        self.push(format_args!("a {id} {bytes}"));
        Object(id)
    }

    /// Drops.
    pub fn drop(&mut self, object: Object) {
        self.push(format_args!("f {}", object.0));
        self.spare.push(object.0);
    }

    /// Drops all of them.
    pub fn drop_all(&mut self, objects: impl IntoIterator<Item = Object>) {
        objects.into_iter().for_each(|object| self.drop(object));
    }

    /// Allocates and drops at once.
    pub fn pass(&mut self, bytes: u64) {
        let object = self.new_object(bytes);
        self.drop(object);
    }

    /// Collects.
    pub fn collect(&mut self) {
        self.push(format_args!("g"));
    }

    /// Sets GOGC.
    pub fn percent(&mut self, percent: i32) {
        self.push(format_args!("p {percent}"));
    }

    /// Sets GOMEMLIMIT.
    pub fn limit(&mut self, bytes: u64) {
        self.push(format_args!("l {bytes}"));
    }

    /// Sleeps.
    pub fn sleep(&mut self, ms: u32) {
        self.push(format_args!("w {ms}"));
    }

    /// Takes a snapshot.
    pub fn snapshot(&mut self, label: Arguments<'_>) {
        self.push(format_args!("s {label}"));
    }

    /// The whole.
    pub fn finish(self) -> String {
        format!("n {}\n{}", self.ids.max(1), self.text)
    }

    /// A number below `end` (splitmix64).
    pub fn below(&mut self, end: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        ((u128::from(mixed) * u128::from(end)) >> 64) as u64
    }

    /// A number from `least` to `most`.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// A number from `least` to below twice the power of two above it that is `doublings` up: each doubling is as
    /// likely as the next.
    pub fn scaled(&mut self, least: u64, doublings: u64) -> u64 {
        let from = least << self.below(doublings);
        from + self.below(from)
    }

    /// Takes one of them out.
    pub fn pick(&mut self, objects: &mut Vec<Object>) -> Object {
        let at = self.below(objects.len() as u64) as usize;
        objects.swap_remove(at)
    }
}
