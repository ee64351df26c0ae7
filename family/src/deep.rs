//! Libraries that are opened to find their own symbols before everybody's.
//!
//! Under `RTLD_DEEPBIND` a library's malloc and free would be libc's, though it is handed blocks of this heap,
//! and hands out its own: PHP opens its extensions so. Without the flag they are everybody's.

use core::ffi::{c_char, c_int, c_void};
use core::ptr::null_mut;
use core::sync::atomic::AtomicPtr;
use core::sync::atomic::Ordering::Relaxed;
use libc::{RTLD_DEEPBIND, RTLD_NEXT};

/// libc's function, once it was looked for.
static REAL: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

/// Looks for libc's function. Whoever comes here calls it by name, so its library is there.
extern "C" fn real() -> *mut c_void {
    // SAFETY: a text.
    let real = unsafe { libc::dlsym(RTLD_NEXT, c"dlopen".as_ptr()) };
    REAL.store(real, Relaxed);
    real
}

/// POSIX's `dlopen`, as libc has it, without `RTLD_DEEPBIND`. Where libc looks for the file depends on which library calls, by
/// the address to return to: so this does not call it, but goes on there.
///
/// # Safety
/// As POSIX's.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dlopen(file: *const c_char, mode: c_int) -> *mut c_void {
    core::arch::naked_asm!(
        "endbr64",
        "and esi, {kept}",
        "mov rax, qword ptr [rip + {REAL}]",
        "test rax, rax",
        "jnz 2f",
        "push rdi",
        "push rsi",
        "sub rsp, 8",
        "call {real}",
        "add rsp, 8",
        "pop rsi",
        "pop rdi",
        "2:",
        "jmp rax",
        kept = const !RTLD_DEEPBIND,
        REAL = sym REAL,
        real = sym real,
    )
}

/// As on x86-64.
///
/// # Safety
/// As POSIX's.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dlopen(file: *const c_char, mode: c_int) -> *mut c_void {
    core::arch::naked_asm!(
        "and w1, w1, {kept}",
        "adrp x16, {REAL}",
        "ldr x16, [x16, :lo12:{REAL}]",
        "cbnz x16, 2f",
        "stp x0, x1, [sp, #-32]!",
        "str x30, [sp, #16]",
        "bl {real}",
        "mov x16, x0",
        "ldr x30, [sp, #16]",
        "ldp x0, x1, [sp], #32",
        "2:",
        "br x16",
        kept = const !RTLD_DEEPBIND,
        REAL = sym REAL,
        real = sym real,
    )
}
