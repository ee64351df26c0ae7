//! What a prepared trace consists of: the operations of all kinds of traces, 16 bytes each.

use crate::trace::event::Act;

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Do this with the object in the place that `id` is the number of. What a place holds when
    /// another comes is dropped; pages that are new are written to.
    Act(Act),
    /// What follows is done by this thread.
    Thread(u32),
    /// Note the resident set.
    Sample,
    /// Take a snapshot of the heap's figures.
    Snapshot,
    /// Collect.
    Collect,
    /// Collect, and return what is free to the system.
    Release,
    /// Set GOGC in percent.
    Percent(i32),
    /// Set the memory limit in bytes.
    Limit(i64),
    /// Sleep for so many milliseconds.
    Sleep(u32),
}

/// A step as it stands in the file: what and whose, and how much.
pub type Words = [u64; 2];

/// Zeroed, in the bits above the kind and the alignment.
const ZEROED: u64 = 1 << 16;

impl From<Step> for Words {
    fn from(step: Step) -> Self {
        let whose = |id: u32| u64::from(id) << 32;
        match step {
            Step::Act(Act::Allocate {
                id,
                size,
                align,
                zeroed,
            }) => {
                let zeroed = if zeroed { ZEROED } else { 0 };
                [u64::from(align) << 8 | zeroed | whose(id), size as u64]
            }
            Step::Act(Act::Reallocate { id, size }) => [1 | whose(id), size as u64],
            Step::Act(Act::Free { id }) => [2 | whose(id), 0],
            Step::Thread(thread) => [3, thread.into()],
            Step::Sample => [4, 0],
            Step::Snapshot => [5, 0],
            Step::Collect => [6, 0],
            Step::Release => [7, 0],
            Step::Percent(percent) => [8, i64::from(percent) as u64],
            Step::Limit(bytes) => [9, bytes as u64],
            Step::Sleep(ms) => [10, ms.into()],
        }
    }
}

impl Step {
    /// What the words say, if anything.
    pub fn read([what, much]: Words) -> Option<Self> {
        let id = (what >> 32) as u32;
        let size = usize::try_from(much).ok();
        Some(match what as u8 {
            0 => Self::Act(Act::Allocate {
                id,
                size: size?,
                align: (what >> 8) as u8,
                zeroed: what & ZEROED != 0,
            }),
            1 => Self::Act(Act::Reallocate { id, size: size? }),
            2 => Self::Act(Act::Free { id }),
            3 => Self::Thread(u32::try_from(much).ok()?),
            4 => Self::Sample,
            5 => Self::Snapshot,
            6 => Self::Collect,
            7 => Self::Release,
            8 => Self::Percent(i32::try_from(much as i64).ok()?),
            9 => Self::Limit(much as i64),
            10 => Self::Sleep(u32::try_from(much).ok()?),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_act() -> impl Strategy<Value = Act> {
        prop_oneof![
            any::<(u32, usize, u8, bool)>().prop_map(|(id, size, align, zeroed)| Act::Allocate {
                id,
                size,
                align,
                zeroed
            }),
            any::<(u32, usize)>().prop_map(|(id, size)| Act::Reallocate { id, size }),
            any::<u32>().prop_map(|id| Act::Free { id }),
        ]
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            any_act().prop_map(Step::Act),
            any::<u32>().prop_map(Step::Thread),
            Just(Step::Sample),
            Just(Step::Snapshot),
            Just(Step::Collect),
            Just(Step::Release),
            any::<i32>().prop_map(Step::Percent),
            any::<i64>().prop_map(Step::Limit),
            any::<u32>().prop_map(Step::Sleep),
        ]
    }

    proptest! {
        #[test]
        fn a_step_is_what_it_was(step in any_step()) {
            prop_assert_eq!(Step::read(step.into()), Some(step));
        }

        #[test]
        fn no_words_make_it_panic(words: Words) {
            let _ = Step::read(words);
        }
    }
}
