//! The calling thread's stack: return addresses, the innermost first.
//!
//! A walk allocates nothing, waits for nobody but another walk, and never faults: of the stack it reads
//! only pages above its own frame, each after the kernel said that it may be read. It goes by the unwind
//! tables (`.eh_frame`) that a program has in memory anyway, and where there are none, in code made
//! at run time say, by frame pointers. What it needs to know of the tables is set up on the first sample,
//! and again when a stack leads into a library that was loaded since.
//!
//! Both run on a stack of their own, for a thread may have little left of its own.

use super::modules::{self, Loaded, Modules};
use crate::tls;
use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use framehop::{
    CacheNative, ExplicitModuleSectionInfo, FrameAddress, Module, MustNotAllocateDuringUnwind,
    UnwindRegsNative, Unwinder, UnwinderNative,
};
use goheap_allocator::lock::{Lock, Rank};
use goheap_allocator::os::{self, Linux, Os};
use std::ptr::NonNull;

/// Bytes of the stack that walks and set-ups run on. A walk takes some 20 KiB.
const STACK: usize = 256 << 10;
/// Pages of a thread's stack that a walk looks at, at the most: 4 MiB.
const PAGES: usize = 1024;
const PAGE: usize = 4096;
/// How often a thread that needs what another sets up lets others run meanwhile.
const WAITS: usize = 1000;

type Tables = UnwinderNative<&'static [u8], MustNotAllocateDuringUnwind>;

/// What a walk needs.
struct Walker {
    unwinder: Tables,
    cache: CacheNative<MustNotAllocateDuringUnwind>,
    modules: Modules,
    stack: Stack,
}

static WALKER: Lock<Option<Box<Walker>>> = Lock::new(Rank::Walker, None);
/// The cache of the thread that sets a walker up, 0 if none does.
static BUSY: AtomicUsize = AtomicUsize::new(0);

/// Where a walk starts, and what it found.
struct Walk<'a> {
    pc: usize,
    registers: UnwindRegsNative,
    reader: Reader,
    found: &'a mut [usize],
    depth: usize,
    /// It came by an address that no known module has.
    strange: bool,
}

/// Fills `found` with the return addresses of the calling thread's stack, the innermost first, and says how
/// many there are. May allocate: the calling thread holds no lock of the heap.
#[inline(never)]
pub fn capture(found: &mut [usize]) -> usize {
    let (pc, sp, registers) = registers();
    let mut walk = Walk {
        pc,
        registers,
        reader: Reader::above(sp),
        found,
        depth: 0,
        strange: false,
    };
    let begun = (walk.registers, walk.reader);
    for again in [true, false] {
        let mut walker = WALKER.lock();
        let known = walker.as_mut().map(|walker| {
            walker.walk(&mut walk);
            walker.modules.changes
        });
        drop(walker);
        let stale = match known {
            None => true,
            Some(changes) => walk.strange && changes != Modules::changes(),
        };
        if !(again && stale && set_up()) {
            break;
        }
        (walk.registers, walk.reader) = begun;
        (walk.depth, walk.strange) = (0, false);
    }
    walk.depth
}

/// Reads which modules there are, for walks from now on. `false`: this thread is at it already, or another
/// does not get on with it.
fn set_up() -> bool {
    let own = core::ptr::from_ref(tls::at_hand()).addr();
    // Acquire, and Release below: who sees nobody busy sees what the last one did.
    if let Err(other) = BUSY.compare_exchange(0, own, Acquire, Relaxed) {
        // It may wait for something that this thread holds, so it is not waited for long.
        let waits = if other == own { 0 } else { WAITS };
        for _ in 0..waits {
            os::yield_now();
            if BUSY.load(Acquire) == 0 {
                return true;
            }
        }
        return false;
    }
    let mut made = None;
    if let Some(stack) = Stack::new() {
        let mut ready = None;
        stack.run(&mut || ready = Some(tables()));
        made = ready.map(|(unwinder, cache, modules)| {
            Box::new(Walker {
                unwinder,
                cache,
                modules,
                stack,
            })
        });
    }
    let ready = made.is_some();
    if ready {
        let old = core::mem::replace(&mut *WALKER.lock(), made);
        drop(old);
    }
    BUSY.store(0, Release);
    ready
}

