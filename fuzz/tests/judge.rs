//! The interpreter passes a sound heap, and fails a heap for each duty that it breaks.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicPtr, Ordering};

use goheap_fuzz::{Command, Figures, Heap, Order, Program, What, run};

/// What a heap does wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    RunsOut,
    Misaligns,
    HandsOutTwice,
    LeavesDirt,
    WritesIntoObjects,
    ForgetsToCopy,
    LosesPercent,
    LosesLimit,
    Miscounts,
    CountsTooLittle,
    ContradictsItself,
}

/// The C library's heap with a flaw.
struct Flawed {
    flaw: Flaw,
    last: AtomicPtr<u8>,
}

// SAFETY: forwards to the system's allocator. A flaw breaks the contract only in ways that
// the interpreter finds out before it relies on the memory, and a fault ends its run.
unsafe impl GlobalAlloc for Flawed {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let last = self.last.load(Ordering::Relaxed);
        match self.flaw {
            Flaw::RunsOut => return std::ptr::null_mut(),
            Flaw::HandsOutTwice if !last.is_null() => return last,
            _ => {}
        }
        // SAFETY: the caller's contract is passed on.
        let pointer = unsafe { System.alloc(layout) };
        self.last.store(pointer, Ordering::Relaxed);
        match self.flaw {
            Flaw::Misaligns => pointer.wrapping_add(1),
            _ => pointer,
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(pointer, layout) };
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is passed on, and the memory is that large.
        unsafe {
            let pointer = self.alloc(layout);
            pointer.write_bytes(0, layout.size());
            if self.flaw == Flaw::LeavesDirt {
                pointer.add(layout.size() - 1).write(1);
            }
            pointer
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's contract is passed on, and the memory is that large.
        unsafe {
            let moved = System.realloc(pointer, layout, size);
            if self.flaw == Flaw::ForgetsToCopy {
                moved.write_bytes(0, size);
            }
            moved
        }
    }
}

impl Heap for Flawed {
    fn collect(&self) {
        let last = self.last.load(Ordering::Relaxed);
        if self.flaw == Flaw::WritesIntoObjects && !last.is_null() {
            // SAFETY: the programs below collect while the last object lives.
            unsafe { *last ^= 1 };
        }
    }

    fn free_os_memory(&self) {
        self.collect();
    }

    fn set_gc_percent(&self, _percent: i32) -> Option<i32> {
        (self.flaw == Flaw::LosesPercent).then_some(100)
    }

    fn set_memory_limit(&self, _bytes: i64) -> Option<i64> {
        (self.flaw == Flaw::LosesLimit).then_some(i64::MAX)
    }

    fn check(&self, _alone: bool) -> Result<(), String> {
        match self.flaw {
            Flaw::ContradictsItself => Err("page 7 is idle".into()),
            _ => Ok(()),
        }
    }

    fn audit(&self) -> Result<Option<Figures>, String> {
        match self.flaw {
            Flaw::Miscounts => Err("HeapSys is not HeapInuse + HeapIdle".into()),
            Flaw::CountsTooLittle => Ok(Some(Figures {
                heap_alloc: 47,
                heap_objects: 0,
            })),
            _ => Ok(None),
        }
    }
}

const ALLOC: Command = Command::Alloc {
    slot: 0,
    size: 48,
    align_log2: 4,
    zeroed: true,
};
const ALLOC_ANOTHER: Command = Command::Alloc {
    slot: 1,
    size: 48,
    align_log2: 4,
    zeroed: false,
};
const FREE: Command = Command::Free { slot: 0 };

fn verdict(flaw: Flaw, order: Order, commands: &[Command]) -> Result<(), What> {
    let heap = Flawed {
        flaw,
        last: AtomicPtr::default(),
    };
    run(&heap, &Program::new(order, &[commands])).map_err(|fault| fault.what)
}

/// The verdict on a heap with the flaw, once the same program has passed without it.
fn found(flaw: Flaw, commands: &[Command]) -> What {
    for order in [Order::Lockstep, Order::Concurrent] {
        assert_eq!(verdict(Flaw::None, order, commands), Ok(()));
    }
    verdict(flaw, Order::Lockstep, commands).expect_err("the flaw went unseen")
}

#[test]
fn a_heap_that_runs_out_is_found() {
    assert_eq!(found(Flaw::RunsOut, &[ALLOC_ANOTHER]), What::Null);
}

#[test]
fn a_misaligned_object_is_found() {
    let what = found(Flaw::Misaligns, &[ALLOC_ANOTHER]);
    assert!(
        matches!(what, What::Misaligned { align: 16, .. }),
        "{what:?}"
    );
}

#[test]
fn an_object_handed_out_twice_is_found() {
    let what = found(Flaw::HandsOutTwice, &[ALLOC, ALLOC_ANOTHER]);
    assert!(matches!(what, What::Overlap { .. }), "{what:?}");
}

#[test]
fn memory_that_is_not_zeroed_is_found() {
    let what = found(Flaw::LeavesDirt, &[ALLOC]);
    assert!(
        matches!(what, What::NotZeroed { offset: 47, .. }),
        "{what:?}"
    );
}

#[test]
fn a_write_into_an_object_is_found_by_a_collection() {
    for collect in [Command::Collect, Command::FreeOsMemory] {
        let what = found(Flaw::WritesIntoObjects, &[ALLOC, collect]);
        assert!(matches!(what, What::Changed { offset: 0, .. }), "{what:?}");
    }
}

#[test]
fn a_realloc_that_forgets_the_bytes_is_found() {
    for size in [1, 1000] {
        let what = found(
            Flaw::ForgetsToCopy,
            &[ALLOC, Command::Realloc { slot: 0, size }],
        );
        assert!(matches!(what, What::Changed { offset: 0, .. }), "{what:?}");
    }
}

#[test]
fn a_knob_that_forgets_its_value_is_found() {
    let percent = [Command::SetGcPercent(50), Command::SetGcPercent(100)];
    let limit = [
        Command::SetMemoryLimit(1 << 30),
        Command::SetMemoryLimit(-1),
    ];
    for (flaw, commands) in [(Flaw::LosesPercent, percent), (Flaw::LosesLimit, limit)] {
        let what = found(flaw, &commands);
        assert!(matches!(what, What::Knob { .. }), "{what:?}");
    }
}

#[test]
fn counters_that_disagree_are_found() {
    let what = found(Flaw::Miscounts, &[ALLOC; 8]);
    assert!(matches!(what, What::Counters(_)), "{what:?}");
}

#[test]
fn counters_below_what_is_live_are_found() {
    let what = found(Flaw::CountsTooLittle, &[ALLOC; 8]);
    assert!(matches!(what, What::Counters(_)), "{what:?}");
}

#[test]
fn a_free_of_an_empty_slot_does_nothing() {
    assert_eq!(
        verdict(Flaw::None, Order::Lockstep, &[FREE, ALLOC, FREE, FREE]),
        Ok(())
    );
}

#[test]
fn the_system_passes_whatever_bytes_spell() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..40 {
        let bytes: Vec<u8> = (0..400)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state as u8
            })
            .collect();
        let program = Program::decode(&bytes);
        assert_eq!(run(&System, &program), Ok(()), "{program:?}");
    }
}

#[test]
fn structures_that_contradict_each_other_are_found() {
    let what = found(Flaw::ContradictsItself, &[ALLOC]);
    assert_eq!(what, What::Structures("page 7 is idle".into()));
}
