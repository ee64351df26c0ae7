//! Numbers that look random, cost next to nothing and are the same in every run.

/// A generator (xorshift64).
#[derive(Clone, Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// The generator of a seed other than 0.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next 64 bits.
    #[inline]
    pub fn next_bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below a bound, evenly but for the bound's share of 2^32.
    #[inline]
    pub fn below(&mut self, bound: u32) -> u32 {
        let bits = self.next_bits() >> 32;
        ((bits * u64::from(bound)) >> 32) as u32
    }

    /// Any order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u32 + 1) as usize);
        }
    }

    /// A number over 0 and up to 1.
    pub fn fraction(&mut self) -> f64 {
        ((self.next_bits() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}
