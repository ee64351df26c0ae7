//! Walks against libgcc's unwinder, and where that has none: they find what is there, or end.

use super::capture;
use core::ffi::{c_int, c_void};
use core::hint::black_box;
use goheap_allocator::os::{Linux, Os};
use goheap_allocator::sample::Stack;
use std::cell::RefCell;
use std::ptr::null_mut;
use std::sync::Once;

unsafe extern "C-unwind" {
    fn _Unwind_Backtrace(
        f: unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int,
        argument: *mut c_void,
    ) -> c_int;
    fn _Unwind_GetIPInfo(context: *mut c_void, before: *mut c_int) -> usize;
}

/// Sees to it that the tables are there: a walk that comes while another thread makes them does not wait for long.
fn ready() {
    static READY: Once = Once::new();
    READY.call_once(|| {
        let mut stack = Stack::new();
        let walked = (0..1000).any(|_| {
            capture(&mut stack);
            stack.addresses().len() > 1
        });
        assert!(walked, "no stack can be walked here");
    });
}

/// What libgcc finds: addresses behind calls, as a stack has them.
#[inline(never)]
fn reference() -> Vec<usize> {
    unsafe extern "C" fn each(context: *mut c_void, found: *mut c_void) -> c_int {
        let mut before = 0;
        // SAFETY: libgcc's, for the length of this call; and what was handed to it.
        unsafe {
            let at = _Unwind_GetIPInfo(context, &raw mut before);
            if at != 0 {
                (*found.cast::<Vec<usize>>()).push(at + usize::from(before != 0));
            }
        }
        0
    }
    let mut found = Vec::with_capacity(512);
    // SAFETY: the callback takes this vector.
    unsafe { _Unwind_Backtrace(each, (&raw mut found).cast()) };
    found
}

/// Both find the same callers of this function's caller; returns how many.
#[inline(never)]
fn compare(stack: &mut Stack) -> usize {
    ready();
    capture(stack);
    let reference = reference();
    // The innermost frame is this one, at another call; ours are 128 at the most.
    let ours = &stack.addresses()[1..];
    let from = reference.iter().position(|at| Some(at) == ours.first());
    let theirs = &reference[from.unwrap_or(reference.len())..];
    assert_eq!(ours, &theirs[..theirs.len().min(127)], "{reference:x?}");
    ours.len()
}

/// Goes `path.len()` calls down, each one of two, and compares there.
#[inline(never)]
fn down(path: &[bool], stack: &mut Stack) -> usize {
    match path.split_first() {
        None => compare(stack),
        Some((true, rest)) => black_box(down(rest, stack)) + black_box(0),
        Some((false, rest)) => black_box(down(rest, stack)).wrapping_mul(black_box(1)),
    }
}

#[test]
fn a_stack_that_changes_anywhere_is_found_as_libgcc_finds_it() {
    let mut stack = Stack::new();
    let mut state = 1u64;
    for round in 0..600 {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
        let length = round / 20 % 15;
        let path: Vec<bool> = (0..length).map(|i| state >> (40 + i) & 1 == 0).collect();
        let frames = down(&path, &mut stack);
        assert!(frames > length, "{frames}");
        // And once more from the very same place.
        assert_eq!(down(&path, &mut stack), frames);
    }
}

#[test]
fn more_frames_than_there_is_room_for_are_the_innermost() {
    assert_eq!(down(&[true; 300], &mut Stack::new()), 127);
}

