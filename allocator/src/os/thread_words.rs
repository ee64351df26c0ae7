//! A few words in each thread, for the heap: where its cache is, how far its life has come, which
//! locks it holds.
//!
//! None has a destructor: such ones may allocate to be registered. `thread_local!` is one
//! instruction in an executable, but in a shared library it is a call, which takes as long as the
//! rest of an allocation, and which may allocate. Feature `initial-exec` is for the
//! preload library, which is there from the start: its words lie at a fixed distance from the
//! thread pointer, which the loader writes into the library's offset table. Stable Rust has no word
//! for that, so a few lines of assembly say it; a linker that makes an executable turns the load
//! into a constant.

use core::sync::atomic::AtomicU64;

/// Bytes in a thread's block of words.
const BLOCK: usize = 32;

/// Zeroes, and nothing else ever.
#[repr(C, align(128))]
#[derive(Debug)]
pub struct Nothing([AtomicU64; 2048]);

/// Where a thread's first word points at first: whoever follows it finds nothing there, and need
/// not ask beforehand whether there is something.
pub static NOTHING: Nothing = Nothing([const { AtomicU64::new(0) }; 2048]);

/// The calling thread's word at byte `AT` of its block. At first, the first one is the address of
/// [`NOTHING`], and the others are zero.
#[inline(always)]
pub fn read<const AT: usize>() -> usize {
    const { assert!(AT.is_multiple_of(size_of::<u64>()) && AT < BLOCK) };
    words::read::<AT>()
}

/// Sets the calling thread's word at byte `AT` of its block.
#[inline(always)]
pub fn write<const AT: usize>(value: usize) {
    const { assert!(AT.is_multiple_of(size_of::<u64>()) && AT < BLOCK) };
    words::write::<AT>(value);
}

#[cfg(all(
    feature = "initial-exec",
    target_os = "linux",
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod words {
    use core::arch::{asm, global_asm};

    global_asm!(
        ".pushsection .tdata.goheap_thread, \"awT\", %progbits",
        ".balign 8",
        ".globl goheap_thread",
        ".hidden goheap_thread",
        ".type goheap_thread, %tls_object",
        ".size goheap_thread, {block}",
        "goheap_thread:",
        ".quad {nothing}",
        ".zero {block} - 8",
        ".popsection",
        block = const super::BLOCK,
        nothing = sym super::NOTHING,
    );

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub fn read<const AT: usize>() -> usize {
        let value;
        // SAFETY: reads a word of this thread's block, where the loader has put the symbol.
        unsafe {
            asm!(
                "mov {v}, qword ptr [rip + goheap_thread@GOTTPOFF]",
                "mov {v}, qword ptr fs:[{v} + {at}]",
                v = out(reg) value,
                at = const AT,
                options(pure, readonly, nostack, preserves_flags),
            );
        }
        value
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub fn write<const AT: usize>(value: usize) {
        // SAFETY: writes a word of this thread's block, as above.
        unsafe {
            asm!(
                "mov {o}, qword ptr [rip + goheap_thread@GOTTPOFF]",
                "mov qword ptr fs:[{o} + {at}], {v}",
                o = out(reg) _,
                v = in(reg) value,
                at = const AT,
                options(nostack, preserves_flags),
            );
        }
    }

    #[cfg(target_arch = "aarch64")]
    #[inline(always)]
    fn block() -> usize {
        let block;
        // SAFETY: adds the symbol's distance, from the offset table, to the thread pointer.
        unsafe {
            asm!(
                "adrp {b}, :gottprel:goheap_thread",
                "ldr {b}, [{b}, :gottprel_lo12:goheap_thread]",
                "mrs {t}, tpidr_el0",
                "add {b}, {b}, {t}",
                b = out(reg) block,
                t = out(reg) _,
                options(pure, readonly, nostack, preserves_flags),
            );
        }
        block
    }

    #[cfg(target_arch = "aarch64")]
    #[inline(always)]
    pub fn read<const AT: usize>() -> usize {
        let value;
        // SAFETY: reads a word of this thread's block.
        unsafe {
            asm!("ldr {v}, [{b}, {at}]", v = out(reg) value, b = in(reg) block(), at = const AT,
                options(pure, readonly, nostack, preserves_flags));
        }
        value
    }

    #[cfg(target_arch = "aarch64")]
    #[inline(always)]
    pub fn write<const AT: usize>(value: usize) {
        // SAFETY: writes a word of this thread's block.
        unsafe {
            asm!("str {v}, [{b}, {at}]", v = in(reg) value, b = in(reg) block(), at = const AT,
                options(nostack, preserves_flags));
        }
    }
}

#[cfg(not(all(
    feature = "initial-exec",
    target_os = "linux",
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
mod words {
    use super::{BLOCK, NOTHING, Nothing};
    use core::cell::Cell;

    thread_local! {
        static FIRST: Cell<*const Nothing> = const { Cell::new(&raw const NOTHING) };
        static OTHERS: [Cell<usize>; BLOCK / 8] = const { [const { Cell::new(0) }; BLOCK / 8] };
    }

    #[inline(always)]
    pub fn read<const AT: usize>() -> usize {
        if AT == 0 {
            FIRST.get().expose_provenance()
        } else {
            OTHERS.with(|words| words[AT / 8].get())
        }
    }

    #[inline(always)]
    pub fn write<const AT: usize>(value: usize) {
        if AT == 0 {
            FIRST.set(core::ptr::with_exposed_provenance(value));
        } else {
            OTHERS.with(|words| words[AT / 8].set(value));
        }
    }
}
