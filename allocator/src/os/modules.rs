//! What is mapped of the program and its libraries, as the dynamic linker tells it, and whether an address
//! may be read. No file is opened.

use core::ffi::{CStr, c_int, c_void};
use core::ops::Range;

/// The program, or a shared library.
#[derive(Clone, Debug)]
pub struct Module<'a> {
    /// Its path; empty for the program itself.
    pub name: &'a CStr,
    /// What its addresses in memory are above those in its file's headers.
    pub base: usize,
    /// From its first segment to the end of its last.
    pub memory: Range<usize>,
    /// Its first executable segment: where it lies, and at which offset of the file.
    pub code: Range<usize>,
    /// See `code`.
    pub code_offset: u64,
    /// `.eh_frame_hdr`, if it has one: a sorted table of where functions' unwind information is.
    pub unwind_table: Option<Range<usize>>,
    /// The end of the segment that this lies in.
    pub unwind_end: usize,
    /// Its build id; empty if it has none.
    pub build_id: &'a [u8],
}

/// How often modules were loaded and unloaded, and what [`for_each_module`] does for the first.
struct Visit<'a> {
    changes: u64,
    each: Option<&'a mut dyn FnMut(&Module)>,
}

/// Calls `f` with each module. Takes the dynamic linker's lock meanwhile.
pub fn for_each_module(f: &mut dyn FnMut(&Module)) -> u64 {
    let mut visit = Visit {
        changes: 0,
        each: Some(f),
    };
    // SAFETY: the callback gets the visit back, which lives that long.
    unsafe { libc::dl_iterate_phdr(Some(visited), (&raw mut visit).cast()) };
    visit.changes
}

/// How many modules were loaded and unloaded so far: as long as it stays, so do they.
pub fn module_changes() -> u64 {
    let mut visit = Visit {
        changes: 0,
        each: None,
    };
    // SAFETY: as in `for_each_module`.
    unsafe { libc::dl_iterate_phdr(Some(visited), (&raw mut visit).cast()) };
    visit.changes
}

unsafe extern "C" fn visited(info: *mut libc::dl_phdr_info, _: usize, visit: *mut c_void) -> c_int {
    // SAFETY: the linker's, for the length of this call; and what was handed to it.
    let (info, visit) = unsafe { (&*info, &mut *visit.cast::<Visit>()) };
    visit.changes = info.dlpi_adds.wrapping_add(info.dlpi_subs);
    let Some(each) = &mut visit.each else {
        return 1;
    };
    // SAFETY: the linker's tables of a module that is loaded, which it is while its lock is held.
    if let Some(module) = unsafe { read(info) } {
        each(&module);
    }
    0
}

/// # Safety
/// `info` describes a module that is loaded, and stays so while the answer is used.
unsafe fn read(info: &libc::dl_phdr_info) -> Option<Module<'_>> {
    if info.dlpi_phdr.is_null() {
        return None;
    }
    let base = info.dlpi_addr as usize;
    // SAFETY: the caller's contract.
    let headers = unsafe { core::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    let range = |h: &libc::Elf64_Phdr| {
        let from = base.wrapping_add(h.p_vaddr as usize);
        from..from.wrapping_add(h.p_memsz as usize)
    };
    let loaded = || headers.iter().filter(|h| h.p_type == libc::PT_LOAD);
    let code = loaded().find(|h| h.p_flags & libc::PF_X != 0)?;
    let memory = loaded()
        .map(range)
        .reduce(|a, b| a.start.min(b.start)..a.end.max(b.end))?;
    let table = headers.iter().find(|h| h.p_type == libc::PT_GNU_EH_FRAME);
    let unwind_table = table.map(range);
    let around = unwind_table.as_ref().and_then(|table| {
        loaded()
            .map(range)
            .find(|segment| segment.contains(&table.start))
    });
    let notes = headers.iter().filter(|h| h.p_type == libc::PT_NOTE);
    let build_id = notes
        .map(range)
        .filter(|notes| memory.start <= notes.start && notes.end <= memory.end)
        // SAFETY: the caller's contract: notes lie in the module's memory.
        .find_map(|at| unsafe {
            build_id(core::slice::from_raw_parts(at.start as *const u8, at.len()))
        });
    let name = if info.dlpi_name.is_null() {
        c""
    } else {
        // SAFETY: the linker's name for it, NUL-terminated.
        unsafe { CStr::from_ptr(info.dlpi_name) }
    };
    Some(Module {
        name,
        base,
        memory,
        code: range(code),
        code_offset: code.p_offset,
        unwind_end: around.map_or(0, |segment| segment.end),
        unwind_table,
        build_id: build_id.unwrap_or_default(),
    })
}

