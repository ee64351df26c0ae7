//! With little address space the heap takes what it is granted, and says null when that is used up.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr;

use goheap::GoHeap;

#[path = "support/child.rs"]
mod child;
#[path = "support/counters.rs"]
mod counters;

#[global_allocator]
static HEAP: GoHeap = GoHeap::new();

const MIB: u64 = 1 << 20;

/// Objects in a list through their own first word: to hold them takes no memory.
struct List {
    first: *mut u8,
    layout: Layout,
    bytes: u64,
}

impl List {
    /// Allocates until the heap says null.
    fn of_all_there_is(size: usize) -> Self {
        let layout = Layout::from_size_align(size, 8).expect("a layout");
        let mut list = Self {
            first: ptr::null_mut(),
            layout,
            bytes: 0,
        };
        loop {
            // SAFETY: the size is not zero; an object that was granted can be written to the end.
            unsafe {
                let object = HEAP.alloc(layout);
                if object.is_null() {
                    return list;
                }
                object.write_bytes(0xa5, size);
                object.cast::<*mut u8>().write(list.first);
                list.first = object;
            }
            list.bytes += size as u64;
        }
    }
}

impl Drop for List {
    fn drop(&mut self) {
        while !self.first.is_null() {
            // SAFETY: each object was allocated with the layout and bears the address of the one before.
            unsafe {
                let next = self.first.cast::<*mut u8>().read();
                HEAP.dealloc(self.first, self.layout);
                self.first = next;
            }
        }
    }
}

#[track_caller]
fn runs_within<T: Fn()>(test: T, limit: u64, size: usize) {
    let body = || {
        let all = List::of_all_there_is(size);
        let first = all.bytes;
        drop(all);
        goheap::gc();
        goheap::gc();
        // And again, in what the cycles gave back.
        let all = List::of_all_there_is(size);
        let second = all.bytes;
        drop(all);
        let stats = counters::at_rest();
        // At least a quarter of the limit; the binary, its stacks and the C library's heap have theirs.
        assert!(
            first >= limit / 4,
            "only {first} bytes of {limit} could be allocated"
        );
        assert!(
            second >= first / 2,
            "{second} bytes the second time, {first} the first"
        );
        assert!(
            stats.heap_alloc < MIB,
            "{} bytes are left",
            stats.heap_alloc
        );
        assert!(stats.num_gc >= 4, "{} cycles", stats.num_gc);
    };
    let configure =
        |command: &mut std::process::Command| child::limit(command, libc::RLIMIT_AS, limit);
    child::run(test, configure, body).expect_success();
}

#[test]
fn small_objects_in_64_mib() {
    runs_within(small_objects_in_64_mib, 64 * MIB, 100);
}

#[test]
fn large_objects_in_128_mib() {
    runs_within(large_objects_in_128_mib, 128 * MIB, 100_000);
}

#[test]
fn small_objects_in_256_mib() {
    runs_within(small_objects_in_256_mib, 256 * MIB, 100);
}

#[test]
fn large_objects_in_256_mib() {
    runs_within(large_objects_in_256_mib, 256 * MIB, 100_000);
}

#[test]
fn small_objects_in_1_gib() {
    runs_within(small_objects_in_1_gib, 1024 * MIB, 8000);
}

#[test]
fn large_objects_in_1_gib() {
    runs_within(large_objects_in_1_gib, 1024 * MIB, 3_000_000);
}

#[test]
fn a_vector_too_large_for_the_limit_is_refused() {
    let body = || {
        let mut bytes: Vec<u8> = Vec::new();
        assert!(bytes.try_reserve_exact(600 * MIB as usize).is_err());
        assert!(bytes.try_reserve_exact(50 * MIB as usize).is_ok());
        bytes.resize(50 * MIB as usize, 1);
        // What did not fit leaves what is there as it was.
        assert!(bytes.try_reserve_exact(600 * MIB as usize).is_err());
        assert!(bytes.iter().all(|&byte| byte == 1));
        counters::at_rest();
    };
    let configure =
        |command: &mut std::process::Command| child::limit(command, libc::RLIMIT_AS, 512 * MIB);
    child::run(a_vector_too_large_for_the_limit_is_refused, configure, body).expect_success();
}

#[test]
fn sizes_beyond_all_memory_are_refused() {
    for size in [
        1 << 47,
        isize::MAX as usize / 2,
        isize::MAX as usize - 4096,
        isize::MAX as usize - 7,
    ] {
        let layout = Layout::from_size_align(size, 8).expect("a layout");
        // SAFETY: the size is not zero; nothing is read or written.
        let (plain, zeroed) = unsafe { (HEAP.alloc(layout), HEAP.alloc_zeroed(layout)) };
        assert!(
            plain.is_null() && zeroed.is_null(),
            "{size} bytes were granted"
        );
    }
    counters::audited();
}

/// What the machine's memory and swap come to, and a GiB: more than the kernel grants at once, unless it is told to.
fn more_than_the_machine_has() -> usize {
    let text = std::fs::read_to_string("/proc/meminfo").expect("Linux has it");
    let kib = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        number.map_or(0, |number| number.parse::<usize>().expect("a number"))
    };
    ((kib("MemTotal:") + kib("SwapTotal:")) << 10) + (1 << 30)
}

#[test]
fn what_the_kernel_would_not_grant_a_mapping_is_refused() {
    let size = more_than_the_machine_has();
    // SAFETY: a new mapping that nothing touches, and its end.
    let granted = unsafe {
        let both = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let at = libc::mmap(ptr::null_mut(), size, both, flags, -1, 0);
        at != libc::MAP_FAILED && libc::munmap(at, size) == 0
    };
    if granted {
        eprintln!("this kernel grants whatever is asked for; nothing is tested");
        return;
    }
    let mut bytes: Vec<u8> = Vec::new();
    assert!(bytes.try_reserve_exact(size).is_err(), "{size} bytes");
    assert!(bytes.try_reserve_exact(50 << 20).is_ok());
    counters::audited();
}

#[test]
fn alignments_beyond_all_memory_are_refused() {
    for log2 in [47, 62] {
        let layout = Layout::from_size_align(1, 1 << log2).expect("a layout");
        // SAFETY: the size is not zero; nothing is read or written.
        let object = unsafe { HEAP.alloc(layout) };
        assert!(object.is_null(), "aligned to 2^{log2}");
    }
    counters::audited();
}
