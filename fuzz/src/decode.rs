//! Programs out of arbitrary bytes.
//!
//! A byte says how many threads there are and their order; then each command takes what
//! bytes it needs: one for the thread and the kind, one for the slot, and so on. Bytes that
//! run out read as zero, so every input is a program, and a longer input only adds to it.
//! Sizes come by their logarithm, since that is how size classes are spread.

use crate::{Command, MAX_ALIGN_LOG2, MAX_SIZE, Order, Program, THREADS};

/// How many powers of two there are up to MAX_SIZE.
const SIZE_LOGS: usize = MAX_SIZE.ilog2() as usize + 1;

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    /// 1 to MAX_SIZE: a byte of logarithm, two of what follows the leading one.
    fn size(&mut self) -> usize {
        let log2 = usize::from(self.byte()) * SIZE_LOGS / 256;
        let fraction = usize::from(self.byte()) << 8 | usize::from(self.byte());
        let size = (1 << log2) + (fraction << log2 >> 16);
        size.min(MAX_SIZE)
    }

    fn command(&mut self, kind: u8) -> Command {
        match kind {
            // More allocations than frees: slots fill, and allocating into a full one frees.
            0..=15 => Command::Alloc {
                slot: self.byte(),
                size: self.size(),
                align_log2: match kind {
                    0..=7 => 3,
                    8..=12 => 0,
                    _ => self.byte() % (MAX_ALIGN_LOG2 + 1),
                },
                zeroed: kind.is_multiple_of(4),
            },
            16..=35 => Command::Free { slot: self.byte() },
            36..=43 => Command::Realloc {
                slot: self.byte(),
                size: self.size(),
            },
            44..=57 => Command::HandOver {
                slot: self.byte(),
                to: self.byte(),
            },
            58..=59 => Command::Collect,
            60 => match self.byte() {
                0..=63 => Command::AdvanceClock(u32::from(self.byte()) * 1000),
                64..=127 => Command::FailNext(self.byte() % 16),
                _ => Command::FreeOsMemory,
            },
            61..=62 => Command::SetGcPercent(match self.byte() {
                255 => -1,
                percent => i32::from(percent) * 2,
            }),
            _ => Command::SetMemoryLimit(match self.byte() {
                255 => -1,
                254 => i64::MAX,
                mib => i64::from(mib) << 20,
            }),
        }
    }
}

impl Program {
    /// The program that `bytes` spell. Never fails.
    pub fn decode(bytes: &[u8]) -> Self {
        let mut bytes = Bytes(bytes);
        let shape = bytes.byte();
        let mut threads = vec![Vec::new(); usize::from(shape) % THREADS + 1];
        let order = match shape & 0x80 {
            0 => Order::Lockstep,
            _ => Order::Concurrent,
        };
        while !bytes.0.is_empty() {
            let head = bytes.byte();
            let thread = usize::from(head >> 6) % threads.len();
            threads[thread].push(bytes.command(head & 0x3f));
        }
        Self { order, threads }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bytes_are_an_empty_program() {
        assert_eq!(Program::decode(&[]), Program::new(Order::Lockstep, &[&[]]));
    }

    #[test]
    fn bytes_reach_every_command() {
        let mut seen = std::collections::HashSet::new();
        for head in 0..64 {
            for second in [1, 100, 200] {
                let program = Program::decode(&[0, head, second, 2, 3, 4]);
                seen.insert(std::mem::discriminant(&program.threads[0][0]));
            }
        }
        assert_eq!(
            seen.len(),
            10,
            "all but a fork, which a fuzzer cannot follow"
        );
    }

    #[test]
    fn sizes_lie_in_range_and_reach_its_ends() {
        let codes = (0..=u16::MAX).map(|code| [code.to_be_bytes(), code.to_be_bytes()].concat());
        let sizes: Vec<usize> = codes.map(|code| Bytes(&code).size()).collect();
        assert_eq!(sizes.iter().min(), Some(&1));
        assert_eq!(sizes.iter().max(), Some(&MAX_SIZE));
    }
}
