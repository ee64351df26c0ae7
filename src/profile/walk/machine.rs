//! What differs from one kind of processor to another: a frame's registers, what a signal leaves of them, and a change of
//! stacks.

use super::rules::Caller;
use gimli::{Register, Vendor};
use goheap_allocator::os;
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
    use super::{Caller, Register, Vendor};
    use gimli::X86_64;

    /// Whose additions unwind tables have.
    pub const VENDOR: Vendor = Vendor::Default;

    pub const SP: Register = X86_64::RSP;
    pub const FP: Register = X86_64::RBP;
    /// The column of unwind tables that return addresses are in.
    pub const RETURN: Register = X86_64::RA;
    /// Bits of a return address that are an address.
    pub const ADDRESS: usize = !0;
    /// Whether calls leave return addresses in a register.
    pub const LINKS: bool = false;

    /// See `super::returns_from_signal`. Where handlers return to, libc has a table for.
    pub const SIGNAL_RETURN: Option<[u32; 2]> = None;

    /// See `super::interrupted`.
    pub fn interrupted(_: usize, _: &mut dyn FnMut(usize) -> Option<usize>) -> Option<Caller> {
        None
    }

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
    use super::{Caller, Register, Registers, Vendor};
    use gimli::AArch64;

    /// Whose additions unwind tables have: that a return address is signed, among others.
    pub const VENDOR: Vendor = Vendor::AArch64;

    pub const SP: Register = AArch64::SP;
    pub const FP: Register = AArch64::X29;
    /// The register that calls leave return addresses in.
    pub const RETURN: Register = AArch64::X30;
    /// Bits of a return address that are an address: above, code that is built for it has a signature.
    pub const ADDRESS: usize = (1 << 48) - 1;
    /// Whether calls leave return addresses in a register.
    pub const LINKS: bool = true;

    /// See `super::returns_from_signal`: `mov x8, SYS_rt_sigreturn` and `svc 0`, in the kernel's own page. libgcc knows it so.
    pub const SIGNAL_RETURN: Option<[u32; 2]> = Some([0xd280_1168, 0xd400_0001]);

    /// From the stack pointer to the first of the saved registers: `siginfo_t`, what is before `uc_mcontext`, and before that
    /// one's `regs`.
    const SAVED: usize = 128 + 176 + 8;

    /// See `super::interrupted`.
    pub fn interrupted(sp: usize, read: &mut dyn FnMut(usize) -> Option<usize>) -> Option<Caller> {
        let mut saved = |number: usize| read(sp.checked_add(SAVED + number * size_of::<u64>())?);
        let (fp, link) = (saved(29)?, saved(30)?);
        let (sp, pc) = (saved(31)?, saved(32)?);
        Some(Caller {
            registers: Registers { pc, sp, fp },
            interrupted: true,
            link: Some(link),
        })
    }

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

pub use own::{ADDRESS, FP, LINKS, RETURN, SP, VENDOR};

/// Whether `pc` is where handlers of signals return to, in code that has no table.
pub fn returns_from_signal(pc: usize) -> bool {
    let is = |code: [u32; 2]| {
        let mut at = (pc..).step_by(size_of::<u32>());
        pc.is_multiple_of(size_of::<u32>())
            && code.iter().all(|&code| {
                let at = at.next().unwrap_or(0);
                // SAFETY: the kernel says that it may be read; nobody writes code that runs.
                os::is_readable(at & !7) && unsafe { (at as *const u32).read_volatile() } == code
            })
    };
    own::SIGNAL_RETURN.is_some_and(is)
}

/// What was interrupted, by what the kernel left where the stack pointer is when a handler [returns](returns_from_signal).
pub fn interrupted(sp: usize, read: &mut dyn FnMut(usize) -> Option<usize>) -> Option<Caller> {
    own::interrupted(sp, read)
}

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
