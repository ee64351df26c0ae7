//! Death bytes, sixteen at a time.
//!
//! A sweep looks at a byte for each object of the heap, so it looks at many at
//! once. Others may store to single ones meanwhile; Rust's atomics may not be
//! mixed in size, so the wide accesses are assembly, and where there is none
//! they are loops over atomics.

use core::sync::atomic::AtomicU8;
#[cfg(not(target_arch = "x86_64"))]
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
