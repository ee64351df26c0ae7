//! What differs from one kind of processor to another: a frame's registers, and a change of stacks.

use gimli::Register;
use goheap_allocator::os::{Linux, Os};
use goheap_allocator::sample::Registers;
use std::ptr::NonNull;

/// Bytes of the stack that set-ups and looks into unwind tables run on.
const STACK: usize = 256 << 10;

/// Memory for a stack.
pub struct Stack(NonNull<u8>);

// SAFETY: it is its owner's alone.
unsafe impl Send for Stack {}

impl Stack {
    /// One of its own mapping; `None` if the system refuses.
    pub fn new() -> Option<Self> {
        Linux.map(STACK).ok().map(Self)
    }

    /// Runs `what` on this stack.
    pub fn run<F: FnMut()>(&self, what: &mut F) {
        unsafe extern "C" fn call<F: FnMut()>(what: *mut F) {
            // SAFETY: `run` passes it, and waits.
            unsafe { (*what)() }
        }
        let top = self.0.as_ptr() as usize + STACK;
        // SAFETY: the stack is nobody else's; `what` lives until it has run.
        unsafe {
            on_stack(
                top,
                call::<F> as *const (),
                core::ptr::from_mut(what).cast(),
            )
        };
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and nobody runs on it.
        unsafe { Linux.unreserve(self.0, STACK) };
    }
}

#[cfg(target_arch = "x86_64")]
mod own {
    use super::Register;
    use gimli::X86_64;

    pub const SP: Register = X86_64::RSP;
    pub const FP: Register = X86_64::RBP;
    /// The column of unwind tables that return addresses are in.
    pub const RETURN: Register = X86_64::RA;
    /// Bits of a return address that are an address.
    pub const ADDRESS: usize = !0;

    /// See `super::on_stack`.
    pub unsafe fn on_stack(top: usize, f: *const (), argument: *mut ()) {
        // SAFETY: the caller's contract; a callee keeps r12, which has the old stack.
        unsafe {
            core::arch::asm!(
                "xchg rsp, r12",
                "call {f}",
                "mov rsp, r12",
                f = in(reg) f,
                inout("r12") top => _,
                in("rdi") argument,
                clobber_abi("C"),
            );
        }
    }

    /// Instruction, stack pointer, frame pointer.
    #[inline(always)]
    pub fn registers() -> (usize, usize, usize) {
        let (pc, sp, fp);
        // SAFETY: reads registers.
        unsafe {
            core::arch::asm!(
                "lea {pc}, [rip]",
                "mov {sp}, rsp",
                "mov {fp}, rbp",
                pc = out(reg) pc,
                sp = out(reg) sp,
                fp = out(reg) fp,
                options(nomem, nostack, preserves_flags),
            );
        }
        (pc, sp, fp)
    }
}

#[cfg(target_arch = "aarch64")]
mod own {
    use super::Register;
    use gimli::AArch64;

    pub const SP: Register = AArch64::SP;
    pub const FP: Register = AArch64::X29;
    /// The register that calls leave return addresses in.
    pub const RETURN: Register = AArch64::X30;
    /// Bits of a return address that are an address: above, code that is built for it has a signature.
    pub const ADDRESS: usize = (1 << 48) - 1;

    /// See `super::on_stack`.
    pub unsafe fn on_stack(top: usize, f: *const (), argument: *mut ()) {
        // SAFETY: the caller's contract; a callee keeps x20, which has the old stack.
        unsafe {
            core::arch::asm!(
                "mov x20, sp",
                "mov sp, {top}",
                "blr {f}",
                "mov sp, x20",
                top = in(reg) top,
                f = in(reg) f,
                in("x0") argument,
                out("x20") _,
                clobber_abi("C"),
            );
        }
    }

    /// Instruction, stack pointer, frame pointer.
    #[inline(always)]
    pub fn registers() -> (usize, usize, usize) {
        let (pc, sp, fp);
        // SAFETY: reads registers.
        unsafe {
            core::arch::asm!(
                "adr {pc}, .",
                "mov {sp}, sp",
                "mov {fp}, x29",
                pc = out(reg) pc,
                sp = out(reg) sp,
                fp = out(reg) fp,
                options(nomem, nostack, preserves_flags),
            );
        }
        (pc, sp, fp)
    }
}

pub use own::{ADDRESS, FP, RETURN, SP};

/// The caller's registers.
#[inline(always)]
pub fn registers() -> Registers {
    let (pc, sp, fp) = own::registers();
    Registers { pc, sp, fp }
}

/// Calls `f` with `argument` on the stack that ends at `top`.
///
/// # Safety
/// `f` is a C function of one pointer, and does not unwind; below `top` is room enough.
unsafe fn on_stack(top: usize, f: *const (), argument: *mut ()) {
    // SAFETY: the caller's contract.
    unsafe { own::on_stack(top, f, argument) }
}
