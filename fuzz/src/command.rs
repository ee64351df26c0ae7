//! What a program can ask of a heap.
//!
//! Every sequence of commands is a valid program: an allocation into a slot that holds an
//! object frees that one first, and a free of an empty slot does nothing. So a program stays
//! valid when a shrinker takes commands out of it, and what is left means what it meant.

use std::fmt;

/// Slots a thread has to hold objects in.
pub const SLOTS: u8 = 64;
/// Threads a program can have.
pub const THREADS: usize = 4;
/// The largest object, in bytes: two chunks and a bit, so that objects straddle chunks.
pub const MAX_SIZE: usize = 9 << 20;
/// Objects are aligned to at most 2 to this power, 64 KiB: more than a page of the heap.
pub const MAX_ALIGN_LOG2: u8 = 16;

/// One command of one thread. Slots and threads count modulo how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Allocates into a slot, once what it held is freed.
    Alloc {
        /// Where to keep it.
        slot: u8,
        /// Bytes, from 1 to [`MAX_SIZE`].
        size: usize,
        /// Alignment as a power of 2, at most [`MAX_ALIGN_LOG2`].
        align_log2: u8,
        /// Ask for zeroed memory, and look.
        zeroed: bool,
    },
    /// Frees what a slot holds.
    Free {
        /// Which.
        slot: u8,
    },
    /// Resizes what a slot holds.
    Realloc {
        /// Which.
        slot: u8,
        /// The new size, from 1 to [`MAX_SIZE`] bytes.
        size: usize,
    },
    /// Gives what a slot holds to another thread, which puts it into its slot of that number.
    HandOver {
        /// Which.
        slot: u8,
        /// To whom.
        to: u8,
    },
    /// Runs a cycle, between two looks at every object of the thread.
    Collect,
    /// Returns idle memory to the system, between two looks at every object of the thread.
    FreeOsMemory,
    /// Sets GOGC.
    SetGcPercent(i32),
    /// Sets GOMEMLIMIT, in bytes; a negative one only reads it.
    SetMemoryLimit(i64),
    /// Lets so many milliseconds pass, where the heap's clock can be told to.
    AdvanceClock(u32),
    /// Lets so many of the next calls to the system fail, where the heap's system can be told to.
    FailNext(u8),
    /// Forks. The child looks at every object of the thread, allocates, collects, and ends.
    Fork,
}

/// How the threads of a program take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// One command at a time, round and round: the same on every run.
    Lockstep,
    /// All at once.
    Concurrent,
}

/// Commands for each thread of a program.
#[derive(Clone, PartialEq, Eq)]
pub struct Program {
    /// Who goes when.
    pub order: Order,
    /// At least one thread; those beyond [`THREADS`] are left out.
    pub threads: Vec<Vec<Command>>,
}

impl Program {
    /// A program from literals, as its Debug form writes it.
    pub fn new(order: Order, threads: &[&[Command]]) -> Self {
        Self {
            order,
            threads: threads.iter().map(|commands| commands.to_vec()).collect(),
        }
    }
}

/// Writes the Rust expression that makes the program.
impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Program::new(Order::{:?}, &[", self.order)?;
        for commands in &self.threads {
            writeln!(f, "    &[")?;
            for command in commands {
                writeln!(f, "        Command::{command:?},")?;
            }
            writeln!(f, "    ],")?;
        }
        write!(f, "])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_prints_the_expression_that_makes_it() {
        let program = Program::new(
            Order::Lockstep,
            &[
                &[Command::Alloc {
                    slot: 1,
                    size: 48,
                    align_log2: 4,
                    zeroed: false,
                }],
                &[Command::Collect],
            ],
        );
        assert_eq!(
            format!("{program:?}"),
            "Program::new(Order::Lockstep, &[\n    &[\n        Command::Alloc { slot: 1, size: 48, \
             align_log2: 4, zeroed: false },\n    ],\n    &[\n        Command::Collect,\n    ],\n])"
        );
    }
}
