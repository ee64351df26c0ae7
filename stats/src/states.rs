//! The heap's memory by state: what a program's figures say of each byte.

use serde::Serialize;

use crate::Snapshot;

/// Bytes in each state; together they are HeapSys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct States {
    /// Live when the last cycle ended, as far as still allocated.
    pub live: u64,
    /// Allocated since: in part dead already, which only the next cycle finds out.
    pub since: u64,
    /// In spans, but in no object: free slots and tails.
    pub slots: u64,
    /// In no span, and backed by memory.
    pub retained: u64,
    /// In no span, and handed back or never touched.
    pub released: u64,
}

impl States {
    /// Of that moment.
    pub fn of(snapshot: &Snapshot) -> Self {
        // Before the first cycle the pacer only assumes something.
        let marked = match snapshot.num_gc {
            0 => 0,
            _ => snapshot.heap_marked,
        };
        let live = marked.min(snapshot.heap_alloc);
        Self {
            live,
            since: snapshot.heap_alloc - live,
            slots: snapshot.heap_inuse.saturating_sub(snapshot.heap_alloc),
            retained: snapshot.heap_idle.saturating_sub(snapshot.heap_released),
            released: snapshot.heap_released,
        }
    }

    /// All of them, each with its name.
    pub fn named(&self) -> [(&'static str, u64); 5] {
        [
            ("live at the last cycle", self.live),
            ("allocated since", self.since),
            ("free slots in spans", self.slots),
            ("idle, retained", self.retained),
            ("released", self.released),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_states_add_up_to_the_heap() {
        let mut snapshot = Snapshot {
            heap_marked: 30,
            num_gc: 1,
            heap_alloc: 50,
            heap_inuse: 64,
            heap_idle: 36,
            heap_released: 6,
            heap_sys: 100,
            ..Snapshot::zeroed()
        };
        let sum = |states: States| states.named().iter().map(|(_, bytes)| bytes).sum::<u64>();
        let states = States::of(&snapshot);
        assert_eq!((states.live, states.since, sum(states)), (30, 20, 100));
        snapshot.num_gc = 0;
        let states = States::of(&snapshot);
        assert_eq!((states.live, states.since, sum(states)), (0, 50, 100));
    }
}
