//! How far it is to the next sample.

use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How far it is to a sample that does not come.
pub const NEVER: u64 = u64::MAX;

/// Bytes from one sample to the next, on average (Go: `MemProfileRate`): 0 for none, 1 for
/// every object.
#[derive(Debug)]
pub struct Rate {
    bytes: AtomicU64,
    /// Objects from one that is to be guarded to the next, on average; 0 for none.
    guards: AtomicU64,
    /// Where the next cache's random numbers begin.
    seed: AtomicU64,
}

impl Rate {
    pub(crate) const fn none() -> Self {
        Self {
            bytes: AtomicU64::new(0),
            guards: AtomicU64::new(0),
            seed: AtomicU64::new(0),
        }
    }

    /// Sets it, for caches to come and large objects.
    pub(crate) fn set(&self, bytes: u64, seed: u64) {
        self.bytes.store(bytes, Relaxed);
        self.seed.store(seed, Relaxed);
    }

    /// The rate in bytes.
    pub fn get(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Has one in so many objects guarded, in caches to come.
    pub(crate) fn set_guards(&self, one_in: u64) {
        self.guards.store(one_in, Relaxed);
    }

    /// Random numbers that no other caller gets.
    pub(crate) fn random(&self) -> Random {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut seed = self.seed.fetch_add(GOLDEN, Relaxed).wrapping_add(GOLDEN);
        // Steele, Lea and Flood's SplitMix64: neighbouring seeds have nothing in common after it.
        seed = (seed ^ seed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        seed = (seed ^ seed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        Random(Cell::new((seed ^ seed >> 31).max(1)))
    }
}

/// Marsaglia's xorshift64*.
#[derive(Debug)]
pub(crate) struct Random(Cell<u64>);

impl Random {
    /// A number below `n`, which is not 0.
    pub(crate) fn below(&self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    fn next(&self) -> u64 {
        let mut x = self.0.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.0.set(x);
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Bytes to the next point of a Poisson process that has one in `rate` bytes (Go: `fastexprand`).
    /// Costs a logarithm.
    pub(crate) fn bytes_ahead(&self, rate: u64) -> u64 {
        match rate {
            0 => NEVER,
            1 => 0,
            _ => {
                // 53 random bits above zero, as a share of one.
                let share = ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64;
                // The cast saturates.
                (-share.ln() * rate as f64) as u64
            }
        }
    }
}

/// Slots of a class to be handed out, and not in the bin yet, before the one that is sampled.
#[derive(Debug)]
pub(crate) struct Distance(Cell<u64>);

impl Distance {
    /// A fresh draw for slots of `slot_bytes`.
    pub(crate) fn draw(random: &Random, rate: u64, slot_bytes: usize) -> Self {
        let distance = Self(Cell::new(NEVER));
        distance.redraw(random, rate, slot_bytes);
        distance
    }

    /// As a slot was sampled: how many follow before the next.
    pub(crate) fn redraw(&self, random: &Random, rate: u64, slot_bytes: usize) {
        let ahead = match random.bytes_ahead(rate) {
            NEVER => NEVER,
            bytes => bytes / slot_bytes as u64,
        };
        self.0.set(ahead);
    }

    /// The slot that is taken apart from others is to be guarded if that comes before the next sample, which is drawn
    /// anew then: points of a Poisson process do not know of earlier ones. Whether it does.
    pub(crate) fn or_guard(&self, random: &Random, rate: &Rate) -> bool {
        let ahead = random.bytes_ahead(rate.guards.load(Relaxed));
        let first = ahead < self.0.get();
        if first {
            self.0.set(ahead);
        }
        first
    }

    /// Whether the sampled slot comes after the next `slots`, which then are no longer ahead.
    #[inline(always)]
    pub(crate) fn is_beyond(&self, slots: u32) -> bool {
        let ahead = self.0.get();
        let beyond = u64::from(slots) <= ahead;
        if beyond {
            self.0.set(ahead - u64::from(slots));
        }
        beyond
    }

    /// Of the free slots `free`, lowest first, those from the sampled one on, which now is the next.
    pub(crate) fn rest_of(&self, free: u64) -> u64 {
        let mut rest = free;
        for _ in 0..self.0.replace(0) {
            rest &= rest.wrapping_sub(1);
        }
        rest
    }

    /// Slots that were to come before the sampled one were not handed out: they are ahead of it still.
    pub(crate) fn give_back(&self, slots: u32) {
        self.0.set(self.0.get().saturating_add(u64::from(slots)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(seed: u64) -> Random {
        let rate = Rate::none();
        rate.set(0, seed);
        rate.random()
    }

    #[test]
    fn points_are_as_far_apart_as_the_rate_says_and_as_spread_as_a_poisson_processs() {
        let random = random(1);
        const N: u64 = 200_000;
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..N {
            let ahead = random.bytes_ahead(512 << 10) as f64;
            sum += ahead;
            squares += ahead * ahead;
        }
        let mean = sum / N as f64;
        let deviation = (squares / N as f64 - mean * mean).sqrt();
        // Both are the rate for an exponential distribution; four standard errors are a hundredth.
        for found in [mean, deviation] {
            let off = found / (512 << 10) as f64 - 1.0;
            assert!(off.abs() < 0.01, "{mean} ± {deviation}");
        }
    }

    #[test]
    fn an_object_is_sampled_with_the_probability_that_its_size_gives_it() {
        let random = random(2);
        for (rate, bytes) in [(512u64, 64usize), (512, 512), (512, 4096), (100, 8)] {
            let distance = Distance::draw(&random, rate, bytes);
            const N: u32 = 400_000;
            let mut sampled = 0;
            for _ in 0..N {
                if !distance.is_beyond(1) {
                    sampled += 1;
                    distance.redraw(&random, rate, bytes);
                }
            }
            let p = 1.0 - (-(bytes as f64) / rate as f64).exp();
            let error = 4.0 * (p * (1.0 - p) / f64::from(N)).sqrt();
            let found = f64::from(sampled) / f64::from(N);
            assert!(
                (found - p).abs() < error,
                "{bytes} in {rate}: {found}, not {p}"
            );
        }
    }

    #[test]
    fn a_rate_of_one_samples_everything_and_a_rate_of_zero_nothing() {
        let random = random(3);
        let all = Distance::draw(&random, 1, 8);
        assert!(!all.is_beyond(1));
        assert_eq!(all.rest_of(0b1011), 0b1011);
        let none = Distance::draw(&random, 0, 8);
        for _ in 0..1000 {
            assert!(none.is_beyond(64));
        }
    }

    #[test]
    fn a_word_is_cut_before_the_sampled_slot_and_what_comes_back_stays_ahead_of_it() {
        let distance = Distance(Cell::new(5));
        assert!(distance.is_beyond(3));
        // Two more, then the sampled one.
        assert!(!distance.is_beyond(5));
        assert_eq!(distance.rest_of(0b1_1011_0000), 0b1_1000_0000);
        distance.give_back(1);
        assert!(!distance.is_beyond(2));
        assert_eq!(distance.rest_of(0b11), 0b10);
        assert!(!distance.is_beyond(1));
    }

    #[test]
    fn two_caches_get_different_numbers() {
        let rate = Rate::none();
        assert_ne!(rate.random().next(), rate.random().next());
    }
}