#[inline(never)]
fn tables() -> (Tables, CacheNative<MustNotAllocateDuringUnwind>, Modules) {
    let modules = Modules::now();
    let mut unwinder = Tables::new();
    for module in modules.iter() {
        if let Some(module) = with_table(module) {
            unwinder.add_module(module);
        }
    }
    (unwinder, CacheNative::new_in(), modules)
}

/// A module as the unwinder has it.
fn with_table(module: &Loaded) -> Option<Module<&'static [u8]>> {
    let table = module.unwind_table.clone()?;
    let frames = frames_of(table.clone())?;
    let (frames, end) = (frames, module.unwind_end.max(table.end));
    if !(module.memory.contains(&frames) && frames < end) {
        return None;
    }
    // SAFETY: memory of a module that is loaded. Should it be unloaded, `Walker::walk` asks before it
    // has anything read there.
    let slice = |from: usize, to: usize| unsafe {
        core::slice::from_raw_parts(from as *const u8, to - from)
    };
    let stated = |from: usize, to: usize| (from - module.base) as u64..(to - module.base) as u64;
    let sections = ExplicitModuleSectionInfo {
        text_svma: Some(stated(module.code.start, module.code.end)),
        eh_frame_svma: Some(stated(frames, end)),
        eh_frame: Some(slice(frames, end)),
        eh_frame_hdr_svma: Some(stated(table.start, table.end)),
        eh_frame_hdr: Some(slice(table.start, table.end)),
        ..Default::default()
    };
    let memory = module.memory.start as u64..module.memory.end as u64;
    Some(Module::new(
        String::new(),
        memory,
        module.base as u64,
        sections,
    ))
}

/// Where `.eh_frame` begins, which the table before it says: relative to that word in four bytes, as all
/// linkers write it.
fn frames_of(table: core::ops::Range<usize>) -> Option<usize> {
    const PC_RELATIVE_SIGNED_4: u8 = 0x1b;
    if table.len() < 8 {
        return None;
    }
    // SAFETY: the table of a module that is loaded, which is that long.
    let (head, offset) = unsafe {
        (
            (table.start as *const [u8; 4]).read_unaligned(),
            ((table.start + 4) as *const i32).read_unaligned(),
        )
    };
    let known = head[0] == 1 && head[1] == PC_RELATIVE_SIGNED_4;
    known.then(|| (table.start + 4).wrapping_add_signed(offset as isize))
}

impl Walker {
    fn walk(&mut self, walk: &mut Walk) {
        let Self {
            unwinder,
            cache,
            modules,
            stack,
        } = self;
        stack.run(&mut || frames(unwinder, cache, modules, walk));
    }
}

fn frames(
    unwinder: &Tables,
    cache: &mut CacheNative<MustNotAllocateDuringUnwind>,
    modules: &Modules,
    walk: &mut Walk,
) {
    let mut address = FrameAddress::from_instruction_pointer(walk.pc as u64);
    let mut last = None;
    while walk.depth < walk.found.len() {
        let module = modules.at(address.address_for_lookup() as usize);
        match module {
            None => walk.strange = true,
            // Each is asked for once in a row: frames of one module mostly follow each other.
            Some(module) if last != Some(module.base) => {
                if !is_loaded(module) {
                    walk.strange = true;
                    return;
                }
                last = Some(module.base);
            }
            Some(_) => {}
        }
        let mut read = |at| walk.reader.read(at);
        let next = unwinder.unwind_frame(address, &mut walk.registers, cache, &mut read);
        let Ok(Some(returns_to)) = next else { return };
        let Some(next) = FrameAddress::from_return_address(returns_to) else {
            return;
        };
        walk.found[walk.depth] = returns_to as usize;
        walk.depth += 1;
        address = next;
    }
}