/// The build id among ELF notes.
fn build_id(mut notes: &[u8]) -> Option<&[u8]> {
    const NT_GNU_BUILD_ID: u32 = 3;
    let word = |bytes: &[u8], at: usize| {
        let word = bytes.get(at..at + 4)?;
        Some(u32::from_ne_bytes(word.try_into().ok()?))
    };
    loop {
        let name_len = word(notes, 0)? as usize;
        let len = word(notes, 4)? as usize;
        let kind = word(notes, 8)?;
        let from = 12 + name_len.next_multiple_of(4);
        let name = notes.get(12..12 + name_len)?;
        let text = notes.get(from..from.checked_add(len)?)?;
        if kind == NT_GNU_BUILD_ID && name == b"GNU\0" {
            return Some(text);
        }
        notes = notes.get(from + len.next_multiple_of(4)..)?;
    }
}

/// Whether the eight bytes at `address`, a multiple of eight, can be read. Asks the kernel, by a call that
/// copies a signal set from there and then refuses what it is to do with it. Leaves errno alone.
pub fn is_readable(address: usize) -> bool {
    // To the kernel, null is no set to copy, which it would refuse nothing of.
    address != 0
        && super::keeping_errno(|| {
            // SAFETY: the first argument is no operation, so nothing is changed; the address is only copied from.
            let r = unsafe { libc::syscall(libc::SYS_rt_sigprocmask, !0, address, 0, 8) };
            r == 0 || super::linux::errno() != libc::EFAULT
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::{Linux, Os};

    #[test]
    fn the_program_is_the_module_that_holds_this_function() {
        let here = the_program_is_the_module_that_holds_this_function as *const () as usize;
        let mut found = 0;
        let changes = for_each_module(&mut |module| {
            if module.code.contains(&here) {
                found += 1;
                assert!(module.name.is_empty());
                let table = module.unwind_table.clone().expect("Rust programs have one");
                assert!(module.memory.contains(&table.start) && table.end <= module.unwind_end);
            }
        });
        assert_eq!(found, 1);
        assert_eq!(module_changes(), changes);
    }

    #[test]
    fn a_build_id_is_found_behind_other_notes() {
        let mut notes = Vec::new();
        for (kind, text) in [(1u32, &b"other"[..]), (3, &[1, 2, 3, 4, 5])] {
            notes.extend(
                [4u32, text.len() as u32, kind]
                    .iter()
                    .flat_map(|w| w.to_ne_bytes()),
            );
            notes.extend(b"GNU\0");
            notes.extend(text);
            notes.extend(vec![0; text.len().next_multiple_of(4) - text.len()]);
        }
        assert_eq!(build_id(&notes), Some(&[1, 2, 3, 4, 5][..]));
        assert_eq!(build_id(&notes[..30]), None);
    }

    #[test]
    fn what_may_be_read_is_told_without_reading_it() {
        let page = Linux.physical_page();
        let at = Linux.map(2 * page).expect("memory");
        let second = at.as_ptr() as usize + page;
        assert!(is_readable(second));
        // SAFETY: the test's own.
        unsafe {
            libc::mprotect(second as *mut c_void, page, libc::PROT_NONE);
        }
        assert!(!is_readable(second));
        assert!(is_readable(at.as_ptr() as usize));
        assert!(!is_readable(8) && !is_readable(0));
        // SAFETY: mapped above, and used no more.
        unsafe { Linux.unreserve(at, 2 * page) };
    }
}
