//! The line in which a program's mistake is told before the process ends.

use crate::os::{Line, module_of, stderr_line};
use crate::size_class::SizeClass;
use crate::span::Misuse;
use crate::tiny::{self, BLOCK};
use core::fmt::{self, Write};

/// Says what is wrong with an address, and ends the process: the heap can no longer tell what is whose.
#[cold]
pub fn report_and_abort(address: usize, misuse: Misuse) -> ! {
    tell(address, misuse);
    std::process::abort()
}

/// Says what is wrong with an address.
pub(super) fn tell(address: usize, misuse: Misuse) {
    let mut line = Line::new();
    // Writing to a line cannot fail: it cuts what does not fit.
    let _ = write!(line, "goheap: ");
    let _ = describe(&mut line, address, misuse);
    let _ = writeln!(line);
    stderr_line(line.text());
}

/// Says what called for an object, if that is known: each call as file+address, which `addr2line` takes.
pub(super) fn tell_stack(stack: &[usize]) {
    for (i, &address) in stack.iter().enumerate() {
        let (file, offset) = module_of(address - 1).unwrap_or((c"?", address));
        let file = file.to_str().unwrap_or("?");
        let what = if i == 0 { "allocated by" } else { "called by" };
        let mut line = Line::new();
        // As above.
        let _ = writeln!(line, "goheap:   {what} {address:#x} {file}+{offset:#x}");
        stderr_line(line.text());
    }
}

/// An object of a class, in words.
struct Object(usize, SizeClass);

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(bytes, class) = *self;
        if class == SizeClass::LARGE {
            write!(f, "a large object of {bytes} bytes")
        } else {
            let number = class.index();
            write!(f, "an object of {bytes} bytes, size class {number}")
        }
    }
}

fn describe(line: &mut Line, address: usize, misuse: Misuse) -> fmt::Result {
    match misuse {
        Misuse::DoubleFree { bytes, class } => write!(
            line,
            "double free of {address:#x}: {}, was freed before and not allocated since",
            Object(bytes, class)
        ),
        Misuse::NotAllocated { bytes, class } => write!(
            line,
            "invalid free of {address:#x}: the slot of {} is not allocated (a double free across a cycle, or an \
             address made up)",
            Object(bytes, class)
        ),
        Misuse::Interior {
            start,
            bytes,
            class,
        } => write!(
            line,
            "invalid free of {address:#x}: an interior address, {} bytes into {} at {start:#x}",
            address - start,
            Object(bytes, class)
        ),
        Misuse::Shared { block } => write!(
            line,
            "invalid free of {address:#x}: no object is allocated {} bytes into the block of {BLOCK} bytes, size \
             class {}, at {block:#x} that tiny objects share (a double free, or an address made up)",
            address - block,
            tiny::CLASS.index()
        ),
        Misuse::Foreign => write!(
            line,
            "invalid free of {address:#x}: not allocated by this heap (no span holds it, size class unknown)"
        ),
        Misuse::WrongLayout {
            bytes,
            class,
            size,
            align,
        } => write!(
            line,
            "wrong layout for {address:#x}: given back as {size} bytes aligned to {align}, but it is {}",
            Object(bytes, class)
        ),
        Misuse::WrittenAfterFree {
            offset,
            found,
            bytes,
            class,
        } => write!(
            line,
            "write after free of {address:#x}: {}, was freed, and byte {offset} of it has been changed since, to \
             {found:#04x}",
            Object(bytes, class)
        ),
    }
}