thread_local! {
    static FRAMES: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

#[test]
fn a_walk_goes_through_c_that_calls_back() {
    unsafe extern "C" fn ordering(a: *const c_void, b: *const c_void) -> c_int {
        FRAMES.with_borrow_mut(|frames| frames.push(compare(&mut Stack::new())));
        // SAFETY: two of the array's elements.
        unsafe { *a.cast::<i32>() - *b.cast::<i32>() }
    }
    let mut numbers = [3, 1, 2];
    // SAFETY: three integers, and their order.
    unsafe { libc::qsort(numbers.as_mut_ptr().cast(), 3, 4, Some(ordering)) };
    assert_eq!(numbers, [1, 2, 3]);
    FRAMES.with_borrow(|frames| assert!(frames.iter().all(|frames| *frames > 5), "{frames:?}"));
}

extern "C" fn on_signal(_: c_int) {
    FRAMES.with_borrow_mut(|frames| frames.push(compare(&mut Stack::new())));
}

/// Has a signal be handled with these flags.
fn handle(signal: c_int, flags: c_int) {
    // SAFETY: a handler that only walks, for a signal that a thread of the tests raises.
    unsafe {
        let mut action: libc::sigaction = core::mem::zeroed();
        action.sa_sigaction = on_signal as *const () as usize;
        action.sa_flags = flags;
        assert_eq!(libc::sigaction(signal, &raw const action, null_mut()), 0);
    }
}

/// Raises a signal that is handled with these flags; returns the frames that the handler found.
fn raised(signal: c_int, flags: c_int) -> usize {
    handle(signal, flags);
    // SAFETY: it is handled.
    unsafe { libc::raise(signal) };
    FRAMES.with_borrow_mut(|frames| frames.pop().expect("the handler ran"))
}

#[test]
fn a_walk_goes_through_a_signals_handler_on_either_stack() {
    let on_its_own = raised(libc::SIGURG, 0);
    assert!(on_its_own > 5, "{on_its_own}");
    let size = 64 << 10;
    let memory = Linux.map(size).expect("memory");
    let alternate = libc::stack_t {
        ss_sp: memory.as_ptr().cast(),
        ss_flags: 0,
        ss_size: size,
    };
    // SAFETY: memory of this test's, used as long as the thread.
    unsafe { libc::sigaltstack(&raw const alternate, null_mut()) };
    assert_eq!(raised(libc::SIGWINCH, libc::SA_ONSTACK), on_its_own);
}

/// Sends a thread of the process a signal, calls nothing, and has no frame.
///
/// # Safety
/// The signal is handled.
#[unsafe(naked)]
unsafe extern "C" fn send(process: c_int, thread: c_int, signal: c_int) {
    #[cfg(target_arch = "x86_64")]
    core::arch::naked_asm!(
        ".cfi_startproc",
        "mov eax, {call}",
        "syscall",
        "ret",
        ".cfi_endproc",
        call = const libc::SYS_tgkill,
    );
    #[cfg(target_arch = "aarch64")]
    core::arch::naked_asm!(
        ".cfi_startproc",
        "mov x8, {call}",
        "svc 0",
        "ret",
        ".cfi_endproc",
        call = const libc::SYS_tgkill,
    );
}

#[test]
fn a_walk_goes_through_an_interrupted_function_that_has_no_frame() {
    handle(libc::SIGIO, 0);
    // SAFETY: this thread, and a signal that is handled.
    unsafe {
        let thread = libc::syscall(libc::SYS_gettid) as c_int;
        send(libc::getpid(), thread, libc::SIGIO);
    }
    let frames = FRAMES.with_borrow_mut(|frames| frames.pop().expect("the handler ran"));
    assert!(frames > 5, "{frames}");
}

/// Calls `f` as code built with `-mbranch-protection=pac-ret` does: its return address is signed on the stack.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
extern "C" fn signed(f: extern "C" fn()) {
    core::arch::naked_asm!(
        ".cfi_startproc",
        // paciasp
        "hint 25",
        ".cfi_negate_ra_state",
        "stp x29, x30, [sp, #-32]!",
        ".cfi_def_cfa_offset 32",
        ".cfi_offset x29, -32",
        ".cfi_offset x30, -24",
        // No frame pointer: the table alone tells.
        "mov x29, xzr",
        "blr x0",
        "ldp x29, x30, [sp], #32",
        ".cfi_def_cfa_offset 0",
        ".cfi_restore x29",
        ".cfi_restore x30",
        // autiasp
        "hint 29",
        ".cfi_negate_ra_state",
        "ret",
        ".cfi_endproc",
    );
}

#[test]
#[cfg(target_arch = "aarch64")]
fn a_walk_goes_through_code_that_signs_return_addresses() {
    signed(captured);
    expect_captured_below_here();
}

/// Runs `f` on a stack of its own, with nothing mapped behind that.
#[cfg(target_env = "gnu")]
fn as_coroutine(f: extern "C" fn()) {
    let page = Linux.physical_page();
    let size = 16 * page;
    let memory = Linux.map(size + page).expect("memory");
    // SAFETY: memory of this test's; the contexts live until the coroutine is over.
    unsafe {
        let end = memory.as_ptr().add(size);
        assert_eq!(libc::mprotect(end.cast(), page, libc::PROT_NONE), 0);
        let (mut here, mut there): (libc::ucontext_t, libc::ucontext_t) = core::mem::zeroed();
        libc::getcontext(&raw mut there);
        there.uc_stack.ss_sp = memory.as_ptr().cast();
        there.uc_stack.ss_size = size;
        there.uc_link = &raw mut here;
        libc::makecontext(&raw mut there, f, 0);
        assert_eq!(libc::swapcontext(&raw mut here, &raw const there), 0);
        Linux.unreserve(memory, size + page);
    }
}

#[test]
#[cfg(target_env = "gnu")]
fn a_coroutines_stack_is_walked_to_its_end() {
    extern "C" fn body() {
        let frames = down(&[true, false, true], &mut Stack::new());
        FRAMES.with_borrow_mut(|found| found.push(frames));
    }
    as_coroutine(body);
    // Three calls, this function, and what started it.
    FRAMES.with_borrow(|found| assert!((4..8).contains(&found[0]), "{found:?}"));
}

/// Code made at run time, which no table has.
struct Made(*mut u8);

impl Made {
    fn new(code: &[u8]) -> Self {
        let page = Linux.physical_page();
        let at = Linux.map(page).expect("memory").as_ptr();
        // SAFETY: a page of this test's, as long as the process. The kernel sees to it that a processor which is then let execute it
        // sees what was written.
        unsafe {
            at.copy_from_nonoverlapping(code.as_ptr(), code.len());
            let protection = libc::PROT_READ | libc::PROT_EXEC;
            assert_eq!(libc::mprotect(at.cast(), page, protection), 0);
        }
        Self(at)
    }

    /// Calls its first argument; keeps a frame pointer.
    fn with_frame_pointer() -> Self {
        Self::new(if cfg!(target_arch = "aarch64") {
            // stp x29, x30, [sp, -16]!; mov x29, sp; blr x0; ldp x29, x30, [sp], 16; ret
            &[
                0xfd, 0x7b, 0xbf, 0xa9, 0xfd, 0x03, 0x00, 0x91, 0x00, 0x00, 0x3f, 0xd6, 0xfd, 0x7b,
                0xc1, 0xa8, 0xc0, 0x03, 0x5f, 0xd6,
            ]
        } else {
            // push rbp; mov rbp, rsp; call rdi; pop rbp; ret
            &[0x55, 0x48, 0x89, 0xe5, 0xff, 0xd7, 0x5d, 0xc3]
        })
    }

    /// Calls its first argument; has its second where a frame pointer would be.
    fn with_something_else() -> Self {
        Self::new(if cfg!(target_arch = "aarch64") {
            // stp x29, x30, [sp, -16]!; mov x29, x1; blr x0; ldp x29, x30, [sp], 16; ret
            &[
                0xfd, 0x7b, 0xbf, 0xa9, 0xfd, 0x03, 0x01, 0xaa, 0x00, 0x00, 0x3f, 0xd6, 0xfd, 0x7b,
                0xc1, 0xa8, 0xc0, 0x03, 0x5f, 0xd6,
            ]
        } else {
            // push rbp; mov rbp, rsi; call rdi; pop rbp; ret
            &[0x55, 0x48, 0x89, 0xf5, 0xff, 0xd7, 0x5d, 0xc3]
        })
    }

    /// Calls it with a function to call and a value.
    fn call(&self, f: extern "C" fn(), value: usize) {
        // SAFETY: code that calls its first argument, and keeps what it is to keep.
        unsafe {
            let code: extern "C" fn(extern "C" fn(), usize) = core::mem::transmute(self.0);
            code(f, value);
        }
    }
}

extern "C" fn captured() {
    let mut stack = Stack::new();
    ready();
    capture(&mut stack);
    capture(&mut stack);
    FRAMES.with_borrow_mut(|frames| {
        frames.clear();
        frames.extend(stack.addresses());
    });
}

/// What was [captured] is a stack on top of the caller's.
#[inline(never)]
fn expect_captured_below_here() {
    let mut here = Stack::new();
    ready();
    capture(&mut here);
    // This function's frame, and its caller's at another call.
    let outer = &here.addresses()[2..];
    assert!(outer.len() > 2);
    FRAMES.with_borrow(|frames| assert!(frames.ends_with(outer), "{frames:x?} {outer:x?}"));
}

#[test]
fn code_without_tables_is_walked_through_if_it_keeps_frame_pointers() {
    Made::with_frame_pointer().call(captured, 0);
    expect_captured_below_here();
}

#[test]
fn a_frame_pointer_that_is_something_else_ends_a_walk_and_nothing_more() {
    let code = Made::with_something_else();
    let mut looping = [0usize; 4];
    let at = (&raw mut looping).expose_provenance();
    looping = [at, captured as *const () as usize, 0, 0];
    black_box(&mut looping);
    let mut values = vec![
        0,
        1,
        8,
        at,
        at + 1,
        at + 8,
        at - 8,
        !0,
        !7,
        !15,
        1 << 47,
        1 << 63,
    ];
    // Words up the stack, whatever they are, and beyond its end.
    values.extend((0..400).map(|i| at + 24 * i));
    values.extend((12..26).map(|i| at + (1 << i)));
    for value in values {
        code.call(captured, value);
        FRAMES.with_borrow(|frames| assert!(frames.len() >= 2, "{value:x}"));
    }
}

#[test]
fn a_thread_with_the_least_stack_is_walked() {
    let least = std::thread::Builder::new().stack_size(16 << 10);
    let thread = least.spawn(|| {
        let mut stack = Box::new(Stack::new());
        ready();
        capture(&mut stack);
        stack.addresses().len()
    });
    let frames = thread.expect("a thread").join().expect("it ends");
    assert!(frames > 2, "{frames}");
}
