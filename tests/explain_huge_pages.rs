//! A program with transparent huge pages explains its memory. It is a process of its own: where memory was
//! touched before, the kernel makes no huge page.

#[path = "support/explained.rs"]
mod explained;

use std::fs;
use std::hint::black_box;

use explained::{explained, largest};
use goheap::Cause;

#[global_allocator]
static HEAP: goheap::GoHeap = goheap::GoHeap::new();

const MIB: u64 = 1 << 20;

/// Bytes of this process's memory in huge pages.
fn huge_pages() -> u64 {
    let text = fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("AnonHugePages:"));
    let kib = line.and_then(|rest| rest.trim().split(' ').next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[test]
fn what_comes_with_a_huge_page_is_told_from_what_objects_hold() {
    let path = "/sys/kernel/mm/transparent_hugepage/enabled";
    let enabled = fs::read_to_string(path).unwrap_or_default();
    if !enabled.contains("[always]") && !enabled.contains("[madvise]") {
        eprintln!("skipped: the kernel makes no transparent huge pages ({path}: {enabled:?})");
        return;
    }
    const PAIRS: usize = 64;
    const SMALL: usize = 256 << 10;
    const LARGE: usize = (2 << 20) - SMALL;
    let room = Vec::<u8>::with_capacity(PAIRS * (2 << 20));
    let from = room.as_ptr().addr().next_multiple_of(4096);
    let length = (room.capacity() - 4096) / 4096 * 4096;
    // SAFETY: advice on memory of this test's; contents stay.
    let advised = unsafe { libc::madvise(from as *mut _, length, libc::MADV_HUGEPAGE) };
    assert_eq!(advised, 0);
    drop(room);
    goheap::free_os_memory();
    // Neighbours, one small and one large, so that each huge page holds a part of a small one.
    let pair = |_| (Vec::with_capacity(SMALL), Vec::<u8>::with_capacity(LARGE));
    let (mut small, large): (Vec<Vec<u8>>, Vec<Vec<u8>>) = (0..PAIRS).map(pair).unzip();
    drop(large);
    goheap::free_os_memory();
    small.iter_mut().for_each(|v| v.resize(SMALL, 1));
    let explained = explained();
    let refill = explained.bytes(Cause::HugePages);
    let given = huge_pages();
    // With all that are asked for, 112 MiB come beside what is held.
    if refill == 0 || given < (PAIRS as u64 - 4) * (2 << 20) {
        eprintln!("skipped: the kernel had but {given} bytes of huge pages to give");
        return;
    }
    assert_eq!(largest(&explained), Cause::HugePages, "{explained:?}");
    assert!(refill > 80 * MIB, "{explained:?}");
    assert!(explained.live() < 24 * MIB, "{explained:?}");
    black_box(small);
}
