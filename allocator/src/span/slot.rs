//! Which slot of a span an address is in, without a division.

use crate::size_class::SizeClass;

/// 2³² by the bytes of a slot, rounded up: turns a division into a multiplication. 0 for large
/// objects, of which no address is then the exact start of a slot.
pub(super) const fn magic_of(class: SizeClass) -> u32 {
    match class.bytes() {
        0 => 0,
        bytes => u32::MAX / bytes as u32 + 1,
    }
}

/// The slot at `offset` of a span, and whether it begins there. With `magic` = ⌈2³²/bytes⌉ the
/// product's upper half is the quotient, and its lower half is below `magic` just where nothing is
/// left over, for any offset in a span of small objects.
#[inline(always)]
pub(super) fn slot_at(offset: usize, magic: u32) -> (usize, bool) {
    let product = (offset as u64).wrapping_mul(u64::from(magic));
    ((product >> 32) as usize, (product as u32) < magic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PAGE;

    #[test]
    fn one_multiplication_finds_the_slot_and_whether_it_begins_there() {
        for class in SizeClass::all().skip(1) {
            let bytes = class.bytes();
            let magic = magic_of(class);
            for offset in 0..class.pages() * PAGE {
                let want = (offset / bytes, offset % bytes == 0);
                assert_eq!(slot_at(offset, magic), want, "{class:?} {offset}");
            }
        }
    }

    #[test]
    fn a_large_objects_one_slot_is_never_exact() {
        let magic = magic_of(SizeClass::LARGE);
        for offset in [0, 8, 1 << 32, 1 << 40] {
            assert_eq!(slot_at(offset, magic), (0, false));
        }
    }
}
