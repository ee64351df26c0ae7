//! What of the pacer changes from moment to moment: where the next cycle begins under a memory limit.
//!
//! Plain data, a copy of what the [`Controller`](crate::Controller) knows, for who asks at each turn and
//! without its lock. As in Go, where each allocation that takes a span asks (`gcTrigger.test`).

use crate::controller::Memory;
use crate::memory_limit;
use crate::trigger::{self, Bounds, Trigger};

/// The memory limit beside the goal by GOGC, as of the last [commit](crate::Controller::commit). All in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnderLimit {
    /// GOMEMLIMIT.
    pub limit: u64,
    /// Head room under it, percent.
    pub head_room_percent: u64,
    /// The goal by GOGC: the limit matters where it asks for a lower one.
    pub percent_goal: u64,
    /// Found live by the last cycle.
    pub heap_marked: u64,
    /// The least heap at GOGC=100.
    pub least_heap: u64,
    /// Expected to be allocated while a cycle runs.
    pub runway: u64,
}

impl UnderLimit {
    /// Where no limit ever matters.
    pub const NEVER: Self = Self {
        limit: i64::MAX as u64,
        head_room_percent: 0,
        percent_goal: 0,
        heap_marked: 0,
        least_heap: 0,
        runway: 0,
    };

    /// The goal that the limit sets with `memory` in use; `None` while GOGC's is no higher. The more of it is objects, the
    /// higher.
    pub const fn goal(&self, memory: Memory) -> Option<u64> {
        let goal = memory_limit::goal(self.limit, self.heap_marked, memory, self.head_room_percent);
        if goal < self.percent_goal {
            Some(goal)
        } else {
            None
        }
    }

    /// Where the next cycle begins because of the limit; `None` while GOGC alone says.
    pub const fn trigger(&self, memory: Memory) -> Option<Trigger> {
        match self.goal(memory) {
            Some(goal) => Some(trigger::trigger(&Bounds {
                goal,
                heap_marked: self.heap_marked,
                sweep_end: 0,
                least_heap: self.least_heap,
                runway: self.runway,
            })),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// Of what is in use 10 MiB can never be objects.
    fn memory(heap_alloc: u64) -> Memory {
        Memory {
            heap_free: 0,
            heap_alloc,
            mapped_ready: heap_alloc + 10 * MIB,
        }
    }

    #[test]
    fn the_limit_says_where_a_cycle_begins_only_while_it_asks_for_less_than_gogc() {
        let limit = UnderLimit {
            limit: 110 * MIB,
            head_room_percent: 3,
            percent_goal: 80 * MIB,
            heap_marked: 40 * MIB,
            least_heap: 4 * MIB,
            runway: 0,
        };
        assert_eq!(limit.trigger(memory(50 * MIB)), None);
        let much = UnderLimit {
            percent_goal: 200 * MIB,
            ..limit
        };
        let due = much
            .trigger(memory(50 * MIB))
            .expect("100 MiB are left for objects");
        assert!((96 * MIB..=97 * MIB).contains(&due.goal), "{due:?}");
        assert!((92 * MIB..=due.goal).contains(&due.trigger), "{due:?}");
        // Already over it: there is as much less room.
        let over = much.goal(memory(120 * MIB)).expect("a lower goal");
        assert!(over < due.goal - 19 * MIB);
        assert_eq!(UnderLimit::NEVER.trigger(memory(u64::MAX - 10 * MIB)), None);
    }

    #[test]
    fn more_objects_in_the_same_memory_never_lower_the_goal() {
        let limit = UnderLimit {
            limit: 110 * MIB,
            head_room_percent: 3,
            percent_goal: u64::MAX,
            heap_marked: 4 * MIB,
            least_heap: 4 * MIB,
            runway: 0,
        };
        let goal = |heap_alloc| {
            limit.goal(Memory {
                heap_alloc,
                ..memory(130 * MIB)
            })
        };
        let goals: [_; 150] = core::array::from_fn(|mib| goal(mib as u64 * MIB));
        assert!(goals.is_sorted(), "{goals:?}");
        assert!(goals[0] < goals[120], "{goals:?}");
    }
}
