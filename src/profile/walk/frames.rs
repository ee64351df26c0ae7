//! The way up a stack, frame by frame.

use super::machine::ADDRESS;
use super::rules::{Caller, Plain, Rule};
use goheap_allocator::os;
use goheap_allocator::sample::{Registers, Stack};

/// Pages of a thread's stack that a walk looks at, at the most: 4 MiB.
const PAGES: usize = 1024;
/// What is asked for at once. No physical page is smaller.
const PAGE: usize = 4096;

/// Where the frame pointer at hand is from.
#[derive(Clone, Copy)]
enum From {
    /// The register, as the walk began.
    Start,
    /// A word, and what it held.
    Word(usize, usize),
    /// That was said.
    Told,
}

/// A walk under way.
pub struct Walk<'a> {
    /// Those of the frame that it has come to.
    pub registers: Registers,
    /// As in [`Caller`], of the same frame.
    link: Option<usize>,
    fp_from: From,
    reader: Reader,
    stack: &'a mut Stack,
    guessed: bool,
}

impl<'a> Walk<'a> {
    /// One from `start`, to fill `stack`.
    pub fn begin(start: Registers, stack: &'a mut Stack) -> Self {
        stack.begin(start);
        Self {
            registers: start,
            link: None,
            fp_from: From::Start,
            reader: Reader::above(start.sp),
            stack,
            guessed: false,
        }
    }

    /// Goes on to the caller, if the rule for this frame says where it is, and there is room. Words of the stack
    /// that it goes by, it says. `evaluate` is for rules that are not plain.
    pub fn step(
        &mut self,
        rule: Rule,
        evaluate: impl FnOnce(
            Registers,
            Option<usize>,
            &mut dyn FnMut(usize) -> Option<usize>,
        ) -> Option<Caller>,
    ) -> Option<Lookup> {
        let link = self.link.take();
        let interrupted = match rule {
            Rule::End => None,
            Rule::Plain(plain) => self.plain(plain),
            Rule::Complex => self.complex(link.is_some(), |registers, read| {
                evaluate(registers, link, read)
            }),
            Rule::Unknown => self.guess(),
        }?;
        self.registers.pc &= ADDRESS;
        let pc = self.registers.pc;
        if pc == 0 {
            return None;
        }
        // Who reads a stack takes one off each address, for these are behind their calls.
        let (address, lookup) = if interrupted {
            (pc + 1, pc)
        } else {
            (pc, pc - 1)
        };
        self.stack.push(address).then_some(Lookup(lookup))
    }

    #[inline]
    fn plain(&mut self, rule: Plain) -> Option<bool> {
        let by = if rule.by_fp {
            self.go_by_fp();
            self.registers.fp
        } else {
            self.registers.sp
        };
        let end = by.wrapping_add_signed(rule.end as isize);
        if end <= self.registers.sp {
            return None;
        }
        let at = end.wrapping_add_signed(rule.returns as isize);
        let pc = self.reader.read(at)?;
        self.stack.went_by(at, pc);
        if let Some(fp) = rule.fp {
            let at = end.wrapping_add_signed(fp as isize);
            self.registers.fp = self.reader.read(at)?;
            self.fp_from = From::Word(at, self.registers.fp);
        }
        (self.registers.pc, self.registers.sp) = (pc, end);
        Some(false)
    }

    #[cold]
    fn complex(
        &mut self,
        has_link: bool,
        evaluate: impl FnOnce(Registers, &mut dyn FnMut(usize) -> Option<usize>) -> Option<Caller>,
    ) -> Option<bool> {
        self.go_by_fp();
        let (reader, stack) = (&mut self.reader, &mut *self.stack);
        let caller = evaluate(self.registers, &mut |at| {
            let held = reader.read(at)?;
            stack.went_by(at, held);
            Some(held)
        })?;
        let (sp, above) = (self.registers.sp, caller.registers.sp);
        // What was interrupted as it called nothing may have no frame.
        let goes_up = sp < above || (sp == above && has_link);
        if caller.interrupted {
            // The signal may have a stack of its own, and the interrupted frame may have run out of its.
            self.reader = Reader::elsewhere(caller.registers.sp);
        } else if !goes_up {
            return None;
        }
        self.registers = caller.registers;
        self.link = caller.link;
        self.fp_from = From::Told;
        Some(caller.interrupted)
    }

    /// Code without tables, made at run time say, may keep frame pointers: then the caller's lies where this one points to, and
    /// behind it the return address. If it does not, this ends soon, or at addresses that mean nothing.
    #[cold]
    fn guess(&mut self) -> Option<bool> {
        self.guessed = true;
        let at = self.registers.fp;
        let end = at.checked_add(2 * size_of::<usize>())?;
        if end <= self.registers.sp {
            return None;
        }
        let fp = self.reader.read(at)?;
        let pc = self.reader.read(at + size_of::<usize>())?;
        self.registers = Registers { pc, sp: end, fp };
        Some(false)
    }

    /// The frame pointer has a part in where the walk goes.
    fn go_by_fp(&mut self) {
        match core::mem::replace(&mut self.fp_from, From::Told) {
            From::Start => self.stack.went_by_fp(),
            From::Word(at, held) => self.stack.went_by(at, held),
            From::Told => {}
        }
    }

    /// It is over. What went by guesses is not to be known again: it may have led anywhere.
    pub fn end(self) {
        if !self.guessed {
            self.stack.settle();
        }
    }
}

/// The address by which a frame's rule is found: in its call, or where it was interrupted.
#[derive(Clone, Copy)]
pub struct Lookup(pub usize);

/// Reads a thread's stack upwards.
struct Reader {
    from: usize,
    /// Up to here all may be read.
    upto: usize,
    pages: usize,
}

impl Reader {
    /// Above `sp`, which is in use.
    fn above(sp: usize) -> Self {
        Self {
            upto: (sp & !(PAGE - 1)) + PAGE,
            ..Self::elsewhere(sp)
        }
    }

    /// Above `sp`, wherever that is.
    fn elsewhere(sp: usize) -> Self {
        Self {
            from: sp,
            upto: sp & !(PAGE - 1),
            pages: PAGES,
        }
    }

    fn read(&mut self, at: usize) -> Option<usize> {
        if at < self.from || !at.is_multiple_of(size_of::<usize>()) {
            return None;
        }
        while at >= self.upto {
            if self.pages == 0 || !os::is_readable(self.upto) {
                return None;
            }
            self.upto += PAGE;
            self.pages -= 1;
        }
        // SAFETY: the word lies in a page that may be read, above the frame of who walks. What the thread's
        // callers have there, nobody changes meanwhile.
        Some(unsafe { (at as *const usize).read_volatile() })
    }
}
