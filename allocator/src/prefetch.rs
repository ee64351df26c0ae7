//! Asking for a cache line before it is needed. Any address will do: none is read or written.
//! Where the processor has no instruction for it that is known here, nothing happens.

/// Asks for the line at `at`, to read it.
#[inline(always)]
pub(crate) fn for_read<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address is harmless.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(at.cast())
    };
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Asks for the line at `at`, to write to it.
#[inline(always)]
pub(crate) fn for_write(at: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address is harmless.
    unsafe {
        core::arch::asm!("prefetchw [{}]", in(reg) at, options(nostack, preserves_flags, readonly))
    };
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Asks for the line at `at` + 4 × `bytes`, to write to it, in one instruction.
#[inline(always)]
pub(crate) fn for_write_4_times(at: usize, bytes: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address is harmless.
    unsafe {
        core::arch::asm!("prefetchw [{} + 4*{}]", in(reg) at, in(reg) bytes,
            options(nostack, preserves_flags, readonly))
    };
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (at, bytes);
}
