//! Which pages of the calling process are in memory, by `mincore`: it opens no file, which a program that
//! counts its descriptors would notice.

use super::Os;
use super::linux::Linux;

/// Pages asked for at once.
const AT_ONCE: usize = 1024;

/// Says of each physical page from `address` on whether it is in memory; `address` is a multiple of
/// a page. What the kernel does not tell counts as not in memory.
pub fn resident(address: usize, pages: &mut [bool]) {
    let page = Linux.physical_page();
    for (i, part) in pages.chunks_mut(AT_ONCE).enumerate() {
        let mut answers = [0u8; AT_ONCE];
        // SAFETY: the buffer has a byte for each page that is asked for.
        let r = unsafe {
            libc::mincore(
                (address + i * AT_ONCE * page) as *mut libc::c_void,
                part.len() * page,
                answers.as_mut_ptr(),
            )
        };
        for (page, answer) in part.iter_mut().zip(answers) {
            *page = r == 0 && answer & 1 != 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_that_were_touched_are_in_memory() {
        let page = Linux.physical_page();
        let at = Linux.map(4 * page).expect("memory");
        // SAFETY: just mapped, so long.
        unsafe { at.as_ptr().add(2 * page).write(1) };
        let mut pages = [true; 4];
        resident(at.as_ptr() as usize, &mut pages);
        assert_eq!(pages, [false, false, true, false]);
        resident(0, &mut pages);
        assert_eq!(pages, [false; 4]);
    }
}
