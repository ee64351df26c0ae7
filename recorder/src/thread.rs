//! The thread's number: one word in each thread, 0 before its first event.
//!
//! It lies at a fixed distance from the thread pointer, as the loader has it for libraries that are
//! there from the start. `thread_local!` would call the loader, which allocates after a `dlopen`
//! to make its table longer: malloc would call itself. Stable Rust has no word for
//! that model, hence the assembly.

#[cfg(target_arch = "x86_64")]
use core::arch::asm;

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
core::arch::global_asm!(
    ".pushsection .tbss.goheap_record_thread, \"awT\", %nobits",
    ".balign 8",
    ".globl goheap_record_thread",
    ".hidden goheap_record_thread",
    ".type goheap_record_thread, %tls_object",
    ".size goheap_record_thread, 8",
    "goheap_record_thread:",
    ".zero 8",
    ".popsection",
);

/// Where the word is.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn word() -> *mut u64 {
    let at;
    // SAFETY: adds the symbol's distance, from the offset table, to the thread pointer, which
    // its own first word holds.
    unsafe {
        asm!(
            "mov {at}, qword ptr [rip + goheap_record_thread@GOTTPOFF]",
            "add {at}, qword ptr fs:[0]",
            at = out(reg) at,
            options(pure, readonly, nostack),
        );
    }
    at
}

/// Where the word is.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn word() -> *mut u64 {
    let at;
    // SAFETY: adds the symbol's distance, from the offset table, to the thread pointer.
    unsafe {
        core::arch::asm!(
            "adrp {at}, :gottprel:goheap_record_thread",
            "ldr {at}, [{at}, :gottprel_lo12:goheap_record_thread]",
            "mrs {tp}, tpidr_el0",
            "add {at}, {at}, {tp}",
            at = out(reg) at,
            tp = out(reg) _,
            options(pure, readonly, nostack),
        );
    }
    at
}

/// Where the word is.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn word() -> *mut u64 {
    use core::cell::Cell;
    thread_local! {
        static WORD: Cell<u64> = const { Cell::new(0) };
    }
    WORD.with(Cell::as_ptr)
}

/// The calling thread's number in the recording that `generation` names, which is not 0. `draw`
/// gives it one when it has none there: after a fork, the child's threads count anew.
pub fn number(generation: u32, draw: impl FnOnce() -> u32) -> u32 {
    let word = word();
    // SAFETY: this thread's own word, which nobody else knows of.
    let held = unsafe { word.read() };
    if (held >> 32) as u32 == generation {
        return held as u32;
    }
    let number = draw();
    // SAFETY: as above.
    unsafe { word.write(u64::from(generation) << 32 | u64::from(number)) };
    number
}
