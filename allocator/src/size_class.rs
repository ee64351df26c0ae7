//! Go's 68 size classes (`internal/runtime/gc/sizeclasses.go`).
//!
//! Class 0 stands for large objects, which get a span of their own. The others
//! hold objects of up to [`SizeClass::bytes`] in spans of [`SizeClass::pages`].
//! Two byte tables answer "which class" in one look-up: steps of 8 bytes up to
//! 1 KiB, steps of 128 above.

use crate::PAGE;
use crate::tiny::CLASS;

/// How many classes there are, class 0 included.
pub const CLASSES: usize = 68;
/// The largest object that shares a span, in bytes (Go: `maxSmallSize`).
pub const MAX_SMALL: usize = 32 << 10;
/// Bytes at the end of a span of objects of 16 to 512 bytes that hold none: Go keeps mark bits there
/// (`spanInlineMarkBits`, mgcmark_greenteagc.go, `initSpan`). Left out here, too, since a slot in 64 or
/// in 16 fewer shows in how many spans a heap needs.
const INLINE_MARKS: usize = 128;

const BYTES: [u16; CLASSES] = [
    0, 8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256, 288, 320,
    352, 384, 416, 448, 480, 512, 576, 640, 704, 768, 896, 1024, 1152, 1280, 1408, 1536, 1792,
    2048, 2304, 2688, 3072, 3200, 3456, 4096, 4864, 5376, 6144, 6528, 6784, 6912, 8192, 9472, 9728,
    10240, 10880, 12288, 13568, 14336, 16384, 18432, 19072, 20480, 21760, 24576, 27264, 28672,
    32768,
];
const PAGES: [u8; CLASSES] = [
    0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 2, 1, 2, 1, 2, 1, 3, 2, 3, 1, 3, 2, 3, 4, 5, 6, 1, 7, 6, 5, 4, 3, 5, 7, 2, 9, 7, 5, 8,
    3, 10, 7, 4,
];

const FINE: usize = 1024;
static BY_8: [u8; FINE / 8 + 1] = table::<{ FINE / 8 + 1 }>(0, 8);
/// The same, but for tiny objects the class of the blocks that they share.
static BY_8_SHARED: [u8; FINE / 8 + 1] = {
    let mut t = table::<{ FINE / 8 + 1 }>(0, 8);
    t[1] = CLASS.0;
    t
};
/// By 16 bytes, from the class of 16 on. Of those from there on but 24, which serves no multiple of 16,
/// all are multiples of 16.
static BY_16: [u8; FINE / 16 + 1] = {
    let mut t = table::<{ FINE / 16 + 1 }>(0, 16);
    t[0] = t[1];
    t
};
static BY_128: [u8; (MAX_SMALL - FINE) / 128 + 1] =
    table::<{ (MAX_SMALL - FINE) / 128 + 1 }>(FINE, 128);

const fn table<const N: usize>(from: usize, step: usize) -> [u8; N] {
    let mut t = [1; N];
    let (mut i, mut class) = (0, 1u8);
    while i < N {
        while (BYTES[class as usize] as usize) < from + i * step {
            class += 1;
        }
        t[i] = class;
        i += 1;
    }
    t
}

/// One of Go's size classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SizeClass(u8);

impl SizeClass {
    /// The class of large objects.
    pub const LARGE: SizeClass = SizeClass(0);

    /// The smallest class that holds `bytes`, which are at the most [`MAX_SMALL`]. One look-up.
    #[inline(always)]
    pub fn of(bytes: usize) -> SizeClass {
        debug_assert!(bytes <= MAX_SMALL);
        if bytes <= FINE {
            SizeClass(BY_8[bytes.div_ceil(8)])
        } else {
            Self::coarse(bytes)
        }
    }

    /// Of more than [`FINE`] bytes. Worded so that the compiler sees that it stays in the table.
    #[inline(always)]
    fn coarse(bytes: usize) -> SizeClass {
        SizeClass(BY_128[(bytes - 1) / 128 - (FINE / 128 - 1)])
    }

    /// The class for `bytes` at a multiple of `align`, for what most objects are: neither none nor more than `FINE`, and
    /// aligned to 8 at the most. Of tiny ones it is that of the blocks that they share. One comparison and one look-up.
    #[inline(always)]
    pub fn common(bytes: usize, align: usize) -> Option<SizeClass> {
        let beyond_one = bytes.wrapping_sub(1);
        // What is too much wraps, or has a bit from `FINE`'s on.
        let both = beyond_one | 8_usize.wrapping_sub(align);
        (both < FINE).then(|| SizeClass(BY_8_SHARED[beyond_one % FINE / 8 + 1]))
    }

    /// The smallest class that holds `bytes` at a multiple of `align`, a power of two.
    /// `None` where only a span of its own can.
    #[inline(always)]
    pub fn fitting(bytes: usize, align: usize) -> Option<SizeClass> {
        if align > 8 {
            return Self::aligned(bytes, align);
        }
        (bytes <= MAX_SMALL).then(|| SizeClass::of(bytes))
    }

    /// The smallest class that holds `bytes` at a multiple of 16; `None` where only a span of its own
    /// can. One look-up.
    #[inline(always)]
    pub fn of_16(bytes: usize) -> Option<SizeClass> {
        if bytes <= FINE {
            Some(SizeClass(BY_16[bytes.div_ceil(16)]))
        } else if bytes <= MAX_SMALL {
            Some(Self::coarse(bytes))
        } else {
            None
        }
    }

