//! The two words that the heap keeps in each thread: where its cache is, and how far its life has come.
//!
//! Neither has a destructor: such ones may allocate to be registered. `thread_local!` is one
//! instruction in an executable, but a call in a shared library, which takes as long as the rest of
//! an allocation. Feature `initial-exec` is for the preload library, which is there from the start: its
//! words then lie at a fixed distance from the thread pointer, which the loader writes
//! into the library's offset table. Stable Rust has no word for that, so a few lines of assembly say
//! it; a linker that makes an executable turns the load into a constant.

use core::ptr::{null_mut, with_exposed_provenance_mut};
use goheap_allocator::Cache;

/// How far a thread's life has come.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Life {
    /// Has had no cache yet.
    New = 0,
    /// Has one.
    Running = 1,
    /// Has handed it back.
    Ended = 2,
}

/// The calling thread's cache, null if it has none.
#[inline(always)]
pub fn cache() -> *mut Cache {
    with_exposed_provenance_mut(word::read::<0>())
}

/// Gives the calling thread a cache.
pub fn begin(cache: *mut Cache) {
    word::write::<0>(cache.expose_provenance());
    word::write::<8>(Life::Running as usize);
}

/// Takes it away for good.
pub fn end() {
    word::write::<0>(null_mut::<Cache>().addr());
    word::write::<8>(Life::Ended as usize);
}

/// How far the calling thread's life has come.
pub fn life() -> Life {
    match word::read::<8>() {
        0 => Life::New,
        1 => Life::Running,
        _ => Life::Ended,
    }
}

#[cfg(all(
    feature = "initial-exec",
    target_os = "linux",
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod word {
    use core::arch::{asm, global_asm};

    global_asm!(
        ".pushsection .tbss.goheap_thread, \"awT\", %nobits",
        ".balign 8",
        ".globl goheap_thread",
        ".hidden goheap_thread",
        ".type goheap_thread, %tls_object",
        ".size goheap_thread, 16",
        "goheap_thread:",
        ".zero 16",
        ".popsection",
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
mod word {
    use core::cell::Cell;

    thread_local! {
        static WORDS: [Cell<usize>; 2] = const { [Cell::new(0), Cell::new(0)] };
    }

    #[inline(always)]
    pub fn read<const AT: usize>() -> usize {
        WORDS.with(|words| words[AT / 8].get())
    }

    pub fn write<const AT: usize>(value: usize) {
        WORDS.with(|words| words[AT / 8].set(value));
    }
}
