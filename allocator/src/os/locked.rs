//! All of a process's memory locked, but for ranges of which only what is touched is to take memory.
//!
//! `mlockall` fills all that can be written to. The kernel can also lock each page as it is touched (`MCL_ONFAULT`,
//! Linux 4.4), but that holds for all mappings; so what is to be there at once is filled one mapping after the other.

use super::Linux;
use super::Os;
use super::shared::for_each_byte;
use core::ffi::c_int;
use core::ops::Range;

fn mlockall(flags: c_int) -> c_int {
    // SAFETY: takes a number; changes what no contents are.
    unsafe { libc::syscall(libc::SYS_mlockall, flags) as c_int }
}

/// Does what `mlockall` does with these flags, and answers as it does, but leaves what is not touched of `sparse` out of memory.
pub fn lock_all(flags: c_int, sparse: &[Range<usize>]) -> c_int {
    let fills = flags & libc::MCL_CURRENT != 0 && flags & libc::MCL_ONFAULT == 0;
    if !fills || sparse.iter().all(Range::is_empty) {
        return mlockall(flags);
    }
    if mlockall(flags | libc::MCL_ONFAULT) != 0 {
        // Refused, or by a kernel that knows no such flag: its answer to the program's own counts.
        return mlockall(flags);
    }
    if flags & libc::MCL_FUTURE != 0 {
        // What is mapped from now on is filled. This leaves alone what is mapped.
        mlockall(libc::MCL_FUTURE);
    }
    for_each_mapping(|mapping| fill_but(mapping, sparse));
    0
}

/// Locks and fills the range but for what is in `sparse`. A refusal counts no more than in `mlockall`.
fn fill_but(range: Range<usize>, sparse: &[Range<usize>]) {
    let page = Linux.physical_page();
    let mut at = range.start;
    while at < range.end {
        let around = sparse.iter().find(|sparse| sparse.contains(&at));
        if let Some(sparse) = around {
            at = sparse.end.next_multiple_of(page);
            continue;
        }
        let starts = sparse.iter().map(|sparse| sparse.start);
        let end = starts.filter(|&start| start > at).min();
        let end = end.unwrap_or(range.end).min(range.end);
        // SAFETY: changes what no contents are.
        unsafe { libc::syscall(libc::SYS_mlock, at, end - at) };
        at = end;
    }
}

/// Calls `with` for each mapping that can be read, written or executed. For none where there is no `/proc`.
fn for_each_mapping(mut with: impl FnMut(Range<usize>)) {
    // `START-END PERMISSIONS …`, a line each: which of these parts a byte is of.
    let (mut part, mut numbers, mut accessible) = (0, [0usize; 2], false);
    for_each_byte(c"/proc/self/maps", |byte| match (part, byte) {
        (_, b'\n') => {
            if accessible {
                with(numbers[0]..numbers[1]);
            }
            (part, numbers, accessible) = (0, [0; 2], false);
        }
        (0, b'-') | (1..3, b' ') => part += 1,
        (0 | 1, digit) => {
            let digit = char::from(digit).to_digit(16).unwrap_or(0);
            numbers[part] = numbers[part] << 4 | digit as usize;
        }
        (2, b'r' | b'w' | b'x') => accessible = true,
        _ => {}
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::resident;
    use std::vec::Vec;

    #[test]
    fn each_mapping_is_told() {
        let local = 0u8;
        let here = core::ptr::from_ref(&local).addr();
        let (mut at, mut count, mut found) = (0, 0, false);
        for_each_mapping(|mapping| {
            assert!(at <= mapping.start && mapping.start < mapping.end);
            at = mapping.end;
            count += 1;
            found |= mapping.contains(&here);
        });
        assert!(found && count > 5, "{count}");
    }

    #[test]
    fn what_is_sparse_is_not_filled() {
        const PAGES: usize = 64;
        let page = Linux.physical_page();
        let at = Linux.map(PAGES * page).expect("there is memory");
        let from = at.as_ptr().addr();
        let pages = |part: Range<usize>| from + part.start * page..from + part.end * page;
        fill_but(pages(0..PAGES), &[pages(40..50), pages(8..16), 0..0]);
        let mut there = [false; PAGES];
        resident(from, &mut there);
        let gone: Vec<_> = (0..PAGES).filter(|&i| !there[i]).collect();
        assert_eq!(gone, (8..16).chain(40..50).collect::<Vec<_>>());
    }
}