    #[inline]
    fn aligned(bytes: usize, align: usize) -> Option<SizeClass> {
        if align == 16 {
            return Self::of_16(bytes);
        }
        let rounded = bytes.max(1).checked_add(align - 1)? & !(align - 1);
        if align > PAGE || rounded > MAX_SMALL {
            return None;
        }
        let first = SizeClass::of(rounded);
        (first.0..CLASSES as u8)
            .map(SizeClass)
            .find(|c| c.bytes().is_multiple_of(align))
    }

    /// The class with this number.
    ///
    /// # Panics
    /// If `number` is not below [`CLASSES`].
    pub const fn from_index(number: usize) -> SizeClass {
        assert!(number < CLASSES);
        SizeClass(number as u8)
    }

    /// All classes, that of large objects first.
    pub fn all() -> impl DoubleEndedIterator<Item = SizeClass> {
        (0..CLASSES as u8).map(SizeClass)
    }

    /// The class's number, from 0.
    #[inline(always)]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Bytes of one slot; 0 for large objects.
    #[inline(always)]
    pub const fn bytes(self) -> usize {
        BYTES[self.0 as usize] as usize
    }

    /// Pages of one span; 0 for large objects.
    pub const fn pages(self) -> usize {
        PAGES[self.0 as usize] as usize
    }

    /// Slots of one span; 1 for large objects.
    pub const fn slots(self) -> usize {
        match self.bytes() {
            0 => 1,
            bytes @ 16..=512 => (self.pages() * PAGE - INLINE_MARKS) / bytes,
            bytes => self.pages() * PAGE / bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Go's rule (`_mkmalloc/mksizeclasses.go`): grow by a step that keeps waste
    /// under an eighth, merge sizes that fit a span equally often, then stretch
    /// each to what its span has room for, in steps of 128 bytes.
    fn regenerate() -> Vec<(usize, usize)> {
        let mut classes: Vec<(usize, usize)> = vec![(0, 0)];
        let (mut size, mut step) = (8, 8);
        while size <= MAX_SMALL {
            if size.is_power_of_two() {
                step = match size {
                    2048.. => 256,
                    128.. => size / 8,
                    32.. => 16,
                    _ => step,
                };
            }
            let pages = (1..).find(|p| (p * PAGE) % size <= p * PAGE / 8).unwrap();
            match classes.last_mut() {
                Some(last)
                    if last.0 > 0
                        && last.1 == pages
                        && pages * PAGE / last.0 == pages * PAGE / size =>
                {
                    last.0 = size
                }
                _ => classes.push((size, pages)),
            }
            size += step;
        }
        for c in &mut classes[1..] {
            let room = c.1 * PAGE;
            c.0 = c.0.max((room / (room / c.0)) & !127);
        }
        classes
    }

    #[test]
    fn the_table_is_the_one_that_gos_rule_makes() {
        let ours: Vec<_> = SizeClass::all().map(|c| (c.bytes(), c.pages())).collect();
        assert_eq!(ours, regenerate());
    }

    #[test]
    fn spans_of_small_objects_have_room_left_for_gos_mark_bits() {
        // What `initSpan` of Go 1.27.3 computes, without pointers.
        let slots = |bytes| SizeClass::of(bytes).slots();
        let expected = [
            (8, 1024),
            (16, 504),
            (48, 168),
            (256, 31),
            (512, 15),
            (576, 14),
        ];
        assert_eq!(expected.map(|(bytes, _)| (bytes, slots(bytes))), expected);
    }

    #[test]
    fn each_size_goes_to_the_smallest_class_that_holds_it() {
        for size in 0..=MAX_SMALL {
            let c = SizeClass::of(size);
            assert!(c.bytes() >= size && c.index() > 0, "{size}");
            assert!(
                c.index() == 1 || SizeClass::from_index(c.index() - 1).bytes() < size,
                "{size}"
            );
        }
    }

    #[test]
    fn what_is_common_goes_to_the_smallest_class_or_shares_a_block() {
        for size in (0..=2 * FINE + 1).chain([isize::MAX as usize, usize::MAX]) {
            let class = match size {
                0 => None,
                1..16 => Some(CLASS),
                _ => (size <= FINE).then(|| SizeClass::of(size)),
            };
            for shift in 0..usize::BITS {
                let of_align = if shift > 3 { None } else { class };
                assert_eq!(
                    SizeClass::common(size, 1 << shift),
                    of_align,
                    "{size} {shift}"
                );
            }
        }
    }

    #[test]
    fn an_aligned_class_has_only_aligned_slots() {
        for shift in 0..=14 {
            let align = 1usize << shift;
            for size in (0..=MAX_SMALL + 8).step_by(7) {
                match SizeClass::fitting(size, align) {
                    Some(c) => assert!(
                        c.bytes() >= size && c.bytes() % align == 0,
                        "{size} {align}"
                    ),
                    None => assert!(
                        align > PAGE || size.max(1).next_multiple_of(align) > MAX_SMALL,
                        "{size} {align}"
                    ),
                }
            }
        }
    }
}
