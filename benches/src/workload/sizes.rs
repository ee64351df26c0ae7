//! How large objects are.

use crate::numbers::Numbers;

/// A distribution of sizes, in bytes; none is below 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// Each from 8 to 264 as often.
    Uniform,
    /// Each from 8 to 15 as often: those that share blocks with others in Go.
    Tiny,
    /// Perl's, as it makes a manual page: half of them below 25, one of 256 about 8 KiB.
    Program,
    /// All of 64.
    Even,
    /// From 8 bytes to 16 KiB, half as many of twice the size.
    Mixed,
}

/// The 373,338 allocations of Perl 5.36's `pod2man` on `perldiag.pod`, as recorded by
/// `goheap record`: sizes at the middle of each 256th part, in order.
#[rustfmt::skip]
const PERL: [u16; 256] = [
    8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 9, 9, 10, 10, 10, 10,
    10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10,
    10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10,
    10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10,
    10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 11, 11, 11, 12,
    12, 14, 15, 16, 16, 16, 16, 16, 16, 16, 16, 16, 18, 20, 23, 24,
    24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24, 24,
    24, 24, 24, 24, 24, 24, 24, 24, 24, 26, 26, 29, 30, 32, 32, 32,
    32, 32, 32, 32, 32, 33, 35, 35, 38, 40, 40, 40, 40, 40, 40, 40,
    40, 41, 42, 43, 44, 44, 44, 44, 44, 44, 45, 46, 48, 48, 48, 48,
    48, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48, 48,
    48, 51, 52, 54, 56, 56, 56, 57, 58, 63, 64, 64, 64, 64, 64, 64,
    64, 64, 64, 64, 64, 67, 70, 71, 72, 72, 72, 72, 73, 74, 75, 80,
    80, 80, 80, 80, 80, 80, 80, 80, 80, 80, 80, 83, 88, 96, 96, 104,
    104, 112, 120, 120, 124, 128, 128, 128, 128, 128, 128, 136, 138, 144, 154, 168,
    168, 168, 168, 168, 169, 170, 186, 208, 224, 264, 308, 371, 520, 720, 1416, 8304,
];

impl Sizes {
    /// The next one.
    #[inline]
    pub fn draw(self, numbers: &mut Numbers) -> usize {
        match self {
            Self::Uniform => 8 + numbers.below(257) as usize,
            Self::Tiny => 8 + numbers.below(8) as usize,
            Self::Even => 64,
            Self::Program => usize::from(PERL[numbers.below(256) as usize]),
            Self::Mixed => {
                let bits = numbers.next_bits();
                let doublings = (bits | 1 << 10).trailing_zeros();
                (8 << doublings) + (bits >> 32) as usize % (8 << doublings)
            }
        }
    }
}