/// Whether a module's unwind tables are still there. It cannot go while a stack leads through it, but a stale
/// word on a stack may look like an address of one that is gone.
fn is_loaded(module: &Loaded) -> bool {
    let readable = |address: usize| os::is_readable(address & !7);
    module
        .unwind_table
        .as_ref()
        .is_none_or(|table| readable(table.start) && readable(module.unwind_end.saturating_sub(8)))
}

/// Reads a thread's stack upwards.
#[derive(Clone, Copy)]
struct Reader {
    from: usize,
    /// Up to here all may be read.
    upto: usize,
    pages: usize,
}

impl Reader {
    fn above(sp: usize) -> Self {
        Self {
            from: sp,
            upto: (sp & !(PAGE - 1)) + PAGE,
            pages: PAGES,
        }
    }

    fn read(&mut self, address: u64) -> Result<u64, ()> {
        let at = usize::try_from(address).map_err(|_| ())?;
        if at < self.from || !at.is_multiple_of(8) {
            return Err(());
        }
        while at >= self.upto {
            if self.pages == 0 || !os::is_readable(self.upto) {
                return Err(());
            }
            self.upto += PAGE;
            self.pages -= 1;
        }
        // SAFETY: the word lies in a page that may be read, above the frame of who walks. What the thread's
        // callers have there, nobody changes meanwhile.
        Ok(unsafe { (at as *const u64).read_volatile() })
    }
}

/// Memory for a stack.
struct Stack(NonNull<u8>);

// SAFETY: it is its owner's alone.
unsafe impl Send for Stack {}

impl Stack {
    fn new() -> Option<Self> {
        Linux.map(STACK).ok().map(Self)
    }

    /// Runs `what` on this stack.
    fn run<F: FnMut()>(&self, what: &mut F) {
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

/// Calls `f` with `argument` on the stack that ends at `top`.
///
/// # Safety
/// `f` is a C function of one pointer, and does not unwind; below `top` is room enough.
#[cfg(target_arch = "x86_64")]
unsafe fn on_stack(top: usize, f: *const (), argument: *mut ()) {
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

/// Calls `f` with `argument` on the stack that ends at `top`.
///
/// # Safety
/// `f` is a C function of one pointer, and does not unwind; below `top` is room enough.
#[cfg(target_arch = "aarch64")]
unsafe fn on_stack(top: usize, f: *const (), argument: *mut ()) {
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

/// Where the caller is, its stack pointer, and what its frame is found by.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn registers() -> (usize, usize, UnwindRegsNative) {
    let (pc, sp, fp): (usize, usize, usize);
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
    (
        pc,
        sp,
        UnwindRegsNative::new(pc as u64, sp as u64, fp as u64),
    )
}

/// Where the caller is, its stack pointer, and what its frame is found by.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn registers() -> (usize, usize, UnwindRegsNative) {
    let (pc, sp, fp, lr): (usize, usize, usize, usize);
    // SAFETY: reads registers.
    unsafe {
        core::arch::asm!(
            "adr {pc}, .",
            "mov {sp}, sp",
            "mov {fp}, x29",
            "mov {lr}, x30",
            pc = out(reg) pc,
            sp = out(reg) sp,
            fp = out(reg) fp,
            lr = out(reg) lr,
            options(nomem, nostack, preserves_flags),
        );
    }
    (
        pc,
        sp,
        UnwindRegsNative::new(lr as u64, sp as u64, fp as u64),
    )
}

/// The locks, for the span of a `fork`.
pub fn fork_lock() {
    modules::fork_lock();
    WALKER.fork_lock();
}

/// Ends [`fork_lock`].
///
/// # Safety
/// The calling thread took them.
pub unsafe fn fork_unlock() {
    // SAFETY: the caller's contract.
    unsafe {
        WALKER.fork_unlock();
        modules::fork_unlock();
    }
}

/// In the child of a `fork`, where whoever was setting up is not.
pub fn after_fork_in_child() {
    BUSY.store(0, Relaxed);
}
