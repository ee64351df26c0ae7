//! A thread's stack as it was found for a sample, and what it takes to know it again without a walk.
//!
//! A walk is a function of the registers that it starts from and of the words that it reads, code and unwind
//! tables being what they are. So it is written down which words it went by: where it would start from the same registers, and
//! each of these words holds what it held, it would find the same. That costs a load and a comparison a word, about
//! one and a half a frame. Programs mostly allocate where they just did, so the last stack of each thread is enough.
//!
//! What the frame pointer held is a part of that only where some frame goes by it: else a loop's counter that the
//! compiler keeps in that register would make each stack a new one.

use super::MAX_DEPTH;
use super::table::Site;
use core::ptr::null_mut;

/// Words that are written down, at the most. A walk by more is not known again.
const WORDS: usize = 192;

/// What a walk starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// The instruction.
    pub pc: usize,
    /// The stack pointer.
    pub sp: usize,
    /// The frame pointer, or what else the compiler keeps in its register.
    pub fp: usize,
}

/// A stack: return addresses, and what they were found by.
#[derive(Debug)]
pub struct Stack {
    start: Registers,
    /// Whether `start.fp` had a part in it.
    by_fp: bool,
    /// Whether the words are all that it was found by.
    settled: bool,
    words: [(usize, usize); WORDS],
    noted: usize,
    found: [usize; MAX_DEPTH],
    depth: usize,
    /// The site that objects were sampled for last, null if none was since the walk.
    pub(super) site: *mut Site,
}

impl Stack {
    /// One without frames.
    pub const fn new() -> Self {
        Self {
            start: Registers {
                pc: 0,
                sp: 0,
                fp: 0,
            },
            by_fp: false,
            settled: false,
            words: [(0, 0); WORDS],
            noted: 0,
            found: [0; MAX_DEPTH],
            depth: 0,
            site: null_mut(),
        }
    }

    /// Makes one without frames where it is to lie: it is 4 KiB, for which the thread may have no room.
    ///
    /// # Safety
    /// `at` is aligned, and can be written to.
    pub unsafe fn make_at(at: *mut Self) {
        // SAFETY: the caller's contract. Each field is numbers, a bool or a pointer, and as zeroes what `new` has.
        unsafe { at.write_bytes(0, 1) };
    }

    /// One with these return addresses, the innermost first, wherever they come from.
    pub fn of(addresses: &[usize]) -> Self {
        let mut stack = Self::new();
        for address in addresses {
            stack.push(*address);
        }
        stack
    }

    /// Return addresses, the innermost first.
    pub fn addresses(&self) -> &[usize] {
        &self.found[..self.depth]
    }

    /// Whether a walk from `start` would find what this is.
    ///
    /// # Safety
    /// `start` is the calling thread's, in a frame that lasts for the call. (Word by word it is then seen that the frames above it are
    /// those that were there: the next word lies in the frame of one of them, which it is in memory for.)
    pub unsafe fn is_still(&self, start: Registers) -> bool {
        let then = self.start;
        self.settled
            && (start.pc, start.sp) == (then.pc, then.sp)
            && (!self.by_fp || start.fp == then.fp)
            && self.words[..self.noted].iter().all(|&(at, held)| {
                // SAFETY: the caller's contract.
                let holds =
                    unsafe { core::ptr::with_exposed_provenance::<usize>(at).read_volatile() };
                holds == held
            })
    }

    /// A walk begins, from `start`.
    pub fn begin(&mut self, start: Registers) {
        self.start = start;
        (self.by_fp, self.settled) = (false, false);
        (self.noted, self.depth) = (0, 0);
        self.site = null_mut();
    }

    /// It has found a return address. `false`: there is no room for another.
    pub fn push(&mut self, address: usize) -> bool {
        self.found[self.depth] = address;
        self.depth += 1;
        self.depth < MAX_DEPTH
    }

    /// It went by the word at `at`, which holds `held`.
    #[inline]
    pub fn went_by(&mut self, at: usize, held: usize) {
        // One that there is no room for is counted all the same.
        if let Some(word) = self.words.get_mut(self.noted) {
            *word = (at, held);
        }
        self.noted += 1;
    }

    /// It went by the frame pointer that it started from.
    pub fn went_by_fp(&mut self) {
        self.by_fp = true;
    }

    /// It is over, and went by nothing but what was said.
    pub fn settle(&mut self) {
        self.settled = self.noted <= WORDS;
    }
}

impl Default for Stack {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_is_known_again_as_long_as_all_holds_that_it_was_found_by() {
        let mut frames = [7usize, 8, 9];
        let at = (&raw mut frames).expose_provenance();
        let start = Registers {
            pc: 1,
            sp: at,
            fp: 3,
        };
        let mut stack = Stack::new();
        // SAFETY: no word is read, and below only those of `frames`.
        let still = |stack: &Stack, start| unsafe { stack.is_still(start) };
        assert!(!still(&stack, start));
        stack.begin(start);
        stack.went_by(at, 7);
        stack.push(100);
        stack.went_by(at + 16, 9);
        assert!(!still(&stack, start), "the walk is under way");
        stack.settle();
        assert!(still(&stack, start));
        assert_eq!(stack.addresses(), [100]);
        assert!(still(&stack, Registers { fp: 4, ..start }));
        assert!(!still(&stack, Registers { sp: 4, ..start }));
        assert!(!still(&stack, Registers { pc: 4, ..start }));
        for (changed, same) in [(0, false), (1, true), (2, false)] {
            // SAFETY: the test's own words, which the stack reads by their address.
            unsafe { (&raw mut frames[changed]).write_volatile(0) };
            assert_eq!(still(&stack, start), same);
            // SAFETY: as above.
            unsafe { (&raw mut frames[changed]).write_volatile(7 + changed) };
        }
        stack.went_by_fp();
        assert!(!still(&stack, Registers { fp: 4, ..start }));
    }

    #[test]
    fn a_walk_by_more_words_than_there_is_room_for_is_not_known_again() {
        let word = 5usize;
        let at = (&raw const word).expose_provenance();
        let start = Registers {
            pc: 1,
            sp: at,
            fp: 3,
        };
        let mut stack = Stack::new();
        for (words, known) in [(WORDS, true), (WORDS + 1, false)] {
            stack.begin(start);
            (0..words).for_each(|_| stack.went_by(at, 5));
            stack.settle();
            // SAFETY: all words are the test's own.
            assert_eq!(unsafe { stack.is_still(start) }, known);
        }
    }

    #[test]
    fn no_more_frames_are_kept_than_there_is_room_for() {
        let mut stack = Stack::new();
        let taken = (1..).take_while(|address| stack.push(*address)).count();
        assert_eq!((taken, stack.addresses().len()), (MAX_DEPTH - 1, MAX_DEPTH));
    }
}
