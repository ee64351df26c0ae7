//! Death bytes, sixteen at a time.
//!
//! A sweep looks at a byte for each object of the heap, so it looks at many at
//! once. Others may store to single ones meanwhile; Rust's atomics may not be
//! mixed in size, so the wide accesses are assembly, and where there is none
//! they are loops over atomics.

use core::sync::atomic::AtomicU8;
use core::sync::atomic::Ordering::Relaxed;

/// The mark that a death bears: which of the two epochs in flight it was seen in.
/// All spans are swept before an epoch closes, so there are never more than two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(pub(crate) u8);

impl Tag {
    /// The tag of the first epoch.
    pub const FIRST: Tag = Tag(1);

    /// The tag of the epoch after (and before) this one.
    pub const fn other(self) -> Tag {
        Tag(3 - self.0)
    }
}

/// The death byte of a slot that was never allocated, or was given back unused.
pub(crate) const FREE: u8 = 3;

/// Death bytes are read in groups of this many.
pub(crate) const GROUP: usize = 16;

/// Which of the 16 death bytes from `at` on bear `tag`: a bit for each.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn matches(at: *const AtomicU8, tag: Tag) -> u32 {
    use core::arch::x86_64::_mm_set1_epi8;
    let mask: u32;
    // SAFETY: 16 death bytes lie there (blocks are padded to groups). Others may store to single ones
    // meanwhile; assembly may read across them, which Rust's own atomics may not.
    unsafe {
        core::arch::asm!(
            "movdqu {x}, [{at}]",
            "pcmpeqb {x}, {tag}",
            "pmovmskb {mask:e}, {x}",
            x = out(xmm_reg) _,
            at = in(reg) at,
            tag = in(xmm_reg) _mm_set1_epi8(tag.0 as i8),
            mask = out(reg) mask,
            options(nostack, readonly, preserves_flags),
        );
    }
    mask
}

/// Sets a whole group of death bytes to `to`. All of these slots are the caller's alone, so nobody
/// else writes to any of them.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn fill(at: *const AtomicU8, to: u8) {
    use core::arch::x86_64::_mm_set1_epi8;
    // SAFETY: 16 death bytes lie there, in memory that is written through atomics only.
    unsafe {
        core::arch::asm!(
            "movdqu [{at}], {x}",
            x = in(xmm_reg) _mm_set1_epi8(to as i8),
            at = in(reg) at,
            options(nostack, preserves_flags),
        );
    }
}

/// Sets a whole group of death bytes to `to`. All of these slots are the caller's alone, so nobody
/// else writes to any of them.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn fill(at: *const AtomicU8, to: u8) {
    // SAFETY: 16 death bytes lie there: blocks are padded to groups.
    let group = unsafe { core::slice::from_raw_parts(at, GROUP) };
    group.iter().for_each(|d| d.store(to, Relaxed));
}

/// Sets those of the 64 death bytes from `at` on that `which` has a bit for to `to`, if the processor stores single bytes of
/// sixteen in one instruction; `false` if it does not. These slots are the caller's alone; nothing is written to the
/// others, where somebody else may store meanwhile.
///
/// # Safety
/// There is a death byte for each bit.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) unsafe fn fill_some(at: *const AtomicU8, to: u8, which: u64) -> bool {
    use core::arch::x86_64::_mm_set1_epi8;
    if !stores_by_mask() {
        return false;
    }
    for group in 0..u64::BITS as usize / GROUP {
        // SAFETY: the caller's contract; it is memory that is written through atomics only, none of it where there is no
        // bit, and the processor has the instruction.
        unsafe {
            core::arch::asm!(
                "kmovd k1, {which:e}",
                "vmovdqu8 xmmword ptr [{at}]{{k1}}, {x}",
                which = in(reg) which >> (group * GROUP),
                at = in(reg) at.wrapping_add(group * GROUP),
                x = in(xmm_reg) _mm_set1_epi8(to as i8),
                out("k1") _,
                options(nostack, preserves_flags),
            );
        }
    }
    true
}

/// Nothing: the processor is not known to have an instruction for it.
///
/// # Safety
/// None is needed.
#[cfg(not(target_arch = "x86_64"))]
pub(super) unsafe fn fill_some(_: *const AtomicU8, _: u8, _: u64) -> bool {
    false
}

/// Whether the processor has AVX-512's stores by mask; asked once.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn stores_by_mask() -> bool {
    const NO: u8 = 1;
    const YES: u8 = 2;
    static KNOWN: AtomicU8 = AtomicU8::new(0);
    #[cold]
    fn ask() -> u8 {
        use std::arch::is_x86_feature_detected as has;
        let known = if has!("avx512bw") && has!("avx512vl") {
            YES
        } else {
            NO
        };
        KNOWN.store(known, Relaxed);
        known
    }
    let known = match KNOWN.load(Relaxed) {
        0 => ask(),
        known => known,
    };
    known == YES
}

/// Which of the 16 death bytes from `at` on bear `tag`: a bit for each.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn matches(at: *const AtomicU8, tag: Tag) -> u32 {
    // SAFETY: 16 death bytes lie there: blocks are padded to groups.
    let group = unsafe { core::slice::from_raw_parts(at, GROUP) };
    group
        .iter()
        .enumerate()
        .fold(0, |m, (i, d)| m | u32::from(d.load(Relaxed) == tag.0) << i)
}
