//! Gigabytes go back at once: by `free_os_memory`, and by the system calls alone.

use std::ptr::null_mut;
use std::time::Instant;

use goheap::GoHeap;
use goheap_benches::workload::object::Object;

static HEAP: GoHeap = GoHeap::new();

const BLOCK: usize = 64 << 10;
/// As much as goheap gives back in one call: a chunk.
const CHUNK: usize = 4 << 20;

/// Frees one block of each `every`, and prints the milliseconds that `free_os_memory` takes.
pub fn on_goheap(bytes: usize, every: usize) {
    let blocks: Vec<Object> = (0..bytes / BLOCK)
        .map(|_| {
            let object = Object::new(&HEAP, BLOCK);
            object.touch();
            object
        })
        .collect();
    for object in blocks.iter().step_by(every) {
        object.free(&HEAP);
    }
    // The pages are idle now: what is measured is their return.
    goheap::gc();
    let before = goheap::read_mem_stats().heap_released;
    let begun = Instant::now();
    goheap::free_os_memory();
    let time = begun.elapsed();
    let released = goheap::read_mem_stats().heap_released - before;
    let wanted = (bytes / every) as u64;
    assert!(
        released >= wanted - wanted / 100,
        "{released} of {wanted} bytes went back"
    );
    println!("{}", time.as_secs_f64() * 1e3);
}

/// The same on a mapping, without an allocator.
pub fn bare(bytes: usize, every: usize) {
    // SAFETY: a fresh mapping of this function's own; the ranges below lie within it.
    unsafe {
        let start = libc::mmap(
            null_mut(),
            bytes + CHUNK,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        );
        assert!(start != libc::MAP_FAILED, "no memory");
        let start = start.cast::<u8>();
        let start = start.add(start.align_offset(CHUNK));
        for page in (0..bytes).step_by(4096) {
            start.add(page).write_volatile(1);
        }
        let range = if every == 1 { CHUNK } else { BLOCK };
        let begun = Instant::now();
        for at in (0..bytes).step_by(range * every) {
            libc::madvise(start.add(at).cast(), range, libc::MADV_DONTNEED);
        }
        println!("{}", begun.elapsed().as_secs_f64() * 1e3);
    }
}
